"""Insert of 100,000 dicts of five columns: beside DataJoint, SQLAlchemy Core and the best that each driver can do by hand.

    COMPDB_BENCH_DATAJOINT=/path/to/python python tests/benchmarks/bench_insert.py

Every measurement is a process of its own that makes the rows, warms up with a few, and inserts all of them into an empty table. The
libraries take turns, round by round, and medians are compared. `raw` is executemany with tuples of the same Python values, `text`
on SQLite the same with the moments made text before the clock starts; `COPY` is binary COPY by psycopg. `skip`, `replace` and
`frame` are compdb with `skip_duplicates`, with `replace` over rows that are there, and with a pandas DataFrame.

DataJoint (2.3.5 was measured) is left out where it cannot be imported, unless COMPDB_BENCH_DATAJOINT names a Python that can; so
is a server that does not answer. COMPDB_BENCH_ROWS and COMPDB_BENCH_ROUNDS make it shorter.
"""

from __future__ import annotations

import datetime as dt
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
    "SQLite": None,
    "MariaDB": os.environ.get("COMPDB_TEST_MYSQL_URL", "mysql+pymysql://root@127.0.0.1:3306/test"),
    "PostgreSQL": os.environ.get("COMPDB_TEST_POSTGRESQL_URL", "postgresql+psycopg://postgres@127.0.0.1:5432/test"),
}
NAME = f"compdb_bench_{os.getpid()}"
ROWS = int(os.environ.get("COMPDB_BENCH_ROWS", "100000"))
ROUNDS = int(os.environ.get("COMPDB_BENCH_ROUNDS", "5"))
PEER = os.environ.get("COMPDB_BENCH_DATAJOINT", sys.executable)
WAYS = {
    "SQLite": ("raw", "text", "Core", "compdb", "skip", "replace", "frame"),
    "MariaDB": ("DataJoint", "raw", "Core", "compdb", "skip", "replace", "frame"),
    "PostgreSQL": ("DataJoint", "raw", "COPY", "Core", "compdb", "skip", "replace", "frame"),
}
ASKED = {"SQLite": ("raw", 0.5), "MariaDB": ("DataJoint", 2.0), "PostgreSQL": ("DataJoint", 8.0)}
"""Beside whom compdb is asked to be how many times as fast."""

WARM = 1_000
MOMENT = dt.datetime(2020, 1, 1, 0, 0, 0, 7)


def rows(first: int, last: int) -> list[dict[str, Any]]:
    """Return rows: int, bigint, float, text and datetime."""
    return [
        {"id": i, "n": i * 7919 + 2**33, "x": i / 7, "s": f"name_{i}", "t": MOMENT + dt.timedelta(seconds=i * 1.000003)}
        for i in range(first, last)
    ]


# ---------------------------------------------------------------- one measurement


def ours(server: str, url: str, way: str) -> Callable[[list[dict[str, Any]]], None]:
    """Return the insert of compdb."""
    import compdb as cdb
    from compdb import Key, Mapped

    class Lab(cdb.Pipeline):
        """Rows."""

    class Big(cdb.Manual, Lab):
        """Rows of five columns."""

        id: Key[int]
        n: Mapped[int]
        x: Mapped[float]
        s: Mapped[str]
        t: Mapped[dt.datetime]

    Lab.activate(url)
    if way == "frame":
        return lambda some: Big.insert(_frames[len(some)])
    if way == "replace":
        return lambda some: Big.insert(some, replace=True)
    return lambda some: Big.insert(some, skip_duplicates=way == "skip")


_frames: dict[int, Any] = {}


def core(url: str) -> Callable[[list[dict[str, Any]]], None]:
    """Return the insert of SQLAlchemy."""
    import sqlalchemy as sa

    engine = sa.create_engine(url)
    table = sa.Table("big", sa.MetaData(), autoload_with=engine)

    def insert(some: list[dict[str, Any]]) -> None:
        with engine.begin() as connection:
            connection.execute(table.insert(), some)

    return insert


def raw(server: str, url: str, way: str) -> Callable[[list[dict[str, Any]]], None]:
    """Return the insert of the driver."""
    import sqlalchemy as sa

    pool = sa.create_engine(url).raw_connection()
    driver: Any = pool.driver_connection
    mark = "?" if server == "SQLite" else "%s"
    text = f"INSERT INTO big (id, n, x, s, t) VALUES ({', '.join([mark] * 5)})"
    if server == "SQLite":
        driver.isolation_level = None
        for pragma in ("journal_mode=wal", "synchronous=normal"):
            driver.execute(f"PRAGMA {pragma}")

    def insert(some: list[dict[str, Any]]) -> None:
        cursor = driver.cursor()
        if server == "SQLite":
            cursor.execute("BEGIN IMMEDIATE")
        if way == "COPY":
            with cursor.copy("COPY big (id, n, x, s, t) FROM STDIN (FORMAT BINARY)") as copy:
                copy.set_types(["int8", "int8", "float8", "text", "timestamp"])
                for row in some:
                    copy.write_row(tuple(row.values()))
        else:
            cursor.executemany(text, [tuple(row.values()) for row in some])
        driver.commit()
        _pools.append(pool)

    return insert


_pools: list[Any] = []  # a connection that its pool has let go of is closed


