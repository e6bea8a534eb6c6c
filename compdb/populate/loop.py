"""The populate loop: pending keys, one make after the other, errors and interrupts."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from numbers import Integral
from typing import Any, cast

import sqlalchemy as sa

from compdb import dag
from compdb.algebra import to_relation
from compdb.database import Database, database_of
from compdb.errors import PopulateError, nearest
from compdb.executors.interrupts import interruptible
from compdb.executors.starting import is_starting
from compdb.jobs import Ledger, Worker, told
from compdb.populate.display import Display, showing
from compdb.populate.keys import ORDERS, Pending
from compdb.populate.reserving import Feed, queue_of
from compdb.populate.reserving import refresh as renew
from compdb.populate.run import Outcome
from compdb.populate.serial import run_keys
from compdb.populate.watching import draining

__all__ = ["populate", "populate_all"]

log = logging.getLogger("compdb")


def populate(
    cls: type[Any],
    *restrictions: Any,
    suppress_errors: bool = False,
    return_exception_objects: bool = False,
    reserve_jobs: bool = False,
    order: str = "original",
    limit: int | None = None,
    max_calls: int | None = None,
    display_progress: bool | Display = False,
    processes: int | None = 1,
    executor: Any = None,
    make_kwargs: dict[str, Any] | None = None,
    priority: int | None = None,
    refresh: bool | None = None,
) -> dict[str, Any]:
    """Populate one table; see `Computed.populate`."""
    _check_settings(order, make_kwargs)
    limit, max_calls = _whole("limit", limit, "how many keys"), _whole("max_calls", max_calls, "how many keys")
    processes = _whole("processes", processes, "how many there are")
    priority = _whole("priority", priority, "how urgent a job is, the least first", least=None)
    database, pending = _database(cls), Pending(cls, restrictions)
    stop, here = not suppress_errors, processes == 1 and executor is None
    with ExitStack() as during:
        during.enter_context(interruptible())
        advance = during.enter_context(
            showing(display_progress, pending.label, lambda: _total(pending, limit, max_calls))
        )
        keys: Iterator[dict[str, Any]] = _keys(pending, order, limit, max_calls)
        if reserve_jobs:
            queue = queue_of(pending, database)
            worker = during.enter_context(Worker(database, queue, cls.__catalog__.settings.lease))
            most = min((n for n in (limit, max_calls) if n is not None), default=None)
            more: dict[str, Any] = {"order": order, "limit": most, "priority": priority, "renew": refresh is not False}
            keys = Feed(cls, worker, restrictions, in_order=here, **more)
            advance = _both(advance, keys)
            if refresh:
                renew(cls, queue, restrictions)
        work = _Work(cls, pending.names, keys, make_kwargs or {}, stop, advance)
        outcome = _one_by_one(work) if here else _elsewhere(work, processes, executor)
    if outcome.errors and stop:
        raise outcome.errors[0][1]
    errors = [(k, e if return_exception_objects else told(e)) for k, e in outcome.errors]
    return {"success_count": outcome.success, "error_list": errors}


def _database(cls: type[Any]) -> Database:
    """Return the database of a table; refuse to populate in a script that a worker reads again, and inside a transaction."""
    if is_starting():
        raise PopulateError(
            "this is a worker process reading the script that started it; put what the script runs under"
            ' `if __name__ == "__main__":`, so that workers do not run it again'
        )
    database = database_of(cls.__table__)
    if database.in_transaction():
        raise PopulateError(
            f"{dag.label(cls.__table__)}.populate() inside a transaction or a make: it commits as it goes; call it outside"
        )
    return database


@dataclass(frozen=True, slots=True)
class _Work:
    """What one call of populate has to do, wherever the makes run.

    Attributes
    ----------
    names : tuple of str
        The attributes of the keys.
    keys : iterator of keys
        A `Feed` if they are reserved.
    options : dict
        Passed to each make.
    stop : bool
        End at the first error.
    advance : callable
        Told how many keys were done and how many errors there are.
    """

    cls: type[Any]
    names: tuple[str, ...]
    keys: Iterator[dict[str, Any]]
    options: dict[str, Any]
    stop: bool
    advance: Callable[[int, int], None]


def _one_by_one(work: _Work) -> Outcome:
    """Make the keys in this process; of those that are reserved, the ones that are still wanted when their turn comes."""
    keys = work.keys
    more: dict[str, Any] = {}
    if isinstance(keys, Feed):
        more = {"wanted": keys.wanted, "worker_id": keys.worker.id}
    return run_keys(work.cls, work.names, keys, work.options, stop=work.stop, advance=work.advance, **more)


def _elsewhere(work: _Work, processes: int | None, executor: Any) -> Outcome:
    """Make the keys in worker processes, or by an executor; what is reserved and does not begin is given back."""
    from compdb.populate.parallel import elsewhere, task_for  # noqa: PLC0415 - multiprocessing, which nothing else needs

    cls, keys = work.cls, work.keys
    who: str | None = None
    more: dict[str, Any] = {}
    if isinstance(keys, Feed):
        who, more = keys.worker.id, {"stopping": draining, "take_back": keys.take_back}
    database = database_of(cls.__table__)
    ledger = Ledger(cls, database, who)
    task = task_for(cls, database, work.names, work.options, stop=work.stop, worker_id=ledger.worker_id)
    results = elsewhere(cls, task, keys, processes, executor, ledger.fail, **more)
    return _gather(dag.label(cls.__table__), results, work.stop, work.advance)


def _both(advance: Callable[[int, int], None], feed: Feed) -> Callable[[int, int], None]:
    """Let the feed know, too, how many keys were done."""

    def both(keys: int, errors: int) -> None:
        feed.learn(keys)
        advance(keys, errors)

    return both


def _gather(
    label: str,
    results: Generator[tuple[int, Outcome], None, None],
    stop: bool,
    advance: Callable[[int, int], None],
) -> Outcome:
    """Add up what workers send back; with `stop`, the first error ends it."""
    whole = Outcome(0, [])
    with closing(results):
        for count, outcome in results:
            whole = Outcome(whole.success + outcome.success, whole.errors + outcome.errors)
            for key, error in outcome.errors:
                extra = {"event": "failed", "table": label, "key": key}
                log.error("make of %s failed for %s: %s", label, key, told(error), extra=extra)
            advance(count, len(whole.errors))
            if whole.errors and stop:
                break
    return whole


def _check_settings(order: str, make_kwargs: Any) -> None:
    if order not in ORDERS:
        guess = nearest(order, ORDERS)
        raise PopulateError(
            f"order is one of {', '.join(ORDERS)}, not {order!r}" + (f"; did you mean {guess!r}?" if guess else "")
        )
    if make_kwargs is not None and not isinstance(make_kwargs, dict):
        raise PopulateError(f"make_kwargs is a dict of arguments for make, not {make_kwargs!r}")


def _whole(name: str, value: Any, what: str, least: int | None = 0) -> int | None:
    """Return a setting that counts something; it may be a number of numpy's."""
    fine = isinstance(value, Integral) and not isinstance(value, bool) and (least is None or int(value) >= least)
    if value is not None and not fine:
        raise PopulateError(f"{name} is a whole number ({what}) or None, not {value!r}")
    return None if value is None else int(value)


