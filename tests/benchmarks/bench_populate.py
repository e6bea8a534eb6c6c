"""Populate: makes per second beside DataJoint and beside a loop by hand, parts, three parts, big arrays, and three processes on SQLite.

    COMPDB_BENCH_DATAJOINT=/path/to/python python tests/benchmarks/bench_populate.py [SQLite] [MariaDB] [PostgreSQL]

Every library is measured in a process of its own, in an empty database of its own; they take turns, round by round, and medians are
told; how many times as fast, too, is the median of the rounds, since a machine may be half as fast a minute later. `plain` is a make of one `fetch1` and one `insert1`, `one by one` the same with `prefetch = False`, `rows` the ORM form (`self.y =
self.src.x`), `parts` a master with 20 part rows; all in makes per second. `three parts` is what a make in three parts whose input weighs 8 MB
costs for each key, beside what it costs to fetch that input once, `write` and `read` are 200 arrays of 1 MB, in MB per second. The loop by hand is SQLAlchemy Core: for each key one SELECT,
one INSERT, and a commit every 0.2 s.

DataJoint (2.3.5 was measured) is left out where it cannot be imported, unless COMPDB_BENCH_DATAJOINT names a Python that can; so is a
server that does not answer. COMPDB_BENCH_KEYS and COMPDB_BENCH_ROUNDS make it shorter.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SERVERS = {
    "SQLite": "",
    "MariaDB": os.environ.get("COMPDB_TEST_MYSQL_URL", "mysql+pymysql://root@127.0.0.1:3306/test"),
    "PostgreSQL": os.environ.get("COMPDB_TEST_POSTGRESQL_URL", "postgresql+psycopg://postgres@127.0.0.1:5432/test"),
}
NAME = os.environ.get("COMPDB_BENCH_NAME", f"compdb_bench_{os.getpid()}")
KEYS = int(os.environ.get("COMPDB_BENCH_KEYS", "2000"))
ROUNDS = int(os.environ.get("COMPDB_BENCH_ROUNDS", "3"))
PEER = os.environ.get("COMPDB_BENCH_DATAJOINT", sys.executable)
PARTS, MASTERS = 20, max(1, KEYS // 5)
BIG, ARRAYS = 8, 200
SLOW, SECONDS = 60, 0.04

ASKED = {  # times as good as DataJoint
    ("plain", "MariaDB"): 10,
    ("plain", "PostgreSQL"): 10,
    ("one by one", "MariaDB"): 4,
    ("one by one", "PostgreSQL"): 4,
    ("rows", "MariaDB"): 12,
    ("rows", "PostgreSQL"): 12,
    ("parts", "MariaDB"): 5,
    ("parts", "PostgreSQL"): 5,
    ("write", "PostgreSQL"): 6,
    ("read", "PostgreSQL"): 5,
}
SUBJECTS = ("plain", "one by one", "rows", "parts", "three parts", "write", "read", "processes")


def seconds(work: Callable[[], Any]) -> float:
    """Return how long `work` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


# ---------------------------------------------------------------- compdb


def ours(server: str, url: str) -> dict[str, float]:
    """Measure compdb in an empty database."""
    import pipeline_populate as p

    from compdb.database import connect

    p.Lab.activate(url)
    p.Src.insert({"k": i, "x": i / 7} for i in range(KEYS))
    p.Few.insert({"k": i} for i in range(MASTERS))
    analyze(server, connect(url).engine)
    found: dict[str, float] = {}
    for name, table, keys in (
        ("plain", p.Plain, KEYS),
        ("one by one", p.OneByOne, KEYS),
        ("rows", p.Rows, KEYS),
        ("parts", p.Parts, MASTERS),
    ):
        table.populate(limit=20)
        table.delete(prompt=False)
        found[name] = keys / seconds(table.populate)
        assert len(table) == keys
    import numpy as np

    value = np.random.default_rng(0).random(1_000_000)
    p.Big.insert({"k": i, "x": value} for i in range(BIG))
    p.Three.populate(limit=2)
    left = BIG - 2
    keys = [{"k": i} for i in range(2, BIG)]
    found["input alone"] = seconds(lambda: [(p.Big & key).fetch1("x") for key in keys]) / left
    found["three parts"] = seconds(p.Three.populate) / left
    value = value[:131_072]
    found["write"] = ARRAYS / seconds(lambda: p.Array.insert([{"k": i, "x": value} for i in range(ARRAYS)]))
    found["read"] = ARRAYS / seconds(lambda: p.Array.to_arrays("x"))
    if server == "SQLite":
        found["processes"] = together(p)
    return found


