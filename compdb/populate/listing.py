"""`Detection.jobs`: the jobs of a table, to look at and to manage; `Lab.jobs`: those of all tables, to look at.

>>> Detection.jobs.refresh()
{'added': 3, 'removed': 0, 're_pended': 0, 'orphaned': 0}
>>> Detection.jobs.progress()
{'pending': 3, 'reserved': 0, 'success': 0, 'error': 0, 'ignore': 0, 'total': 3}
>>> (Detection.jobs.errors & "error_message LIKE 'ValueError%'").delete()      # they are pending again

A job is a row: the key, `status`, `priority`, times, `error_message`, `error_stack`. All operators and fetch verbs work.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Integral, Real
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from compdb import cascade, dag, jobs, types
from compdb import insert as inserting
from compdb.algebra import Relation
from compdb.algebra.heading import Attribute, Heading
from compdb.database import database_of
from compdb.errors import InvalidValue, MissingAttribute, PopulateError, shorten
from compdb.jobs import JobsTable, Queue, Worker, system_tables
from compdb.jobs.queue import insisting
from compdb.populate.keys import Pending
from compdb.populate.reserving import queue_of, refresh

__all__ = ["Jobs", "all_jobs", "all_runs", "jobs_of"]


class Jobs(Relation[Any]):
    """The jobs of one table, or some of them."""

    __slots__ = ()

    @property
    def _facts(self) -> JobsTable:
        assert self.table is not None
        target = self.table.info["target"]
        return jobs.jobs_of(target)

    @property
    def _class(self) -> type[Any]:
        return self._facts.target.info["class"]  # type: ignore[no-any-return]

    def _queue(self) -> Queue:
        return queue_of(Pending(self._class, ()), self.database)

    # ---- some of them

    def _in(self, state: str) -> Jobs:
        found = self & {self._facts.c["status"].name: state}
        assert isinstance(found, Jobs)
        return found

    @property
    def pending(self) -> Jobs:
        """Those that wait for a worker."""
        return self._in("pending")

    @property
    def reserved(self) -> Jobs:
        """Those that a worker has."""
        return self._in("reserved")

    @property
    def errors(self) -> Jobs:
        """Those whose make failed, with message and traceback; a job that is deleted is pending again."""
        return self._in("error")

    @property
    def ignored(self) -> Jobs:
        """Those that are passed over, with the reason."""
        return self._in("ignore")

    @property
    def completed(self) -> Jobs:
        """Those that are done, where the pipeline keeps them (`keep_completed=True`)."""
        return self._in("success")

    def progress(self) -> dict[str, int]:
        """Count the jobs by status."""
        status = self._facts.c["status"].name
        rows = self.select().subquery()
        query = sa.select(rows.c[status], sa.func.count()).group_by(rows.c[status])
        with self.database.reading(query) as connection:
            found = {state: int(count) for state, count in connection.execute(query)}
        counts = {state: found.get(state, 0) for state in ("pending", "reserved", "success", "error", "ignore")}
        return {**counts, "total": sum(counts.values())}

    # ---- managing them

    def refresh(self, *restrictions: Any, priority: int = 5, delay: float = 0) -> dict[str, int]:
        """Make jobs of the keys that the table lacks, and take out what has become pointless.

        Parameters
        ----------
        *restrictions
            As for `populate`.
        priority : int
            Of the new jobs; the smaller, the sooner.
        delay : float, s
            New jobs are not due before so long from now.

        Returns
        -------
        dict
            How many jobs were `added`, `removed` (their result is there, or their key no longer in the key source),
            `re_pended` (completed, but the result is gone) and `orphaned` (taken over from dead workers).
        """
        for name, value, kind in (("priority", priority, Integral), ("delay", delay, Real)):
            if not isinstance(value, kind) or isinstance(value, bool):
                raise PopulateError(f"{name} of {self.label}.refresh is a number, not {value!r}")
        queue = self._queue()
        priority, delay = int(priority), float(delay)
        counts = refresh(self._class, queue, restrictions, priority=priority, delay=delay)
        worker = Worker(queue.database, queue, self._class.__catalog__.settings.lease)
        return {**counts, "orphaned": worker.look(now=True)}

    def reserve(self, key: Mapping[str, Any], *, lease: float | None = None) -> bool:
        """Reserve the pending job of `key` for this process, to make it by hand; say whether it is ours now.

        It stays so for the lease of the pipeline (or `lease` seconds); `complete` or `error` ends it.
        """
        queue, named = self._queue(), self._named(key)
        settings = self._class.__catalog__.settings
        worker = Worker(queue.database, queue, settings.lease if lease is None else lease)
        worker.register()
        return bool(queue.reserve(worker.about, 1, queue.named([named])))

    def complete(self, key: Mapping[str, Any]) -> None:
        """Remove the job of `key`, or keep it as completed where the pipeline says so: it is done."""
        queue, named = self._queue(), self._named(key)
        keep = bool(self._class.__catalog__.settings.keep_completed)
        insisting(queue.database, lambda connection: queue.note_done(connection, named, keep=keep))

    def error(self, key: Mapping[str, Any], error_message: str, error_stack: str | None = None) -> None:
        """Note that `key` failed."""
        queue, named = self._queue(), self._named(key)
        with self._telling(queue, named):
            insisting(queue.database, lambda connection: queue.note_error(connection, named, error_message, error_stack))

    def ignore(self, key: Mapping[str, Any], reason: str = "") -> None:
        """Have `key` passed over from now on, by every populate, whether it has a job or not."""
        queue, named = self._queue(), self._named(key)
        values = tuple(named[n] for n in self._facts.keys)
        with self._telling(queue, named):
            insisting(queue.database, lambda connection: queue.ignore(connection, {values: reason}))

    def delete(self, prompt: bool | None = False, dry_run: bool = False, part_integrity: str = "enforce") -> Any:
        """Delete these jobs, without asking: their keys are pending again, unless their result is there."""
        keys = None if self.equality is not None and not self.equality else self.keys_select()
        assert self.table is not None
        with self.telling() as database:
            return cascade.delete(
                database, self.table, keys, prompt=prompt, dry_run=dry_run, part_integrity=part_integrity
            )

    @contextmanager
    def _telling(self, queue: Queue, named: Mapping[str, Any]) -> Iterator[None]:
        """Tell of a key whose parents are not there in their names."""
        try:
            yield
        except exc.DBAPIError as error:
            raise inserting.translate(queue.database, self._facts.table, [named], error) from error

    def _named(self, key: Mapping[str, Any]) -> dict[str, Any]:
        facts = self._facts
        label = dag.label(facts.table)
        if not isinstance(key, Mapping):
            raise InvalidValue(f"a key is a dict of {', '.join(facts.keys)}, not {shorten(key)}", value=key, table=label)
        missing = [n for n in facts.keys if n not in key]
        if missing:
            raise MissingAttribute(label, missing, dict(key))
        return {n: _key_value(facts.table.c[n], key[n], label) for n in facts.keys}


def _key_value(column: sa.Column[Any], value: Any, label: str) -> Any:
    """Return a value as the key of a row has it: a number of numpy's is one of Python's there."""
    try:
        return types.adapter(column.type, False, True).one(value)
    except InvalidValue as error:
        raise error.at(table=label, attribute=column.name) from None


def jobs_of(cls: type[Any]) -> Jobs:
    """Return the jobs of an Imported or Computed table."""
    found = Jobs.of(jobs.jobs_of(cls.__table__).table)
    assert isinstance(found, Jobs)
    return found


def all_jobs(metadata: sa.MetaData) -> Relation[Any]:
    """Return the jobs of all tables of a pipeline as one relation, for reading; the key is JSON."""
    found = [j for t in metadata.tables.values() if isinstance(j := t.info.get("jobs"), JobsTable)]
    if not found:
        raise PopulateError(
            f"{metadata.info.get('pipeline', 'the pipeline')} has no Imported or Computed table, so it has no jobs"
        )
    dialect = database_of(metadata).dialect
    shown = [n for n in found[0].c if n != "lease_token"]
    selects = [
        sa.select(
            sa.literal(j.target.key, sa.String(255)).label("table_name"),
            dialect.json_text({n: j.table.c[n] for n in j.keys}).label("key"),
            *(j.c[n].label(n) for n in shown),
        )
        for j in found
    ]
    union = sa.union_all(*selects).subquery("jobs")
    template: Sequence[Any] = [
        ("table_name", sa.String(255)),
        ("key", sa.Text()),
        *((n, found[0].c[n].type) for n in shown),
    ]
    heading = Heading(
        Attribute(
            name, union.c[name], name in ("table_name", "key"), type_, name not in ("table_name", "key", "status")
        )
        for name, type_ in template
    )
    return Relation(source=union, heading=heading, tables=frozenset(j.table for j in found), history="jobs")


def all_runs(metadata: sa.MetaData) -> Relation[Any]:
    """Return the lines of every make that was kept."""
    return Relation.of(system_tables(metadata)[1])
