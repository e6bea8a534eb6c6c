"""The clock of the database, in UTC and microseconds: `utcnow()`.

Workers on several machines agree on nothing but this clock. It reads alike in a statement and as a server default:

>>> import sqlalchemy as sa
>>> table = sa.Table("job", sa.MetaData(), sa.Column("at", sa.DateTime, server_default=utcnow()))
>>> print((table.c.at < utcnow(-120)).compile(dialect=sa.create_engine("sqlite://").dialect))
job.at < strftime('%Y-%m-%d %H:%M:%f000', 'now', (? || ' seconds'))

It stands still within one statement, so an index can be used to compare with it.
"""

from __future__ import annotations

import datetime as dt

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

__all__ = ["utcnow"]


class utcnow(FunctionElement[dt.datetime]):  # noqa: N801 (reads as a function, like sqlalchemy.func.now)
    """The time in the database, naive UTC with microseconds (SQLite: milliseconds).

    Parameters
    ----------
    seconds : float or expression, optional
        How much later (or, negative, earlier) than now.
    """

    type = sa.DateTime()
    inherit_cache = True

    def __init__(self, seconds: float | sa.ColumnElement[float] | None = None) -> None:
        given = [] if seconds is None else [sa.literal(seconds) if isinstance(seconds, (int, float)) else seconds]
        super().__init__(*given)


def _seconds(element: utcnow, compiler: SQLCompiler, form: str, **kw: object) -> str:
    """Return the offset in the database's words, or nothing."""
    clauses = list(element.clauses)
    return form.format(compiler.process(clauses[0], **kw)) if clauses else ""


@compiles(utcnow, "sqlite")
def _sqlite(element: utcnow, compiler: SQLCompiler, **kw: object) -> str:
    return "strftime('%Y-%m-%d %H:%M:%f000', 'now'" + _seconds(element, compiler, ", ({} || ' seconds')", **kw) + ")"


@compiles(utcnow, "mysql", "mariadb")
def _mysql(element: utcnow, compiler: SQLCompiler, **kw: object) -> str:
    return "UTC_TIMESTAMP(6)" + _seconds(element, compiler, " + INTERVAL {} SECOND", **kw)


@compiles(utcnow, "postgresql")
def _postgresql(element: utcnow, compiler: SQLCompiler, **kw: object) -> str:
    now = "(statement_timestamp() AT TIME ZONE 'utc'"
    return now + _seconds(element, compiler, " + make_interval(secs => {})", **kw) + ")"
