"""Deleting 100 of 1,000 parents over 3 levels, 21,100 rows in all: beside one native ON DELETE CASCADE and beside DataJoint.

    python tests/benchmarks/bench_delete.py

Every round measures each in turn, on tables of its own with the same rows, and puts the rows back. Ours is measured twice: the
deletion, which asks the catalogue for strangers, counts the rows that go from every table and logs them; and a dry run (all
counts in advance) before it. The goals: the deletion within 1.5 times the native statement, and faster than DataJoint's. A server
that does not answer is left out by name; so is DataJoint (2.3.5 was measured) where it cannot be imported.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from compdb import cascade, dag
from compdb.database import Database, bind, connect

SERVERS = {
    "SQLite": "sqlite://",
    "MariaDB": os.environ.get("COMPDB_TEST_MYSQL_URL", "mysql+pymysql://root@127.0.0.1:3306/test"),
    "PostgreSQL": os.environ.get("COMPDB_TEST_POSTGRESQL_URL", "postgresql+psycopg://postgres@127.0.0.1:5432/test"),
}
NAME = f"compdb_bench_{os.getpid()}"
COUNTS, GONE = (1000, 10, 10, 1), 100  # so many subjects, sessions of each, trials of each, spikes of each
ROUNDS = int(os.environ.get("COMPDB_BENCH_ROUNDS", "15"))
LIMIT = 1.5
TABLES = ("subject", "session", "trial", "spike")
LEVELS = [TABLES[: depth + 1] for depth in range(len(TABLES))]


def tables(prefix: str, rule: str) -> sa.MetaData:
    """Return four tables, each with the key of the one before and a key attribute of its own."""
    metadata = sa.MetaData()
    for name, key in zip(TABLES, LEVELS, strict=True):
        table = sa.Table(
            prefix + name,
            metadata,
            *(sa.Column(column, sa.BigInteger, primary_key=True, autoincrement=False) for column in key),
            sa.Column("value", sa.Double),
            info={"tier": "manual", "label": name.title()},
        )
        if len(key) > 1:
            parent = prefix + TABLES[len(key) - 2]
            table.append_constraint(
                sa.ForeignKeyConstraint(key[:-1], [f"{parent}.{c}" for c in key[:-1]], ondelete=rule)
            )
    return metadata


def fill(connection: sa.Connection, metadata: sa.MetaData) -> None:
    """Create the tables and insert 1,000, 10,000, 100,000 and 100,000 rows."""
    metadata.create_all(connection)
    for table, key in zip(metadata.tables.values(), LEVELS, strict=True):
        places: list[tuple[int, ...]] = [()]
        for count in COUNTS[: len(key)]:
            places = [(*place, number) for place in places for number in range(count)]
        rows = [{**dict(zip(key, place, strict=True)), "value": 0.5} for place in places]
        for start in range(0, len(rows), 10_000):
            connection.execute(table.insert(), rows[start : start + 10_000])


def refill(connection: sa.Connection, names: list[str], source: sa.MetaData) -> None:
    """Put the deleted rows back, from tables that nobody deletes from."""
    for name, table in zip(names, source.tables.values(), strict=True):
        connection.execute(sa.text(f"INSERT INTO {name} SELECT * FROM {table.name} WHERE subject < {GONE}"))


def peer(server: str, url: sa.URL) -> tuple[Callable[[], int], list[str]] | str:
    """Return DataJoint's deletion and the names of its tables, or why there is none."""
    if server == "SQLite":
        return "it has no SQLite"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import datajoint as dj
    except ImportError as error:
        return str(error)
    quote = "`" if server == "MariaDB" else '"'
    dj.logger.setLevel("ERROR")
    dj.config["safemode"] = False
    backend = "mysql" if server == "MariaDB" else "postgresql"
    for name, value in {
        "host": url.host,
        "port": url.port,
        "user": url.username,
        "password": url.password or "",
        "backend": backend,
    }.items():
        dj.config[f"database.{name}"] = value
    if backend == "postgresql":
        dj.config["database.name"] = NAME
    dj.conn(reset=True)
    schema = dj.Schema(f"{NAME}_dj")
    made: dict[str, Any] = {}
    for above, table in zip(("", *TABLES), TABLES, strict=False):
        name, body = table.title(), (f"-> {above.title()}\n" if above else "") + f"{table}: int64"
        made[name] = schema(type(name, (dj.Manual,), {"definition": body + "\n---\nvalue: float64"}), context=made)
    names = [f"{quote}{NAME}_dj{quote}.{quote}{name}{quote}" for name in TABLES]
    return lambda: (made["Subject"] & f"subject < {GONE}").delete(prompt=False), names


