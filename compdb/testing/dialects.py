"""The suite that a database must pass before compdb may store values in it.

    from compdb.testing.dialects import TypeConformance

    class TestTypesOnMyDatabase(TypeConformance):
        @pytest.fixture
        def engine(self):
            return sa.create_engine("mydatabase://...")

Each rule is tried with every `Hazard`: what goes in comes out equal, equality in WHERE is that of Python, keys that differ stay
different, and order is Python's. The engine's database must be empty of tables named `conformance_...`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from compdb.errors import InvalidValue
from compdb.testing.columns import same
from compdb.testing.hazards import HAZARDS, Hazard
from compdb.types import NOTHING, Adapter, Choice, adapter, check_key_type, check_type

__all__ = ["TypeConformance"]

_COUNT = itertools.count(1)

each_hazard = pytest.mark.parametrize("hazard", HAZARDS, ids=repr)
each_comparable = pytest.mark.parametrize(
    "hazard", [h for h in HAZARDS if h.name not in ("json", "blob", "small_blob")], ids=repr
)
each_key = pytest.mark.parametrize("hazard", [h for h in HAZARDS if check_key_type(h.type) is None], ids=repr)


class TypeConformance:
    """Subclass it, and give it a fixture `engine`.

    Attributes
    ----------
    table_options : mapping
        Keyword arguments of every `sa.Table`, such as the binary collation on MySQL and MariaDB.
    """

    table_options: ClassVar[Mapping[str, Any]] = {
        "mysql_engine": "InnoDB",
        "mysql_charset": "utf8mb4",
        "mysql_collate": "utf8mb4_0900_bin",
        "mariadb_engine": "InnoDB",
        "mariadb_charset": "utf8mb4",
        "mariadb_collate": "utf8mb4_nopad_bin",
    }

    @contextmanager
    def table(
        self, engine: sa.Engine, type_: sa.types.TypeEngine[Any], *, key: bool = False
    ) -> Iterator[tuple[sa.Connection, sa.Table]]:
        """Make a table with the columns `number` and `value`, and drop it at the end.

        A name is never used twice, so that no driver finds a prepared statement of the table before.
        """
        number = sa.Column("number", sa.Integer, primary_key=not key, autoincrement=False)
        value = sa.Column("value", type_, primary_key=key, nullable=not key, autoincrement=False)
        table = sa.Table(f"conformance_{next(_COUNT)}", sa.MetaData(), number, value, **self.table_options)
        with engine.connect() as connection:
            table.create(connection)
            connection.commit()
            try:
                yield connection, table
            finally:
                connection.rollback()
                table.drop(connection)
                connection.commit()

    @each_hazard
    def test_what_goes_in_comes_out_equal(self, engine: sa.Engine, hazard: Hazard) -> None:
        """Values come back equal and of the same type, whether spelled so or converted."""
        given = [*hazard.kept, *(g for g, _ in hazard.taken), None]
        expected = [*hazard.kept, *(k for _, k in hazard.taken), None]
        with self.table(engine, hazard.type) as (connection, table):
            _fill(connection, table, given)
            found = connection.execute(sa.select(table.c.value).order_by(table.c.number)).scalars().all()
        assert len(found) == len(expected)
        for one, other in zip(expected, found):
            assert same(one, other) or one == other == 0.0, (one, other)

    @each_comparable
    def test_equality_is_that_of_python(self, engine: sa.Engine, hazard: Hazard) -> None:
        """`=` and IN find the rows whose values are equal in Python, and no others."""
        stored = [*hazard.kept, *(k for _, k in hazard.taken)]
        asked = [*zip(hazard.kept, hazard.kept), *((k, k) for _, k in hazard.taken)]
        column = adapter(hazard.type)
        with self.table(engine, hazard.type) as (connection, table):
            _fill(connection, table, stored)
            for given, kept in asked:
                expected = {n for n, v in enumerate(stored) if v == kept}
                value = column.condition(given)
                for condition in (table.c.value == value, table.c.value.in_([value])):
                    assert set(connection.execute(sa.select(table.c.number).where(condition)).scalars()) == expected, (
                        given
                    )
                others = set(connection.execute(sa.select(table.c.number).where(table.c.value != value)).scalars())
                assert others == set(range(len(stored))) - expected, given

    @each_comparable
    def test_what_is_not_there_is_not_found(self, engine: sa.Engine, hazard: Hazard) -> None:
        """A condition on a value that no row has, or can have, matches nothing and breaks nothing."""
        column = adapter(hazard.type)
        with self.table(engine, hazard.type) as (connection, table):
            _fill(connection, table, hazard.kept)
            for given in hazard.absent:
                value = column.condition(given)
                if value is not NOTHING:
                    found = connection.execute(sa.select(table.c.number).where(table.c.value == value)).all()
                    assert found == [], given

    @each_hazard
    def test_null_is_null(self, engine: sa.Engine, hazard: Hazard) -> None:
        """None is NULL in SQL, also for JSON and blobs, and comes back as None."""
        with self.table(engine, hazard.type) as (connection, table):
            _fill(connection, table, [hazard.kept[0], None])
            is_null = sa.select(table.c.number, table.c.value).where(table.c.value.is_(None))
            assert connection.execute(is_null).all() == [(1, None)]
            assert connection.scalar(sa.select(sa.func.count(table.c.value))) == 1

    @each_key
    def test_keys_that_differ_stay_different(self, engine: sa.Engine, hazard: Hazard) -> None:
        """All values fit into one key column; one that is there is refused; EXCEPT tells them apart."""
        keys = list(dict.fromkeys([*hazard.kept, *(k for _, k in hazard.taken)]))
        with (
            self.table(engine, hazard.type, key=True) as (connection, table),
            self.table(engine, hazard.type, key=True) as (_, other),
        ):
            _fill(connection, table, keys)
            _fill(connection, other, keys[1:])
            for key in keys:
                with pytest.raises(IntegrityError), connection.begin_nested():
                    _fill(connection, table, [key])
            pending = sa.except_(sa.select(table.c.value), sa.select(other.c.value))
            assert connection.execute(pending).scalars().all() == keys[:1]
            connection.commit()

    @each_key
    def test_order_is_that_of_python(self, engine: sa.Engine, hazard: Hazard) -> None:
        """ORDER BY and `<` agree with `sorted`; choices are in the order of their labels."""
        labels = hazard.type.known if isinstance(hazard.type, Choice) else {}

        def rank(value: Any) -> Any:
            return labels.get(value, value) if labels else value

        keys = sorted(dict.fromkeys([*hazard.kept, *(k for _, k in hazard.taken)]), key=rank)
        with self.table(engine, hazard.type, key=True) as (connection, table):
            _fill(connection, table, list(reversed(keys)))
            assert connection.execute(sa.select(table.c.value).order_by(table.c.value)).scalars().all() == keys
            middle = keys[len(keys) // 2]
            below = (
                connection.execute(sa.select(table.c.value).where(table.c.value < sa.literal(middle, hazard.type)))
                .scalars()
                .all()
            )
            assert sorted(below, key=rank) == keys[: len(keys) // 2]

    @each_hazard
    def test_bad_values_are_refused_before_any_sql(self, hazard: Hazard) -> None:
        """The error, its words and its row are the same whatever the database: none is asked."""
        column = adapter(hazard.type, nullable=False)
        for value, words in hazard.refused:
            with pytest.raises(InvalidValue) as caught:
                column.one(value)
            assert words in caught.value.reason, (value, caught.value.reason)
            with pytest.raises(InvalidValue) as caught:
                column.many([hazard.kept[0], hazard.kept[0], value])
            assert (caught.value.row, words in caught.value.reason) == (2, True), value
        for value in hazard.never:
            with pytest.raises(InvalidValue):
                column.condition(value)

    def test_every_type_is_there(self, engine: sa.Engine) -> None:
        """No type of the table is refused by this database."""
        assert [(h, check_type(h.type, engine.dialect)) for h in HAZARDS if check_type(h.type, engine.dialect)] == []


def _fill(connection: sa.Connection, table: sa.Table, values: Any) -> None:
    """Insert the values as insert does it: checked as one column, sent in one call."""
    column: Adapter = adapter(table.c.value.type, nullable=bool(table.c.value.nullable))
    rows = [{"number": number, "value": value} for number, value in enumerate(column.many(list(values)))]
    if rows:
        connection.execute(table.insert(), rows)
