"""What every database must answer alike, whatever it takes to make it so."""

from __future__ import annotations

import ast
import contextlib
import datetime as dt
import enum
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa

from compdb import dialects, errors
from compdb.database import Database, connect
from compdb.dialects import TABLE_OPTIONS, Fault, reads_only, utcnow

metadata = sa.MetaData()


class Sex(enum.Enum):
    F = 1
    M = 2


mouse = sa.Table(
    "mouse",
    metadata,
    sa.Column("cage", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("chip", sa.Integer),
    sa.Column("name", sa.String(20), server_default="nameless"),
    sa.Column("weight", sa.Double, nullable=False, server_default="0"),
    sa.UniqueConstraint("chip", name="uq_mouse_chip"),
    sa.CheckConstraint("weight >= 0", name="ck_mouse_weight"),
    **TABLE_OPTIONS,
)
pup = sa.Table(
    "pup",
    metadata,
    sa.Column("pup", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("cage", sa.Integer, nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.ForeignKeyConstraint(["cage", "number"], ["mouse.cage", "mouse.number"], name="fk_pup_mouse"),
    **TABLE_OPTIONS,
)
label = sa.Table("label", metadata, sa.Column("text", sa.String(40), primary_key=True), **TABLE_OPTIONS)
event = sa.Table(
    "event",
    metadata,
    sa.Column("event", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column(
        "at",
        sa.DateTime().with_variant(sa.dialects.mysql.DATETIME(fsp=6), "mysql", "mariadb"),
        server_default=utcnow(),
    ),
)
picture = sa.Table(
    "picture",
    metadata,
    sa.Column("picture", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("pixels", sa.LargeBinary().with_variant(sa.dialects.mysql.LONGBLOB(), "mysql", "mariadb")),
    sa.Column("sex", sa.Enum(Sex)),
    sa.Column("price", sa.Numeric(8, 2)),
    sa.Column("notes", sa.JSON),
    sa.Column("taken", sa.DateTime),
)


@pytest.fixture
def lab(url: str) -> Iterator[Database]:
    database = connect(url)
    metadata.create_all(database.engine)
    yield database
    database.dispose()


@pytest.fixture
def cage(lab: Database) -> Database:
    """Mice (1, 1) with chip 11 and (1, 2) with chip 12; a pup of the first."""
    with lab.engine.begin() as connection:
        rows = [{"cage": 1, "number": n, "chip": 10 + n, "name": f"m{n}", "weight": 20.0} for n in (1, 2)]
        lab.dialect.insert_rows(connection, mouse, rows)
        connection.execute(sa.insert(pup), [{"pup": 1, "cage": 1, "number": 1}])
    return lab


def rows(lab: Database, table: sa.Table = mouse) -> list[tuple[object, ...]]:
    with lab.reading() as connection:
        return [tuple(row) for row in connection.execute(sa.select(table).order_by(*table.primary_key))]


def new(number: int, chip: int | None = None, **other: object) -> dict[str, object]:
    return {"cage": 1, "number": number, "chip": chip, "name": "new", "weight": 1.0, **other}


# ---------------------------------------------------------------- inserting


def test_skip_duplicates_passes_over_rows_whose_key_is_there(cage: Database) -> None:
    given = [new(2, 12), new(3, 13), new(3, 13), new(1, 999)]
    for send in (
        lambda connection: cage.dialect.insert_rows(connection, mouse, given, skip_duplicates=True),
        lambda connection: connection.execute(cage.dialect.insert(mouse, skip_duplicates=True), given),
    ):
        with cage.engine.begin() as connection:
            send(connection)
        assert rows(cage) == [(1, 1, 11, "m1", 20.0), (1, 2, 12, "m2", 20.0), (1, 3, 13, "new", 1.0)]


@pytest.mark.parametrize("form", [{"skip_duplicates": True}, {"replace": True}])
def test_a_conflict_in_another_unique_constraint_is_an_error(cage: Database, form: dict[str, bool]) -> None:
    before = rows(cage)
    with pytest.raises(sa.exc.IntegrityError) as raised, cage.engine.begin() as connection:
        cage.dialect.insert_rows(connection, mouse, [new(3, 13), new(4, 12)], **form)
    told = cage.dialect.classify(raised.value)
    assert told.fault is Fault.DUPLICATE
    assert not told.in_key(mouse)
    assert rows(cage) == before


def test_skip_duplicates_hides_nothing_else(cage: Database) -> None:
    before = rows(cage)
    for bad, fault in ((new(5, weight=None), Fault.NOT_NULL), (new(5, weight=-1.0), Fault.CHECK)):
        with pytest.raises(sa.exc.DBAPIError) as raised, cage.engine.begin() as connection:
            cage.dialect.insert_rows(connection, mouse, [bad], skip_duplicates=True)
        assert cage.dialect.classify(raised.value).fault is fault
    with pytest.raises(sa.exc.DBAPIError) as raised, cage.engine.begin() as connection:
        cage.dialect.insert_rows(connection, pup, [{"pup": 2, "cage": 9, "number": 9}], skip_duplicates=True)
    assert cage.dialect.classify(raised.value).fault is Fault.FOREIGN_KEY
    assert rows(cage) == before


def test_rows_that_were_skipped_are_not_locked(cage: Database) -> None:
    if cage.dialect.one_writer:
        pytest.skip("one writer at a time")
    with cage.transaction() as session:
        cage.dialect.insert_rows(session.connection(), mouse, [new(1, 11), new(2, 12)], skip_duplicates=True)

        def rival() -> None:
            with cage.connect() as connection, connection.begin():
                wait = (
                    "SET innodb_lock_wait_timeout = 1"
                    if cage.dialect.name != "postgresql"
                    else "SET lock_timeout = 1000"
                )
                connection.exec_driver_sql(wait)
                connection.execute(sa.update(mouse).values(weight=21.0))
                connection.execute(sa.insert(pup), [{"pup": 2, "cage": 1, "number": 2}])

        thread = threading.Thread(target=rival)
        thread.start()
        thread.join()
    assert [row[4] for row in rows(cage)] == [21.0, 21.0]
    assert len(rows(cage, pup)) == 2


def test_two_who_bring_the_same_new_row_both_succeed(cage: Database) -> None:
    if cage.dialect.one_writer:
        pytest.skip("one writer at a time")
    inserted, done = threading.Event(), []

    def rival() -> None:
        inserted.wait()
        with cage.transaction() as session:
            cage.dialect.insert_rows(session.connection(), mouse, [new(3, 13, name="rival")], skip_duplicates=True)
        done.append(True)

    thread = threading.Thread(target=rival)
    thread.start()
    with cage.transaction() as session:
        cage.dialect.insert_rows(session.connection(), mouse, [new(3, 13, name="first")], skip_duplicates=True)
        inserted.set()
        thread.join(0.3)
        assert not done
    thread.join()
    assert done
    assert rows(cage)[2] == (1, 3, 13, "first", 1.0)


def test_replace_updates_in_place_and_the_children_stay(cage: Database) -> None:
    with cage.engine.begin() as connection:
        cage.dialect.insert_rows(connection, mouse, [new(1, 99), new(3, 13)], replace=True)
    assert rows(cage) == [(1, 1, 99, "new", 1.0), (1, 2, 12, "m2", 20.0), (1, 3, 13, "new", 1.0)]
    assert rows(cage, pup) == [(1, 1, 1)]


def test_replace_gives_attributes_left_out_their_default(cage: Database) -> None:
    with cage.engine.begin() as connection:
        cage.dialect.insert_rows(connection, mouse, [{"cage": 1, "number": 1}], replace=True)
    assert rows(cage)[0] == (1, 1, None, "nameless", 0.0)


@pytest.mark.parametrize("form", [{"skip_duplicates": True}, {"replace": True}])
def test_a_table_that_is_all_key_takes_what_it_lacks(lab: Database, form: dict[str, bool]) -> None:
    for _ in range(2):
        with lab.engine.begin() as connection:
            lab.dialect.insert_rows(connection, label, [{"text": "a"}, {"text": "b"}], **form)
    assert rows(lab, label) == [("a",), ("b",)]


def test_many_rows_are_skipped_in_batches(lab: Database) -> None:
    with lab.engine.begin() as connection:
        lab.dialect.insert_rows(connection, mouse, [new(n) for n in range(0, 4000, 2)])
        lab.dialect.insert_rows(connection, mouse, [new(n, name="late") for n in range(4000)], skip_duplicates=True)
    found = rows(lab)
    assert len(found) == 4000
    assert {row[3] for row in found[::2]} == {"new"}
    assert {row[3] for row in found[1::2]} == {"late"}


def test_rows_of_a_query_are_inserted_skipped_or_replaced(cage: Database) -> None:
    moved = sa.select(mouse.c.cage + 0, (mouse.c.number + 1).label("n"), sa.null(), mouse.c.name + "'", mouse.c.weight)
    names = ["cage", "number", "chip", "name", "weight"]
    with pytest.raises(sa.exc.IntegrityError), cage.engine.begin() as connection:
        connection.execute(cage.dialect.insert_select(mouse, names, moved))
    with cage.engine.begin() as connection:
        connection.execute(cage.dialect.insert_select(mouse, names, moved, skip_duplicates=True))
    assert [row[2:4] for row in rows(cage)] == [(11, "m1"), (12, "m2"), (None, "m2'")]
    with cage.engine.begin() as connection:
        connection.execute(cage.dialect.insert_select(mouse, names, moved, replace=True))
    assert [row[2:4] for row in rows(cage)] == [(11, "m1"), (None, "m1'"), (None, "m2'"), (None, "m2''")]
    clash = sa.select(mouse.c.cage + 1, mouse.c.number, mouse.c.chip, mouse.c.name, mouse.c.weight)
    with pytest.raises(sa.exc.IntegrityError), cage.engine.begin() as connection:
        connection.execute(cage.dialect.insert_select(mouse, names, clash, skip_duplicates=True))


def test_the_insert_of_a_table_is_kept(lab: Database) -> None:
    assert lab.dialect.insert(mouse) is lab.dialect.insert(mouse)
    assert lab.dialect.insert(mouse) is not lab.dialect.insert(mouse, replace=True)


# ---------------------------------------------------------------- telling faults


def test_broken_constraints_are_told_alike(cage: Database) -> None:
    statements = {
        "key": sa.insert(mouse).values(cage=1, number=1),
        "unique": sa.insert(mouse).values(cage=1, number=8, chip=11),
        "null": sa.insert(mouse).values(cage=1, number=8, weight=sa.null()),
        "check": sa.insert(mouse).values(cage=1, number=8, weight=-1.0),
        "parent": sa.insert(pup).values(pup=5, cage=7, number=7),
        "child": sa.delete(mouse).where(mouse.c.number == 1),
        "table": sa.select(sa.table("no_such_table", sa.column("a"))),
        "column": sa.select(sa.column("no_such_column")).select_from(mouse),
        "syntax": sa.text("SELEKT 1"),
    }
    told = {}
    for name, statement in statements.items():
        with pytest.raises(sa.exc.DBAPIError) as raised, cage.connect() as connection:
            connection.execute(statement)
        told[name] = cage.dialect.classify(raised.value)
    assert {name: diagnosis.fault for name, diagnosis in told.items()} == {
        "key": Fault.DUPLICATE,
        "unique": Fault.DUPLICATE,
        "null": Fault.NOT_NULL,
        "check": Fault.CHECK,
        "parent": Fault.FOREIGN_KEY,
        "child": Fault.FOREIGN_KEY,
        "table": Fault.MISSING_TABLE,
        "column": Fault.MISSING_COLUMN,
        "syntax": Fault.SYNTAX,
    }
    assert told["key"].in_key(mouse)
    assert not told["unique"].in_key(mouse)
    assert told["unique"].constraint == "uq_mouse_chip" or told["unique"].columns == ("chip",)
    assert told["null"].columns == ("weight",)
    assert told["check"].constraint == "ck_mouse_weight"
    assert told["column"].columns == ("no_such_column",)
    assert told["table"].table == "no_such_table"
    if cage.dialect.name != "sqlite":  # which tells no more than that one is broken
        for name in ("parent", "child"):
            assert (told[name].constraint, told[name].table) == ("fk_pup_mouse", "pup")


def test_a_qualified_column_is_told_with_its_table(lab: Database) -> None:
    with pytest.raises(sa.exc.DBAPIError) as raised, lab.connect() as connection:
        connection.execute(sa.text("SELECT mouse.no_such_column FROM mouse"))
    told = lab.dialect.classify(raised.value)
    assert (told.fault, told.table, told.columns) == (Fault.MISSING_COLUMN, "mouse", ("no_such_column",))


def test_a_value_that_does_not_fit_is_an_error_and_not_bent(lab: Database) -> None:
    if lab.dialect.name == "sqlite":
        pytest.skip("SQLite keeps whatever it is given; the types check values")
    for value, fault in (("x" * 41, Fault.TOO_LARGE), ("a\0b", Fault.BAD_VALUE)):
        if value == "a\0b" and lab.dialect.name != "postgresql":
            continue
        with pytest.raises(sa.exc.DBAPIError) as raised, lab.engine.begin() as connection:
            connection.execute(sa.insert(label), [{"text": value}])
        assert lab.dialect.classify(raised.value).fault in (fault, Fault.OTHER)
    assert rows(lab, label) == []


def test_waiting_too_long_for_a_lock_is_told(lab: Database) -> None:
    with lab.transaction() as session:
        session.execute(sa.insert(mouse), [new(1)])
        with pytest.raises(sa.exc.DBAPIError) as raised, lab.connect() as connection:
            brief = {
                "sqlite": "PRAGMA busy_timeout = 100",
                "postgresql": "SET lock_timeout = 100",
                "mariadb": "SET innodb_lock_wait_timeout = 1",
                "mysql": "SET innodb_lock_wait_timeout = 1",
            }
            connection.exec_driver_sql(brief[lab.dialect.name])
            thread = threading.Thread(target=lambda: attempt(connection))
            failure: list[BaseException] = []

            def attempt(connection: sa.Connection) -> None:
                try:
                    connection.execute(sa.insert(mouse), [new(1)])
                except sa.exc.DBAPIError as error:
                    failure.append(error)

            thread.start()
            thread.join()
            raise failure[0]
    told = lab.dialect.classify(raised.value)
    assert told.fault is Fault.LOCK_TIMEOUT
    assert told.fault.transient
    lab.dispose()


def test_errors_of_no_database_are_other(lab: Database) -> None:
    assert lab.dialect.classify(ValueError("no")).fault is Fault.OTHER


# ---------------------------------------------------------------- the clock


def test_the_clock_is_utc_with_offsets(lab: Database) -> None:
    def ask(expression: sa.ColumnElement[dt.datetime]) -> dt.datetime:
        with lab.reading() as connection:
            return connection.scalars(sa.select(sa.type_coerce(expression, event.c.at.type))).one()

    def now() -> dt.datetime:
        return dt.datetime.now(dt.UTC).replace(tzinfo=None)

    apart = dt.timedelta(seconds=5)  # a server's clock from ours
    asked = {0.0: utcnow(), 120: utcnow(120), -3600.5: utcnow(-3600.5), 7200: utcnow(sa.literal(7200.0))}
    for seconds, expression in asked.items():
        before = now()
        told = ask(expression) - dt.timedelta(seconds=seconds)
        assert before - apart < told < now() + apart, seconds


def test_the_clock_is_a_server_default_that_compares_with_itself(lab: Database) -> None:
    with lab.engine.begin() as connection:
        connection.execute(sa.insert(event), [{"event": 1}])
    with lab.reading() as connection:
        at = connection.scalars(sa.select(event.c.at)).one()
        assert (
            connection.scalar(sa.select(sa.func.count()).where(event.c.at <= utcnow(), event.c.at > utcnow(-60))) == 1
        )
        assert connection.scalar(sa.select(sa.func.count()).where(event.c.at > utcnow(60))) == 0
        assert connection.scalar(sa.select(sa.func.count()).where(event.c.at == at)) == 1


# ---------------------------------------------------------------- tables, values, statements


def test_keys_that_differ_in_python_differ_in_the_database(lab: Database) -> None:
    texts = ["a", "A", "á", "a ", "a\u0301", "ß", "ss", "", " ", "\U0001f400"]
    with lab.engine.begin() as connection:
        lab.dialect.insert_rows(connection, label, [{"text": t} for t in texts])
        lab.dialect.insert_rows(connection, label, [{"text": t} for t in texts], skip_duplicates=True)
    assert sorted(row[0] for row in rows(lab, label)) == sorted(texts)  # type: ignore[type-var]
    with lab.reading() as connection:
        for text in texts:
            assert connection.scalars(sa.select(label.c.text).where(label.c.text == text)).all() == [text]


def test_blobs_come_back_whole_beside_every_other_kind_of_column(lab: Database) -> None:
    row = {
        "picture": 1,
        "pixels": bytes(range(256)) * 400,
        "sex": Sex.F,
        "price": 12,
        "notes": {"a": [1, None]},
        "taken": dt.datetime(2026, 1, 2, 3, 4, 5),
    }
    with lab.engine.begin() as connection:
        connection.execute(sa.insert(picture), [row])
    formats: list[object] = []
    listener = lambda c, cursor, *rest: formats.append(getattr(cursor, "format", None))
    sa.event.listen(lab.reader, "after_cursor_execute", listener)
    try:
        with lab.reading() as connection:
            assert connection.execute(sa.select(picture)).one()._asdict() == row
            plain = [column for column in picture.c if column.name not in ("sex", "notes")]
            assert connection.execute(sa.select(*plain)).one()._asdict() == {c.name: row[c.name] for c in plain}
    finally:
        sa.event.remove(lab.reader, "after_cursor_execute", listener)
    if lab.dialect.name == "postgresql":
        assert formats == [0, 1]


def test_a_row_at_the_limit_is_taken(lab: Database) -> None:
    if lab.dialect.name not in ("mysql", "mariadb"):
        pytest.skip("the limit is a gigabyte")
    assert lab.dialect.max_row is not None
    with lab.engine.begin() as connection:
        lab.dialect.insert_rows(connection, picture, [{"picture": 1, "pixels": b"'" * lab.dialect.max_row}])
    with lab.reading() as connection:
        assert connection.scalar(sa.select(sa.func.length(picture.c.pixels))) == lab.dialect.max_row


@pytest.mark.parametrize(
    ("statement", "reads"),
    [
        ("SELECT 1", True),
        ("  \n(select 1)", True),
        ("-- first\nSELECT 1", True),
        ("/* INSERT */ SELECT 1", True),
        ("WITH a AS (SELECT 1) SELECT * FROM a", True),
        ("VALUES (1)", True),
        ("PRAGMA foreign_keys", True),
        ("BEGIN", True),
        ("SAVEPOINT s", False),
        ("INSERT INTO selected VALUES (1)", False),
        ("WITH a AS (SELECT 1) INSERT INTO b SELECT * FROM a", False),
        ("-- SELECT\nDELETE FROM a", False),
        ("UPDATE a SET b = 1", False),
        ("CREATE TABLE a (b int)", False),
        ("selection", False),
        ("", False),
    ],
)
def test_statements_that_only_read_are_known_by_their_text(statement: str, reads: bool) -> None:
    assert reads_only(statement) is reads


def test_a_database_that_is_too_old_is_refused(lab: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(lab.dialect), "minimum", (999,))
    with pytest.raises(errors.ConnectionFailed, match=r"needs .* 999 or newer"), lab.connect() as connection:
        lab.dialect.learn(connection)


def test_nothing_else_asks_for_the_name_of_a_database() -> None:
    package = Path(dialects.__file__).parents[1]
    addresses = {("fetch/fast.py", "postgresql"), ("fetch/fast.py", "mysql")}  # as the readers of others want them
    found = {
        (path.relative_to(package).as_posix(), node.value)
        for path in package.rglob("*.py")
        if path.relative_to(package).parts[0] != "dialects"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in {*dialects.FAMILY, *dialects.OTHER_NAMES}
    }
    assert found == addresses


def test_the_dialect_without_an_engine_is_known_for_what_it_is() -> None:
    for name, ours in dialects.FAMILY.items():
        dialect = ours.unconnected()
        assert (dialect.name, type(dialects.of(dialect))) == (name, ours)


def test_every_database_keeps_its_table_options_to_itself() -> None:
    for name, value in TABLE_OPTIONS.items():
        owner = next(d for d in dialects.FAMILY if name.startswith(f"{d}_"))
        assert dialects.FAMILY[owner].table_options[name] == value
    text = str(sa.schema.CreateTable(label).compile(dialect=sa.dialects.postgresql.dialect()))
    assert "COLLATE" not in text
    text = str(sa.schema.CreateTable(label).compile(dialect=sa.dialects.mysql.dialect()))
    assert "utf8mb4_0900_bin" in text


def test_random_order_needs_no_dialect(cage: Database) -> None:
    with cage.reading() as connection:
        assert len(connection.execute(sa.select(mouse).order_by(sa.func.random())).all()) == 2


def test_mariadb_is_known_behind_an_engine_made_for_mysql(url: str) -> None:
    if not url.startswith("mysql"):
        pytest.skip("about MySQL's two names")
    theirs = sa.create_engine(url)
    lab = connect(theirs)
    assert lab.dialect.name in ("mariadb", "mysql")
    assert (lab.dialect.name == "mariadb") == lab.engine.dialect.is_mariadb
    assert lab.engine.pool is theirs.pool
    metadata.create_all(lab.engine)
    with contextlib.suppress(sa.exc.IntegrityError), lab.transaction() as session:
        session.execute(sa.insert(label), [{"text": "a"}, {"text": "a "}])
    assert len(rows(lab, label)) == 2
    theirs.dispose()


def test_keys_are_found_as_they_are_however_many_there_are(lab: Database) -> None:
    """A value that is too long for its column, or too exact, is the key of no row."""
    own = sa.MetaData()
    types = {"text": sa.String(4), "number": sa.Numeric(6, 2), "day": sa.Date(), "flag": sa.Boolean()}
    columns = [sa.Column(name, type_, primary_key=True) for name, type_ in types.items()]
    keyed = sa.Table("keyed", own, *columns, **TABLE_OPTIONS)
    day = dt.date(2026, 1, 2)
    texts = ["a", "A", "", "\\", '"', "{,}", "NULL", "\u00e9", "%s", ":x", "'"]
    rows = [(text, Decimal(n) / 4, day + dt.timedelta(n), bool(n % 2)) for n, text in enumerate(texts)]
    own.create_all(lab.engine)
    with lab.engine.begin() as connection:
        connection.execute(sa.insert(keyed), [dict(zip(types, row)) for row in rows])
        for width in (1, 2, 4):
            some = list(keyed.c)[:width]
            for keys in (rows, rows[3:], rows[:1], []):
                found = connection.execute(sa.select(keyed).where(lab.dialect.among(some, [k[:width] for k in keys])))
                assert sorted(map(tuple, found)) == sorted(keys)
        for key in ({"text": "NULLx"}, {"number": Decimal("0.251")}, {"text": "NULLx", "number": Decimal("1.5")}):
            none = lab.dialect.among([keyed.c[name] for name in key], [tuple(key.values())])
            assert not connection.execute(sa.select(keyed).where(none)).all()


def test_rows_are_found_by_keys_of_whole_numbers(lab: Database) -> None:
    """One column or two, one key or many, the least and the greatest."""
    pair = sa.Table("pair", sa.MetaData(), *(sa.Column(n, sa.BigInteger, primary_key=True) for n in "ab"), **TABLE_OPTIONS)
    keys = [(1, 1), (1, 2), (2**63 - 1, -(2**63)), (0, 0)]
    pair.create(lab.engine)
    with lab.engine.begin() as connection:
        connection.execute(sa.insert(pair), [{"a": a, "b": b} for a, b in keys])

        def find(names: str, *some: tuple[int, ...]) -> list[tuple[object, ...]]:
            named = lab.dialect.among([pair.c[n] for n in names], some)
            return sorted(tuple(row) for row in connection.execute(sa.select(pair).where(named)))

        for some in (keys, keys[:1], keys[1:3], [*keys[2:], (7, 7), (-1, 1)], [(5, 5)], [(1, 3)], []):
            assert find("ab", *some) == sorted({*keys} & {*some})
        assert find("a", (1,), (0,), (9,)) == [(0, 0), (1, 1), (1, 2)]
        assert find("a", (2**63 - 1,)) == [keys[2]]
        assert find("b", (-(2**63),), (2,)) == [(1, 2), keys[2]]