def together(p: Any) -> float:
    """Return how many times as fast three warm processes make 60 keys of 40 ms as one does."""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    p.Slow.populate(limit=1)
    p.Slow.delete(prompt=False)
    one = seconds(lambda: p.Slow.populate(limit=SLOW))
    p.Slow.delete(prompt=False)
    with ProcessPoolExecutor(3, mp_context=multiprocessing.get_context("spawn")) as pool:
        p.Slow.populate(limit=12, executor=pool)  # the processes have started, and imported what they need
        p.Slow.delete(prompt=False)
        three = seconds(lambda: p.Slow.populate(limit=SLOW, executor=pool))
    assert len(p.Slow) == SLOW
    return one / three


def by_hand(server: str, url: str) -> dict[str, float]:
    """Measure the loop by hand: one SELECT and one INSERT for each key, a commit every 0.2 s."""
    import sqlalchemy as sa

    from compdb.database import connect

    engine = connect(url).engine  # with the settings that compdb's makes have too
    metadata = sa.MetaData()
    src = sa.Table(
        "src", metadata, sa.Column("k", sa.Integer, primary_key=True, autoincrement=False), sa.Column("x", sa.Double)
    )
    res = sa.Table("res", metadata, sa.Column("k", sa.ForeignKey("src.k"), primary_key=True), sa.Column("y", sa.Double))
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(src.insert(), [{"k": i, "x": i / 7} for i in range(KEYS)])
    analyze(server, engine)

    def populate(most: int) -> None:
        with engine.connect() as connection:
            pending = sa.select(src.c.k).where(~sa.exists().where(res.c.k == src.c.k)).order_by(src.c.k).limit(most)
            keys = list(connection.execute(pending).scalars())
            connection.rollback()
            transaction, began = connection.begin(), time.monotonic()
            for k in keys:
                x = connection.execute(sa.select(src.c.x).where(src.c.k == k)).scalar_one()
                connection.execute(res.insert(), {"k": k, "y": 2 * x})
                if time.monotonic() - began > 0.2:
                    transaction.commit()
                    transaction, began = connection.begin(), time.monotonic()
            transaction.commit()

    populate(20)
    with engine.begin() as connection:
        connection.execute(res.delete())
    return {"plain": KEYS / seconds(lambda: populate(KEYS))}


def analyze(server: str, engine: Any) -> None:
    """Let the database know what it has."""
    with engine.connect() as connection:
        tables = ("src",) if server == "MariaDB" else ("",)
        for table in tables:
            connection.exec_driver_sql(f"ANALYZE {'TABLE ' if table else ''}{table}")
        connection.commit()


# ---------------------------------------------------------------- DataJoint