def _total(pending: Pending, limit: int | None, max_calls: int | None) -> int:
    return min([pending.count(), *(n for n in (limit, max_calls) if n is not None)])


def _keys(pending: Pending, order: str, limit: int | None, max_calls: int | None) -> Iterator[dict[str, Any]]:
    """Yield the pending keys, as many as may be made."""
    keys = (key for page in pending.pages(order, limit) for key in page)
    return itertools.islice(keys, max_calls)


def populate_all(
    classes: Sequence[type[Any]],
    restrictions: tuple[Any, ...],
    tables: Iterable[type[Any]] | None,
    options: dict[str, Any],
) -> dict[str, Any]:
    """Populate every Imported and Computed table of a pipeline, parents first; see `Lab.populate`."""
    chosen = _auto(classes) if tables is None else [_table(t) for t in ([tables] if isinstance(tables, type) else tables)]
    for table in chosen:
        if dag.tier(table) not in dag.AUTO_TIERS:
            raise PopulateError(
                f"{dag.label(table)} is a {dag.tier(table)} table; populate fills Imported and Computed tables"
            )
    ordered = dag.topological(chosen)
    results: dict[str, dict[str, Any]] = {}
    with ExitStack() as during:
        if options.get("display_progress") is True:
            shared = during.enter_context(Display([dag.label(table) for table in ordered]))
            options = {**options, "display_progress": shared}
        for table in ordered:
            mine = _downstream(table, restrictions)
            results[dag.label(table)] = table.info["class"].populate(*mine, **options)
    return {
        "success_count": sum(r["success_count"] for r in results.values()),
        "error_list": [e for r in results.values() for e in r["error_list"]],
        "tables": results,
    }


def _table(given: Any) -> sa.Table:
    table = vars(given).get("__table__") if isinstance(given, type) else None
    if table is None:
        raise PopulateError(f"tables is a list of table classes, such as tables=[Detection], and {given!r} is none")
    return cast("sa.Table", table)


def _auto(classes: Iterable[type[Any]]) -> list[sa.Table]:
    return [c.__table__ for c in classes if c.__tier__ in dag.AUTO_TIERS]


def _downstream(table: sa.Table, restrictions: tuple[Any, ...]) -> list[Any]:
    """Return the restrictions whose tables lie upstream of `table`, or are it."""
    above = {*dag.ancestors(table)}
    found = []
    for restriction in restrictions:
        relation = to_relation(restriction)
        if relation.table in above:
            found.append(restriction)
    return found
