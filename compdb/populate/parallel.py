"""Populate in worker processes, or wherever an executor runs: the parent hands out pending keys, each worker runs makes as one process does."""

from __future__ import annotations

import time
import traceback
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass, field
from multiprocessing.reduction import ForkingPickler
from typing import Any

import sqlalchemy as sa

from compdb import dag
from compdb.database import Database, bind, connect, database_of
from compdb.errors import MakeError, MakeTimeout, PopulateError
from compdb.executors import posts
from compdb.executors.futures import LONG, Batches, in_executor
from compdb.executors.parcel import Written, pack
from compdb.executors.processes import NeverBegan, WorkerDied, in_processes
from compdb.executors.shipping import Shipment, ship
from compdb.populate.events import hooks
from compdb.populate.keys import KeySource
from compdb.populate.limits import Outgrown
from compdb.populate.patience import Hopeless
from compdb.populate.run import Outcome
from compdb.populate.serial import run_keys

__all__ = ["Task", "elsewhere", "task_for"]

Key = dict[str, Any]

TRIES = 2
"""How many workers may die of one key."""


@dataclass(frozen=True)
class Returned:
    """What a worker brings back.

    Attributes
    ----------
    count : int
        How many keys of the batch were done: the first ones.
    seconds : float, s
        How long that took.
    """

    outcome: Outcome
    count: int
    seconds: float


@dataclass(frozen=True)
class Task:
    """What a worker needs to know: where the class is, which database, and how to run.

    Called with keys, it runs their makes and returns their outcome. Keys that turn out to take much longer than was thought it brings back
    unmade, for those who are idle, and so it does when its process has outgrown its memory.
    """

    shipment: Shipment
    url: str = field(repr=False)
    names: tuple[str, ...]
    options: dict[str, Any]
    stop: bool
    worker_id: str | None = None

    def __call__(self, keys: Sequence[Key]) -> Returned:
        """Run the makes of `keys` in the process that this is called in."""
        began, post, done = time.monotonic(), posts.here(), 0
        cls = self.shipment.open()
        _bind_all(cls, connect(self.url))
        outgrown = Outgrown(cls)

        def wanted(key: Key) -> bool:
            if done and (time.monotonic() - began > LONG or outgrown()):
                return False
            return post.begin()

        def advance(keys: int, errors: int) -> None:
            nonlocal done
            done += keys
            post.finish()

        outcome = run_keys(
            cls,
            self.names,
            keys,
            self.options,
            stop=self.stop,
            advance=advance,
            wanted=wanted,
            worker_id=self.worker_id,
        )
        if outgrown():
            post.retire()
        told = Outcome(outcome.success, [(key, _travelling(error)) for key, error in outcome.errors])
        count = len(keys) if self.stop and told.errors else done
        return Returned(told, count, time.monotonic() - began)


def task_for(
    cls: type[Any],
    database: Database,
    names: tuple[str, ...],
    options: dict[str, Any],
    *,
    stop: bool,
    worker_id: str | None = None,
) -> Task:
    """Return the task of populating `cls`.

    Raises
    ------
    PopulateError
        If the class or the database cannot be reached from another process.
    """
    if database.one_connection:
        raise PopulateError(
            f"{database.url} is a database of this process alone; worker processes need a file or a server"
        )
    url = database.engine.url.render_as_string(hide_password=False)
    return Task(ship(cls, _pack), url, names, options, stop, worker_id)


