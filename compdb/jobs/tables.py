"""The tables of jobs: one for each Imported and Computed table, one of workers and one of runs for each database.

`<table>__jobs` has the key that the key source of its table supplies, in the types of that table, and its foreign keys to the parents, but
ON DELETE CASCADE: a parent that goes takes the jobs along, so that no result of an input that was deleted can ever be committed. They
stand in the MetaData of their pipeline, where alembic finds them, with tier `jobs`, which leaves them out of everything else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from compdb import dag, dialects, types
from compdb.errors import DeclarationError

__all__ = ["RUNS", "STATES", "WORKERS", "JobsTable", "declare_jobs", "jobs_of", "system_tables"]

STATES = ("pending", "reserved", "error", "ignore", "success")
WORKERS, RUNS = "compdb_workers", "compdb_runs"
INDEX_BYTES = 3072 - 64  # what status, priority and time leave of an index of MySQL for a key
INDEX_COLUMNS = 16 - 3


@dataclass(frozen=True)
class JobsTable:
    """The jobs table of a table.

    Attributes
    ----------
    table, target : Table
        The jobs table, and the table whose jobs it has.
    keys : tuple of str
        The attributes of its key.
    c : mapping of str to Column
        Its other columns, by the name they have where no key attribute is in the way.
    """

    table: sa.Table
    target: sa.Table
    keys: tuple[str, ...]
    c: Mapping[str, sa.Column[Any]]

    @property
    def key(self) -> list[sa.Column[Any]]:
        """The columns of the key."""
        return [self.table.c[n] for n in self.keys]

    @property
    def workers(self) -> sa.Table:
        """The table of workers of the same pipeline."""
        return self.table.metadata.tables[WORKERS]

    @property
    def runs(self) -> sa.Table:
        """The table of runs of the same pipeline."""
        return self.table.metadata.tables[RUNS]

    def same_key(self, other: sa.FromClause) -> sa.ColumnElement[bool]:
        """Return the condition that a row of `other` has the key of the job."""
        return sa.and_(*(other.c[n] == self.table.c[n] for n in self.keys))


def jobs_of(table: sa.Table) -> JobsTable:
    """Return the jobs table of an Imported or Computed table.

    Raises
    ------
    DeclarationError
        For any other table.
    """
    found = table.info.get("jobs")
    if not isinstance(found, JobsTable):
        raise DeclarationError(f"{dag.label(table)} has no jobs: only Imported and Computed tables are populated")
    return found


def declare_jobs(cls: type[Any]) -> None:
    """Declare the jobs table of `cls`, and those of workers and runs, in the MetaData of its pipeline."""
    target: sa.Table = cls.__table__
    metadata = target.metadata
    system_tables(metadata)
    keys = _keys(cls, target)
    columns = {name: _column(name, keys) for name in _COLUMNS}
    table = sa.Table(
        f"{target.name}__jobs",
        metadata,
        *(_key_column(target.c[n]) for n in keys),
        *columns.values(),
        *_parents(target, keys),
        schema=target.schema,
        comment=f"jobs: the keys of {dag.label(target)} that are to be made, being made, or not",
        info={
            "tier": "jobs",
            "label": f"{dag.label(target)}.jobs",
            "pipeline": target.info.get("pipeline"),
            "target": target,
        },
        **_options(),
    )
    size = sum(types.key_bytes(table.c[n].type) for n in keys)
    fitting = keys if size <= INDEX_BYTES and len(keys) <= INDEX_COLUMNS else ()
    sa.Index(None, *(columns[n] for n in ("status", "priority", "scheduled_time")), *(table.c[n] for n in fitting))
    target.info["jobs"] = JobsTable(table, target, keys, columns)
    dag.changed()


def system_tables(metadata: sa.MetaData) -> tuple[sa.Table, sa.Table]:
    """Return the tables of workers and of runs in `metadata`, declared at the first asking."""
    found = [metadata.tables.get(name) for name in (WORKERS, RUNS)]
    workers = (
        found[0] if found[0] is not None else _declare(metadata, WORKERS, "the workers that are alive", _workers())
    )
    runs = found[1] if found[1] is not None else _declare(metadata, RUNS, "every make that was kept", _runs())
    return workers, runs


def _declare(metadata: sa.MetaData, name: str, comment: str, columns: list[sa.Column[Any]]) -> sa.Table:
    return sa.Table(
        name,
        metadata,
        *columns,
        schema=sa.schema.BLANK_SCHEMA,  # one for all pipelines of a database
        comment=f"jobs: {comment}",
        info={"tier": "jobs", "label": name, "system": True},
        **_options(),
    )


def _options() -> dict[str, Any]:
    return dict(dialects.TABLE_OPTIONS)


# ---------------------------------------------------------------- columns


def _text(length: int) -> Any:
    return types.portable(sa.String(length))


def _long_text() -> Any:
    return types.portable(sa.Text())


def _time() -> Any:
    return types.portable(sa.DateTime())


_COLUMNS: dict[str, Any] = {
    "status": lambda: (types.Choice(STATES, length=16), False, "pending, reserved, error, ignore or success"),
    "priority": lambda: (sa.Integer(), False, "the smaller, the sooner"),
    "created_time": lambda: (_time(), False, "UTC, as all times, on the clock of the database"),
    "scheduled_time": lambda: (_time(), False, "not before this time"),
    "reserved_time": lambda: (_time(), True, None),
    "completed_time": lambda: (_time(), True, None),
    "duration": lambda: (sa.Double(), True, "seconds that its make took"),
    "attempts": lambda: (sa.Integer(), False, "how many makes of it failed"),
    "crashes": lambda: (sa.Integer(), False, "how many workers died that had reserved it"),
    "worker_id": lambda: (_text(32), True, "who has reserved it"),
    "lease_token": lambda: (_text(32), True, "of this reservation and no other"),
    "host": lambda: (_text(255), True, None),
    "pid": lambda: (sa.BigInteger(), True, None),
    "error_message": lambda: (_text(2047), True, "what was raised, or why it is ignored"),
    "error_stack": lambda: (_long_text(), True, "the traceback"),
}
_DEFAULTS = {"status": "pending", "priority": 5, "attempts": 0, "crashes": 0}


def _column(name: str, keys: tuple[str, ...]) -> sa.Column[Any]:
    type_, nullable, comment = _COLUMNS[name]()
    default: Any = dialects.utcnow() if name in ("created_time", "scheduled_time") else None
    if name in _DEFAULTS:
        default = sa.text(repr(_DEFAULTS[name]))
    own = name if name not in keys else f"job_{name}"
    return sa.Column(own, type_, nullable=nullable, comment=comment, server_default=default)


def _keys(cls: type[Any], target: sa.Table) -> tuple[str, ...]:
    """Return the attributes that the key source supplies, as far as the declaration tells."""
    own = [str(c.name) for c in target.primary_key]
    if getattr(cls, "rows_per_key", None) != "many":
        return tuple(own)
    inherited = {e.parent.name for c in _key_constraints(target, own) for e in c.elements}
    with suppress(Exception):  # a property of the user's may name what is not declared yet
        inherited |= set(cls.key_source.primary_key)
    return tuple(n for n in own if n in inherited)


def _key_column(column: sa.Column[Any]) -> sa.Column[Any]:
    type_ = column.type.copy() if isinstance(column.type, sa.types.SchemaType) else column.type
    return sa.Column(column.name, type_, primary_key=True, autoincrement=False, comment=column.comment)


def _key_constraints(target: sa.Table, keys: Iterable[str]) -> list[sa.ForeignKeyConstraint]:
    own = set(keys)
    found = [c for c in target.foreign_key_constraints if {e.parent.name for e in c.elements} <= own]
    return sorted(found, key=lambda c: [e.parent.name for e in c.elements])


def _parents(target: sa.Table, keys: tuple[str, ...]) -> list[sa.ForeignKeyConstraint]:
    """Return the foreign keys of the target that lie in the key, as those of its jobs."""
    found = []
    for constraint in _key_constraints(target, keys):
        mine = [e.parent.name for e in constraint.elements]
        found.append(
            sa.ForeignKeyConstraint(mine, [_refers(e, target) for e in constraint.elements], ondelete="CASCADE")
        )
    return found


def _refers(element: sa.ForeignKey, target: sa.Table) -> Any:
    try:
        column = element.column
    except exc.NoReferenceError:  # a plain model's, to a table that is declared later
        return element.target_fullname
    return column if column.table.metadata is not target.metadata else f"{column.table.fullname}.{column.name}"


def _workers() -> list[sa.Column[Any]]:
    return [
        sa.Column("worker_id", _text(32), primary_key=True),
        sa.Column(
            "machine", _text(64), nullable=False, comment="this boot of this machine; empty where that is not known"
        ),
        sa.Column("host", _text(255), nullable=False),
        sa.Column("pid", sa.BigInteger(), nullable=False),
        sa.Column("pid_start", sa.BigInteger(), nullable=False, comment="tells processes of one number apart"),
        sa.Column("user", _text(255), nullable=False),
        sa.Column("started_time", _time(), nullable=False, server_default=dialects.utcnow()),
        sa.Column("lease_until", _time(), nullable=False, comment="taken for dead from then on"),
    ]


def _runs() -> list[sa.Column[Any]]:
    return [
        sa.Column("run_id", types.portable(sa.BigInteger()), primary_key=True, autoincrement=True),
        sa.Column("table_name", _text(255), nullable=False),
        sa.Column("key", _long_text(), nullable=False, comment="as JSON"),
        sa.Column("started_time", _time(), nullable=False, comment="UTC, on the clock of the database"),
        sa.Column("seconds", sa.Double(), nullable=False, comment="that its make took"),
        sa.Column("worker_id", _text(32), nullable=False),
        sa.Column("host", _text(255), nullable=False),
        sa.Column("user", _text(255), nullable=False),
        sa.Column("version", _text(64), nullable=False, comment="of the code of the make: a digest of its source"),
    ]
