"""Enum and Literal columns: a CHECK of their own on every database, found by name, never in the way of another."""

from __future__ import annotations

import enum
from typing import Any, Literal

import pytest
import sqlalchemy as sa
from sqlalchemy import orm

from compdb.errors import InvalidValue
from compdb.testing.dialects import TypeConformance
from compdb.types import Choice, adapter, column_type, portable


class Side(enum.Enum):
    left = "L"
    right = "R"
    LEFT = "L"  # noqa: PIE796 (an alias)


class Grade(enum.IntEnum):
    low = 10
    high = 2


CONVENTION = {"ck": "ck_%(table_name)s_%(constraint_name)s", "pk": "pk_%(table_name)s"}


def trial(metadata: sa.MetaData, name: str = "trial") -> sa.Table:
    return sa.Table(
        name,
        metadata,
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("cue", column_type(Side), nullable=False),
        sa.Column("response", column_type(Side)),
        sa.Column("block", column_type(Literal[1, 2])),
        **TypeConformance.table_options,
    )


def checks(table: sa.Table) -> dict[str, str]:
    return {str(c.name): str(c.sqltext) for c in table.constraints if isinstance(c, sa.CheckConstraint)}


def test_a_database_keeps_other_values_out(engine: sa.Engine) -> None:
    table = trial(sa.MetaData(naming_convention=CONVENTION))
    table.create(engine)
    good, broken = (
        sa.text("INSERT INTO trial VALUES (1, 'left', NULL, 2)"),
        (sa.exc.IntegrityError, sa.exc.OperationalError),
    )
    with engine.begin() as connection:
        connection.execute(good)
        assert connection.execute(sa.select(table)).one() == (1, Side.left, None, 2)
    for bad in ("(2, 'LEFT', NULL, 2)", "(2, 'left', 'up', 2)", "(2, 'left', NULL, 3)"):
        with engine.connect() as connection, pytest.raises(broken):
            connection.execute(sa.text(f"INSERT INTO trial VALUES {bad}"))
    found = {c["name"] for c in sa.inspect(engine).get_check_constraints("trial")}
    assert {"ck_trial_cue_choice", "ck_trial_response_choice", "ck_trial_block_choice"} <= found


def test_a_check_is_named_after_its_column() -> None:
    assert set(checks(trial(sa.MetaData(naming_convention=CONVENTION)))) == {
        "ck_trial_cue_choice", "ck_trial_response_choice", "ck_trial_block_choice",
    }  # fmt: skip
    assert set(checks(trial(sa.MetaData()))) == {
        "ck_trial_cue_choice",
        "ck_trial_response_choice",
        "ck_trial_block_choice",
    }


def test_a_type_may_be_shared_by_columns_and_tables() -> None:
    metadata, side = sa.MetaData(naming_convention=CONVENTION), Choice(Side)
    parent = sa.Table("parent", metadata, sa.Column("side", side, primary_key=True))
    child = sa.Table(
        "child",
        metadata,
        sa.Column("side", side, sa.ForeignKey("parent.side"), primary_key=True),
        sa.Column("other", side),
    )
    assert set(checks(parent)) == {"ck_parent_side_choice"}
    assert set(checks(child)) == {"ck_child_side_choice", "ck_child_other_choice"}


def test_a_column_whose_type_was_exchanged_has_its_check() -> None:
    column = sa.Column("side", sa.Enum(Side))
    column.type = portable(column.type)
    assert set(checks(sa.Table("trial", sa.MetaData(), column))) == {"ck_trial_side_choice"}
    plain = sa.Column("side", Choice(Side))
    plain.type = sa.String(5)
    assert checks(sa.Table("trial", sa.MetaData(), plain)) == {}


def test_a_copied_table_has_each_check_once() -> None:
    metadata = sa.MetaData(naming_convention=CONVENTION)
    copied = trial(metadata).to_metadata(sa.MetaData(naming_convention=CONVENTION), name="copied")
    assert set(checks(copied)) == {"ck_copied_cue_choice", "ck_copied_response_choice", "ck_copied_block_choice"}
    replaced = trial(metadata, "replaced")
    replaced.append_column(sa.Column("block", Choice([7])), replace_existing=True)
    (check,) = [c for c in replaced.constraints if c.info.get("choice") == "block"]
    assert str(check.sqltext.compile(compile_kwargs={"literal_binds": True})) == "replaced.block IN (7)"
    assert len(checks(replaced)) == 3


