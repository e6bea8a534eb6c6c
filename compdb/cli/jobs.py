"""`compdb jobs`: what workers have, what failed, what is passed over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cyclopts import App
from rich.console import RenderableType
from rich.text import Text

from compdb import dag
from compdb.cli.answer import Answer, count, table
from compdb.cli.choice import Conditions, named, populated
from compdb.cli.place import HERE, Place
from compdb.errors import SettingsError

__all__ = ["jobs"]

jobs = App(name="jobs")
STATES = ("pending", "reserved", "error", "ignore", "success")


@jobs.default
def overview(*tables: str, place: Place = HERE) -> Answer:
    """Look at the jobs of each table, and manage those that failed.

    A key has a job from when a worker finds it missing until its result is there: `pending`, `reserved` by a worker, `error` or
    `ignore`. Without a verb their numbers are shown; `compdb status` counts the keys that have no job yet as well.

    Parameters
    ----------
    tables : str
        Only these.
    """
    found = {dag.label(c.__table__): c.jobs.progress() for c in populated(place.connect(), tables)}
    names = [n for n in STATES if n != "success" or any(counts[n] for counts in found.values())]
    drawn = table("table", *names, numbers=names)
    for name, counts in found.items():
        drawn.add_row(name, *(count(counts[n], "red" if n == "error" else "yellow") for n in names))
    return Answer({"tables": [{"table": name, **counts} for name, counts in found.items()]}, [drawn])


@jobs.command
def errors(*tables: str, where: Sequence[str] = (), traceback: bool = False, place: Place = HERE) -> Answer:
    """Show the keys whose make failed, and what it raised.

    Parameters
    ----------
    tables : str
        Only these.
    where : str, optional
        Only these jobs, as in --where "error_message LIKE 'ValueError%'"; see `compdb populate`.
    traceback : bool
        Show the tracebacks, too.
    """
    return _listed(place, tables, where, "errors", traceback)


@jobs.command
def ignored(*tables: str, where: Sequence[str] = (), place: Place = HERE) -> Answer:
    """Show the keys that are passed over, and why.

    Parameters
    ----------
    tables : str
        Only these.
    where : str, optional
        Only these jobs; see `compdb populate`.
    """
    return _listed(place, tables, where, "ignored", False)


@jobs.command
def retry(*tables: str, where: Sequence[str] = (), ignored: bool = False, place: Place = HERE) -> Answer:
    """Make the keys that failed pending again.

    Parameters
    ----------
    tables : str
        Only these.
    where : str, optional
        Only these jobs, as in --where "error_message LIKE 'ValueError%'"; see `compdb populate`.
    ignored : bool
        Take those that are passed over instead.
    """
    chosen = _chosen(place, tables, where, "ignored" if ignored else "errors")
    renewed = {name: relation.delete() for name, relation in chosen.items()}
    total = sum(renewed.values())
    told = f"{total} key{'' if total == 1 else 's'} pending again" + ("; compdb populate makes them" if total else "")
    return Answer({"tables": renewed, "retried": total}, [told])


@jobs.command
def ignore(
    table: str, *, where: Sequence[str] = (), reason: str = "", every: bool = False, place: Place = HERE
) -> Answer:
    """Have keys passed over from now on, by every populate and worker.

    Parameters
    ----------
    table : str
        The table that is not to be populated with them.
    where : str, optional
        Which keys, as in --where "image_id = 3"; see `compdb populate`. Those that have a result stay as they are.
    reason : str
        Why, for those who wonder.
    every : bool
        All keys that have no result yet, without --where.
    """
    if bool(where) == every:
        raise SettingsError('which keys? --where "image_id = 3", or --every for all that have no result yet')
    pipelines = place.connect()
    (cls,) = populated(pipelines, [table])
    conditions = Conditions(pipelines, where)
    conditions.check([cls])
    lacking = cls.key_source.proj() - cls
    for condition in conditions.of(cls):
        lacking = lacking & condition
    keys = lacking.keys()
    for key in keys:
        cls.jobs.ignore(key, reason)
    label = dag.label(named(pipelines, table).__table__)
    return Answer({"table": label, "ignored": keys, "reason": reason}, [f"{label}: {len(keys)} ignored"])


def _chosen(place: Place, tables: Sequence[str], where: Sequence[str], state: str) -> dict[str, Any]:
    """Return, for each table, its jobs of one state."""
    pipelines = place.connect()
    classes = populated(pipelines, tables)
    conditions = Conditions(pipelines, where)
    conditions.check(classes, "jobs")
    found: dict[str, Any] = {}
    for cls in classes:
        relation = getattr(cls.jobs, state)
        for condition in conditions.of(cls):
            relation = relation & condition
        found[dag.label(cls.__table__)] = relation
    return found


def _listed(place: Place, tables: Sequence[str], where: Sequence[str], state: str, traceback: bool) -> Answer:
    entries = []
    for name, relation in _chosen(place, tables, where, state).items():
        for row in relation.to_dicts(order_by="KEY"):
            key = {n: row[n] for n in relation.primary_key}
            entries.append({"table": name, "key": key, **{n: v for n, v in row.items() if n not in key}})
    shown: list[RenderableType] = []
    if traceback:
        for entry in entries:
            shown += [Text(f"{entry['table']} {entry['key']}", style="bold"), Text(entry["error_stack"] or "")]
    elif entries:
        drawn = table("table", "key", "when", "why" if state == "ignored" else "error")
        for entry in entries:
            when = entry["completed_time"]
            message = (entry["error_message"] or "").splitlines() or [""]
            drawn.add_row(entry["table"], str(entry["key"]), f"{when:%Y-%m-%d %H:%M:%S}" if when else "", message[0])
        shown.append(drawn)
    else:
        shown.append("none")
    return Answer({"jobs": entries}, shown)
