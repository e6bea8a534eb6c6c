"""Rows read from PyMySQL's socket are the rows that PyMySQL reads, and leave the connection as PyMySQL does."""

from __future__ import annotations

import datetime as dt
import io
import threading

import pymysql
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings

from compdb.database import connect
from compdb.dialects import wire
from compdb.errors import InvalidValue, MakeTimeout
from compdb.fetch import iterate, to_dicts
from compdb.types import Choice

from ..conftest import fresh_url
from .conftest import EVERYTHING, METADATA, NULLS, ROWS, SELECT, assert_same_rows, insert
from .test_frames import some_rows


@pytest.fixture
def database(tmp_path):
    url = sa.make_url(fresh_url("mysql", tmp_path))
    if url.drivername != "mysql+pymysql":
        pytest.skip("another driver than PyMySQL")
    database = connect(url)
    METADATA.create_all(database.engine)
    return database


def by_pymysql(database, query, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(wire, "readable", lambda result: False)
        return to_dicts(database, query)


@pytest.fixture
def reads(monkeypatch):
    """How many times the socket was read from."""
    calls = []

    def read(cursor, size, read_columns=wire.read_columns):
        calls.append(size)
        return read_columns(cursor, size)

    monkeypatch.setattr(wire, "read_columns", read)
    return calls


def test_this_version_of_pymysql_is_one_we_know(database, reads):
    insert(database, ROWS)
    assert_same_rows(to_dicts(database, SELECT), ROWS)
    assert reads


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=some_rows)
def test_the_rows_are_those_of_pymysql(database, monkeypatch, rows):
    insert(database, [{"id": i, **row} for i, row in enumerate(rows)])
    assert_same_rows(to_dicts(database, SELECT), by_pymysql(database, SELECT, monkeypatch))