def theirs(server: str, url: str) -> dict[str, float]:
    """Measure DataJoint in a database of its own."""
    import warnings

    warnings.simplefilter("ignore")
    import datajoint as dj
    import numpy as np

    dj.logger.setLevel("ERROR")
    backend = "mysql" if server == "MariaDB" else "postgresql"
    user, _, rest = url.partition("://")[2].partition("@")
    host, _, port = rest.partition("/")[0].partition(":")
    settings = {"host": host, "port": int(port), "user": user.partition(":")[0], "password": user.partition(":")[2]}
    for name, value in {**settings, "backend": backend}.items():
        dj.config[f"database.{name}"] = value
    if backend == "postgresql":
        dj.config["database.name"] = NAME
    dj.config["safemode"] = False
    dj.conn(reset=True)
    schema = dj.Schema(f"{NAME}_dj")

    @schema
    class Src(dj.Manual):
        definition = "k: int32\n---\nx: float64"

    @schema
    class Few(dj.Manual):
        definition = "k: int32"

    @schema
    class Plain(dj.Computed):
        definition = "-> Src\n---\ny: float64"

        def make(self, key):
            self.insert1({**key, "y": 2 * (Src & key).fetch1("x")})

    @schema
    class Parts(dj.Computed):
        definition = "-> Few\n---\nn: int32"

        class P(dj.Part):
            definition = "-> master\ni: int32\n---\nz: float64"

        def make(self, key):
            self.insert1({**key, "n": PARTS})
            self.P.insert({**key, "i": i, "z": i / 3} for i in range(PARTS))

    @schema
    class Big(dj.Manual):
        definition = "k: int32\n---\nx: <blob>"

    @schema
    class Three(dj.Computed):
        definition = "-> Big\n---\ny: float64"

        def make_fetch(self, key):
            return ((Big & key).fetch1("x"),)

        def make_compute(self, key, x):
            return (float(x[0]),)

        def make_insert(self, key, y):
            self.insert1({**key, "y": y})

    @schema
    class Array(dj.Manual):
        definition = "k: int32\n---\nx: <blob>"

    Src.insert({"k": i, "x": i / 7} for i in range(KEYS))
    Few.insert({"k": i} for i in range(MASTERS))
    name = f"`{NAME}_dj`.`src`" if backend == "mysql" else ""
    dj.conn().query(f"ANALYZE TABLE {name}" if name else "ANALYZE")
    found: dict[str, float] = {}
    for name, table, keys in (("plain", Plain, KEYS), ("parts", Parts, MASTERS)):
        table.populate(max_calls=20)
        table.delete(prompt=False)
        found[name] = keys / seconds(table.populate)
        assert len(table()) == keys
    value = np.random.default_rng(0).random(1_000_000)
    Big.insert1({"k": 0, "x": value})
    found["three parts"] = seconds(Three.populate)
    assert len(Three()) == 1
    value = value[:131_072]
    rows = [{"k": i, "x": value} for i in range(ARRAYS)]
    at_once = 8 if backend == "mysql" else ARRAYS  # what fits into one packet of MariaDB
    found["write"] = ARRAYS / seconds(lambda: Array.insert(rows, chunk_size=at_once))
    found["read"] = ARRAYS / seconds(lambda: Array().to_arrays("x"))
    return found


# ---------------------------------------------------------------- all of them


LIBRARIES = {"compdb": ours, "DataJoint": theirs, "by hand": by_hand}


