"""Many rows at once: the same rows, defaults and errors as a few, by the quick way of each database."""

from __future__ import annotations

import datetime as dt
import enum
import itertools
import re
import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Literal

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import mapped_column

import compdb as cdb
from compdb import Key, Mapped, foreign_key
from compdb.database import database_of
from compdb.testing.columns import same, values
from compdb.types import UtcDateTime

NEVER = 10**9


class Mood(enum.Enum):
    calm = "c"
    alert = 2


def doubled(context) -> int:
    """A default that looks at the rest of its row."""
    return 2 * context.get_current_parameters()["number"]


class Lab(cdb.Pipeline):
    """Rows in bulk."""


class Cage(cdb.Manual, Lab):
    """What rows belong to."""

    cage: Key[int]


class Mouse(cdb.Manual, Lab):
    """A column of every type, and of every kind of default."""

    cage: Key[Cage]
    mouse: Key[str] = mapped_column(sa.String(20))
    number: Mapped[int]
    small: Mapped[int | None] = mapped_column(sa.SmallInteger)
    middle: Mapped[int | None] = mapped_column(sa.Integer)
    weight: Mapped[float | None]
    flag: Mapped[bool | None]
    name: Mapped[str | None] = mapped_column(sa.String(20))
    notes: Mapped[str | None] = mapped_column(sa.Text)
    price: Mapped[Decimal | None] = mapped_column(sa.Numeric(8, 2))
    day: Mapped[dt.date | None]
    hour: Mapped[dt.time | None]
    clock: Mapped[dt.datetime | None]
    moment: Mapped[dt.datetime | None] = mapped_column(UtcDateTime)
    span: Mapped[dt.timedelta | None]
    uid: Mapped[uuid.UUID | None]
    mood: Mapped[Mood | None]
    step: Mapped[Literal[1, 2, 4] | None]
    params: Mapped[dict | None]
    raw: Mapped[bytes | None]
    trace: Mapped[np.ndarray | None]
    constant: Mapped[int] = mapped_column(default=7)
    made: Mapped[uuid.UUID] = mapped_column(default=uuid.uuid4)
    from_server: Mapped[str] = mapped_column(sa.String(20), server_default="by itself")

    __table_args__ = (
        sa.UniqueConstraint("number", name="uq_number"),
        sa.CheckConstraint("weight IS NULL OR weight > -1000000", name="weight"),
    )


class Chained(cdb.Manual, Lab):
    """A row may refer to the one before it."""

    link: Key[int]
    before: Mapped[Chained | None] = foreign_key(rename={"link": "before_link"})
    note: Mapped[str | None]


class Doubled(cdb.Manual, Lab):
    """A default of the context, and one in SQL."""

    number: Key[int]
    twice: Mapped[int] = mapped_column(default=doubled)
    since: Mapped[int] = mapped_column(default=sa.literal(1) + 2)


class Counted(cdb.Manual, Lab):
    """Keys that the database makes up."""

    counted: Key[int] = mapped_column(sa.Integer, sa.Identity(), autoincrement=True)
    note: Mapped[str]


def kept(column: sa.Column) -> st.SearchStrategy:
    return values(column.type, bool(column.nullable))


OPTIONAL = [c for c in Mouse.__table__.columns if c.nullable]
wrong = st.sampled_from(
    [
        {"small": 40_000},
        {"middle": "7"},
        {"name": "x" * 21},
        {"weight": -2e6},
        {"price": float("inf")},
        {"cage": 99},
        {"number": 1},
        {"number": None},
        {"step": 3},
        {"mouse": "there"},
        {"clock": dt.datetime(2020, 1, 1, tzinfo=dt.UTC)},
        {"unknown": 1},
    ]
)


@st.composite
def batches(draw) -> list[dict]:
    """Return rows that give different attributes; now and then one with something wrong in it."""
    size = draw(st.integers(2, 12))
    shapes = draw(st.lists(st.lists(st.sampled_from(OPTIONAL), unique=True, max_size=20), min_size=1, max_size=3))
    rows = []
    for i in range(size):
        shape = shapes[i % len(shapes)]
        row = {"cage": 1 + i % 2, "mouse": f"m{i}", "number": 100 + i, **{c.name: draw(kept(c)) for c in shape}}
        rows.append(row)
    if draw(st.booleans()):
        place = draw(st.integers(0, size - 1))
        rows[place] |= draw(wrong)
    return rows


@pytest.fixture
def lab(url: str) -> Iterator[cdb.database.Database]:
    Lab.activate(url)
    Cage.insert([{"cage": 1}, {"cage": 2}])
    database = database_of(Lab.metadata)
    yield database
    vars(database.dialect).pop("few", None)


