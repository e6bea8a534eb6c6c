"""No cliff: every operator over a million rows beside the SQL that one would write by hand, and fetch1 beside SQLAlchemy Core.

    python tests/benchmarks/bench_algebra.py                     # all databases that answer
    python tests/benchmarks/bench_algebra.py MariaDB             # one
    python tests/benchmarks/bench_algebra.py SQLite -- Top       # the operators whose name has Top in it

Each relation is counted with the smallest value of every column, so that all of them are computed; so is the hand-written SQL, and both
must give the same. They take turns, round by round, and the quickest rounds are compared (others had a neighbour on the machine): where
there are several ways to write it by hand, with the quickest of them on that database. A relation may take 1.3 times as long and 5 ms, an anti-restriction 1.6 times as long as the best of EXCEPT,
NOT EXISTS and LEFT JOIN; fetch1 by key may take twice as long as a Core select built by hand. Exits with 1 beyond that.

A server that does not answer is left out. COMPDB_BENCH_ROWS and COMPDB_BENCH_ROUNDS make it shorter.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import sqlalchemy as sa

import compdb as cdb
from compdb import Key, Mapped, Top, U
from compdb.database import Database, database_of

SERVERS = {
    "SQLite": None,
    "MariaDB": os.environ.get("COMPDB_TEST_MYSQL_URL", "mysql+pymysql://root@127.0.0.1:3306/test"),
    "PostgreSQL": os.environ.get("COMPDB_TEST_POSTGRESQL_URL", "postgresql+psycopg://postgres@127.0.0.1:5432/test"),
}
NAME = f"compdb_bench_{os.getpid()}"
ROWS = int(os.environ.get("COMPDB_BENCH_ROWS", "1000000"))
ROUNDS = int(os.environ.get("COMPDB_BENCH_ROUNDS", "5"))
TRIALS = 1000  # per subject
SUBJECTS = ROWS // TRIALS
ALLOWED, ALLOWED_ANTI, ALLOWED_FETCH1, GRACE = 1.3, 1.6, 2.0, 0.005
FILLS = {"0": 0.0, "50": 0.5, "99.9": 0.999}


class Lab(cdb.Pipeline):
    """A million trials."""


class Subject(cdb.Manual, Lab):
    """A thousand of them."""

    subject: Key[int]
    species: Mapped[str]


class Trial(cdb.Manual, Lab):
    """A thousand for each subject."""

    subject: Key[Subject]
    trial: Key[int]
    x: Mapped[float]
    day: Mapped[int | None]
    note: Mapped[str]


class Event(cdb.Manual, Lab):
    """Two for every tenth trial."""

    trial: Key[Trial]
    event: Key[int]
    value: Mapped[float]


class Filled0(cdb.Manual, Lab):
    """Nothing."""

    trial: Key[Trial]
    y: Mapped[float]


class Filled50(cdb.Manual, Lab):
    """Half of the trials."""

    trial: Key[Trial]
    y: Mapped[float]


class Filled999(cdb.Manual, Lab):
    """Nearly all trials."""

    trial: Key[Trial]
    y: Mapped[float]


FILLED = {"0": Filled0, "50": Filled50, "99.9": Filled999}


def fill() -> None:
    """Insert the rows."""
    random = np.random.default_rng(7)
    subject, trial = np.divmod(np.arange(ROWS), TRIALS)
    x, day = random.random(ROWS), random.integers(0, 100, ROWS)
    Subject.insert({"subject": i, "species": ("mouse", "rat", "bat", "cat")[i % 4]} for i in range(SUBJECTS))
    notes = [f"note {i % 977}" for i in range(ROWS)]
    days = [None if d == 99 else d for d in day.tolist()]
    Trial.insert(zip(subject.tolist(), trial.tolist(), x.tolist(), days, notes))
    some = np.flatnonzero(random.random(ROWS) < 0.1)
    for event in range(2):
        values = random.random(len(some)).tolist()
        Event.insert(zip(subject[some].tolist(), trial[some].tolist(), [event] * len(some), values))
    for name, share in FILLS.items():
        some = np.flatnonzero(random.random(ROWS) < share)
        FILLED[name].insert(zip(subject[some].tolist(), trial[some].tolist(), x[some].tolist()))


KEY = "subject, trial"
ALL = "subject, trial, x, day, note"
T = ", ".join(f"t.{name}" for name in ALL.split(", "))
ON = "e.subject = t.subject AND e.trial = t.trial"


def operators() -> dict[str, tuple[Callable[[], Any], list[str]]]:
    """Return, for each operator, how to make the relation, and ways to write it by hand."""
    few = [{"subject": i % SUBJECTS, "trial": i * 7 % TRIALS} for i in range(5_000)]
    many = [{"subject": i % SUBJECTS, "trial": i * 7 % TRIALS} for i in range(40_000)]
    days = list(range(40_000))

    def listed(keys: list[dict[str, int]]) -> str:
        return ", ".join(f"({k['subject']}, {k['trial']})" for k in keys)

    return {
        "& dict": (lambda: Trial & {"day": 3}, [f"SELECT {ALL} FROM trial WHERE day = 3"]),
        "& dict, key": (lambda: Trial & {"subject": 3}, [f"SELECT {ALL} FROM trial WHERE subject = 3"]),
        "& string": (lambda: Trial & "x > 0.5", [f"SELECT {ALL} FROM trial WHERE x > 0.5"]),
        "& expression": (lambda: Trial & (Trial.x > 0.5), [f"SELECT {ALL} FROM trial WHERE x > 0.5"]),
        "& {day: [...]}": (
            lambda: Trial & {"day": [1, 2, 3, 4]},
            [f"SELECT {ALL} FROM trial WHERE day IN (1, 2, 3, 4)"],
        ),
        "& 40,000 values": (
            lambda: Trial & {"trial": days},
            [f"SELECT {ALL} FROM trial WHERE trial IN ({', '.join(map(str, days))})"],
        ),
        "& 5,000 keys": (
            lambda: Trial & few,
            [
                f"SELECT {ALL} FROM trial WHERE (subject, trial) IN ({listed(few)})",
                f"SELECT {ALL} FROM trial WHERE (subject, trial) IN (VALUES {listed(few)})",
            ],
        ),
        "& 40,000 keys": (
            lambda: Trial & many,
            [
                f"SELECT {ALL} FROM trial WHERE (subject, trial) IN ({listed(many)})",
                f"SELECT {ALL} FROM trial WHERE (subject, trial) IN (VALUES {listed(many)})",
            ],
        ),
        "& parent": (
            lambda: Trial & (Subject & {"species": "mouse"}),
            [
                f"SELECT {T} FROM trial t JOIN subject s ON s.subject = t.subject WHERE s.species = 'mouse'",
                f"SELECT {ALL} FROM trial WHERE subject IN (SELECT subject FROM subject WHERE species = 'mouse')",
            ],
        ),
        "& child": (
            lambda: Trial & Event,
            [
                f"SELECT {T} FROM trial t WHERE EXISTS (SELECT 1 FROM event e WHERE {ON})",
                f"SELECT {ALL} FROM trial WHERE (subject, trial) IN (SELECT subject, trial FROM event)",
                f"SELECT {T} FROM trial t JOIN (SELECT DISTINCT subject, trial FROM event) e ON {ON}",
            ],
        ),
        "& few of a child": (
            lambda: Trial & (Event & "value > 0.99"),
            [
                f"SELECT {T} FROM trial t WHERE EXISTS (SELECT 1 FROM event e WHERE {ON} AND e.value > 0.99)",
                f"SELECT {ALL} FROM trial WHERE (subject, trial) IN (SELECT subject, trial FROM event WHERE value > 0.99)",
                f"SELECT {T} FROM trial t JOIN (SELECT DISTINCT subject, trial FROM event WHERE value > 0.99) e ON {ON}",
            ],
        ),
        "& key & child": (
            lambda: Trial & {"subject": 3, "trial": 7} & Event,
            [f"SELECT {T} FROM trial t WHERE subject = 3 AND trial = 7 AND EXISTS (SELECT 1 FROM event e WHERE {ON})"],
        ),
        "& key & few of a child": (
            lambda: Trial & {"subject": 3} & (Event & "value > 0.9"),
            [
                f"SELECT {T} FROM trial t WHERE subject = 3 AND EXISTS (SELECT 1 FROM event e WHERE {ON} AND e.value > 0.9)",
                f"SELECT {ALL} FROM trial WHERE subject = 3 AND (subject, trial) IN (SELECT subject, trial FROM event WHERE value > 0.9)",
            ],
        ),
        "& few & parent": (
            lambda: Trial & "x > 0.999" & (Subject & {"species": "mouse"}),
            [
                f"SELECT {T} FROM trial t JOIN subject s ON s.subject = t.subject WHERE s.species = 'mouse' AND t.x > 0.999",
                f"SELECT {ALL} FROM trial WHERE x > 0.999 AND subject IN (SELECT subject FROM subject WHERE species = 'mouse')",
            ],
        ),
        "& child, * parent": (
            lambda: (Trial & (Event & (Event.value > 0.99))) * Subject,
            [
                f"SELECT {T}, s.species FROM trial t JOIN (SELECT DISTINCT subject, trial FROM event WHERE value > 0.99) e ON {ON}"
                " JOIN subject s ON s.subject = t.subject",
            ],
        ),
        "& parent by child": (
            lambda: Subject & (Trial & "x > 0.999"),
            [
                "SELECT subject, species FROM subject s WHERE EXISTS (SELECT 1 FROM trial t WHERE t.subject = s.subject AND x > 0.999)",
                "SELECT subject, species FROM subject WHERE subject IN (SELECT subject FROM trial WHERE x > 0.999)",
            ],
        ),
        "- dict": (
            lambda: Trial - {"day": 3},
            [f"SELECT {ALL} FROM trial WHERE day <> 3 OR day IS NULL"],
        ),
        "- string": (lambda: Trial - "x > 0.5", [f"SELECT {ALL} FROM trial WHERE NOT (x > 0.5)"]),
        "- parent": (
            lambda: Trial - (Subject & {"species": "mouse"}),
            [
                f"SELECT {T} FROM trial t LEFT JOIN subject s ON s.subject = t.subject AND s.species = 'mouse'"
                " WHERE s.subject IS NULL",
                f"SELECT {T} FROM trial t WHERE NOT EXISTS"
                " (SELECT 1 FROM subject s WHERE s.subject = t.subject AND s.species = 'mouse')",
            ],
        ),
        "- 5,000 keys": (
            lambda: Trial - few,
            [
                f"WITH v (subject, trial) AS (VALUES {listed(few)})"
                f" SELECT {T} FROM trial t LEFT JOIN v e ON {ON} WHERE e.subject IS NULL",
                f"WITH v (subject, trial) AS (VALUES {listed(few)})"
                f" SELECT {T} FROM trial t WHERE NOT EXISTS (SELECT 1 FROM v e WHERE {ON})",
            ],  # NOT IN takes minutes on two of the three databases
        ),
        "* parent": (
            lambda: Subject * Trial,
            [f"SELECT {T}, s.species FROM trial t JOIN subject s ON s.subject = t.subject"],
        ),
        "* child": (lambda: Trial * Event, [f"SELECT {T}, e.event, e.value FROM trial t JOIN event e ON {ON}"]),
        "* and &": (
            lambda: (Subject * Trial * Event) & {"species": "rat"} & "value > 0.5",
            [
                f"SELECT {T}, s.species, e.event, e.value FROM subject s JOIN trial t ON t.subject = s.subject"
                f" JOIN event e ON {ON} WHERE s.species = 'rat' AND e.value > 0.5"
            ],
        ),
        "extend": (
            lambda: Trial.extend(Filled50),
            [f"SELECT {T}, e.y FROM trial t LEFT JOIN filled50 e ON {ON}"],
        ),
        "aggr of children": (
            lambda: Subject.aggr(Trial, n="count(*)", m="avg(x)"),
            [
                "SELECT s.subject, count(t.subject) AS n, avg(t.x) AS m FROM subject s LEFT JOIN trial t ON t.subject = s.subject"
                " GROUP BY s.subject",
                "SELECT s.subject, coalesce(n, 0) AS n, m FROM subject s LEFT JOIN"
                " (SELECT subject, count(*) AS n, avg(x) AS m FROM trial GROUP BY subject) t ON t.subject = s.subject",
            ],
        ),
        "aggr of a restriction": (
            lambda: Subject.aggr(Trial & "x > 0.99", n="count(*)"),
            [
                "SELECT s.subject, count(t.subject) AS n FROM subject s LEFT JOIN trial t ON t.subject = s.subject AND t.x > 0.99"
                " GROUP BY s.subject",
                "SELECT s.subject, coalesce(n, 0) AS n FROM subject s LEFT JOIN"
                " (SELECT subject, count(*) AS n FROM trial WHERE x > 0.99 GROUP BY subject) t ON t.subject = s.subject",
            ],
        ),
        "aggr of a million": (
            lambda: Trial.aggr(Event, n="count(*)"),
            [
                f"SELECT t.subject, t.trial, count(e.subject) AS n FROM trial t LEFT JOIN event e ON {ON}"
                " GROUP BY t.subject, t.trial",
                f"SELECT t.subject, t.trial, coalesce(e.n, 0) AS n FROM trial t LEFT JOIN"
                f" (SELECT subject, trial, count(*) AS n FROM event GROUP BY subject, trial) e ON {ON}",
            ],
        ),
        "U &": (lambda: U("day") & Trial, ["SELECT DISTINCT day FROM trial"]),
        "U aggr": (
            lambda: U("day").aggr(Trial, n="count(*)", m="max(x)"),
            ["SELECT day, count(*) AS n, max(x) AS m FROM trial GROUP BY day"],
        ),
        "U() aggr": (
            lambda: U().aggr(Trial, n="count(*)", m="max(x)"),
            ["SELECT count(*) AS n, max(x) AS m FROM trial"],
        ),
        "Top": (lambda: Trial & Top(100), [f"SELECT {ALL} FROM trial ORDER BY {KEY} LIMIT 100"]),
        "Top by value": (
            lambda: Trial & Top(100, order_by="x DESC"),
            [f"SELECT {ALL} FROM trial ORDER BY x DESC LIMIT 100"],
        ),
        "Top far on": (
            lambda: Trial & Top(100, offset=ROWS // 2),
            [f"SELECT {ALL} FROM trial ORDER BY {KEY} LIMIT 100 OFFSET {ROWS // 2}"],
        ),
        "Top of nullable": (
            lambda: Trial & Top(100, order_by=["day", "KEY"]),
            [f"SELECT {ALL} FROM trial ORDER BY day IS NULL DESC, day, {KEY} LIMIT 100"],
        ),
        "Top *": (
            lambda: (Trial & Top(1000, order_by="x")) * Subject,
            [
                f"SELECT {T}, s.species FROM (SELECT {ALL} FROM trial ORDER BY x LIMIT 1000) t"
                " JOIN subject s ON s.subject = t.subject"
            ],
        ),
        "proj and &": (
            lambda: Trial.proj(z="x * 2") & "z > 1.5",
            [f"SELECT {KEY}, x * 2 AS z FROM trial WHERE x * 2 > 1.5"],
        ),
        "+": (
            lambda: (Trial & "x < 0.6") + (Trial & "x > 0.4"),
            [
                f"SELECT {ALL} FROM trial WHERE x < 0.6 UNION SELECT {ALL} FROM trial WHERE x > 0.4",
                f"SELECT {ALL} FROM trial WHERE x < 0.6 UNION ALL SELECT {T} FROM trial t WHERE x > 0.4"
                f" AND NOT EXISTS (SELECT 1 FROM trial e WHERE {ON} AND e.x < 0.6)",
            ],
        ),
        "+ of two tables": (
            lambda: Filled50.proj() + Filled999.proj(),
            [
                f"SELECT {KEY} FROM filled50 UNION SELECT {KEY} FROM filled999",
                f"SELECT {KEY} FROM filled50 UNION ALL SELECT {KEY} FROM filled999 t"
                f" WHERE NOT EXISTS (SELECT 1 FROM filled50 e WHERE {ON})",
                f"SELECT {KEY} FROM filled50 UNION ALL SELECT t.subject, t.trial FROM filled999 t"
                f" LEFT JOIN filled50 e ON {ON} WHERE e.subject IS NULL",
            ],
        ),
    }


def antirestrictions() -> dict[str, tuple[Callable[[], Any], list[str]]]:
    """Return the anti-restrictions at each fill: all rows of it, how many, and the first hundred keys."""
    found: dict[str, tuple[Callable[[], Any], list[str]]] = {}
    for name, table in FILLED.items():
        t = table.__table__.name
        ways = {
            "all": (
                lambda table=table: (Trial - table).proj(),
                "SELECT {0} FROM trial t{1}",
            ),
            "first 100": (
                lambda table=table: (Trial - table).proj() & Top(100),
                "SELECT {0} FROM trial t{1} ORDER BY subject, trial LIMIT 100",
            ),
        }
        for what, (relation, text) in ways.items():
            tail = text.partition("{1}")[2]
            found[f"- at {name} %, {what}"] = (
                relation,
                [
                    text.format(KEY, f" WHERE NOT EXISTS (SELECT 1 FROM {t} e WHERE {ON})"),
                    text.format("t.subject, t.trial", f" LEFT JOIN {t} e ON {ON} WHERE e.subject IS NULL"),
                    f"SELECT {KEY} FROM trial EXCEPT SELECT {KEY} FROM {t}{tail}",
                ],
            )
    return found


# ---------------------------------------------------------------- measuring


def whole(text: str, columns: list[str]) -> sa.TextClause:
    """Return a query as one row: how many rows it has, and the least value of each column."""
    return sa.text(f"SELECT count(*), {', '.join(f'min({c})' for c in columns)} FROM ({text}) AS q".replace(":", "\\:"))


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds that `work` takes, and what it gives."""
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found


