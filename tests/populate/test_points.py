"""Rows that a make asks for one by one go to the driver itself, and are the rows that anybody else gets."""

from __future__ import annotations

import contextlib
import datetime as dt
import decimal
import enum
import logging
import uuid

import pytest
import sqlalchemy as sa

import compdb as cdb
from compdb import Key, Mapped, mapped_column
from compdb.database import database_of
from compdb.populate import points

from .conftest import N, computed, pipeline


@pytest.fixture(autouse=True)
def _engines_that_nobody_listens_to(monkeypatch):
    """Make engines anew: to those of the tests before somebody may listen still."""
    mine = {}
    monkeypatch.setattr("compdb.database._databases", mine)
    yield
    for database in {*mine.values()}:
        database.dispose()


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@pytest.fixture
def given(lab):
    """Return a table with a key of several types, and values of all."""

    class Thing(cdb.Manual, lab):
        number: Key[int]
        name: Key[str]
        at: Key[dt.datetime]
        who: Key[uuid.UUID]
        yes: Mapped[bool]
        colour: Mapped[Colour]
        long: Mapped[dt.timedelta]
        day: Mapped[dt.date | None]
        price: Mapped[decimal.Decimal] = mapped_column(sa.Numeric(12, 3))
        raw: Mapped[bytes]
        told: Mapped[dict | None]
        size: Mapped[float]
        some: Mapped[int | None]

    class Made(cdb.Computed, lab):
        thing: Key[Thing]
        prefetch = False

        def make(self, key):
            found.append([(Thing & key).fetch1(), (Thing & key).to_dicts()[0], (Thing & key).fetch1("some", "name", "long")])
            self.insert1(key)

    found = []
    lab.activate()
    then = dt.datetime(2026, 1, 2, 3, 4, 5, 6)
    Thing.insert(
        {
            "number": k,
            "name": "a' %s\\ é" * k,
            "at": then + dt.timedelta(microseconds=k),
            "who": uuid.UUID(int=k),
            "yes": k % 2 == 0,
            "colour": Colour.RED if k % 2 else Colour.BLUE,
            "long": dt.timedelta(days=k, microseconds=-1),
            "day": then.date() if k % 3 else None,
            "price": decimal.Decimal(k) / 8,
            "raw": bytes(range(k)),
            "told": {"k": [k, None]} if k % 3 else None,
            "size": k / 7,
            "some": None if k % 2 else 2**62 + k,
        }
        for k in range(6)
    )
    return Thing, Made, found


@pytest.fixture
def asked(monkeypatch):
    """Return the answers that came from the driver itself."""
    answers = []

    def ask(self, connection, equality, go=points._Point.ask):
        answers.append(None)
        answers[-1] = go(self, connection, equality)
        return answers[-1]

    monkeypatch.setattr(points._Point, "ask", ask)
    return answers


def alter(lab, *statements):
    """Change the schema behind the back of whoever reads."""
    engine = sa.create_engine(database_of(lab.Src.__table__).url)
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


def test_they_are_the_rows_that_anybody_gets(lab, given, asked):
    Thing, Made, found = given
    assert Made.populate()["success_count"] == 6
    assert len(asked) == 18
    for whole, row, (some, name, long) in found:
        key = {n: whole[n] for n in ("number", "name", "at", "who")}
        assert whole == row == (Thing & key).fetch1()
        assert [type(v) for v in whole.values()] == [type(v) for v in (Thing & key).fetch1().values()]
        assert (some, name, long) == (whole["some"], whole["name"], whole["long"])
    assert None not in asked


def test_a_row_that_is_not_there_is_told_as_ever(lab, asked):
    def make(self, key):
        assert (lab.Src & {"k": 10**6}).to_dicts() == []
        (lab.Src & {"k": 10**6}).fetch1("x")

    Res = computed(lab, make, prefetch=False)
    with pytest.raises(cdb.NotOneRow, match=r"Src & \{'k': 1000000\}"):
        Res.populate()
    assert asked == [[], []]


def test_rows_of_part_of_a_key_are_all_given(lab, given, asked):
    Thing, _, _ = given
    Thing.insert1({**(Thing & {"number": 2}).fetch1(), "name": "other"})

    def make(self, key):
        counts.append(len((Thing & {"number": 2}).to_dicts()))
        self.insert1({**key, "y": 0.0})

    counts = []
    computed(lab, make).populate()
    assert counts == [2] * N
    assert asked == []


def test_what_waits_to_be_written_is_seen(lab, asked):
    def make(self, key):
        before = (self & {"k": key["k"] - 1}).to_dicts()
        self.insert1({**key, "y": 1.0 + (before[0]["y"] if before else 0.0)})
        assert (self & key).fetch1("y") == key["k"] + 1

    Res = computed(lab, make, prefetch=False)
    Res.populate()
    assert dict(zip(*Res.to_arrays("k", "y"))) == {k: k + 1 for k in range(N)}
    assert asked == []


