"""What populate puts up with: a line that is cut, a server that is being started again."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import exc

from compdb.database import Database
from compdb.errors import ConnectionFailed, DatabaseError

__all__ = ["RETRIES", "Hopeless", "insisting", "until_it_answers"]

log = logging.getLogger("compdb")

Result = TypeVar("Result")

RETRIES = 3
"""How often the same is tried."""
PATIENCE = 30.0
"""How long to wait for a database that has answered before, in seconds."""


class Hopeless(DatabaseError):
    """A database in which no key can succeed: it ends the run, whoever suppresses errors."""


def until_it_answers(database: Database, label: str, error: BaseException) -> None:
    """Wait until the database can be reached again.

    Raises
    ------
    Hopeless
        If it cannot be for long.
    """
    began, pause = time.monotonic(), 0.02
    while True:
        try:
            database.connect(database.reader).close()
        except ConnectionFailed as failure:
            if time.monotonic() - began > PATIENCE:
                raise Hopeless(
                    f"{database.url} has not answered for {PATIENCE:g} s; populate of {label} stops here, what was committed is kept and"
                    f" the other keys stay pending ({failure})"
                ) from error
            if pause > 0.5:
                log.warning("%s: %s does not answer, and is waited for", label, database.url)
            time.sleep(pause)
            pause = min(2 * pause, 1.0)
        else:
            return


def insisting(database: Database, label: str, ask: Callable[[], Result]) -> Result:
    """Return what `ask` returns, which only reads; it is called again where the database, not the question, was to blame.

    Raises
    ------
    ConnectionFailed
        If the database does not answer at all.
    """
    for attempt in range(RETRIES):
        try:
            return ask()
        except exc.DBAPIError as error:
            if attempt == RETRIES - 1 or not database.dialect.classify(error).fault.transient:
                raise
            until_it_answers(database, label, error)
    raise AssertionError("the last try returns or raises")