def near(a: Any, b: Any) -> bool:
    """Whether two results are the same but for the last digits of sums."""
    return all(x == y or (x is not None and abs(float(x) - float(y)) < 1e-9) for x, y in zip(a, b))


def compare(database: Database, name: str, relate: Callable[[], Any], ways: list[str], allowed: float) -> str | None:
    """Print one line; return the name if it took too long."""
    columns = list(relate().heading.names)

    def ours() -> Any:
        query = relate().select().subquery()
        minima = [sa.func.min(query.c[c], type_=query.c[c].type) for c in columns]
        with database.reading() as connection:
            return tuple(connection.execute(sa.select(sa.func.count(), *minima).select_from(query)).one())

    def by_hand(text: str) -> Any:
        with database.reading() as connection:
            return tuple(connection.execute(whole(text, columns)).one())

    runs: dict[str, list[float]] = {}
    wanted = None
    refused = set()
    ours()  # compiled, and what it reads in memory
    for _ in range(ROUNDS):
        seconds, wanted = timed(ours)
        runs.setdefault("", []).append(seconds)
        for text in ways:
            if text in refused:
                continue
            try:
                seconds, found = timed(lambda text=text: by_hand(text))
            except sa.exc.DBAPIError:  # not every database can be asked in every way
                refused.add(text)
                continue
            assert near(found, wanted), (name, text[:200], found, wanted)
            runs.setdefault(text, []).append(seconds)
            if seconds > 20:
                refused.add(text)
    quickest = {text: min(found) for text, found in runs.items()}
    mine = quickest.pop("")
    best = min(quickest.values())
    late = mine > allowed * best + GRACE
    others = " ".join(f"{1e3 * m:8.1f}" for m in quickest.values())
    print(
        f"{name:24}{1e3 * mine:9.1f} ms{mine / best:7.2f} x   by hand {others}" + ("   too slow" if late else ""),
        flush=True,
    )
    return name if late else None