def test_after_a_write_of_its_own_a_make_reads_what_it_wrote(lab, asked):
    src = lab.Src.__table__

    def make(self, key):
        lab.session().execute(sa.update(src).where(src.c.k == key["k"]).values(x=99.0))
        self.insert1({**key, "y": (lab.Src & key).fetch1("x")})

    Res = computed(lab, make, prefetch=False)
    Res.populate()
    assert set(Res.to_arrays("y")) == {99.0}
    assert asked == []


def single(lab):
    def make(self, key):
        self.insert1({**key, "y": (lab.Src & key).fetch1("x")})

    return computed(lab, make, prefetch=False)


@pytest.mark.parametrize("how", ["before_execute", "after_execute", "before_cursor_execute", "after_cursor_execute"])
def test_whoever_listens_to_statements_hears_of_all(lab, asked, how):
    Res, heard = single(lab), []

    def listener(connection, *about):
        heard.append(about)

    sa.event.listen(database_of(lab.Src.__table__).reader, how, listener)
    assert Res.populate()["success_count"] == N
    assert asked == []
    assert len(heard) >= N


def test_whoever_runs_statements_himself_runs_all(lab, asked):
    Res, run, engine = single(lab), [], database_of(lab.Src.__table__).reader

    def do_execute(cursor, statement, parameters, context):
        run.append(statement)

    sa.event.listen(engine, "do_execute", do_execute)
    assert Res.populate()["success_count"] == N
    assert asked == []
    assert sum("FROM src" in statement for statement in run) >= N


def test_a_log_of_statements_has_all(lab, asked, caplog):
    Res = single(lab)
    with caplog.at_level(logging.INFO, "sqlalchemy.engine"):
        assert Res.populate()["success_count"] == N
    assert asked == []
    assert sum("FROM src" in record.getMessage() for record in caplog.records) >= N


def test_an_error_is_told_in_the_databases_words(lab, asked):
    Res = single(lab)
    alter(lab, "ALTER TABLE src RENAME COLUMN x TO gone")
    with pytest.raises(sa.exc.DBAPIError, match="x"):
        Res.populate()
    assert asked == [None]
    assert len(Res) == 0


def test_a_connection_that_is_cut_is_made_anew_and_the_make_begins_again(lab, asked):
    database = database_of(lab.Src.__table__)
    if database.dialect.name == "sqlite":
        pytest.skip("has no connection to be cut")
    other, cut = sa.create_engine(database.url, isolation_level="AUTOCOMMIT"), []

    def make(self, key):
        x = (lab.Src & key).fetch1("x")
        if key["k"] == 7 and not cut:
            cut.append(key)
            with database.reading(sa.select(1)) as mine, other.connect() as connection:
                if database.dialect.name == "postgresql":
                    number = mine.exec_driver_sql("SELECT pg_backend_pid()").scalar()
                    connection.exec_driver_sql(f"SELECT pg_terminate_backend({number})")
                else:
                    number = mine.exec_driver_sql("SELECT CONNECTION_ID()").scalar()
                    connection.exec_driver_sql(f"KILL {number}")
        self.insert1({**key, "y": x + (lab.Src & key).fetch1("x")})

    Res = computed(lab, make, prefetch=False)
    assert Res.populate() == {"success_count": N, "error_list": []}
    other.dispose()
    assert dict(zip(*Res.to_arrays("k", "y"))) == {k: 2 * k / 7 for k in range(N)}
    assert asked.count(None) == 1


def test_whoever_listens_to_errors_hears_of_them(lab, asked):
    Res, heard = single(lab), []

    def listener(context):
        heard.append(context.statement)

    sa.event.listen(database_of(lab.Src.__table__).reader, "handle_error", listener)
    alter(lab, "ALTER TABLE src RENAME COLUMN x TO gone")
    with pytest.raises(sa.exc.DBAPIError, match="x"):
        Res.populate()
    assert asked == []
    assert sum("FROM src" in statement for statement in heard) == 1


def test_an_error_is_what_sqlalchemy_makes_of_it(lab):
    """The same class with the same words, and its parameters hidden."""
    Res, told = single(lab), []
    alter(lab, "ALTER TABLE src RENAME COLUMN x TO gone")
    for listened in (False, True):
        if listened:
            sa.event.listen(database_of(lab.Src.__table__).reader, "before_execute", lambda *_: None)
        with pytest.raises(sa.exc.DBAPIError) as caught:
            Res.populate()
        error = caught.value
        told.append((type(error), str(error.orig), error.hide_parameters, error.connection_invalidated, error.code))
    assert told[0] == told[1]


