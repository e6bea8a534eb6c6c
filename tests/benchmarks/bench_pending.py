"""Pending keys of a million candidates, nothing, half and nearly all of them done: beside EXCEPT, NOT EXISTS and LEFT JOIN by hand.

    python tests/benchmarks/bench_pending.py [SQLite] [MariaDB] [PostgreSQL]

The candidates are a join of two parents of 1,000 rows (`join`), or the rows of one parent (`one`). Measured are the first 100 keys in
their order, all keys in their order, and their count, in milliseconds (medians), each beside the three statements by hand. Asked is 1.6 times the best of the three. Memory is what a run over all keys adds to the peak of a fresh process.
COMPDB_BENCH_SIDE (1000) and COMPDB_BENCH_ROUNDS make it shorter.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa

import compdb as cdb
from compdb import Key
from compdb.database import connect
from compdb.populate import pending

SERVERS = {
    "SQLite": "",
    "MariaDB": os.environ.get("COMPDB_TEST_MYSQL_URL", "mysql+pymysql://root@127.0.0.1:3306/test"),
    "PostgreSQL": os.environ.get("COMPDB_TEST_POSTGRESQL_URL", "postgresql+psycopg://postgres@127.0.0.1:5432/test"),
}
NAME = f"compdb_bench_{os.getpid()}"
SIDE = int(os.environ.get("COMPDB_BENCH_SIDE", "1000"))
ROUNDS = int(os.environ.get("COMPDB_BENCH_ROUNDS", "3"))
FILLS = {"0 %": 0, "50 %": 500, "99.9 %": 999}
ASKED, MEGABYTES = 1.6, 50


class Lab(cdb.Pipeline):
    """Many keys."""


class A(cdb.Manual, Lab):
    a: Key[int]


class B(cdb.Manual, Lab):
    b: Key[int]


class Whole(cdb.Manual, Lab):
    a: Key[int]
    b: Key[int]


class Join(cdb.Computed, Lab):
    first: Key[A]
    second: Key[B]

    def make(self, key):
        self.insert1(key)


class One(cdb.Computed, Lab):
    whole: Key[Whole]

    def make(self, key):
        self.insert1(key)


TABLES = {"join": Join, "one": One}


def fill() -> None:
    """Insert the parents."""
    A.insert({"a": i} for i in range(SIDE))
    B.insert({"b": i} for i in range(SIDE))
    Whole.insert(A * B)


def done(table: Any, thousandths: int) -> None:
    """Let so many of the keys of each thousand, scattered, be done."""
    target, a, b = table.__table__, A.__table__, B.__table__
    engine = connect(URL).engine
    scattered = ((a.c.a * 7919 + b.c.b * 104_729) % 1000) < thousandths
    with engine.begin() as connection:
        connection.execute(target.delete())
        if thousandths:
            connection.execute(
                target.insert().from_select(
                    ["a", "b"], sa.select(a.c.a, b.c.b).select_from(a.join(b, sa.true())).where(scattered)
                )
            )
    analyze(engine)


def analyze(engine: sa.Engine) -> None:
    """Let the database know what it has."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("VACUUM ANALYZE")
        elif engine.dialect.name == "sqlite":
            connection.exec_driver_sql("ANALYZE")
        else:
            connection.exec_driver_sql("ANALYZE TABLE a, b, whole, `join`, one")


def by_hand(table: Any) -> dict[str, sa.Select[Any]]:
    """Return the three statements."""
    target, a, b, whole = table.__table__, A.__table__, B.__table__, Whole.__table__
    source = (
        sa.select(a.c.a, b.c.b).select_from(a.join(b, sa.true())) if table is Join else sa.select(whole.c.a, whole.c.b)
    )
    mine = (a.c.a, b.c.b) if table is Join else (whole.c.a, whole.c.b)
    match = sa.and_(target.c.a == mine[0], target.c.b == mine[1])
    left = (a.join(b, sa.true()) if table is Join else whole).outerjoin(target, match)
    compound = sa.except_(source, sa.select(target.c.a, target.c.b)).subquery()
    return {
        "EXCEPT": sa.select(compound.c.a, compound.c.b),
        "NOT EXISTS": source.where(~sa.exists().where(match)),
        "LEFT JOIN": sa.select(*mine).select_from(left).where(target.c.a.is_(None)),
    }


def read(query: sa.Select[Any], *, many: bool) -> int:
    """Read the rows of a query; many are streamed."""
    with connect(URL).engine.connect() as connection:
        if not many:
            return len(connection.execute(query).all())
        rows = connection.execution_options(stream_results=True, yield_per=10_000).execute(query)
        return sum(len(part) for part in rows.partitions())


