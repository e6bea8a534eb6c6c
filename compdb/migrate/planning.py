"""Planning: the operations that lead from one state of tables to another.

It is asked twice for every revision, once for each direction. The order holds on every database: results that no longer fit go first;
then the foreign keys that are in the way (a key or a type cannot change under them); then each table changes, its rows are given what
they lack, and it is made strict again; then come new tables, and the foreign keys; last go tables that nobody wants, and rows of lookups
to which others referred.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import sqlalchemy as sa
from alembic.operations import MigrateOperation, ops
from sqlalchemy.sql.elements import conv

from compdb.migrate.building import (
    alter_column,
    batch,
    change_rows,
    create_foreign_key,
    create_index,
    create_table,
    drop_constraint,
    made_column,
)
from compdb.migrate.lookups import RowChanges
from compdb.migrate.operations import AlterColumn, CreateCheck, CreateKey, Fill, Inherit, Recompute
from compdb.migrate.renames import Renames, renamed
from compdb.schema import Column, ForeignKey, Place, Table, align
from compdb.schema.compare import same_column, same_item, same_type

__all__ = ["plan"]

State = Mapping[Place, Table]


def plan(
    before: State, after: State, dialect: sa.Dialect, renames: Renames, rows: Mapping[Place, RowChanges]
) -> list[MigrateOperation]:
    """Return the operations that lead from `before` to `after`.

    Parameters
    ----------
    before, after : mapping of place to Table
        Parents stand before their children.
    renames : mapping
        Columns that only change their names.
    rows : mapping
        What is to be done to the rows of lookups.
    """
    return list(_Plan(before, after, dialect, renames, rows).operations())


@dataclass
class _Change:
    """What happens to one table that stays."""

    old: Table
    new: Table
    renames: Mapping[str, str]
    emptied: bool = False
    drops: list[MigrateOperation] = field(default_factory=list)
    loosen: list[MigrateOperation] = field(default_factory=list)
    fills: list[MigrateOperation] = field(default_factory=list)
    tighten: list[MigrateOperation] = field(default_factory=list)
    dropped: list[MigrateOperation] = field(default_factory=list)
    key: list[MigrateOperation] = field(default_factory=list)
    items: list[MigrateOperation] = field(default_factory=list)
    old_keys: list[ForeignKey] = field(default_factory=list)
    new_keys: list[ForeignKey] = field(default_factory=list)
    cleared: list[MigrateOperation] = field(default_factory=list)
    refilled: list[MigrateOperation] = field(default_factory=list)
    leaving: list[MigrateOperation] = field(default_factory=list)

    @property
    def strict(self) -> list[MigrateOperation]:
        """What can be done once the rows have what they need."""
        return [*self.tighten, *self.dropped, *self.key, *self.items]


class _Plan:
    def __init__(
        self, before: State, after: State, dialect: sa.Dialect, renames: Renames, rows: Mapping[Place, RowChanges]
    ) -> None:
        self.dialect = dialect
        self.rows = rows
        self.before = {
            place: align(table, after[place], dialect) if place in after else table
            for place, table in renamed(before, renames).items()
        }
        self.after = after
        self.gone = [table for place, table in self.before.items() if place not in after]
        self.new = [table for place, table in after.items() if place not in before]
        self.changes = {
            place: _Change(self.before[place], table, renames.get(place, {}))
            for place, table in after.items()
            if place in before
        }

    def operations(self) -> Iterator[MigrateOperation]:
        """Yield the operations in an order that holds on every database."""
        changes = list(self.changes.values())
        yield from self._recompute()
        for change in changes:
            self._foreign_keys(change)
        for change in changes:
            self._items(change)
            self._columns(change)
            self._key(change)
        for change in reversed(changes):
            yield from batch(change.new, [drop_constraint(change.new, key, "foreignkey") for key in change.old_keys])
        for change in changes:
            yield from self._altered(change)
        for table in self.new:
            yield from create_table(table)
            if table.place in self.rows:
                yield from change_rows(self.rows[table.place], "insert")
        for change in changes:
            yield from batch(change.new, [create_foreign_key(change.new, key) for key in change.new_keys])
        for table in _children_first(self.gone):
            yield ops.DropTableOp(table.name, schema=table.schema)
        for change in reversed(changes):
            yield from change.leaving
        for change in changes:
            yield from self._comment(change)

    # ---------------------------------------------------------------- results that go

    def _recompute(self) -> Iterator[MigrateOperation]:
        emptied = [change for change in self.changes.values() if self._is_unfit(change)]
        while more := [c for c in self.changes.values() if c not in emptied and self._builds_on(c, emptied)]:
            emptied += more
        for change in emptied:
            change.emptied = True
        schemas = dict.fromkeys(change.old.schema for change in emptied)
        for schema in schemas:
            mine = _children_first([change.old for change in emptied if change.old.schema == schema])
            yield Recompute(*(table.name for table in mine), schema=schema)

    def _is_unfit(self, change: _Change) -> bool:
        """Tell whether rows of a table that populate fills cannot stay: its key gains a column, or loses one."""
        gained = set(change.new.key) - set(change.old.columns)
        lost = set(change.old.key) - set(change.new.key)
        return bool(gained or lost) and self._is_made(change.old)

    def _is_made(self, table: Table) -> bool:
        if table.tier == "part":
            master = self.before.get((table.schema, table.name.rpartition("__")[0]))
            return master is not None and self._is_made(master)
        return table.tier in ("imported", "computed", "jobs")

    def _builds_on(self, change: _Change, emptied: Sequence[_Change]) -> bool:
        parents = {key.parent for key in change.old.foreign_keys.values()}
        return self._is_made(change.old) and any(c.old.place in parents for c in emptied)

    # ---------------------------------------------------------------- foreign keys

    def _foreign_keys(self, change: _Change) -> None:
        old, new = change.old.foreign_keys, change.new.foreign_keys
        for name, key in old.items():
            kept = name in new and same_item(key, new[name])
            if not kept or self._is_disturbed(change, key):
                change.old_keys.append(key)
                if kept:
                    change.new_keys.append(new[name])
        change.new_keys += [key for name, key in new.items() if name not in old or not same_item(old[name], key)]

    def _is_disturbed(self, change: _Change, key: ForeignKey) -> bool:
        """Tell whether a foreign key stands in the way of a change on either side, or loses the index that it uses."""
        parent = self.changes.get(key.parent)
        if self._changes(change, key.columns) or (parent is not None and self._changes(parent, key.refers)):
            return True
        old, new = change.old, change.new
        lost = [
            i.columns or () for n, i in old.indexes.items() if n not in new.indexes or not same_item(i, new.indexes[n])
        ]
        lost += [u.columns for n, u in old.uniques.items() if n not in new.uniques or not same_item(u, new.uniques[n])]
        return any(columns[: len(key.columns)] == key.columns for columns in lost)

    def _changes(self, change: _Change, columns: Iterable[str]) -> bool:
        if set(change.old.key) != set(change.new.key):
            return True
        for name in columns:
            old, new = change.old.columns.get(name), change.new.columns.get(name)
            if old is None or new is None or name in change.renames.values():
                return True
            if not same_type(old, new, self.dialect) or old.nullable != new.nullable:
                return True
        return False

    # ---------------------------------------------------------------- the other constraints

    def _items(self, change: _Change) -> None:
        old, new = change.old, change.new
        for name, check in old.checks.items():
            if name not in new.checks or not same_item(check, new.checks[name]):
                change.drops.append(drop_constraint(new, check, "check"))
        for name, unique in old.uniques.items():
            if name not in new.uniques or not same_item(unique, new.uniques[name]):
                change.drops.append(drop_constraint(new, unique, "unique"))
        for name, index in old.indexes.items():
            if name not in new.indexes or not same_item(index, new.indexes[name]):
                change.drops.append(ops.DropIndexOp(conv(name), new.name, schema=new.schema))
        for name, unique in new.uniques.items():
            if name not in old.uniques or not same_item(old.uniques[name], unique):
                change.items.append(
                    ops.CreateUniqueConstraintOp(conv(name), new.name, list(unique.columns), schema=new.schema)
                )
        for name, check in new.checks.items():
            if name not in old.checks or not same_item(old.checks[name], check):
                change.items.append(CreateCheck(conv(name), new.name, check.made, schema=new.schema))
        for name, index in new.indexes.items():
            if name not in old.indexes or not same_item(old.indexes[name], index):
                change.items.append(create_index(new, index))

    def _key(self, change: _Change) -> None:
        old, new = change.old, change.new
        if set(old.key) == set(new.key):
            return
        if old.key:
            name = conv(old.key_name or new.key_name or f"pk_{old.name}")
            change.drops.append(ops.DropConstraintOp(name, new.name, type_="primary", schema=new.schema))
        change.key.append(CreateKey(conv(new.key_name or f"pk_{new.name}"), new.name, list(new.key), schema=new.schema))

    # ---------------------------------------------------------------- columns

    def _columns(self, change: _Change) -> None:
        old, new = change.old, change.new
        for name, column in new.columns.items():
            former = old.columns.get(name)
            if former is None:
                self._added(change, column)
            elif not same_column(former, column, self.dialect) or former.comment != column.comment:
                self._changed(change, former, column)
        for name in old.columns:
            if name not in new.columns:
                change.dropped.append(ops.DropColumnOp(new.name, name, schema=new.schema))
        if not change.emptied:
            change.fills = [*self._inherited(change), *change.fills]
        if new.place in self.rows:
            self._rows(change, self.rows[new.place])

    def _rows(self, change: _Change, rows: RowChanges) -> None:
        """Put the changes of a lookup's rows where its constraints, and those that refer to it, allow them."""
        if rows.anew:
            change.cleared = change_rows(rows, "delete")
            change.refilled = change_rows(replace(rows, key=change.new.key), "insert")
        elif set(change.old.key) != set(change.new.key):
            change.fills += change_rows(rows, "delete", "update")
            change.refilled = change_rows(replace(rows, key=change.new.key), "insert")
        elif rows.delete and self._is_held(change.new.place):
            change.fills += [*change_rows(rows, "insert"), *change_rows(rows, "update")]
            change.leaving = change_rows(rows, "delete")
        else:
            change.fills += change_rows(rows, "insert", "update", "delete")

    def _is_held(self, place: Place) -> bool:
        """Tell whether rows that go may be referred to until the end: by a lookup whose rows change, or by a table that goes."""
        return any(
            key.parent == place and (child in self.rows or child not in self.after)
            for child, table in self.before.items()
            for key in table.foreign_keys.values()
        )

    def _added(self, change: _Change, column: Column) -> None:
        table = change.new
        free = column.nullable or column.made_default is not None or column.computed is not None or column.autoincrement
        emptied = change.emptied or (table.place in self.rows and self.rows[table.place].anew)
        free = free or (emptied and set(change.old.key) != set(change.new.key))  # no rows, and made anew on SQLite
        loose = column if free else replace(column, nullable=True)
        change.loosen.append(ops.AddColumnOp(table.name, made_column(loose, key=False), schema=table.schema))
        if free:
            return
        self._fill(change, column)
        change.tighten.append(alter_column(table, loose, column, self.dialect))

    def _fill(self, change: _Change, column: Column) -> None:
        """Ask the user for the value that rows get, unless there are none, or it is known."""
        table = change.new
        inherited = {name for operation in self._inherited(change) for name in operation.columns}
        if not change.emptied and table.place not in self.rows and column.name not in inherited:
            change.fills.append(Fill(table.name, column.name, None, table.schema))

    def _inherited(self, change: _Change) -> Iterator[Inherit]:
        """Return what rows get from their parents: columns by which a foreign key has grown."""
        for key in change.new.foreign_keys.values():
            pairs = dict(zip(key.columns, key.refers))
            for former in change.old.foreign_keys.values():
                on = dict(zip(former.columns, former.refers))
                more = {mine: theirs for mine, theirs in pairs.items() if mine not in change.old.columns}
                if former.parent == key.parent != change.new.place and more and on.items() <= pairs.items():
                    yield Inherit(change.new.name, key.parent[1], more, on, change.new.schema, key.parent[0])
                    break

    def _changed(self, change: _Change, old: Column, new: Column) -> None:
        table = change.new
        if old.nullable and not new.nullable:
            loose = replace(new, nullable=True)
            if not same_column(old, loose, self.dialect) or old.comment != new.comment:
                change.loosen.append(alter_column(table, old, loose, self.dialect))
            self._fill(change, new)
            change.tighten.append(alter_column(table, loose, new, self.dialect))
        else:
            change.loosen.append(alter_column(table, old, new, self.dialect))

    # ---------------------------------------------------------------- in order

    def _altered(self, change: _Change) -> Iterator[MigrateOperation]:
        table = change.new
        yield from change.cleared
        if change.renames:
            yield from batch(table, change.drops)
            for old_name, new_name in change.renames.items():
                column = change.old.columns[new_name]
                yield AlterColumn(
                    table.name,
                    old_name,
                    schema=table.schema,
                    modify_name=new_name,
                    existing_type=column.type,
                    existing_nullable=column.nullable,
                    existing_server_default=column.made_default,
                    existing_comment=column.comment,
                )
            change.drops = []
        if change.fills:
            yield from batch(table, [*change.drops, *change.loosen])
            yield from change.fills
            yield from batch(table, change.strict)
        else:
            yield from batch(table, [*change.drops, *change.loosen, *change.strict])
        yield from change.refilled

    def _comment(self, change: _Change) -> Iterator[MigrateOperation]:
        old, new = change.old, change.new
        if old.comment == new.comment:
            return
        if new.comment is None:
            yield ops.DropTableCommentOp(new.name, schema=new.schema, existing_comment=old.comment)
        else:
            yield ops.CreateTableCommentOp(new.name, new.comment, schema=new.schema, existing_comment=old.comment)


def _children_first(tables: Sequence[Table]) -> list[Table]:
    places = {table.place: table for table in tables}
    done: dict[Place, Table] = {}

    def visit(table: Table) -> None:
        for key in table.foreign_keys.values():
            if key.parent in places and key.parent not in done and key.parent != table.place:
                visit(places[key.parent])
        done[table.place] = table

    for table in tables:
        if table.place not in done:
            visit(table)
    return list(done.values())[::-1]