def elsewhere(
    cls: type[Any],
    task: Task,
    keys: Iterable[Key],
    processes: int | None,
    executor: Any,
    fail: Callable[[Key, BaseException], bool] = lambda key, error: True,
    *,
    stopping: Callable[[], bool] = lambda: False,
    take_back: Callable[[list[Key]], None] | None = None,
) -> Generator[tuple[int, Outcome], None, None]:
    """Yield how many keys were done, with their outcome.

    Where a worker died its keys are made again, but for the one that killed it: that one is tried once more, alone, and is an error then,
    of which `fail` is told. So is one whose worker had to be killed since it was past its `timeout`.
    """

    def lost(errors: list[tuple[Key, BaseException]]) -> Outcome:
        failed = [(dict(key), error) for key, error in errors if fail(key, error)]
        for key, error in failed:  # whoever made it could tell nobody
            told.make_failed(cls, dict(key), error)
        return Outcome(0, failed)

    batches, label, told = Batches(keys), dag.label(cls.__table__), hooks(cls).dispatch
    deaths: Counter[tuple[Any, ...]] = Counter()
    options: dict[str, Any] = {"stopping": stopping, "take_back": take_back}
    if executor is None:
        results = in_processes(processes, task, batches, **options)
    else:
        results = in_executor(executor, task, batches, **options)
    for batch, result in results:
        if isinstance(result, Returned):
            batches.learn(result.count, result.seconds)
            batches.again(batch[result.count :])
            yield result.count, result.outcome
        elif isinstance(result, WorkerDied):
            there = _there(cls, batch)
            rest = [key for key in batch if key not in there]
            if there:
                yield len(there), Outcome(len(there), [])
            at = batch[result.done : result.done + 1] if result.begun or len(batch) == 1 else []
            killer = [key for key in at if key in rest]
            batches.again([key for key in rest if key not in killer], alone=not killer)
            for key in killer:
                deaths[tuple(key.values())] += 1
                if result.late:
                    yield 1, lost([(key, _timed_out(cls, key))])
                elif deaths[tuple(key.values())] == TRIES:
                    yield 1, lost([(key, PopulateError(_died(label, key, result.how)))])
                else:
                    batches.again(killer, alone=True)
        elif isinstance(result, NeverBegan):
            raise PopulateError(
                f"{label}: {result}, so nothing was made; what it says stands above. If the script has no"
                ' `if __name__ == "__main__":` around what it runs, put it there'
            ) from result
        elif isinstance(result, Hopeless) or not isinstance(result, Exception):
            raise result
        else:  # the executor has given the batch up; some of it may have been made before
            there = _there(cls, batch)
            broken = isinstance(result, BrokenExecutor)
            failed = lost(
                [(k, PopulateError(_broken(label, k, result)) if broken else result) for k in batch if k not in there]
            )
            yield len(batch), Outcome(len(there), failed.errors)


def _there(cls: type[Any], keys: Sequence[Key]) -> list[Key]:
    """Return the keys whose result is there."""
    table: sa.Table = cls.__table__
    names = list(keys[0])
    found: set[tuple[Any, ...]] = set()
    query = sa.select(*(table.c[n] for n in names)).distinct()
    with database_of(table).reading(query) as connection:
        for key in keys:
            mine = query.where(*(table.c[n] == v for n, v in key.items())).limit(1)
            found.update(tuple(key.values()) for _ in connection.execute(mine))
    return [key for key in keys if tuple(key.values()) in found]


def _died(label: str, key: Key, how: str) -> str:
    return (
        f"the worker process died while it made {label} for {dict(key)}, twice ({how}): killed, out of memory, or a crash in compiled"
        " code; nothing of that key is kept"
    )


def _broken(label: str, key: Key, error: BaseException) -> str:
    said = str(error).strip().partition("\n")[0]
    return (
        f"the executor broke while {label} was made for {dict(key)} and others ({type(error).__name__}: {said}); what was not"
        " committed then is not kept: populate again, with a new executor"
    )


def _timed_out(cls: type[Any], key: Key) -> MakeTimeout:
    return MakeTimeout(
        f"make of {dag.label(cls.__table__)} for {dict(key)} took longer than its timeout of {cls.timeout:g} s, and hung where it could"
        " not be interrupted; its process was killed, and nothing of that key is kept"
    )


def _bind_all(cls: type[Any], database: Database) -> None:
    table: sa.Table = cls.__table__
    for metadata in dag.linked(table.metadata):
        bind(metadata, database)


def _travelling(error: BaseException) -> BaseException:
    """Return an error that can travel back to the parent, with where it was raised."""
    place = "".join(traceback.format_exception(error)).rstrip()
    error.add_note(f"raised in a worker process:\n{place}")
    try:
        copying: Any = ForkingPickler  # whose `loads` is a plain function
        copying.loads(copying.dumps(error))
    except Exception:  # whatever a user's own exception does when it is copied
        copy = MakeError(f"{type(error).__name__}: {error}")
        copy.add_note(f"raised in a worker process:\n{place}")
        return copy
    return error


def _pack(cls: type[Any]) -> bytes:
    """Pack the classes of the pipelines linked with `cls`, as they were written, in the order of their declaration."""
    statements: list[Written] = []
    for metadata in reversed(dag.linked(cls.__table__.metadata)):
        tables = [t for t in metadata.tables.values() if "class" in t.info]
        if not tables:
            continue
        catalog = tables[0].info["class"].__catalog__
        statements.append(_written(catalog.pipeline))
        for table in catalog:
            statements += [*(_written(p.info["class"]) for p in dag.parts(table.__table__)), _written(table)]
    return pack(statements, _finish)


def _written(cls: Any) -> Written:
    definition = cls.__definition__
    return Written(cls, definition.name, definition.bases, definition.namespace, definition.keywords)


def _finish(cls: type[Any], name: str, value: Any) -> None:
    """Put a function back into its class; a key source goes through what answers for it."""
    type.__setattr__(cls, name, KeySource(value) if name == "key_source" else value)
