"""Reflect: working table classes for a database whose source is not at hand.

>>> Old = cdb.reflect("postgresql://lab/old")
>>> Old.Detection & "nblobs < 300"
Detection & 'nblobs < 300'

Tiers come from the table comments that compdb writes (or its system table, where a database has no comments); a table without one is Manual.
Parts, links and keys come from names and foreign keys. Binary columns hold what compdb's codecs wrote, or plain bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Optional

import sqlalchemy as sa
from sqlalchemy import orm

from compdb import codecs, dag, notes, tiers
from compdb.database import Database, connect
from compdb.declare import Key, foreign_key
from compdb.errors import CompdbError

__all__ = ["Stored", "classes", "reflected"]


TIERS = {"lookup": tiers.Lookup, "manual": tiers.Manual, "imported": tiers.Imported, "computed": tiers.Computed}
SKIPPED = (notes.NAME, "alembic_version", "compdb_workers", "compdb_runs")


class Stored(sa.types.TypeDecorator[Any]):
    """Bytes of a database without its source: decoded where they are a blob of compdb, plain bytes otherwise."""

    impl = sa.LargeBinary
    cache_ok = True

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Any:
        """Decode what our codecs wrote."""
        return codecs.decode(value) if value is not None and value[: len(codecs.MARK)] == codecs.MARK else value

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> Any:
        """Encode what is not bytes."""
        return value if value is None or isinstance(value, (bytes, codecs.Encoded)) else codecs.encode(value)


def reflected(url_or_engine: Any, schema: str | None) -> tuple[Database, sa.MetaData, dict[str, str]]:
    """Return the database, its tables as SQLAlchemy reflects them, and the comments that tell their tiers."""
    database = connect(url_or_engine)
    metadata = sa.MetaData(schema=schema)
    with database.reading() as connection:
        metadata.reflect(connection, resolve_fks=True)
        comments = notes.read(connection)
    if not metadata.tables:
        raise CompdbError(
            f"{database.url} has no tables to make classes of" + (f" in schema {schema!r}" if schema else "")
        )
    for table in metadata.tables.values():
        for column in table.columns:
            column.type = database.dialect.reflected(column.type)
        if table.comment:
            comments.setdefault(table.name, table.comment)
    return database, metadata, comments


def classes(pipeline: type[Any], metadata: sa.MetaData, comments: dict[str, str]) -> dict[str, type[Any]]:
    """Declare a class in `pipeline` for each table of `metadata`, parents first, and return them by name."""
    wanted = [t for t in metadata.tables.values() if t.name not in SKIPPED and not t.name.endswith("__jobs")]
    made: dict[str, type[Any]] = {}
    parts = {t: m for t in wanted if (m := _master(t, wanted, comments)) is not None}
    for table in dag.topological(wanted):
        if table in parts:
            continue
        inner = {_class_name(_short(p)): p for p in dag.topological(parts) if parts[p] is table}
        statement = _Statement(table, comments.get(table.name, ""), made)
        namespace = statement.namespace()
        for name, part in inner.items():
            namespace[name] = _part(name, part, comments, made, table)
        metaclass: Any = type(pipeline)
        cls = metaclass(_class_name(table.name), (statement.tier, pipeline), namespace, **statement.keywords())
        made[table.name] = cls
        made.update({p.name: getattr(cls, name) for name, p in inner.items()})
    return {cls.__name__: cls for name, cls in made.items() if cls.__tier__ != "part"}


def _part(
    name: str, part: sa.Table, comments: dict[str, str], made: dict[str, type[Any]], master: sa.Table
) -> type[Any]:
    statement = _Statement(part, comments.get(part.name, ""), made, master=master)
    metaclass: Any = type(tiers.Part)
    return metaclass(name, (tiers.Part,), statement.namespace())  # type: ignore[no-any-return]


def _master(table: sa.Table, tables: Iterable[sa.Table], comments: dict[str, str]) -> sa.Table | None:
    """Return the master of a table whose comment says that it is a part."""
    if not comments.get(table.name, "").startswith("part") or "__" not in table.name:
        return None
    name = table.name.rsplit("__", 1)[0]
    return next((t for t in tables if t.name == name), None)


def _short(part: sa.Table) -> str:
    return part.name.rsplit("__", 1)[1]


def _class_name(name: str) -> str:
    return "".join(word[:1].upper() + word[1:] for word in name.split("_") if word)


class _Statement:
    """A class statement for one reflected table."""

    def __init__(
        self, table: sa.Table, comment: str, made: dict[str, type[Any]], *, master: sa.Table | None = None
    ) -> None:
        self.table, self.made, self.master = table, made, master
        head, _, rest = comment.partition(":")
        known = head.strip() in (*TIERS, "part")
        self.tier = TIERS.get(head.strip(), tiers.Manual)
        self.doc = rest.strip() if known else comment

    def keywords(self) -> dict[str, str]:
        """Say whether its make inserts several rows for a key."""
        if self.tier.__tier__ not in dag.AUTO_TIERS:
            return {}
        covered = {m for e in dag.parents(self.table) if e.primary for m, _ in e.pairs}
        return {} if {c.name for c in self.table.primary_key} <= covered else {"rows_per_key": "many"}

    def namespace(self) -> dict[str, Any]:
        """Return annotations and values: links where foreign keys are, plain attributes for the rest."""
        space: dict[str, Any] = {"__tablename__": self.table.name, "__module__": __name__, "__doc__": self.doc or None}
        annotations: dict[str, Any] = {}
        edges = [e for e in dag.parents(self.table) if e.parent is not self.master or not e.primary]
        linked = {m for e in dag.parents(self.table) for m, _ in e.pairs}
        for column in self.table.columns:
            for edge in [e for e in edges if e.pairs[0][0] == column.name]:
                self._link(edge, space, annotations)
            if column.name not in linked:
                self._native(column, space, annotations)
        space["__annotations__"] = annotations
        return space

    def _link(self, edge: dag.Edge, space: dict[str, Any], annotations: dict[str, Any]) -> None:
        name = edge.parent.name.rsplit("__", 1)[-1]
        if name in annotations or edge.renamed or edge.parent is self.table:
            own = next((m for m, t in edge.pairs if m != t), edge.pairs[0][0])
            name = f"{name}_{own}"
        target: Any = _class_name(self.table.name) if edge.parent is self.table else self.made[edge.parent.name]
        kind: Any = Key if edge.primary else orm.Mapped
        annotations[name] = kind[Optional[target] if edge.nullable else target]  # noqa: UP045 (a name may be text)
        renames = {t: m for m, t in edge.pairs if m != t}
        if renames or (edge.unique and not edge.primary):
            space[name] = foreign_key(rename=renames, unique=edge.unique and not edge.primary)

    def _native(self, column: sa.Column[Any], space: dict[str, Any], annotations: dict[str, Any]) -> None:
        type_ = _generic(column.type)
        kind: Any = Key if column.primary_key else orm.Mapped
        annotations[column.name] = kind[Any]
        space[column.name] = orm.mapped_column(
            type_, nullable=bool(column.nullable), comment=column.comment, server_default=column.server_default
        )


def _generic(type_: sa.types.TypeEngine[Any]) -> sa.types.TypeEngine[Any]:
    """Return a type that all databases have for one that a database reported."""
    try:
        found = type_.as_generic(allow_nulltype=False)
    except NotImplementedError:
        return type_
    return Stored() if isinstance(found, sa.LargeBinary) else found