@pytest.mark.parametrize("size", [0, 1, 249, 250, 251, 252, 255, 256, 65535, 65536])
def test_values_of_every_width_of_length(database, size):
    value = bytes(range(256)) * (size // 256) + bytes(size % 256)
    insert(database, [{**NULLS, "id": i, "raw": value} for i in range(3)])
    query = sa.select(EVERYTHING.c.id, EVERYTHING.c.raw, EVERYTHING.c.flag)
    assert to_dicts(database, query) == [{"id": i, "raw": value, "flag": False} for i in range(3)]


@pytest.mark.parametrize("sizes", [[2**23, 2**23 - 11], [2**23, 2**23 - 10], [2**23, 2**23 - 9], [2**24], [2**24] * 3])
def test_rows_longer_than_a_packet_and_those_that_just_fill_one(database, sizes):
    """A packet of the greatest length goes on in the next one, which may be empty."""
    insert(database, [{**NULLS, "id": i} for i in range(3)])
    columns = [
        sa.literal_column(f"REPEAT(char(65 + id USING utf8mb4), {size})", sa.Text()).label(f"c{i}")
        for i, size in enumerate(sizes)
    ]
    found = to_dicts(database, sa.select(EVERYTHING.c.id, *columns).order_by(EVERYTHING.c.id))
    for row, letter in zip(found, "ABC", strict=True):
        assert [len(row[f"c{i}"]) for i in range(len(sizes))] == sizes
        assert all(set(row[f"c{i}"]) == {letter} for i in range(len(sizes)))


def test_first_columns_that_look_like_the_end(database):
    insert(database, [{**NULLS, "id": i, "notes": text} for i, text in enumerate([None, "", "x", "\xfe"])])
    query = sa.select(EVERYTHING.c.notes).order_by(EVERYTHING.c.id)
    assert [row["notes"] for row in to_dicts(database, query)] == [None, "", "x", "\xfe"]


def test_a_first_column_longer_than_a_packet_is_no_end(database):
    """Its length begins with the byte that marks the end of a result."""
    query = sa.select(sa.literal_column(f"REPEAT('z', {2**24})", sa.Text()).label("long"), sa.literal(1).label("one"))
    assert [(len(row["long"]), row["one"]) for row in to_dicts(database, query)] == [(2**24, 1)]


def test_what_python_has_no_date_for_is_what_pymysql_says(database, monkeypatch):
    insert(database, [{**NULLS, "id": i, "clock": dt.datetime(2020, 1, 2, 3, 4, 5)} for i in range(3)])
    query = sa.select(EVERYTHING.c.clock).order_by(EVERYTHING.c.id)
    with database.transaction() as session:
        session.execute(sa.text("SET SESSION sql_mode = ''"))
        session.execute(sa.text("UPDATE everything SET clock = '0000-00-00 00:00:00' WHERE id = 1"))
        found = to_dicts(database, query)
        assert found == by_pymysql(database, query, monkeypatch)
    assert [str(row["clock"])[:10] for row in found] == ["2020-01-02", "0000-00-00", "2020-01-02"]
    assert found[0]["clock"] == dt.datetime(2020, 1, 2, 3, 4, 5)


def test_a_fetch_that_fails_half_way_leaves_its_transaction_whole(database):
    insert(database, [{**NULLS, "id": i, "side": "right"} for i in range(3500)])
    older = sa.table("everything", sa.column("id"), sa.column("side", Choice(["left", "up"])))
    with database.transaction() as session:
        session.execute(EVERYTHING.delete().where(EVERYTHING.c.id >= 3400))
        with pytest.raises(InvalidValue, match="'right'"):
            to_dicts(database, sa.select(older.c.side))
        assert session.scalar(sa.select(sa.func.count()).select_from(EVERYTHING)) == 3400
    assert len(to_dicts(database, sa.select(EVERYTHING.c.id))) == 3400


class Breaking:
    """A socket's file that breaks when it is read for the nth time."""

    def __init__(self, file, left, error):
        self.file, self.left, self.error = file, left, error

    def read(self, size):
        self.left -= 1
        if self.left > 0:
            return self.file.read(size)
        if self.error is None:
            return b""
        raise self.error

    def close(self):
        self.file.close()


@pytest.mark.parametrize("error", [TimeoutError("timed out"), ConnectionResetError(104, "reset"), None])
def test_a_line_that_breaks_is_an_error_of_the_driver_and_the_connection_closed(database, error):
    insert(database, [{**NULLS, "id": i, "notes": "x" * 100} for i in range(50)])

    rows = iterate(database, sa.select(EVERYTHING.c.id, EVERYTHING.c.notes), chunk=5)
    next(rows)
    driver = rows.gi_frame.f_locals["source"].chunks.result.connection.connection.dbapi_connection
    driver._rfile = Breaking(driver._rfile, 60, error)
    with pytest.raises(sa.exc.OperationalError, match="Lost connection"):
        list(rows)
    assert not driver.open
    assert len(to_dicts(database, sa.select(EVERYTHING.c.id))) == 50


def test_the_connection_serves_on_after_every_kind_of_end(database):
    insert(database, [{**NULLS, "id": i} for i in range(2500)])
    count = sa.select(sa.func.count().label("n")).select_from(EVERYTHING)
    with database.transaction() as session:
        for limit in (0, 1, 2, 999, 1000, 1001, 2500):
            assert len(to_dicts(database, sa.select(EVERYTHING.c.id).limit(limit))) == limit
            assert session.execute(count).scalar() == 2500


def test_a_connection_killed_in_the_middle_is_an_error_and_the_next_one_works(database):
    insert(database, [{**NULLS, "id": i, "notes": "x" * 10_000} for i in range(3000)])
    rows = iterate(database, sa.select(EVERYTHING.c.id, EVERYTHING.c.notes), chunk=10)
    next(rows)
    with database.engine.connect() as other:
        threads = (
            other.exec_driver_sql("SELECT id FROM information_schema.processlist WHERE db = database()").scalars().all()
        )
        mine = other.exec_driver_sql("SELECT connection_id()").scalar()
        for thread in threads:
            if thread != mine:
                other.exec_driver_sql(f"KILL {thread}")
    with pytest.raises(sa.exc.OperationalError):
        list(rows)
    assert len(to_dicts(database, sa.select(EVERYTHING.c.id))) == 3000


def test_an_interrupt_in_the_middle_of_a_packet_closes_the_connection(database, monkeypatch):
    insert(database, [{**NULLS, "id": i} for i in range(50)])
    rows = iterate(database, sa.select(EVERYTHING.c.id), chunk=5)
    next(rows)

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(wire, "_read", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(rows)
    monkeypatch.undo()
    assert len(to_dicts(database, sa.select(EVERYTHING.c.id))) == 50


def test_a_query_killed_in_the_middle_is_told(database):
    insert(database, [{**NULLS, "id": i, "notes": "x" * 5_000} for i in range(1500)])
    query = sa.select(EVERYTHING.c.id, EVERYTHING.c.notes, sa.literal_column("sleep(0.002)").label("nap"))
    rows = iterate(database, query, chunk=10)
    next(rows)
    with database.engine.connect() as other:
        sql = "SELECT id FROM information_schema.processlist WHERE db = database() AND info LIKE '%%sleep(0.002)%%' AND id <> connection_id()"
        for thread in other.exec_driver_sql(sql).scalars().all():
            other.exec_driver_sql(f"KILL QUERY {thread}")
    with pytest.raises(sa.exc.OperationalError, match="interrupted"):
        list(rows)
    assert len(to_dicts(database, sa.select(EVERYTHING.c.id))) == 1500


def test_an_unknown_version_of_pymysql_is_left_to_itself(database, monkeypatch, reads):
    insert(database, ROWS)
    monkeypatch.setattr(wire, "NEEDED", ("a_name_that_is_gone",))
    assert_same_rows(to_dicts(database, SELECT), ROWS)
    assert not reads
    assert pymysql.VERSION


# ---------------------------------------------------------------- results that are read at once


@pytest.fixture
def both(database):
    """Return a connection of ours and one of PyMySQL's own."""
    _, arguments = database.engine.dialect.create_connect_args(database.engine.url)
    pair = wire.connection_class()(**arguments), pymysql.connect(**arguments)
    yield pair
    for connection in pair:
        if connection.open:
            connection.close()


def told(connection, query, *parameters):
    """Return all that a cursor tells after a query."""
    with connection.cursor() as cursor:
        affected = cursor.execute(query, parameters)
        return affected, cursor.rowcount, cursor.lastrowid, cursor.description, cursor.fetchone(), cursor.fetchall()


@pytest.fixture
def short(monkeypatch):
    """Return, for each result, whether it was a short one of known columns that had arrived."""
    calls = []

    def read(connection, result, read_short=wire._read_short):
        calls.append(False)
        calls[-1] = read_short(connection, result)
        return calls[-1]

    monkeypatch.setattr(wire, "_read_short", read)
    return calls


def types(rows):
    return [[type(value) for value in row] for row in rows]


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=some_rows)
def test_results_read_at_once_are_those_of_pymysql(database, both, rows):
    insert(database, [{"id": i, **row} for i, row in enumerate(rows)])
    query = "SELECT * FROM everything ORDER BY id"
    theirs = told(both[1], query)
    for _ in range(2):  # the second time its columns are known
        ours = told(both[0], query)
        assert ours == theirs
        assert types([ours[-2] or (), *ours[-1]]) == types([theirs[-2] or (), *theirs[-1]])
    for connection in both:
        connection.rollback()


def test_the_engine_reads_so(database):
    insert(database, ROWS)
    for engine in (database.engine, database.reader):
        with engine.connect() as connection:
            assert type(connection.connection.dbapi_connection) is wire.connection_class() is not pymysql.Connection
            assert len(connection.execute(SELECT).all()) == len(ROWS)
    theirs = sa.create_engine(database.engine.url)
    with connect(theirs).engine.connect() as connection:  # somebody's own engine stays what it is
        assert type(connection.connection.dbapi_connection) is pymysql.Connection
    theirs.dispose()


@pytest.mark.parametrize("size", [0, 1, 250, 251, 252, 65535, 65536, 2**23, 2**24 - 10, 2**24 - 4, 2**24, 2**25])
def test_long_values_read_at_once(both, size):
    query = f"SELECT 1, REPEAT('z', {size}) UNION ALL SELECT NULL, REPEAT('y', {size})"
    ours, theirs = (told(connection, query) for connection in both)
    assert ours == theirs


@pytest.mark.parametrize(
    "query", ["SELECT 1 WHERE 1 = 0", "SELECT NULL", "SELECT ''", "DO 1", "SET @a = 1", "SELECT CAST('a' AS CHAR), 1.5, NOW() > 0"]
)
def test_short_results_read_at_once(both, query, short):
    ours, theirs = both
    expected = told(theirs, query)
    assert [told(ours, query) for _ in range(3)] == [expected] * 3
    assert short == ([False, True, True] if query.startswith("SELECT") else [False] * 3)


@pytest.mark.parametrize("query", ["SELECT 1, NULL, 'a', REPEAT('b', 300), 1.5", "SELECT 1 UNION SELECT 2", "SELECT 1 WHERE 1 = 0"])
def test_a_result_that_has_arrived_in_part_is_read_as_a_whole(both, monkeypatch, short, query):
    ours, theirs = both
    expected = told(theirs, query)
    told(ours, query)
    seen = []

    class Slow:
        """A file of which a look shows the beginning only."""

        def __init__(self, file, shown):
            self.file, self.shown = file, shown

        def __getattr__(self, name):
            return getattr(self.file, name)

        def peek(self, size):
            seen.append(len(self.file.peek(size)))
            return self.file.peek(size)[: self.shown]

    file, shown = ours._rfile, 0
    while not seen or shown <= seen[-1]:
        ours._rfile = Slow(file, shown)
        assert told(ours, query) == expected
        shown += 1
    assert short == [False] * (1 + seen[-1]) + [True]
    ours._rfile = file
    assert told(ours, query) == expected


def test_several_results_of_one_query_follow_each_other(database, short):
    _, arguments = database.engine.dialect.create_connect_args(database.engine.url)
    arguments["client_flag"] = pymysql.constants.CLIENT.MULTI_STATEMENTS
    for kind in (pymysql.Connection, wire.connection_class()):
        connection = kind(**arguments)
        for _ in range(3):
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1; SELECT 2 UNION SELECT 3; DO 1; SELECT 4")
                found = [cursor.fetchall()]
                while cursor.nextset():
                    found.append(tuple(cursor.fetchall()))
            assert found == [((1,),), ((2,), (3,)), (), ((4,),)]
        connection.close()
    assert True in short


def test_the_columns_of_many_results_are_not_kept_for_ever(both, monkeypatch):
    monkeypatch.setattr(wire, "KNOWN", 3)
    for i in range(10):
        assert told(both[0], f"SELECT {i} AS c{i}")[-2] == (i,)
        assert 1 <= len(both[0].known) <= 3


def test_columns_are_told_apart_by_their_name_and_type(both):
    ours, theirs = both
    queries = ["SELECT 1 AS a", "SELECT 1 AS b", "SELECT '1' AS a", "SELECT 1.0 AS a", "SELECT 1 AS a, 2 AS b", "SELECT x'31' AS a"]
    for query in queries * 2:
        assert told(ours, query) == told(theirs, query)


@pytest.mark.parametrize("error", [TimeoutError("timed out"), ConnectionResetError(104, "reset"), KeyboardInterrupt()])
def test_a_line_that_breaks_before_a_short_result(both, error):
    ours, _ = both
    told(ours, "SELECT 1")
    file = ours._rfile

    class Broken:
        def __getattr__(self, name):
            return getattr(file, name)

        def peek(self, size):
            raise error

    ours._rfile = Broken()
    expected = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else pymysql.OperationalError
    with pytest.raises(expected) as caught:
        told(ours, "SELECT 1")
    assert not ours.open
    if expected is pymysql.OperationalError:
        assert caught.value.args == (2013, f"Lost connection to MySQL server during query ({error})")


def test_writes_are_told_as_ever(both):
    heard = []
    for connection in both:
        found = [told(connection, "CREATE TEMPORARY TABLE numbers (n INT PRIMARY KEY AUTO_INCREMENT, t TEXT)")]
        found.append(told(connection, "INSERT INTO numbers (t) VALUES (%s), (%s)", "a", None))
        found.append(told(connection, "UPDATE numbers SET t = 'b'"))
        found.append(told(connection, "SELECT * FROM numbers"))
        found.append((connection.server_status, connection.get_autocommit(), connection.insert_id()))
        heard.append(found)
    assert heard[0] == heard[1]


def test_an_error_read_at_once_leaves_the_connection_whole(both):
    for query in ("SELECT nothing", "SELECT 1 + (SELECT 1 UNION SELECT 2)", "SELEC 1"):
        errors = []
        for connection in both:
            with pytest.raises(pymysql.Error) as caught:
                told(connection, query)
            errors.append(caught.value)
            assert told(connection, "SELECT 7")[-2] == (7,)
        assert errors[0].args == errors[1].args
        assert type(errors[0]) is type(errors[1])


def test_a_query_killed_between_the_rows_of_a_result_read_at_once(database, both):
    insert(database, [{**NULLS, "id": i, "notes": "x" * 5_000} for i in range(400)])
    ours, other = both
    number = ours.thread_id()
    killer = threading.Timer(0.5, lambda: told(other, f"KILL QUERY {number}"))
    killer.start()
    with pytest.raises(pymysql.OperationalError, match="interrupted"):
        told(ours, "SELECT id, notes, SLEEP(0.01) FROM everything")
    killer.join()
    assert told(ours, "SELECT 7")[-2] == (7,)
    assert told(ours, "SELECT id FROM everything")[0] == 400


@pytest.mark.parametrize("error", [TimeoutError("timed out"), ConnectionResetError(104, "reset"), KeyboardInterrupt(), None])
def test_a_line_that_breaks_while_a_result_is_read_at_once(both, monkeypatch, error):
    ours, _ = both
    calls = []

    def breaking(connection, columns, size, read=wire._read):
        calls.append(size)
        file = connection._rfile
        connection._rfile = Breaking(file, 5, error)
        return read(connection, columns, size)

    monkeypatch.setattr(wire, "_read", breaking)
    expected = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else pymysql.OperationalError
    with pytest.raises(expected):
        told(ours, "SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4")
    assert calls
    assert not ours.open


@pytest.mark.parametrize("error", [TimeoutError("timed out"), KeyboardInterrupt(), None])
def test_a_line_that_breaks_while_the_columns_are_told(both, monkeypatch, error):
    ours, _ = both
    calls = []

    def breaking(connection, packet=wire._packet):
        calls.append(connection)
        connection._rfile = Breaking(connection._rfile, 3, error)
        return packet(connection)

    monkeypatch.setattr(wire, "_packet", breaking)
    expected = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else pymysql.OperationalError
    with pytest.raises(expected):
        told(ours, "SELECT 1 AS a, 2 AS b, 3 AS c")
    assert calls
    assert not ours.open


def test_an_interrupt_while_a_short_result_is_cut_up_closes_the_connection(both, monkeypatch):
    """Else what has arrived would be taken for the answer to the next query."""
    ours, _ = both
    told(ours, "SELECT 1 AS a")

    def interrupted(*_):
        raise MakeTimeout("it took too long")

    monkeypatch.setattr(wire, "_arrived", interrupted)
    with pytest.raises(MakeTimeout):
        told(ours, "SELECT 1 AS a")
    assert not ours.open


def test_pymysql_knows_the_timeout_that_is_set(database):
    _, arguments = database.engine.dialect.create_connect_args(database.engine.url)
    for timeouts in ({"read_timeout": 5}, {"write_timeout": 5}, {"read_timeout": 5, "write_timeout": 7}):
        connection = wire.connection_class()(**arguments, **timeouts)
        for _ in range(3):
            told(connection, "SELECT 1")
            assert connection._sock.gettimeout() == timeouts.get("read_timeout")
            assert getattr(connection, "_current_timeout", timeouts.get("read_timeout")) == timeouts.get("read_timeout")
        connection.close()


def test_an_error_among_the_columns_is_told_at_once(both):
    ours, _ = both
    told(ours, "SELECT 1 AS a")
    (columns, _), *_ = ours.known
    error = b"\xff\x11\x04#HY001" + b"out of memory"
    packets = b"\x01\x00\x00\x01\x02" + columns + len(error).to_bytes(3, "little") + b"\x03" + error

    class Said(io.BufferedReader):
        """What a server says that has no memory left for the second column; then it waits, and whoever reads on waits for ever."""

        def __init__(self):
            super().__init__(io.BytesIO(packets))

        def read(self, size):
            data = super().read(size)
            assert len(data) == size, "it waits for ever"
            return data

    ours._rfile = Said()
    with pytest.raises(pymysql.Error, match="out of memory") as caught:
        told(ours, "SELECT 1 AS a, 2 AS b")
    assert caught.value.args[0] == 1041


def test_a_version_of_pymysql_that_we_do_not_know_keeps_its_connection(monkeypatch):
    monkeypatch.setattr(wire, "NEEDED_OF_CLASS", ("a_name_that_is_gone",))
    assert wire.connection_class.__wrapped__() is pymysql.Connection


def test_a_listener_who_connects_himself_is_asked_first(database):
    given = []

    def listener(dialect, record, arguments, named):
        given.append(named["host"])  # as one does who gives a password that has just been issued

    sa.event.listen(database.engine, "do_connect", listener)
    database.dispose()
    with database.engine.connect() as connection:
        assert type(connection.connection.dbapi_connection) is wire.connection_class()
    sa.event.remove(database.engine, "do_connect", listener)
    assert given == [database.engine.url.host]
