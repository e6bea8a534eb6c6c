"""Makes one after the other in this process, a window of them to a commit."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm.attributes import instance_state

from compdb.database import Database, database_of
from compdb.errors import LeaseLost, MakeTimeout
from compdb.insert import SINK
from compdb.jobs import Held, Ledger
from compdb.populate.limits import at_most
from compdb.populate.make import Make
from compdb.populate.patience import RETRIES, Hopeless, until_it_answers
from compdb.populate.run import Outcome, Run

__all__ = ["run_keys", "working"]

log = logging.getLogger("compdb")

Key = dict[str, Any]

BATCH = 512
"""For how many keys inputs are read ahead at the most."""

FRESH = 1.0
"""How long the list of pending keys is good for, in seconds; after that each batch is looked up once more."""


def run_keys(
    cls: type[Any],
    names: tuple[str, ...],
    keys: Iterable[Key],
    options: dict[str, Any],
    *,
    stop: bool,
    advance: Callable[[int, int], None] = lambda keys, errors: None,
    wanted: Callable[[Key], bool] = lambda key: True,
    worker_id: str | None = None,
) -> Outcome:
    """Run the makes of `keys`.

    Parameters
    ----------
    names : tuple of str
        The attributes of the keys.
    options : dict
        Passed to each make.
    stop : bool
        End at the first error; the keys finished before are committed.
    advance : callable
        Told, after each make, how many keys were done and how many errors there are.
    wanted : callable
        Asked, before each make, whether it should begin.
    worker_id : str, optional
        Who makes them, for the lines of the runs table.
    """
    database: Database = database_of(cls.__table__)
    run = Run(cls, database, names, cls.__catalog__.settings.commit_interval, Ledger(cls, database, worker_id))
    try:
        for key in _known_ahead(run, keys):
            if not wanted(key):
                continue
            if run.made_meanwhile and tuple(key.values()) in run.made_meanwhile:
                advance(1, len(run.errors))
                continue
            alone = isinstance(key, Held) and key.alone
            if alone:  # it may kill this process: what was made before it is kept first
                run.flush()
            _one(run, key, options)
            if alone:
                run.flush()
            if run.errors and stop:
                break
            advance(1, len(run.errors))
        run.flush()
    except BaseException:
        run.flush()
        raise
    finally:
        run.close()
    return Outcome(run.success, run.errors)


def _known_ahead(run: Run, keys: Iterable[Key]) -> Iterator[Key]:
    """Yield the keys; those that come next are known to the run, so that it can read ahead for them."""
    feed, size = iter(keys), 1
    read, seen = time.monotonic(), ""
    while True:
        batch = [key for _, key in zip(range(size), feed)]
        if not batch:
            return
        if isinstance(batch[0], Held):
            tokens = {key.token for key in batch if isinstance(key, Held)}
            if tokens != {seen}:
                run.end_snapshot()  # which may be of a time before these keys
            seen = batch[-1].token if isinstance(batch[-1], Held) else ""
        elif time.monotonic() - read > FRESH:
            run.look_again(batch)
        run.inputs.batch = batch
        windows = run.windows
        yield from batch
        size = min(2 * size, BATCH) if run.windows == windows else max(1, size // 2)
        run.end_batch()


def _one(run: Run, key: dict[str, Any], options: dict[str, Any]) -> None:
    """Run one make; whatever it raises is noted for its key, but for interrupts, which end the run.

    Where the database ended the make's own transaction (a deadlock, a lost connection), the make runs once more.
    """
    told, in_doubt = run.hooks.dispatch, False
    for attempt in range(RETRIES):
        make = Make(run, key)
        try:
            with working(run, make) as row:
                if told.before_make:
                    told.before_make(run.cls, dict(key))
                began = time.monotonic()
                if run.cls.timeout is None:
                    run.perform(row, make, options)
                else:
                    with at_most(run.cls.timeout, run.label, key, lambda: run.writing):
                        run.perform(row, make, options)
                make.finish(row)
                if make.skipped is not None:
                    extra = {"event": "skipped", "table": run.label, "key": dict(key)}
                    log.info("%s passes over %s: %s", run.label, dict(key), make.skipped.reason, extra=extra)
                elif told.after_make:
                    told.after_make(run.cls, dict(key), time.monotonic() - began)
        except Hopeless:
            raise
        except LeaseLost as error:
            run.lose(key, error)
            run.count([make] if in_doubt else [])
            return
        except Exception as error:
            in_doubt = in_doubt or make.committing
            if run.done_elsewhere(make, error, in_doubt=in_doubt):
                return
            if attempt == RETRIES - 1 or not run.passes(error):
                run.stop_if_hopeless(error)
                run.fail(key, make.explained(error))
                return
            run.reconnect()
            until_it_answers(run.database, run.label, error)
        else:
            return


class working:  # noqa: N801 (a verb, as `with` reads it)
    """Give the row to be made, with its key set and its parents reachable; what the block leaves undone is undone."""

    __slots__ = ("_holding", "_row", "_token", "make", "run")

    def __init__(self, run: Run, make: Make) -> None:
        self.run, self.make = run, make

    def __enter__(self) -> Any:
        run, make = self.run, self.make
        row = self._row = run.facts.blank(make.key)
        self._holding = run.database.holding(make)
        self._holding.__enter__()
        self._token = SINK.set(make)
        run.session.make = make
        run.session.enable_relationship_loading(row)
        return row

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is not None:
                interrupt = _interrupt(error)
                if interrupt is not None:
                    self.run.discard()
                self.make.abort()
                if interrupt is not None:
                    self.run.reconnect()
                    if interrupt is not error:
                        raise interrupt
        finally:
            SINK.reset(self._token)
            self.run.session.make = None
            # a row that was changed holds itself, so that a session does not lose it; nobody but the collector would free it
            instance_state(self._row)._strong_obj = None
            self._holding.__exit__(None, None, None)


def _interrupt(error: BaseException) -> BaseException | None:
    """Return the interrupt that ended a make, if it was one; in the middle of a statement it makes that statement's rollback fail, too."""
    if isinstance(error, MakeTimeout) or not isinstance(error, Exception):
        return error
    behind = error.__context__
    if isinstance(error, SQLAlchemyError) and behind is not None:
        found = _interrupt(behind)
        return found if not isinstance(found, MakeTimeout) else None
    return None