def fetch1(database: Database) -> str | None:
    """Compare fetch1 by key with a Core select built by hand."""
    table = Trial.__table__
    engine = sa.create_engine(database.engine.url)
    keys = [{"subject": i % SUBJECTS, "trial": i * 7 % TRIALS} for i in range(500)]

    def core(key: dict[str, int]) -> dict[str, Any]:
        query = sa.select(table).where(*(table.c[name] == value for name, value in key.items()))
        with engine.connect() as connection:
            return dict(connection.execute(query).mappings().one())

    def all_of(one: Callable[[dict[str, int]], Any]) -> list[Any]:
        return [one(key) for key in keys]

    runs: dict[str, list[float]] = {"ours": [], "core": []}
    for _ in range(ROUNDS + 1):
        seconds, wanted = timed(lambda: all_of(core))
        runs["core"].append(seconds)
        seconds, found = timed(lambda: all_of(lambda key: (Trial & key).fetch1()))
        runs["ours"].append(seconds)
        assert found == wanted
    mine, base = (min(runs[which][1:]) / len(keys) for which in ("ours", "core"))
    late = mine > ALLOWED_FETCH1 * base
    print(f"{'fetch1':24}{1e6 * mine:9.1f} us{mine / base:7.2f} x   Core    {1e6 * base:8.1f}" + ("   too slow" if late else ""))
    engine.dispose()
    return "fetch1" if late else None


