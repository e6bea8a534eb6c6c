"""What a run of populate writes down beside its results: the end of their jobs, a line for each, and what failed."""

from __future__ import annotations

import hashlib
import inspect
import json
import logging
import time
import traceback
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy import exc

from compdb import dag
from compdb.database import Database
from compdb.dialects import utcnow
from compdb.errors import CompdbError, LeaseLost
from compdb.jobs.queue import Held, Queue
from compdb.jobs.skipping import Skip
from compdb.jobs.tables import jobs_of
from compdb.jobs.worker import host, user

__all__ = ["Entry", "Ledger"]

log = logging.getLogger("compdb")

_ENCODER = json.JSONEncoder(default=str)
MAKES = ("make", "make_fetch", "make_compute", "make_insert")


class Entry(Protocol):
    """A finished make, as the ledger sees it."""

    key: dict[str, Any]
    began: float
    seconds: float
    skipped: Skip | None


class Ledger:
    """What one run of populate over `cls` writes down."""

    def __init__(self, cls: type[Any], database: Database, worker_id: str | None = None) -> None:
        self.table: sa.Table = cls.__table__
        self.queue = Queue(database, jobs_of(self.table))
        self.keep = bool(cls.__catalog__.settings.keep_completed)
        self.attempts = max(1, int(cls.max_attempts))
        self._runs = self.queue.jobs.runs
        self.worker_id = worker_id or uuid.uuid4().hex
        self._same = {
            "table_name": self.table.key,
            "worker_id": self.worker_id,
            "host": host(),
            "user": user(),
            "version": version(cls),
        }
        self._insert = self._insertion()

    def close(self, connection: sa.Connection, makes: Sequence[Entry]) -> None:
        """Write down makes in the transaction that has just written their rows; the fence comes last.

        Raises
        ------
        LeaseLost
            If a job is no longer this worker's; the transaction is to be rolled back.
        """
        done = [make for make in makes if make.skipped is None]
        if done:
            self._write_lines(connection, done)
        if self.keep:
            fenced = all(self.queue.complete(connection, _held([m]), keep=True, seconds=m.seconds) for m in done)
        else:
            fenced = self.queue.complete(connection, _held(done))
        skipped = [make for make in makes if make.skipped is not None]
        if fenced and skipped:
            reasons = {tuple([m.key[n] for n in self.queue.jobs.keys]): m.skipped.reason for m in skipped if m.skipped}
            fenced = self.queue.ignore(connection, reasons, _held(skipped))
        if not fenced:
            label = dag.label(self.table)
            raise LeaseLost(
                f"{label}: a reservation among {len(makes)} is this worker's no more, so what it made of it is not kept"
            )

    def fail(self, key: dict[str, Any], error: BaseException) -> bool:
        """Write down, for a reserved key, what its make raised, and say whether that is still this worker's business.

        Where even that fails, the key is given back at the end.
        """
        if not isinstance(key, Held):
            return True
        try:
            stack = "".join(traceback.format_exception(error))
        except Exception as own:  # a user's own exception may do anything
            stack = f"{type(error).__name__}, whose traceback cannot be told: {type(own).__name__}"
        try:
            state = self.queue.error(key, error, stack, self.attempts)
        except (exc.SQLAlchemyError, CompdbError) as failure:
            log.error("%s: the error of %s could not be stored: %s", dag.label(self.table), dict(key), failure)
            return True
        return state is not None

    def drop(self, key: dict[str, Any]) -> None:
        """Take out the job of a key whose result is there already."""
        if isinstance(key, Held):
            self.queue.drop(key)

    def _write_lines(self, connection: sa.Connection, makes: Sequence[Entry]) -> None:
        now = time.monotonic()
        encode = _ENCODER.encode
        lines = [(_as_json(make.key), make.began - now, make.seconds) for make in makes]
        connection.execute(self._insert, {"lines": encode(lines), **self._same})

    def _insertion(self) -> sa.Insert:
        """Return the INSERT of lines, which arrive as one value; the clock is that of the database."""
        source, (key, ago, seconds) = self.queue.database.dialect.json_rows("lines")
        same = [sa.bindparam(name, type_=sa.String()) for name in self._same]
        rows = sa.select(key, utcnow(ago), seconds, *same).select_from(source)
        return sa.insert(self._runs).from_select(["key", "started_time", "seconds", *self._same], rows)


def _as_json(key: Mapping[str, Any]) -> str:
    """Return a key as JSON; whole numbers, of which most keys are made, by the short way."""
    encode = _ENCODER.encode
    parts = [f"{encode(name)}: {value if type(value) is int else encode(value)}" for name, value in key.items()]
    return "{" + ", ".join(parts) + "}"


def _held(makes: Sequence[Entry]) -> list[Held]:
    return [make.key for make in makes if isinstance(make.key, Held)]


def version(cls: type[Any]) -> str:
    """Return what tells one version of the code of a make from another: a digest of its source, or "unknown"."""
    digest = hashlib.sha256()
    for name in MAKES:
        function = getattr(cls, name, None)
        if function is None:
            continue
        try:
            digest.update(inspect.cleandoc(inspect.getsource(function)).encode())
        except (OSError, TypeError, SyntaxError, IndexError):  # at a prompt, from C, from a file that changed
            return "unknown"
    return digest.hexdigest()[:16]