def seconds(work: Callable[[], Any]) -> float:
    """Return the median duration of some calls after a first one."""
    found: list[float] = []
    work()
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
        if found[0] > 5:
            break
    return statistics.median(found)


def everything(table: Any) -> int:
    """Run over all pending keys, as populate does."""
    return sum(len(page) for page in pending(table).pages("original", None))


def memory(url: str, name: str) -> None:
    """Print, in a fresh process, the megabytes that a run over all keys adds to the peak."""
    Lab.activate(url)
    next(pending(TABLES[name]).pages("original", 10))
    before = peak()
    everything(TABLES[name])
    print(peak() - before)


def peak() -> float:
    """Return the megabytes that this process has had at the most (getrusage counts those of the process that started it)."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    assert found is not None
    return int(found[1]) / 2**10


def measure(server: str) -> list[str]:
    """Print the figures of one database; return what falls short."""
    short = []
    Lab.activate(URL)
    fill()
    print(f"\n{server}, {SIDE**2:,} candidates, ms, medians of {ROUNDS}")
    print(f"{'':6}{'done':>7}  {'':6}{'compdb':>9}{'EXCEPT':>9}{'NOT EXISTS':>12}{'LEFT JOIN':>11}")
    for name, table in TABLES.items():
        for fill_name, thousandths in FILLS.items():
            done(table, thousandths)
            hands = by_hand(table)
            works: dict[str, tuple[Callable[[], Any], Callable[[Any], sa.Select[Any]]]] = {
                "100": (
                    lambda table=table: next(pending(table).pages("original", 100)),
                    lambda q: q.order_by(*q.selected_columns).limit(100),
                ),
                "all": (lambda table=table: everything(table), lambda q: q.order_by(*q.selected_columns)),
                "count": (
                    lambda table=table: pending(table).count(),
                    lambda q: sa.select(sa.func.count()).select_from(q.subquery()),
                ),
            }
            for subject, (mine, shape) in works.items():
                ours = 1e3 * seconds(mine)
                theirs = {
                    hand: 1e3 * seconds(lambda q=q, shape=shape, many=subject == "all": read(shape(q), many=many))
                    for hand, q in hands.items()
                }
                best = min(theirs.values())
                ratio = ours / best
                failed = ratio > ASKED and ours - best > 2  # 2 ms: what a connection and a statement cost
                figures = "".join(f"{v:{w},.1f}" for v, w in zip([ours, *theirs.values()], (9, 9, 12, 11)))
                print(
                    f"{name:6}{fill_name:>7}  {subject:6}{figures}  {ratio:5.2f} x the best{'   SHORT' * failed}",
                    flush=True,
                )
                if failed:
                    short.append(f"{server}, {name}, {fill_name}, {subject}: {ratio:.2f}")
        done(table, 0)
        run = subprocess.run(
            [sys.executable, __file__, "memory", URL, name], capture_output=True, text=True, check=True, env=ENVIRONMENT
        )
        added = float(run.stdout)
        print(f"{name}: a run over all {SIDE**2:,} keys adds {added:.1f} MB to the peak, asked {MEGABYTES}")
        if added > MEGABYTES:
            short.append(f"{server}, {name}: {added:.1f} MB")
    return short


ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])}
URL = ""


def main(servers: list[str]) -> int:
    """Measure every database that answers; return 1 if anything falls short."""
    global URL
    short: list[str] = []
    for server in servers:
        with tempfile.TemporaryDirectory() as folder:
            if not SERVERS[server]:
                URL = f"sqlite:///{folder}/bench.db"
                short += measure(server)
                connect(URL).dispose()
                continue
            admin = sa.create_engine(SERVERS[server], isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
            try:
                with admin.connect() as connection:
                    connection.exec_driver_sql(f"CREATE DATABASE {NAME}")
            except sa.exc.DBAPIError as error:
                print(f"{server} is left out: {str(error).splitlines()[0]}")
                continue
            URL = sa.make_url(SERVERS[server]).set(database=NAME).render_as_string(hide_password=False)
            try:
                short += measure(server)
            finally:
                connect(URL).dispose()
                with admin.connect() as connection:
                    force = " WITH (FORCE)" if server == "PostgreSQL" else ""
                    connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {NAME}{force}")
    print("\nshort: " + ("; ".join(short) or "nothing"))
    return 1 if short else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["memory"]:
        memory(*sys.argv[2:])
    else:
        sys.exit(main(sys.argv[1:] or list(SERVERS)))
