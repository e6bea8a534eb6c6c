"""A million rows of five columns to arrays, frames and Arrow: beside DataJoint and the best raw path of each driver.

    COMPDB_BENCH_DATAJOINT=/path/to/python python tests/benchmarks/bench_fetch.py

Every measurement is a process of its own: seconds for the fetch, and the growth of its peak memory from just before, when a fetch of
1,000 rows has started drivers and readers. The libraries take turns, round by round, and medians are compared. `plain` is compdb
without its fast readers, `compdb` is what a user gets; `arrays` is one structured array, `columns` an array for each column.

DataJoint (2.3.5 was measured) is left out where it cannot be imported, unless COMPDB_BENCH_DATAJOINT names a Python that can; so
are a server that does not answer and a reader that is not installed. COMPDB_BENCH_ROWS and COMPDB_BENCH_ROUNDS make it shorter.
"""

from __future__ import annotations

import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

SERVERS = {
    "PostgreSQL": os.environ.get("COMPDB_TEST_POSTGRESQL_URL", "postgresql+psycopg://postgres@127.0.0.1:5432/test"),
    "MariaDB": os.environ.get("COMPDB_TEST_MYSQL_URL", "mysql+pymysql://root@127.0.0.1:3306/test"),
}
NAME = os.environ.get("COMPDB_BENCH_NAME", f"compdb_bench_{os.getpid()}")
ROWS = int(os.environ.get("COMPDB_BENCH_ROWS", "1000000"))
ROUNDS = int(os.environ.get("COMPDB_BENCH_ROUNDS", "3"))
PEER = os.environ.get("COMPDB_BENCH_DATAJOINT", sys.executable)
FORMATS = ("arrays", "columns", "pandas", "polars", "arrow", "dicts", "iterate")
ASKED = {
    "arrays": 3,
    "columns": 3,
    "pandas": 3,
    "polars": 3,
    "arrow": 3,
}  # times as fast as DataJoint, with a third of its memory
ASKED_OF_READERS = {"polars": 15, "arrow": 15}
READ = ("arrays", "columns", "pandas", "polars", "arrow")  # formats that readers serve
READERS = {"PostgreSQL": "adbc_driver_postgresql", "MariaDB": "connectorx"}


# ---------------------------------------------------------------- the table


def table(name: str = "big") -> Any:
    """Return the table: int, bigint, float, text and datetime."""
    import sqlalchemy as sa

    from compdb.types import portable

    columns = {"id": sa.Integer(), "n": sa.BigInteger(), "x": sa.Double(), "s": sa.String(32), "t": sa.DateTime()}
    made = [
        sa.Column(key, portable(type_), primary_key=key == "id", autoincrement=False, nullable=False)
        for key, type_ in columns.items()
    ]
    return sa.Table(name, sa.MetaData(), *made)