def outcome(database, few: int, rows: list[dict], **options: bool):
    """Return what an insert by one way leaves in the table, or its error."""
    database.dialect.few = few
    Mouse.delete(prompt=False)
    Mouse.insert([{"cage": 1, "mouse": "there", "number": 1, "name": "old"}])
    try:
        Mouse.insert(rows, **options)
    except cdb.CompdbError as error:
        return type(error), _without_sql(str(error)), len(Mouse)
    except sa.exc.DBAPIError as error:
        return type(error), _without_sql(str(error.orig)), len(Mouse)
    found = Mouse.to_dicts(order_by="KEY")
    assert all(isinstance(row.pop("made"), uuid.UUID) for row in found)
    return found


def _without_sql(text: str) -> str:
    return re.sub(r"line \d+|COPY .*", "", text)


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(rows=batches(), options=st.sampled_from([{}, {}, {"skip_duplicates": True}, {"replace": True}]))
def test_many_rows_have_the_rows_defaults_and_errors_of_a_few(lab, rows, options):
    plain, bulk = outcome(lab, NEVER, rows, **options), outcome(lab, 1, rows, **options)
    if isinstance(plain, tuple):
        assert bulk == plain
    else:
        assert len(bulk) == len(plain)
        assert all(same(a, b) for a, b in zip(plain, bulk))


@pytest.fixture
def statements(lab) -> Iterator[list[str]]:
    """Return the statements that wrote, as they were sent."""
    seen: list[str] = []

    def note(connection, cursor, statement, *rest):
        if re.match("INSERT|COPY", statement):
            seen.append(statement)

    sa.event.listen(lab.engine, "before_cursor_execute", note)
    yield seen
    sa.event.remove(lab.engine, "before_cursor_execute", note)


def mice(count: int, **more) -> list[dict]:
    return [{"cage": 1, "mouse": f"m{i}", "number": i, **more} for i in range(count)]


def test_many_rows_are_one_statement_and_on_postgresql_a_copy(lab, statements):
    Mouse.insert(mice(1000))
    assert len(statements) == 1
    assert statements[0].startswith("COPY mouse (" if lab.dialect.name == "postgresql" else "INSERT INTO mouse (")
    assert len(Mouse) == 1000


def test_rows_that_give_different_attributes_are_a_statement_for_each_set_of_them(lab, statements):
    rows = [{**row, "name": "odd"} if row["number"] % 2 else row for row in mice(1000)]
    Mouse.insert(rows)
    assert len(statements) == 2
    assert len(Mouse & "name = 'odd'") == 500


def test_rows_that_refer_to_each_other_keep_their_order(lab):
    rows = [{"link": 0}]
    rows += [{"link": i, "before_link": i - 1, **({"note": "odd"} if i % 2 else {})} for i in range(1, 60)]
    Chained.insert(rows)
    assert Chained.to_arrays("before_link", order_by="link").tolist() == [None, *range(59)]


def test_what_sqlalchemy_alone_can_compute_is_left_to_it(lab):
    Doubled.insert({"number": i} for i in range(50))
    assert Doubled.to_arrays("twice", order_by="number").tolist() == [2 * i for i in range(50)]
    assert set(Doubled.to_arrays("since")) == {3}


def test_keys_that_the_database_makes_up_are_not_doubled(lab):
    if lab.dialect.name in ("mysql", "mariadb"):
        pytest.skip("IDENTITY is none of its words")
    Counted.insert({"note": f"n{i}"} for i in range(50))
    assert len(Counted) == 50


def test_an_error_leaves_the_transaction_around_it_usable(lab):
    with Lab.transaction():
        Mouse.insert(mice(100))
        with pytest.raises(cdb.DuplicateKey, match=r"'mouse': 'm50'"):
            Mouse.insert([{"cage": 1, "mouse": f"m{i}", "number": 1000 + i} for i in range(50, 150)])
        Mouse.insert([{"cage": 2, "mouse": f"m{i}", "number": 2000 + i} for i in range(100)])
    assert len(Mouse) == 200


def test_a_missing_parent_among_many_rows_is_named(lab):
    with pytest.raises(cdb.MissingParent, match=r"Cage.*'cage': 9") as caught:
        Mouse.insert([*mice(500), {"cage": 9, "mouse": "x", "number": 500}])
    assert caught.value.key == {"cage": 9}
    assert isinstance(caught.value.__cause__, sa.exc.IntegrityError)
    assert len(Mouse) == 0


def test_the_error_of_the_driver_has_the_rows_as_its_parameters(lab):
    rows = [*mice(50), {"cage": 1, "mouse": "heavy", "number": 50, "weight": -2e6}]
    with pytest.raises(cdb.ConstraintError) as caught:
        Mouse.insert([{"weight": None, **row} for row in rows])
    cause = caught.value.__cause__
    assert isinstance(cause, sa.exc.DBAPIError)
    assert "heavy" in str(cause.params)


