"""Jobs beside DataJoint, on the same servers in one run: refresh, reservations, and makes by one worker and by four.

    COMPDB_BENCH_DATAJOINT=/path/to/python python tests/benchmarks/bench_jobs.py [SQLite] [MariaDB] [PostgreSQL]

Every worker is a process of its own, started and connected beforehand; the libraries take turns, and a figure is the median of its
rounds; so is how many times as fast, since a machine may be half as fast a minute later. `made` counts trivial makes (one fetch, one insert) from nothing, refresh included, with one worker; `shared` the same by several
workers who find their jobs ready; `2 ms` is a make that sleeps so long. `reserved` is reservation alone: DataJoint asks key by key, compdb
by batches of 100. DataJoint (2.3.5 was measured) is left out where it cannot be imported, unless COMPDB_BENCH_DATAJOINT names a Python
that can; so is a server that does not answer. The exit code is 1 if a goal was missed.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SERVERS = {
    "SQLite": "",
    "MariaDB": os.environ.get("COMPDB_TEST_MYSQL_URL", "mysql+pymysql://root@127.0.0.1:3306/test"),
    "PostgreSQL": os.environ.get("COMPDB_TEST_POSTGRESQL_URL", "postgresql+psycopg://postgres@127.0.0.1:5432/test"),
}
NAME = os.environ.get("COMPDB_BENCH_NAME", f"compdb_bench_{os.getpid()}")
ROUNDS = int(os.environ.get("COMPDB_BENCH_ROUNDS", "5"))
PEER = os.environ.get("COMPDB_BENCH_DATAJOINT", sys.executable)
KEYS, MANY = 2_000, int(os.environ.get("COMPDB_BENCH_KEYS", "100000"))
BATCH, WORKERS = 100, 4

GOALS = {"refresh": 50.0, "made": 7.0, "made, ORM form": 20.0}
"""How many times as fast as DataJoint."""
TWO, ASKED = 1.4, 1.1
"""How much two workers make of what one makes; how often workers ask for each batch that they get (on MariaDB to ask is a locking read
and an UPDATE, on PostgreSQL one statement)."""


# ---------------------------------------------------------------- a worker of compdb


class Ours:
    """What a worker process of compdb does when it is told."""

    def __init__(self, server: str, url: str) -> None:
        import compdb as cdb
        from compdb import Key, Mapped
        from compdb.database import database_of
        from compdb.jobs import Queue, Worker, jobs_of

        class Lab(cdb.Pipeline):
            """Trivial makes."""

        class Src(cdb.Manual, Lab):
            k: Key[int]
            x: Mapped[float]

        class Plain(cdb.Computed, Lab):
            src: Key[Src]
            y: Mapped[float]

            def make(self, key):
                self.insert1({**key, "y": 2 * (Src & key).fetch1("x")})

        class Rows(cdb.Computed, Lab):
            src: Key[Src]
            y: Mapped[float]

            def make(self, key):
                self.y = 2 * self.src.x

        class Slow(cdb.Computed, Lab):
            src: Key[Src]
            y: Mapped[float]

            def make(self, key):
                time.sleep(0.002)
                self.insert1({**key, "y": 0.0})

        Lab.activate(url)
        self.source, self.tables = Src, {"plain": Plain, "rows": Rows, "slow": Slow}
        self.database = database_of(Src.__table__)
        self.queues = {name: Queue(self.database, jobs_of(t.__table__)) for name, t in self.tables.items()}
        self.worker = Worker(self.database, self.queues["plain"], 600)
        self.worker.register()
        self.asked = self.got = 0
        self._claim = self.database.dialect.claim
        self.database.dialect.claim = self._counted  # type: ignore[method-assign]

    def _counted(self, connection: Any, table: Any, first: Any, order: Any, values: Any) -> Any:
        """Count the reservations that are asked for, and those that bring a batch."""
        rows = self._claim(connection, table, first, order, values)
        if values.get("lease_token") is not None:
            self.asked, self.got = self.asked + 1, self.got + bool(rows)
        return rows

    def fill(self, start: int, end: int) -> None:
        """Insert sources."""
        self.source.insert(({"k": i, "x": 1.0} for i in range(start, end)), chunk_size=20_000)

    def clear(self, name: str) -> None:
        """Take results and jobs out."""
        self.tables[name].delete(prompt=False)
        self.tables[name].jobs.delete()

    def refresh(self, name: str) -> int:
        """Make jobs of what is missing."""
        return int(self.tables[name].jobs.refresh()["added"])

    def populate(self, name: str, reserve: bool = True) -> int:
        """Make what there is to make; return how much that was."""
        return int(self.tables[name].populate(reserve_jobs=reserve)["success_count"])

    def reserve(self, name: str) -> int:
        """Reserve all there is; return how much that was."""
        count = 0
        while found := len(self.queues[name].reserve(self.worker.about, BATCH)):
            count += found
        return count

    def told(self) -> list[int]:
        """Return how many reservations were asked for since the last time, and how many brought a batch."""
        told, self.asked, self.got = [self.asked, self.got], 0, 0
        return told


# ---------------------------------------------------------------- a worker of DataJoint


class Theirs:
    """What a worker process of DataJoint does when it is told."""

    def __init__(self, server: str, url: str) -> None:
        import warnings

        warnings.simplefilter("ignore")
        import datajoint as dj

        dj.logger.setLevel("ERROR")
        user, _, place = url.partition("://")[2].partition("@")
        host, _, port = place.partition("/")[0].partition(":")
        settings = {"host": host, "port": int(port), "user": user.partition(":")[0], "password": user.partition(":")[2]}
        for name, value in {**settings, "backend": "mysql" if server == "MariaDB" else "postgresql"}.items():
            dj.config[f"database.{name}"] = value
        if server == "PostgreSQL":
            dj.config["database.name"] = NAME
        dj.conn(reset=True)
        schema = dj.Schema(f"{NAME}_dj")

        @schema
        class Src(dj.Manual):
            definition = "k : int64\n---\nx : float64"

        class Plain(dj.Computed):
            definition = "-> Src\n---\ny : float64"

            def make(self, key):
                self.insert1({**key, "y": 2 * (Src & key).fetch1("x")})

        class Slow(dj.Computed):
            definition = "-> Src\n---\ny : float64"

            def make(self, key):
                time.sleep(0.002)
                self.insert1({**key, "y": 0.0})

        self.source = Src
        self.tables = {"plain": schema(Plain, context={"Src": Src}), "slow": schema(Slow, context={"Src": Src})}

    def fill(self, start: int, end: int) -> None:
        """Insert sources."""
        self.source.insert([{"k": i, "x": 1.0} for i in range(start, end)], chunk_size=20_000)

    def clear(self, name: str) -> None:
        """Take results and jobs out."""
        table = self.tables[name]()
        table.delete_quick()
        table.jobs.delete_quick()

    def refresh(self, name: str) -> int:
        """Make jobs of what is missing."""
        return int(self.tables[name]().jobs.refresh(delay=-1)["added"])

    def populate(self, name: str, reserve: bool = True) -> int:
        """Make what there is to make; return how much that was."""
        return int(self.tables[name].populate(reserve_jobs=reserve)["success_count"])

    def reserve(self, name: str) -> int:
        """Reserve all there is, as its populate does; return how much that was."""
        jobs = self.tables[name]().jobs
        return sum(jobs.reserve(key) for key in jobs.pending.keys(order_by="priority ASC, scheduled_time ASC"))


def serve(library: str, server: str, url: str) -> None:
    """Do in this process what the lines of the standard input say, and answer with begin, end and result."""
    answers, sys.stdout = sys.stdout, sys.stderr
    side: Any = {"compdb": Ours, "DataJoint": Theirs}[library](server, url)
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        verb, *arguments = json.loads(line)
        began = time.time()
        value = getattr(side, verb)(*arguments)
        print(json.dumps([began, time.time(), value]), file=answers, flush=True)


# ---------------------------------------------------------------- the one who measures


class Crew:
    """Worker processes of one library on one server.

    Attributes
    ----------
    reason : str
        Why there are none.
    """

    def __init__(self, library: str, server: str, url: str, count: int) -> None:
        root = str(Path(__file__).parents[2])
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")])) if library == "compdb" else ""
        python = sys.executable if library == "compdb" else PEER
        self.library, self.reason = library, ""
        self.workers: list[subprocess.Popen[str]] = []
        for _ in range(count):  # one after the other: the first declares the tables
            worker = subprocess.Popen(
                [python, "-W", "ignore", __file__, "--serve", library, server, url],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE if not self.workers else subprocess.DEVNULL,
                text=True,
                env={**os.environ, "COMPDB_BENCH_NAME": NAME, "PYTHONPATH": path},
            )
            self.workers.append(worker)
            assert worker.stdout is not None
            if worker.stdout.readline() != "ready\n":
                assert worker.stderr is not None
                self.reason = (worker.stderr.read().strip() or "it ended").splitlines()[-1]
                return

    def tell(self, count: int, verb: str, *arguments: Any) -> tuple[float, list[Any]]:
        """Have some workers do something at once; return the seconds it took them all, and what they answer."""
        told = self.workers[:count]
        for worker in told:
            assert worker.stdin is not None
            worker.stdin.write(json.dumps([verb, *arguments]) + "\n")
            worker.stdin.flush()
        answers = []
        for worker in told:
            assert worker.stdout is not None
            line = worker.stdout.readline()
            if not line:
                raise RuntimeError(f"a worker of {self.library} ended during {verb} {arguments}")
            answers.append(json.loads(line))
        began, ended, values = zip(*answers)
        return max(ended) - min(began), list(values)

    def speed(self, count: int, keys: int, verb: str, *arguments: Any) -> float:
        """Return keys per second of some workers at once."""
        seconds, done = self.tell(count, verb, *arguments)
        if sum(done) != keys:
            raise RuntimeError(f"{self.library} did {sum(done)} of {keys} keys in {verb} {arguments}")
        return keys / seconds

    def end(self) -> None:
        """End the workers."""
        for worker in self.workers:
            if worker.stdin is not None:
                worker.stdin.close()
            worker.wait(60)


def measure(crew: Crew, tidy: Any) -> dict[str, float]:
    """Return the figures of one round over `KEYS` keys."""
    found: dict[str, float] = {}

    def again(name: str, *, ready: bool) -> None:
        crew.tell(1, "clear", name)
        if ready:
            crew.tell(1, "refresh", name)
        tidy()

    ours = crew.library == "compdb"
    again("plain", ready=False)
    found["made"] = crew.speed(1, KEYS, "populate", "plain")
    if ours:
        again("plain", ready=False)
        found["made, plain"] = crew.speed(1, KEYS, "populate", "plain", False)
        again("rows", ready=False)
        found["made, ORM form"] = crew.speed(1, KEYS, "populate", "rows")
    again("plain", ready=True)
    found[f"shared by {WORKERS}"] = crew.speed(WORKERS, KEYS, "populate", "plain")
    for count in (1, WORKERS):
        again("plain", ready=True)
        found[f"reserved by {count}"] = crew.speed(count, KEYS, "reserve", "plain")
    for count in (1, 2):
        again("slow", ready=True)
        found[f"2 ms, {count}"] = crew.speed(count, KEYS, "populate", "slow")
    if ours:
        again("slow", ready=True)
        crew.tell(WORKERS, "told")
        crew.speed(WORKERS, KEYS, "populate", "slow")
        told = crew.tell(WORKERS, "told")[1]
        found["asked per batch"] = sum(t[0] for t in told) / max(1, sum(t[1] for t in told))
    return found


def compare(server: str, url: str, tidy: Any) -> list[str]:
    """Measure both libraries on one server and print it; return which goals were missed."""
    crews = [Crew("compdb", server, url, WORKERS)]
    if server != "SQLite":
        crews.append(Crew("DataJoint", server, url, WORKERS))
    for crew in crews:
        if crew.reason:
            print(f"{server}: {crew.library} is left out: {crew.reason}")
    crews = [crew for crew in crews if not crew.reason]
    rounds: dict[str, list[dict[str, float]]] = {crew.library: [] for crew in crews}
    try:
        for crew in crews:
            crew.tell(1, "fill", 0, KEYS)
        for _ in range(ROUNDS):
            for crew in crews:
                rounds[crew.library].append(measure(crew, tidy))
        for crew in crews:
            crew.tell(1, "fill", KEYS, MANY)
        for round_ in range(ROUNDS):
            for crew in crews:
                crew.tell(1, "clear", "plain")
                tidy()
                rounds[crew.library][round_]["refresh"] = MANY / crew.tell(1, "refresh", "plain")[0]
    finally:
        for crew in crews:
            crew.end()
    medians = {
        library: {n: statistics.median(r[n] for r in found) for n in found[0]}
        for library, found in rounds.items()
    }
    return show(server, medians, rounds)


def show(server: str, medians: dict[str, dict[str, float]], rounds: dict[str, list[dict[str, float]]]) -> list[str]:
    """Print the figures of one server; return which goals were missed."""
    ours, theirs = medians["compdb"], medians.get("DataJoint", {})
    missed = []
    print(f"{server:22}{'compdb':>10}{'DataJoint':>11}{'ratio':>8}   rounds of compdb")
    for name, figure in ours.items():
        same = name if name in theirs or not name.startswith("made") else name.partition(",")[0]
        peer = theirs.get(same)
        pairs = [(r[name], t[same]) for r, t in zip(rounds["compdb"], rounds.get("DataJoint", [])) if same in t]
        times = statistics.median(r / t for r, t in pairs) if pairs else figure / peer if peer else 0.0
        ratio = f"{times:8.1f}" if peer else " " * 8
        digits = 2 if name == "asked per batch" else 0
        each = " ".join(f"{r[name]:,.{digits}f}" for r in rounds["compdb"] if name in r)
        print(f"  {name:20}{figure:10,.{digits}f}{peer or float('nan'):11,.0f}{ratio}   {each}")
        if peer and name in GOALS and times < GOALS[name]:
            missed.append(f"{server}: {name} {times:.1f} times DataJoint, not {GOALS[name]:g}")
    two = ours["2 ms, 2"] / ours["2 ms, 1"]
    print(f"  two workers make {two:.2f} times what one makes, of 2 ms each", flush=True)
    if two < TWO:
        missed.append(f"{server}: two workers make {two:.2f} times what one makes, not {TWO}")
    if ours["asked per batch"] > ASKED:
        missed.append(f"{server}: {ours['asked per batch']:.2f} reservations asked for to get one, not {ASKED}")
    return missed


@contextlib.contextmanager
def database(server: str) -> Iterator[tuple[str, Any]]:
    """Give the URL of an empty database, and what tidies it up between rounds."""
    import sqlalchemy as sa

    if server == "SQLite":
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite:///{folder}/bench.db", lambda: None
        return
    admin = sa.create_engine(SERVERS[server], isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    url = sa.make_url(SERVERS[server]).set(database=NAME)
    own = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)

    def tidy() -> None:  # the rows that were cleared: else the first to come pays for them
        with own.connect() as connection:
            if server == "PostgreSQL":
                connection.exec_driver_sql("VACUUM ANALYZE")
                return
            ask, until = "SHOW GLOBAL STATUS LIKE 'Innodb_history_list_length'", time.monotonic() + 20
            while int(connection.exec_driver_sql(ask).one()[1]) > 0 and time.monotonic() < until:
                time.sleep(0.05)

    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {NAME}")
    try:
        yield url.render_as_string(hide_password=False), tidy
    finally:
        with admin.connect() as connection:
            force = " WITH (FORCE)" if server == "PostgreSQL" else ""
            for name in [NAME] if server == "PostgreSQL" else [NAME, f"{NAME}_dj"]:
                connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name}{force}")


def main() -> int:
    """Print the figures, and the goals that were missed."""
    import sqlalchemy as sa

    missed = []
    for server in sys.argv[1:] or SERVERS:
        try:
            with database(server) as (url, tidy):
                missed += compare(server, url, tidy)
        except sa.exc.OperationalError as error:
            print(f"{server} is left out: {str(error).splitlines()[0]}")
    print("\n".join(["missed:", *missed]) if missed else "all goals are met")
    return int(bool(missed))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(*sys.argv[2:])
    else:
        sys.exit(main())