def test_a_table_that_is_not_there_is_told_with_the_fix(lab, asked):
    class Absent(cdb.Manual, lab):
        k: Key[int]
        z: Mapped[float]

    def make(self, key):
        self.insert1({**key, "y": (Absent & key).fetch1("z")})

    Res = computed(lab, make, prefetch=False)
    alter(lab, "DROP TABLE absent")
    with pytest.raises(cdb.SchemaDrift, match=r"Absent: there is no table 'absent' .* Lab\.activate\(\) brings it into being"):
        Res.populate()
    assert asked == [None]


@pytest.mark.parametrize("prefetch", [False, True])
@pytest.mark.parametrize("listened", [False, True])
def test_after_a_read_that_failed_the_makes_go_on(lab, prefetch, listened):
    """The key whose read fails is told; those after it are made, and so is one that swallows the error and asks for something else."""

    class Other(cdb.Manual, lab):
        k: Key[int]
        z: Mapped[float]

    def make(self, key):
        if key["k"] == 3:
            (Other & key).fetch1("z")
        if key["k"] == 5:
            with contextlib.suppress(sa.exc.DBAPIError):
                (Other & key).to_dicts()
        if key["k"] == 7:
            with contextlib.suppress(sa.exc.DBAPIError):
                lab.session().execute(sa.select(Other.z)).all()
        self.insert1({**key, "y": (lab.Src & key).fetch1("x")})

    Res = computed(lab, make, prefetch=prefetch)
    if listened:
        sa.event.listen(database_of(lab.Src.__table__).reader, "before_execute", lambda *_: None)
    alter(lab, "ALTER TABLE other RENAME COLUMN z TO gone")
    told = Res.populate(suppress_errors=True)
    assert told["success_count"] == N - 1
    assert [(key, "z" in error) for key, error in told["error_list"]] == [({"k": 3}, True)]
    assert dict(zip(*Res.to_arrays("k", "y"))) == {k: k / 7 for k in range(N) if k != 3}


@pytest.mark.parametrize("prefetch", [False, True])
def test_after_a_read_that_failed_half_way_the_makes_go_on(lab, prefetch):
    """A long result whose later rows cannot be calculated, which PostgreSQL notices when the first have been sent."""
    if database_of(lab.Src.__table__).dialect.name != "postgresql":
        pytest.skip("a division by zero is no error here")

    class Long(cdb.Manual, lab):
        n: Key[int]

    def make(self, key):
        if key["k"] == 3:
            Long.proj(z="1 / (n - 2500)").to_dicts()
        self.insert1({**key, "y": (lab.Src & key).fetch1("x")})

    Res = computed(lab, make, prefetch=prefetch)
    Long.insert({"n": n} for n in range(3000))
    told = Res.populate(suppress_errors=True)
    assert [(key, "division by zero" in error) for key, error in told["error_list"]] == [({"k": 3}, True)]
    assert told["success_count"] == N - 1


def test_a_name_that_the_engine_translates_is_asked_for_as_ever(lab, url, asked):
    """The rows are those of the schema that somebody's engine says, and not of the one that is found first."""
    if not url.startswith("postgresql"):
        pytest.skip("has no schemas beside each other on one path")
    computed(lab, None)
    alter(lab, "CREATE SCHEMA tenant", *(f"CREATE TABLE tenant.{name} (LIKE {name} INCLUDING ALL)" for name in lab.metadata.tables))
    alter(lab, "UPDATE src SET x = -1")
    engine = sa.create_engine(url).execution_options(schema_translate_map={None: "tenant"})
    Other = pipeline()

    def make(self, key):
        self.insert1({**key, "y": (Other.Src & key).fetch1("x")})

    Res = computed(Other, make, prefetch=False, activate=False)
    Other.activate(engine)
    Other.Src.insert({"k": k, "x": k / 7} for k in range(N))
    assert Res.populate()["success_count"] == N
    assert dict(zip(*Res.to_arrays("k", "y"))) == {k: k / 7 for k in range(N)}
    assert asked == []
    engine.dispose()


def test_a_dry_make_says_what_to_do_after_a_statement_that_failed(lab):
    if database_of(lab.Src.__table__).dialect.failed_reads_break_nothing:
        pytest.skip("nothing is broken here")

    def make(self, key):
        lab.session().add(lab.Note(k=key["k"], text="a"))
        lab.session().flush()
        with contextlib.suppress(sa.exc.DBAPIError):
            lab.session().execute(sa.text("SELECT nothing FROM src"))
        self.insert1({**key, "y": float(len(lab.Src & key))})

    Res = computed(lab, make, allow_writes_to=(lab.Note,))
    with pytest.raises(cdb.MakeError, match="after a statement that failed"):
        Res.make_dry({"k": 1})
