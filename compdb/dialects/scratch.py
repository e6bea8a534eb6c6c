"""A scratch place: where tables can be made to see how the database tells of them, and nobody else sees these.

Temporary tables on servers, a database in memory on SQLite.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from compdb.dialects import of

__all__ = ["prefixes", "schema", "scratch"]


@contextmanager
def scratch(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Give a connection whose scratch tables are gone afterwards, if they are dropped or it is rolled back."""
    if of(engine).makes_scratch_apart:
        engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
        try:
            with engine.connect() as connection:
                yield connection
        finally:
            engine.dispose()
        return
    with engine.connect() as connection, connection.begin() as transaction:
        try:
            yield connection
        finally:
            transaction.rollback()


def prefixes(connection: sa.Connection) -> list[str]:
    """Return the words between CREATE and TABLE."""
    return [] if of(connection).makes_scratch_apart else ["TEMPORARY"]


def schema(connection: sa.Connection) -> str | None:
    """Return the schema in which the temporary tables of a connection are; None where they are found without one."""
    if of(connection).name != "postgresql":
        return None
    return str(connection.scalar(sa.text("SELECT nspname FROM pg_namespace WHERE oid = pg_my_temp_schema()")))