def theirs(server: str, url: str) -> Callable[[list[dict[str, Any]]], None]:
    """Return the insert of DataJoint."""
    import warnings

    warnings.simplefilter("ignore")
    import datajoint as dj

    dj.logger.setLevel("ERROR")
    user, _, rest = url.partition("://")[2].partition("@")
    host, _, port = rest.partition("/")[0].partition(":")
    backend = "mysql" if server == "MariaDB" else "postgresql"
    settings = {"host": host, "port": int(port), "user": user.partition(":")[0], "password": user.partition(":")[2]}
    for name, value in {**settings, "backend": backend}.items():
        dj.config[f"database.{name}"] = value
    if backend == "postgresql":
        dj.config["database.name"] = rest.partition("/")[2].partition("?")[0]
    dj.config["safemode"] = False
    dj.conn(reset=True)
    schema = dj.Schema(os.environ["COMPDB_BENCH_NAME"] + "_dj")

    class Big(dj.Manual):
        definition = "id: int64\n---\nn: int64\nx: float64\ns: varchar(255)\nt: datetime(6)"

    big = schema(Big)
    big.delete_quick()
    return big.insert


def measure(server: str, url: str, way: str) -> float:
    """Run one insert in this process; return its seconds."""
    warm, all_rows = rows(-WARM, 0), rows(0, ROWS)
    if way == "frame":
        import pandas as pd

        _frames.update({len(some): pd.DataFrame(some) for some in (warm, all_rows)})
    if way == "text":
        for row in [*warm, *all_rows]:
            row["t"] = row["t"].isoformat(" ", "microseconds")
    if way == "DataJoint":
        insert = theirs(server, url)
    elif way == "Core":
        insert = core(url)
    elif way in ("raw", "COPY", "text"):
        insert = raw(server, url, way)
    else:
        insert = ours(server, url, way)
    insert(warm)
    if way == "replace":
        insert(all_rows)
    start = time.perf_counter()
    insert(all_rows)
    return time.perf_counter() - start


# ---------------------------------------------------------------- all of them


def one(server: str, url: str, way: str) -> float | None:
    """Measure in a process of its own; None where that cannot be done."""
    python = PEER if way == "DataJoint" else sys.executable
    run = subprocess.run(
        [python, "-W", "ignore::DeprecationWarning", __file__, server, url, way],
        capture_output=True,
        text=True,
        env={**os.environ, "COMPDB_BENCH_NAME": NAME},
    )
    if run.returncode:
        print(f"{server}: {way} is left out: {(run.stderr.strip().splitlines() or ['?'])[-1]}")
        return None
    return float(json.loads(run.stdout.splitlines()[-1]))


def in_turns(server: str, url: str) -> dict[str, float]:
    """Return the median seconds of all rounds, by way."""
    import sqlalchemy as sa

    import compdb.database

    engine = compdb.database.connect(url).engine
    ours(server, url, "compdb")
    ways = list(WAYS[server])
    runs: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(ROUNDS):
        for way in list(ways):
            with engine.begin() as connection:
                connection.exec_driver_sql("DELETE FROM big" if server == "SQLite" else "TRUNCATE TABLE big")
            found = one(server, url, way)
            if found is None:
                ways.remove(way)
                continue
            runs[way].append(found)
            with engine.connect() as connection:
                there = connection.execute(sa.text("SELECT count(*) FROM big")).scalar_one()
            assert way == "DataJoint" or there == ROWS + WARM, (way, there)
    engine.dispose()
    return {way: statistics.median(found) for way, found in runs.items() if found}


def tell(server: str, medians: dict[str, float]) -> list[str]:
    """Print the medians of one database; return what falls short."""
    beside, asked = ASKED[server]
    short = []
    print(f"\n{server}, {ROWS:,} rows, medians of {ROUNDS}")
    print(f"{'':11}{'s':>8}{'rows/s':>10}" + (f"   beside {beside}" if beside in medians else ""))
    for way, seconds in medians.items():
        line = f"{way:11}{seconds:8.3f}{ROWS / seconds:10,.0f}"
        if beside in medians and way != beside:
            ratio = medians[beside] / seconds
            line += f"   {ratio:6.2f} x"
            if way == "compdb" and ratio < asked:
                line += f"   short of {asked} x"
                short.append(server)
        print(line)
    return short


def main() -> int:
    """Measure every database that answers; return 1 if anything falls short of what is asked."""
    import sqlalchemy as sa

    short: list[str] = []
    for server, address in SERVERS.items():
        with tempfile.TemporaryDirectory() as folder:
            if address is None:
                short += tell(server, in_turns(server, f"sqlite:///{folder}/bench.db"))
                continue
            admin = sa.create_engine(address, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
            end = " WITH (FORCE)" if server == "PostgreSQL" else ""
            try:
                with admin.connect() as connection:
                    connection.exec_driver_sql(f"CREATE DATABASE {NAME}")
            except sa.exc.DBAPIError as error:
                print(f"{server} is left out: {str(error).splitlines()[0]}")
                continue
            url = sa.make_url(address).set(database=NAME).render_as_string(hide_password=False)
            try:
                short += tell(server, in_turns(server, url))
            finally:
                with admin.connect() as connection:
                    connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {NAME}{end}")
                    if server == "MariaDB":
                        connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {NAME}_dj")
    return 1 if short else 0


if __name__ == "__main__":
    if len(sys.argv) == 4:
        print(json.dumps(measure(*sys.argv[1:])))
    else:
        sys.path.insert(0, str(Path(__file__).parents[2]))
        sys.exit(main())