def fill(server: str) -> None:
    """Make the table on one server, and double its rows until they are enough."""
    import datetime as dt

    import sqlalchemy as sa

    from compdb.database import connect

    admin = sa.create_engine(SERVERS[server], isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {NAME}")
    engine = connect(url_of(server)).engine
    big = table()
    big.create(engine)
    moment = dt.datetime(2020, 1, 1, 0, 0, 0, 7)
    first = [
        {"id": i, "n": i * 7919, "x": i / 7, "s": f"name_{i}", "t": moment + dt.timedelta(seconds=i * 1.000003)}
        for i in range(1000)
    ]
    with engine.begin() as connection:
        connection.execute(big.insert(), first)
        size = len(first)
        while size < ROWS:
            text = sa.literal("name_") + sa.cast(big.c.id + size, sa.String(20))
            more = sa.select(big.c.id + size, big.c.n + 2**33 + size, big.c.x * 1.00001 + 0.1, text, big.c.t)
            more = more.where(big.c.id + size < ROWS)
            connection.execute(big.insert().from_select(list(big.c.keys()), more))
            size *= 2
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE big" if server == "PostgreSQL" else "ANALYZE TABLE big")


def drop(server: str) -> None:
    """Remove what this run has made."""
    import sqlalchemy as sa

    admin = sa.create_engine(SERVERS[server], isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with admin.connect() as connection:
        if server == "PostgreSQL":
            connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")
        else:
            connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {NAME}")
            connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {NAME}_dj")


def url_of(server: str) -> str:
    """Return the URL of our database on a server."""
    import sqlalchemy as sa

    return sa.make_url(SERVERS[server]).set(database=NAME).render_as_string(hide_password=False)


# ---------------------------------------------------------------- one measurement


def ours(server: str, kind: str, plain: bool) -> Callable[[int], Any]:
    """Return the fetch of compdb."""
    import sqlalchemy as sa

    from compdb import fetch
    from compdb.database import connect
    from compdb.fetch import fast

    if plain:
        fast.READERS.clear()
    elif kind in READ:  # as all libraries have been imported before they are measured
        importlib.import_module("connectorx" if server == "MariaDB" else "adbc_driver_postgresql.dbapi")
        importlib.import_module("pyarrow.compute")
    database, big = connect(url_of(server)), table()
    if not plain and kind in READ:  # the warm-up is too small for the reader, which all others have started by then
        read = fast.READERS[database.engine.driver][1]
        assert sum(batch.num_rows for batch in read(database.engine.url, "SELECT 1 AS one")) == 1
    to = {
        "arrays": fetch.to_arrays,
        "columns": lambda database, select: fetch.to_arrays(database, select, ["id", "n", "x", "s", "t"]),
        "pandas": lambda database, select: fetch.to_pandas(database, select, ["id"]),
        "polars": fetch.to_polars,
        "arrow": fetch.to_arrow,
        "dicts": fetch.to_dicts,
        "iterate": lambda database, select: sum(1 for _ in fetch.iterate(database, select)),
    }[kind]
    return lambda largest: to(database, sa.select(big).where(big.c.id < largest))


def theirs(server: str, kind: str) -> Callable[[int], Any]:
    """Return the fetch of DataJoint, on a table of its own with the same rows."""
    import warnings

    warnings.simplefilter("ignore")
    import datajoint as dj

    dj.logger.setLevel("ERROR")
    backend = "mysql" if server == "MariaDB" else "postgresql"
    user, _, rest = SERVERS[server].partition("://")[2].partition("@")
    host, _, port = rest.partition("/")[0].partition(":")
    settings = {"host": host, "port": int(port), "user": user.partition(":")[0], "password": user.partition(":")[2]}
    for name, value in {**settings, "backend": backend}.items():
        dj.config[f"database.{name}"] = value
    if backend == "postgresql":
        dj.config["database.name"] = NAME
    dj.conn(reset=True)
    schema = dj.Schema(f"{NAME}_dj")

    class Big(dj.Manual):
        definition = "id: int32\n---\nn: int64\nx: float64\ns: varchar(32)\nt: datetime(6)"

    big = schema(Big)
    if kind == "fill":
        into, source = (
            (f"`{NAME}_dj`.`big`", f"`{NAME}`.`big`") if backend == "mysql" else (f'"{NAME}_dj"."big"', "big")
        )
        dj.conn().query(f"INSERT INTO {into} SELECT * FROM {source}")
        return lambda largest: None
    if kind == "iterate":
        return lambda largest: sum(1 for _ in (big & f"id < {largest}"))
    if kind == "columns":
        return lambda largest: (big & f"id < {largest}").to_arrays("id", "n", "x", "s", "t")
    return lambda largest: getattr(big & f"id < {largest}", f"to_{kind}")()


def raw(server: str, kind: str) -> Callable[[int], Any]:
    """Return the best that the driver, or the reader, can do by hand."""
    import numpy as np
    import sqlalchemy as sa

    url = sa.make_url(SERVERS[server])
    address = url.set(database=NAME, drivername="postgresql" if server == "PostgreSQL" else "mysql")
    text = "SELECT id, n, x, s, t FROM big WHERE id < "
    if kind in ("arrow", "polars"):
        uri = address.render_as_string(hide_password=False)

        def read(largest: int) -> Any:
            if server == "PostgreSQL":
                from adbc_driver_postgresql import dbapi

                with dbapi.connect(uri) as connection, connection.cursor() as cursor:
                    cursor.execute(text + str(largest))
                    found = cursor.fetch_arrow_table()
            else:
                import connectorx

                found = connectorx.read_sql(uri, text + str(largest), return_type="arrow")
            if kind == "arrow":
                return found
            import polars

            return polars.from_arrow(found)

        return read

    def chunks(largest: int) -> Iterator[Any]:
        if server == "PostgreSQL":
            import psycopg

            with psycopg.connect(address.render_as_string(hide_password=False)) as connection:
                rows = connection.cursor(binary=True).stream(text + str(largest), size=1000)
                yield from iter(lambda: list(islice(rows, 1000)), [])
        else:
            import pymysql
            from pymysql.cursors import SSCursor

            connection = pymysql.connect(
                host=url.host, port=url.port or 3306, user=url.username, password=url.password or "", database=NAME
            )
            cursor = connection.cursor(SSCursor)
            cursor.execute(text + str(largest))
            yield from iter(lambda: cursor.fetchmany(1000), ())

    def arrays(largest: int) -> Any:
        kinds = ("i8", "i8", "f8", object, "M8[us]")
        parts = [[np.array(c, k) for c, k in zip(zip(*rows), kinds)] for rows in chunks(largest)]
        return [np.concatenate(column) for column in zip(*parts)]

    return arrays


def measure(server: str, library: str, kind: str) -> dict[str, float]:
    """Run one fetch in this process; return its seconds and the megabytes it has added to the peak."""
    fetch = {
        "compdb": lambda: ours(server, kind, plain=False),
        "plain": lambda: ours(server, kind, plain=True),
        "DataJoint": lambda: theirs(server, kind),
        "raw": lambda: raw(server, kind),
    }[library]()
    fetch(1000)
    unit = 2**20 if sys.platform == "darwin" else 2**10
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    found = fetch(ROWS)
    seconds = time.perf_counter() - start
    added = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert found is None or kind != "iterate" or found == ROWS
    return {"seconds": seconds, "megabytes": added / unit}


# ---------------------------------------------------------------- all of them


def one(server: str, library: str, kind: str) -> dict[str, float] | None:
    """Measure in a process of its own; None where that cannot be done."""
    python = PEER if library == "DataJoint" else sys.executable
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")])) if library != "DataJoint" else ""
    run = subprocess.run(
        [python, __file__, server, library, kind],
        capture_output=True,
        text=True,
        env={**os.environ, "COMPDB_BENCH_NAME": NAME, "PYTHONPATH": path},
    )
    if run.returncode:
        print(f"{server}: {library} to {kind} is left out: {(run.stderr.strip().splitlines() or ['?'])[-1]}")
        return None
    found: dict[str, float] = json.loads(run.stdout.splitlines()[-1])
    return found


def in_turns(server: str) -> dict[tuple[str, str], dict[str, float]]:
    """Return the medians of all rounds, by format and library."""
    libraries = ["DataJoint", "plain", "compdb", "raw"]
    if one(server, "DataJoint", "fill") is None:
        libraries.remove("DataJoint")
    if importlib.util.find_spec(READERS[server]) is None:
        print(f"{server}: {READERS[server]} is not installed, so compdb is measured by its plain path alone")
        libraries.remove("compdb")
    runs: dict[tuple[str, str], list[dict[str, float]]] = {}
    for _ in range(ROUNDS):
        for kind in FORMATS:
            for library in list(libraries):
                skipped = (library == "compdb" and kind not in READ) or (
                    library == "raw"
                    and (
                        kind in ("columns", "pandas", "dicts", "iterate")
                        or (kind != "arrays" and "compdb" not in libraries)
                    )
                )
                found = None if skipped else one(server, library, kind)
                if found is not None:
                    runs.setdefault((kind, library), []).append(found)
    return {
        at: {what: statistics.median(run[what] for run in found) for what in ("seconds", "megabytes")}
        for at, found in runs.items()
    }


def tell(server: str, medians: dict[tuple[str, str], dict[str, float]]) -> list[str]:
    """Print the medians of one server; return what falls short."""
    short = []
    print(f"\n{server}, {ROWS:,} rows, medians of {ROUNDS}")
    print(f"{'':10}{'':11}{'s':>8}{'Mrow/s':>9}{'+MB':>7}   beside DataJoint: speed, memory")
    for (kind, library), found in medians.items():
        base = medians.get((kind, "DataJoint"))
        line = (
            f"{kind:10}{library:11}{found['seconds']:8.2f}{ROWS / found['seconds'] / 1e6:9.3f}{found['megabytes']:7.0f}"
        )
        if base is not None and library != "DataJoint":
            faster, less = base["seconds"] / found["seconds"], found["megabytes"] / base["megabytes"]
            asked = (ASKED_OF_READERS if library == "compdb" else {}).get(kind) or ASKED.get(kind)
            line += f"   {faster:7.1f} x {less:8.2f}"
            if library != "raw" and asked and (faster < asked or less > 1 / 3):
                line += f"   short of {asked} x, 0.33"
                short.append(f"{server}, {kind}, {library}")
        print(line)
    return short


def main() -> int:
    """Measure every server that answers; return 1 if anything falls short of what is asked."""
    short: list[str] = []
    for server in SERVERS:
        try:
            fill(server)
            short += tell(server, in_turns(server))
        except Exception as error:
            print(f"{server} is left out: {str(error).splitlines()[0]}")
        finally:
            drop(server)
    return 1 if short else 0


if __name__ == "__main__":
    if len(sys.argv) == 4:
        print(json.dumps(measure(*sys.argv[1:])))
    else:
        sys.exit(main())
