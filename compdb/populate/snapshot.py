"""The snapshot of a window: one state of the database that its makes read, let go of when the window ends, or when a make takes long.

A make that computes for minutes must not keep a transaction open, so a timer ends the snapshot while no statement runs on it; the next
read opens a new one.
"""

from __future__ import annotations

import threading
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event, exc

from compdb.database import Database

__all__ = ["Snapshot"]


class Snapshot:
    """A read-only connection that sees one state of the database for a window.

    Parameters
    ----------
    database : Database
    seconds : float, s
        How long it may be held.

    Attributes
    ----------
    number : int
        Counts the states seen: what was read under another number is of another state.
    busy : lock
        Whoever holds it reads without being disturbed by the timer.
    listeners : tuple of callable
        Those of ours on the connection.
    """

    def __init__(self, database: Database, seconds: float) -> None:
        self.database, self.seconds = database, seconds
        self._connection: sa.Connection | None = None
        self.busy = self._lock = threading.RLock()
        self._running, self._begun = 0, False
        self._timer: threading.Timer | None = None
        self.number = 0
        self.listeners: tuple[Any, ...] = ()

    def connection(self) -> sa.Connection:
        """Return the connection, seeing one state until `end` (or the timer)."""
        with self._lock:
            if self._connection is None:
                self._connection = self.database.connect(self.database.reader)
                self._watch(self._connection)
            connection = self._connection
            self._running = 0  # a statement that failed was not counted out
            if self.database.dialect.broken(connection):
                self.end(failed=True)
            if not self.database.one_connection and not self._begun:
                if connection.in_transaction():  # of a statement before which the timer struck
                    connection.commit()
                self.database.dialect.begin_snapshot(connection)
                self._begun = True
                self.number += 1
                self._start_timer()
            return connection

    @property
    def held(self) -> bool:
        """Whether a state is being held."""
        return self._connection is not None and self._connection.in_transaction()

    def end(self, *, failed: bool = False) -> None:
        """Let go of the state; the connection stays.

        Parameters
        ----------
        failed : bool
            A statement failed: what the driver has learned from the server is forgotten too.
        """
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._running, self._begun = 0, False
            if self._connection is not None and self._connection.in_transaction():
                try:
                    self._connection.commit()
                    if failed:
                        self.database.dialect.forget(self._connection)
                        self._connection.commit()
                except exc.SQLAlchemyError:  # a connection that is gone holds no state either
                    self._drop()

    def close(self, *, failed: bool = False) -> None:
        """Give the connection back."""
        with self._lock:
            self.end(failed=failed)
            if self._connection is not None:
                connection, self._connection = self._connection, None
                connection.close()

    def discard(self) -> None:
        """Throw the connection away."""
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        self._begun = False
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.invalidate()
            connection.close()

    def _start_timer(self) -> None:
        self._timer = threading.Timer(self.seconds, self._let_go, (self.number,))
        self._timer.daemon = True
        self._timer.start()

    def _let_go(self, number: int) -> None:
        """End the state that was begun as `number`, from the timer's thread, unless a statement runs on it."""
        with self._lock:
            if number != self.number or not self.held:
                return
            if self._running:
                self._start_timer()
            else:
                self.end()

    def _watch(self, connection: sa.Connection) -> None:
        """Know when a statement runs: the timer keeps off then."""

        def begins(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> tuple[str, Any]:
            with self._lock:
                self._running += 1
            return statement, parameters

        def ends(*_: Any) -> None:
            with self._lock:
                self._running = max(0, self._running - 1)

        event.listen(connection, "before_cursor_execute", begins, retval=True)
        event.listen(connection, "after_cursor_execute", ends)
        self.listeners = (begins, ends)
