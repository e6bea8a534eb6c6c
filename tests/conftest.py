"""Fixtures that every test may use: a fresh database on SQLite, MariaDB/MySQL and PostgreSQL.

`url` runs a test once per database; `COMPDB_TEST_DATABASES=sqlite,postgresql` narrows the choice, and tests that need no server
belong to sqlite, so that the runs of single databases add up to the whole. A server that does not
answer is left out and named, unless `COMPDB_REQUIRE_SERVERS=1`: then its tests fail. Each process makes a database of its own
on each server and removes it at the end.
"""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import sqlalchemy as sa

from compdb.database import _databases

DATABASES = ("sqlite", "mysql", "postgresql")
SERVERS = {
    "mysql": os.environ.get("COMPDB_TEST_MYSQL_URL", "mysql+pymysql://root@127.0.0.1:3306/test"),
    "postgresql": os.environ.get("COMPDB_TEST_POSTGRESQL_URL", "postgresql+psycopg://postgres@127.0.0.1:5432/test"),
}
CHOSEN = tuple(os.environ.get("COMPDB_TEST_DATABASES", ",".join(DATABASES)).split(","))
REQUIRED = os.environ.get("COMPDB_REQUIRE_SERVERS") == "1"
OURS = f"compdb_test_{os.getpid()}"

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # what a shell in the background hands down
    signal.signal(signal.SIGINT, signal.default_int_handler)

hypothesis.settings.register_profile("fuzz", max_examples=2000, deadline=None, derandomize=False)
hypothesis.settings.register_profile("repeatable", derandomize=True)  # the fuzz session draws new examples
hypothesis.settings.load_profile("repeatable")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests of databases that are not chosen."""

    def database(item: pytest.Item) -> str:
        parameters = (
            item.callspec.params.values() if isinstance(item, pytest.Function) and hasattr(item, "callspec") else ()
        )
        return next((p for p in parameters if isinstance(p, str) and p in DATABASES), "sqlite")

    left_out = [item for item in items if database(item) not in CHOSEN]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if database(item) in CHOSEN]


@functools.cache
def _admin(name: str) -> sa.Engine | str:
    """Return an engine on the server with a database of ours made, or why there is none."""
    engine = sa.create_engine(SERVERS[name], isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {OURS}")
    except (sa.exc.DBAPIError, ModuleNotFoundError) as error:
        return f"{name} does not answer at {engine.url!r}: {str(error).splitlines()[0]}"
    return engine


def _empty(name: str, url: sa.URL) -> None:
    """Take every table out of our database on the server `name`."""
    admin = _admin(name)
    assert isinstance(admin, sa.Engine)
    if name == "mysql":
        with admin.connect() as connection:
            mine = connection.exec_driver_sql(  # not those of a process whose number begins with ours
                "SELECT schema_name FROM information_schema.schemata WHERE schema_name = %s OR schema_name LIKE %s",
                (OURS, OURS.replace("_", "\\_") + "\\_%"),
            ).scalars()
            for schema in list(mine):
                connection.exec_driver_sql(f"DROP DATABASE `{schema}`")
            connection.exec_driver_sql(f"CREATE DATABASE {OURS}")
        return
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        schemas = connection.exec_driver_sql(
            "SELECT nspname FROM pg_namespace WHERE nspname NOT LIKE 'pg_%%' AND nspname <> 'information_schema'"
        ).scalars()
        for schema in list(schemas):
            connection.exec_driver_sql(f'DROP SCHEMA "{schema}" CASCADE')
        connection.exec_driver_sql("CREATE SCHEMA public")


def fresh_url(name: str, folder: Path) -> str:
    """Return the URL of an empty database, or skip (or fail) where the server does not answer."""
    if name not in CHOSEN:
        pytest.skip(f"{name} is not among COMPDB_TEST_DATABASES")
    if name == "sqlite":
        return f"sqlite:///{folder}/test.db"
    admin = _admin(name)
    if isinstance(admin, str):
        if REQUIRED:
            pytest.fail(admin)
        pytest.skip(admin)
    url = sa.make_url(SERVERS[name]).set(database=OURS)
    _empty(name, url)
    return url.render_as_string(hide_password=False)


def _close(folder: Path) -> None:
    """Close the files of databases in a folder: thousands of tests in one process would hold more than a process may have."""
    for address, database in list(_databases.items()):
        if address.database is not None and Path(address.database).parent == folder:
            database.dispose()


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Return the URL of a fresh, empty database: one test run per database."""
    yield fresh_url(request.param, tmp_path)
    _close(tmp_path)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> Iterator[str]:
    """Return the URL of a fresh SQLite file, for what does not depend on the database."""
    yield f"sqlite:///{tmp_path}/test.db"
    _close(tmp_path)


@pytest.fixture(scope="session", autouse=True)
def _remove_our_databases() -> Iterator[None]:
    yield
    for name in SERVERS:
        if _admin.cache_info().currsize and name in CHOSEN:
            admin = _admin(name)
            if isinstance(admin, str):
                continue
            with admin.connect() as connection:
                if name == "postgresql":
                    connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {OURS} WITH (FORCE)")
                else:
                    connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {OURS}")