def one(server: str, library: str) -> dict[str, float] | None:
    """Measure a library in a process and a database of its own; None where that cannot be done."""
    python = PEER if library == "DataJoint" else sys.executable
    folder = Path(__file__).parent
    path = os.pathsep.join(filter(None, [str(folder.parents[1]), str(folder), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "COMPDB_BENCH_NAME": NAME}
    if library != "DataJoint":
        environment["PYTHONPATH"] = path
    with tempfile.TemporaryDirectory() as place:
        url = fresh(server, place)
        try:
            run = subprocess.run(
                [python, __file__, server, library, url], capture_output=True, text=True, env=environment, check=False
            )
        finally:
            drop(server)
    if run.returncode:
        print(f"{server}: {library} is left out: {(run.stderr.strip().splitlines() or ['?'])[-1]}", flush=True)
        return None
    found: dict[str, float] = json.loads(run.stdout.splitlines()[-1])
    return found


def admin(server: str) -> Any:
    """Return an engine that makes and drops databases."""
    import sqlalchemy as sa

    return sa.create_engine(SERVERS[server], isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)


def fresh(server: str, folder: str) -> str:
    """Make an empty database and return its URL."""
    import sqlalchemy as sa

    if not SERVERS[server]:
        return f"sqlite:///{folder}/bench.db"
    with admin(server).connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {NAME}")
    return sa.make_url(SERVERS[server]).set(database=NAME).render_as_string(hide_password=False)


def drop(server: str) -> None:
    """Remove what was made."""
    if SERVERS[server]:
        with admin(server).connect() as connection:
            if server == "PostgreSQL":
                connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")
            else:
                connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {NAME}")
                connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {NAME}_dj")


def tell(server: str, medians: dict[str, dict[str, float]], runs: dict[str, list[dict[str, float]]]) -> list[str]:
    """Print the medians of one database, and those of the quotients in each round; return what falls short."""
    mine, peer, floor = medians["compdb"], medians.get("DataJoint", {}), medians.get("by hand", {})
    short = []
    print(f"\n{server}, {KEYS:,} keys, medians of {ROUNDS}\n{'':12}{'compdb':>10}{'DataJoint':>11}{'by hand':>10}")

    def line(subject: str, remark: str, failed: bool) -> None:
        figures = "".join(
            f"{of[subject]:{w},.{0 if of[subject] >= 10 else 2}f}" if subject in of else " " * w
            for of, w in ((mine, 10), (peer, 11), (floor, 10))
        )
        print(f"{subject:12}{figures}   {remark}" + ("   SHORT" if failed else ""))
        if failed:
            short.append(f"{server}, {subject}: {remark}")

    def times(other: str, subject: str, same: str) -> float:
        """Return how many times as good as another one: one after the other, in a round, they find the machine alike."""
        return statistics.median(m[subject] / t[same] for m, t in zip(runs["compdb"], runs[other]))

    for subject in SUBJECTS:
        if subject not in mine:
            continue
        asked, same = ASKED.get((subject, server)), {"one by one": "plain", "rows": "plain"}.get(subject, subject)
        if subject == "three parts":
            once = mine["input alone"]
            told = f"{1e3 * mine[subject]:.0f} ms for each key, of which {1e3 * once:.0f} to fetch its input once; the rest asked 50"
            line(subject, told, mine[subject] - once > 0.05)
        elif subject == "processes":
            line(subject, "times one process, asked 2.2", mine[subject] < 2.2)
        elif subject == "plain" and server == "SQLite" and floor:
            ratio = times("by hand", subject, subject)
            line(subject, f"{ratio:.2f} of by hand, asked 0.55", ratio < 0.55)
        elif same in peer:
            ratio = times("DataJoint", subject, same)
            goal = f", asked {asked}" if asked else ""
            line(subject, f"{ratio:.1f} x DataJoint{goal}", asked is not None and ratio < asked)
        else:
            line(subject, "", False)
    return short


def main(servers: list[str]) -> int:
    """Measure every database that answers; return 1 if anything falls short of what is asked."""
    short: list[str] = []
    for server in servers:
        libraries = [name for name in LIBRARIES if SERVERS[server] or name != "DataJoint"]
        runs: dict[str, list[dict[str, float]]] = {}
        try:
            for _ in range(ROUNDS):
                for library in list(libraries):
                    found = one(server, library)
                    if found is None:
                        libraries.remove(library)
                    else:
                        runs.setdefault(library, []).append(found)
        except Exception as error:
            print(f"{server} is left out: {str(error).splitlines()[0]}")
            continue
        medians = {
            library: {subject: statistics.median(r[subject] for r in found) for subject in found[0]}
            for library, found in runs.items()
        }
        if "compdb" not in medians:
            short.append(f"{server}: not measured")
        else:
            short += tell(server, medians, runs)
    return 1 if short else 0


if __name__ == "__main__":
    if len(sys.argv) == 4 and sys.argv[2] in LIBRARIES:
        print(json.dumps(LIBRARIES[sys.argv[2]](sys.argv[1], sys.argv[3])))
    else:
        sys.exit(main(sys.argv[1:] or list(SERVERS)))