def measure(server: str, database: Database, url: sa.URL) -> list[str]:
    """Measure one server; return which goals were missed."""
    native, ours, pristine = tables("n_", "CASCADE"), tables("c_", "RESTRICT"), tables("p_", "RESTRICT")
    for metadata in (native, ours, pristine):
        with database.engine.begin() as connection:
            fill(connection, metadata)
    dag.register(ours)
    bind(ours, database)
    subject = ours.tables["c_subject"]
    keys = sa.select(subject.c.subject).where(subject.c.subject < GONE)
    statement = sa.delete(native.tables["n_subject"]).where(native.tables["n_subject"].c.subject < GONE)

    def natively() -> int:
        with database.engine.begin() as connection:
            return int(connection.execute(statement).rowcount)

    def delete() -> Any:
        return cascade.delete(database, subject, keys, prompt=False)

    def preview_and_delete() -> Any:
        expected = dict(zip(map(str.title, TABLES), (100, 1_000, 10_000, 10_000), strict=True))
        assert cascade.delete(database, subject, keys, dry_run=True) == expected
        return delete()

    works: dict[str, tuple[Callable[[], Any], list[str]]] = {
        "ON DELETE CASCADE": (natively, list(native.tables)),
        "compdb, delete": (delete, list(ours.tables)),
        "compdb, dry run and delete": (preview_and_delete, list(ours.tables)),
    }
    theirs = peer(server, url)
    if isinstance(theirs, str):
        print(f"{server}: DataJoint is left out: {theirs}")
    else:
        works["DataJoint, delete"] = theirs
        with database.engine.begin() as connection:
            for name, table in zip(theirs[1], pristine.tables.values(), strict=True):
                connection.execute(sa.text(f"INSERT INTO {name} SELECT * FROM {table.name}"))
    if server == "PostgreSQL":
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text("VACUUM ANALYZE"))
    taken = in_turns(database, works, pristine)
    medians = {name: statistics.median(seconds) for name, seconds in taken.items()}
    base = medians["ON DELETE CASCADE"]
    for name, median in medians.items():
        print(
            f"{server:12}{name:28}{median * 1e3:>9.1f} ms{median / base:>8.2f}x   (best {min(taken[name]) * 1e3:.1f})"
        )
    missed = []
    if (ratio := medians["compdb, delete"] / base) > LIMIT:
        missed.append(f"{server}: {ratio:.2f} times ON DELETE CASCADE, not {LIMIT}")
    if (ratio := medians["compdb, delete"] / medians.get("DataJoint, delete", float("inf"))) > 1:
        missed.append(f"{server}: {ratio:.2f} times DataJoint")
    return missed


def in_turns(
    database: Database, works: dict[str, tuple[Callable[[], Any], list[str]]], pristine: sa.MetaData
) -> dict[str, list[float]]:
    """Return the seconds of every round, the first, unmeasured one left out; who begins changes from round to round."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for number in range(ROUNDS + 1):
        order = list(works)
        for name in order[number % len(order) :] + order[: number % len(order)]:
            work, names = works[name]
            start = time.perf_counter()
            count = work()
            if number:
                taken[name].append(time.perf_counter() - start)
            assert count == GONE, f"{name} deleted {count}"
            with database.engine.begin() as connection:
                refill(connection, names, pristine)
    return taken


def main() -> int:
    """Print all figures; return how many goals were missed."""
    missed = []
    for server, address in SERVERS.items():
        url = sa.make_url(address)
        admin = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        try:
            with admin.connect() as connection:
                if server != "SQLite":
                    connection.execute(sa.text(f"CREATE DATABASE {NAME}"))
                    url = url.set(database=NAME)
        except sa.exc.DBAPIError as error:
            print(f"{server} is left out: {str(error.orig).splitlines()[0]}")
            continue
        database = connect(url)
        try:
            missed += measure(server, database, url)
        finally:
            database.engine.dispose()
            database.reader.dispose()
            if server != "SQLite":
                with admin.connect() as connection:
                    for name in (NAME, f"{NAME}_dj")[: 2 if server == "MariaDB" else 1]:
                        force = " WITH (FORCE)" if server == "PostgreSQL" else ""
                        connection.execute(sa.text(f"DROP DATABASE IF EXISTS {name}{force}"))
    print("\n" + ("\n".join(missed) if missed else "all goals met"))
    return len(missed)


if __name__ == "__main__":
    sys.exit(main())