def test_a_column_of_a_mapped_class_has_its_check_once() -> None:
    class Base(orm.DeclarativeBase):
        metadata = sa.MetaData(naming_convention=CONVENTION)

    class Mixin:
        side: orm.Mapped[Side] = orm.mapped_column(Choice(Side))

    class Trial(Mixin, Base):
        __tablename__ = "trial"
        id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
        mood: orm.Mapped[str] = orm.mapped_column("feeling", Choice(["good"]))

    assert set(checks(Trial.__table__)) == {"ck_trial_side_choice", "ck_trial_feeling_choice"}


def test_the_names_of_an_enum_are_stored_and_its_members_come_back(engine: sa.Engine) -> None:
    table = trial(sa.MetaData())
    table.create(engine)
    with engine.begin() as connection:
        connection.execute(
            table.insert(), [{"id": 1, "cue": Side.left}, {"id": 2, "cue": "right"}, {"id": 3, "cue": "R"}]
        )
        assert connection.execute(sa.text("SELECT cue FROM trial ORDER BY id")).scalars().all() == [
            "left",
            "right",
            "right",
        ]
        assert connection.execute(sa.select(table.c.cue).order_by(table.c.id)).scalars().all() == [
            Side.left,
            Side.right,
            Side.right,
        ]
        assert connection.execute(
            sa.select(table.c.id).where(table.c.cue.like("r%")).order_by(table.c.id)
        ).scalars().all() == [2, 3]
        assert connection.execute(sa.select(table.c.id).where(table.c.cue == Side.left)).scalars().all() == [1]
        assert connection.execute(sa.select(sa.literal(Side.left, Choice(Side)))).scalar() is Side.left


def test_a_member_is_taken_by_name_alias_and_value() -> None:
    side = adapter(Choice(Side))
    assert [side.one(v) for v in (Side.left, "left", "LEFT", "L", "R")] == [Side.left] * 4 + [Side.right]
    grade = adapter(Choice(Grade))
    assert [grade.one(v) for v in (Grade.low, "low", 10, 2)] == [Grade.low, Grade.low, Grade.low, Grade.high]
    assert side.many(["L", Side.right, None]) == [Side.left, Side.right, None]


def test_what_the_database_should_not_hold_is_told() -> None:
    with pytest.raises(InvalidValue, match="which is not one of 'left', 'right'; did the choices change"):
        Choice(Side).process_result_value("up", sa.create_engine("sqlite://").dialect)


def test_an_enum_of_sqlalchemy_keeps_its_spelling() -> None:
    stored = portable(sa.Enum(Side, values_callable=lambda e: [m.value for m in e]))
    assert isinstance(stored, Choice)
    assert stored.labels == ("L", "R")
    assert adapter(stored).one("R") is Side.right
    assert stored.process_bind_param(Side.right, sa.create_engine("sqlite://").dialect) == "R"
    shouted = portable(sa.Enum(Side, values_callable=lambda e: [m.name + "!" for m in e]))
    assert [adapter(shouted).one(v) for v in ("left!", "left", "L", Side.left)] == [Side.left] * 4
    assert portable(sa.Enum("a", "b")).labels == ("a", "b")  # type: ignore[attr-defined]


def test_members_without_order_can_be_keys(engine: sa.Engine) -> None:
    class Base(orm.DeclarativeBase):
        pass

    class Sided(Base):
        __tablename__ = "sided"
        side: orm.Mapped[Side] = orm.mapped_column(Choice(Side), primary_key=True)
        note: orm.Mapped[str] = orm.mapped_column(sa.String(9))

    Base.metadata.create_all(engine)
    with orm.Session(engine) as session:
        session.add_all([Sided(side=Side.right, note="a"), Sided(side=Side.left, note="b")])
        session.commit()
        for row in session.scalars(sa.select(Sided)):
            row.note += "!"
        session.commit()
        assert session.get(Sided, Side.left).note == "b!"


def test_statements_of_two_choices_are_not_mixed_up_in_the_cache(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        for choices, given in (
            (["a", "b"], "a"),
            (["x", "y"], "y"),
            (Side, Side.left),
            (Grade, Grade.high),
            ([1, 2], 2),
        ):
            statement: Any = sa.select(sa.literal(given, Choice(choices)).label("v"))
            assert connection.scalar(statement) == given


@pytest.mark.parametrize("choices", [[], ["a", 1], [1.5], [True, False], ["a", None]])
def test_choices_are_all_text_or_all_whole_numbers(choices: Any) -> None:
    with pytest.raises(InvalidValue, match="all str or all int"):
        Choice(choices)


def test_labels_must_differ() -> None:
    with pytest.raises(InvalidValue, match="different labels"):
        Choice(Side, labels=("a", "a"))
