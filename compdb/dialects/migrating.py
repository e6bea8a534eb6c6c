"""What a database needs while its tables are changed, and what is to be seen to before that is kept.

SQLite changes most things of a table by making it anew, which its children must not notice: foreign keys are off meanwhile, and checked
at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from compdb.dialects import of

__all__ = ["broken_foreign_keys", "loosened"]


@contextmanager
def loosened(connection: sa.Connection) -> Iterator[None]:
    """Let tables be made anew under their children, on a connection that has not begun anything."""
    if of(connection).name != "sqlite":
        yield
        return
    cursor = connection.connection.cursor()  # the driver's: a pragma inside a transaction does nothing
    (former,) = cursor.execute("PRAGMA foreign_keys").fetchone()
    cursor.execute("PRAGMA foreign_keys=OFF")
    try:
        yield
    finally:
        cursor.execute(f"PRAGMA foreign_keys={former}")
        cursor.close()


def broken_foreign_keys(connection: sa.Connection) -> list[tuple[str, str, int]]:
    """Return (child, parent, rows) of foreign keys that do not hold, where the database does not see to it by itself."""
    if of(connection).name != "sqlite":
        return []
    rows = connection.exec_driver_sql(
        'SELECT "table", parent, count(*) FROM pragma_foreign_key_check GROUP BY "table", parent ORDER BY 1, 2'
    )
    return [(str(child), str(parent), int(count)) for child, parent, count in rows]
