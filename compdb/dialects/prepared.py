"""Statements that psycopg has prepared, when somebody changes the type of a column under them.

PostgreSQL refuses to run a statement whose result had other types when it was prepared. Outside a transaction it is prepared anew and
asked again. In a transaction it is too late for that; its end makes psycopg forget what this connection has prepared, and the other
connections of the pool, which have prepared the same, forget theirs when they are taken out next.
"""

from __future__ import annotations

from typing import Any

__all__ = ["Prepared", "is_outdated", "renew"]

IDLE = 0


def is_outdated(error: BaseException) -> bool:
    """Say whether a statement was prepared when its result had other types."""
    told = getattr(error, "diag", None) if getattr(error, "sqlstate", None) == "0A000" else None
    return told is not None and told.source_function == "RevalidateCachedQuery"


class Prepared:
    """What the connections of an engine have prepared.

    Attributes
    ----------
    met : int
        How often a connection has met a statement that was outdated.
    """

    def __init__(self) -> None:
        self.met = 0
        self._cursors: dict[type[Any], type[Any]] = {}

    def watch(self, driver: Any) -> None:
        """Give a new connection of psycopg cursors that notice outdated statements."""
        kind = driver.cursor_factory
        if kind not in self._cursors:
            self._cursors[kind] = _cursor(kind, self)
        driver.cursor_factory = self._cursors[kind]
        driver.compdb_prepared = self, self.met


def renew(driver: Any) -> None:
    """Have a watched connection forget what it prepared before another one met an outdated statement; for one that is idle."""
    prepared, met = driver.compdb_prepared
    if met != prepared.met:
        _forget(driver)
        driver.compdb_prepared = prepared, prepared.met


def _cursor(kind: type[Any], prepared: Prepared) -> type[Any]:
    class Cursor(kind):  # type: ignore[misc]  # known when a connection is there
        def execute(self, *arguments: Any, **options: Any) -> Any:
            try:
                return super().execute(*arguments, **options)
            except Exception as error:
                if not is_outdated(error):
                    raise
                prepared.met += 1
                driver = self.connection
                if not driver.autocommit or driver.info.transaction_status != IDLE:
                    raise
                _forget(driver)
                driver.compdb_prepared = prepared, prepared.met
                return super().execute(*arguments, **options)

    return Cursor


def _forget(driver: Any) -> None:
    """End a transaction in which nothing was done: this makes psycopg forget what it has prepared."""
    driver.execute("BEGIN READ ONLY" if driver.autocommit else "SELECT 1")
    driver.execute("ROLLBACK")