def measure(server: str, url: str, wanted: str) -> list[str]:
    """Measure one database; return what is too slow."""
    Lab.activate(url)
    database = database_of(Lab.metadata)
    fill()
    with database.connect(database.writer) as connection:
        text = {"SQLite": "ANALYZE", "PostgreSQL": "VACUUM ANALYZE"}.get(server)
        if server == "MariaDB":
            text = "ANALYZE TABLE " + ", ".join(t.name for t in Lab.metadata.sorted_tables if "__" not in t.name)
        connection.execution_options(isolation_level="AUTOCOMMIT") if server != "SQLite" else None
        connection.exec_driver_sql(text)
        connection.commit()
    print(f"\n{server}, {ROWS:,} rows, the quickest of {ROUNDS} rounds", flush=True)
    late = [fetch1(database)] if wanted in "fetch1" else []
    for asked, allowed in ((operators(), ALLOWED), (antirestrictions(), ALLOWED_ANTI)):
        late += [
            compare(database, name, relate, ways, allowed)
            for name, (relate, ways) in asked.items()
            if wanted in name
        ]
    return [f"{server}: {name}" for name in late if name]


def main(servers: list[str], wanted: str) -> int:
    """Measure every database that answers; return 1 if anything is too slow."""
    late: list[str] = []
    for server in servers or list(SERVERS):
        address = SERVERS[server]
        with tempfile.TemporaryDirectory() as folder:
            if address is None:
                late += measure(server, f"sqlite:///{folder}/bench.db", wanted)
                database_of(Lab.metadata).dispose()
                continue
            admin = sa.create_engine(address, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
            try:
                with admin.connect() as connection:
                    connection.exec_driver_sql(f"CREATE DATABASE {NAME}")
            except sa.exc.DBAPIError as error:
                print(f"{server} is left out: {str(error).splitlines()[0]}")
                continue
            try:
                url = sa.make_url(address).set(database=NAME)
                late += measure(server, url.render_as_string(hide_password=False), wanted)
            finally:
                database_of(Lab.metadata).dispose()
                with admin.connect() as connection:
                    end = " WITH (FORCE)" if server == "PostgreSQL" else ""
                    connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {NAME}{end}")
    if late:
        print("\ntoo slow: " + "; ".join(late))
    return 1 if late else 0


if __name__ == "__main__":
    given = sys.argv[1:]
    at = given.index("--") if "--" in given else len(given)
    sys.exit(main(given[:at], " ".join(given[at + 1 :])))