def test_a_column_that_the_database_has_in_another_type_takes_its_rows_all_the_same(lab, statements):
    if lab.dialect.name != "postgresql":
        pytest.skip("other databases take numbers of every width")
    with lab.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE mouse ALTER COLUMN number TYPE integer")
    Mouse.insert(mice(100))
    assert len(Mouse) == 100
    assert [s.partition(" ")[0] for s in statements] == ["COPY", "INSERT"]


@pytest.mark.parametrize("form", ["to_dicts", "to_arrays", "to_pandas", "to_polars", "to_arrow"])
def test_insert_takes_back_what_fetch_gave(lab, form):
    full = {
        "small": 1, "middle": 2, "weight": 0.5, "flag": True, "name": "é", "notes": "n", "price": Decimal("1.50"),
        "day": dt.date(2020, 1, 2), "hour": dt.time(1, 2, 3, 4), "clock": dt.datetime(2020, 1, 1, 0, 0, 0, 7),
        "moment": dt.datetime(2020, 1, 1, tzinfo=dt.UTC), "span": dt.timedelta(seconds=1.5), "uid": uuid.UUID(int=5),
        "mood": Mood.alert, "step": 4, "params": {"a": [1, None]}, "raw": b"\0x", "trace": np.eye(2),
    }  # fmt: skip
    rows = [{**row, **(full if row["number"] % 2 else {})} for row in mice(60)]
    Mouse.insert(rows)
    before = Mouse.to_dicts(order_by="KEY")
    fetched = getattr(Mouse, form)()
    Mouse.delete(prompt=False)
    Mouse.insert(fetched)
    after = Mouse.to_dicts(order_by="KEY")
    assert len(after) == 60
    assert all(same(a, b) for a, b in zip(before, after))


def test_errors_of_a_frame_name_attribute_and_row(lab):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(mice(3))
    with pytest.raises(cdb.UnknownAttribute, match="'numbre'"):
        Mouse.insert(frame.rename(columns={"number": "numbre"}))
    with pytest.raises(cdb.MissingAttribute, match=r"row 0.*'number'"):
        Mouse.insert(frame.drop(columns="number"))
    with pytest.raises(cdb.MissingAttribute, match=r"row 1.*'number'"):
        Mouse.insert(frame.assign(number=pd.array([1, None, 3], dtype="Int64")))
    with pytest.raises(cdb.InvalidValue, match=r"Mouse\.name, row 2"):
        Mouse.insert(frame.assign(name=["a", "b", "x" * 21]))
    with pytest.raises(cdb.DuplicateKey, match="rows 0 and 2"):
        Mouse.insert(frame.assign(mouse=["a", "b", "a"]))
    Mouse.insert(frame.iloc[:0])
    Mouse.insert(frame.assign(extra=1), ignore_extra_fields=True)
    assert len(Mouse) == 3


def test_rows_in_chunks_are_numbered_from_the_first(lab):
    rows = [*mice(100), {"cage": 1, "mouse": "x", "number": "many"}]
    with pytest.raises(cdb.InvalidValue, match="row 100"):
        Mouse.insert(rows, chunk_size=30)
    assert len(Mouse) == 90


def test_a_schema_is_where_the_rows_go(url):
    class Other(cdb.Pipeline, schema="other"):
        """Tables in a schema of their own."""

    class Thing(cdb.Manual, Other):
        """A thing."""

        thing: Key[int]
        note: Mapped[str]

    if url.startswith("mysql"):
        pytest.skip("a schema of MySQL is a database, which the tests do not make")
    Other.activate(url)
    Thing.insert({"thing": i, "note": "n"} for i in range(100))
    assert len(Thing) == 100


def test_a_make_inserts_many_parts_at_once(lab, statements):
    class Counting(cdb.Computed, Lab):
        """Numbers of a cage."""

        cage: Key[Cage]

        class Number(cdb.Part):
            """One number."""

            number: Key[int]
            half: Mapped[float]

        def make(self, key):
            self.insert1(key)
            self.Number.insert({**key, "number": i, "half": i / 2} for i in range(200))

    Lab.activate()
    Counting.populate()
    assert len(Counting.Number) == 400
    assert len([s for s in statements if "counting__number" in s]) == 1


def test_doubled_keys_are_skipped_or_replaced_in_the_order_given(lab):
    twice = list(itertools.chain(mice(30, name="first"), [{**row, "number": 100 + row["number"]} for row in mice(30)]))
    Mouse.insert(twice, skip_duplicates=True)
    assert set(Mouse.to_arrays("name")) == {"first"}
    Mouse.insert(twice, replace=True)
    assert min(Mouse.to_arrays("number")) == 100
