"""The door to the database: who shares a transaction, who is told off, what survives, and what is never printed."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import os
import sqlite3
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import orm

from compdb import errors
from compdb.database import Database, bind, connect, database_of, disconnect
from compdb.settings import redact, resolve_url


class Base(orm.DeclarativeBase):
    pass


class Mouse(Base):
    __tablename__ = "mouse"
    mouse_id: orm.Mapped[int] = orm.mapped_column(primary_key=True, autoincrement=False)
    name: orm.Mapped[str | None] = orm.mapped_column(sa.String(40))


class Pup(Base):
    __tablename__ = "pup"
    pup_id: orm.Mapped[int] = orm.mapped_column(primary_key=True, autoincrement=False)
    mouse_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("mouse.mouse_id"))


MICE = sa.select(Mouse.mouse_id).order_by(Mouse.mouse_id)


@pytest.fixture
def lab(url: str) -> Iterator[Database]:
    """A database with the tables of `Base`, empty."""
    database = lived_in(connect(url))
    yield database
    database.dispose()


def lived_in(database: Database) -> Database:
    Base.metadata.create_all(database.engine)
    bind(Base.metadata, database)
    return database


def mice(lab: Database) -> list[int]:
    with lab.reading() as connection:
        return list(connection.scalars(MICE))


def elsewhere(function: Callable[[], object]) -> object:
    """Call in another thread that has our context, and return what it returns or raises."""
    context, result = contextvars.copy_context(), []

    def run() -> None:
        try:
            result.append(context.run(function))
        except Exception as error:
            result.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return result[0]


# ---------------------------------------------------------------- connecting


def test_one_database_for_each_url_however_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert connect("sqlite:///a.db") is connect(f"sqlite:///{tmp_path}/a.db") is connect("sqlite:///./x/../a.db")
    assert connect("sqlite:///a.db") is not connect("sqlite:///b.db")


def test_a_relative_file_stays_where_it_was_when_the_process_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lab = connect("sqlite:///here.db")
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "there")
    lab.dispose()
    with lab.transaction() as session:
        session.execute(sa.text("CREATE TABLE t (i integer)"))
    assert list((tmp_path / "there").iterdir()) == []


def test_the_url_given_goes_before_the_environment_and_that_before_pyproject(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "deep" / "deeper"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("COMPDB_URL", raising=False)
    with pytest.raises(errors.NotConnected, match=r"COMPDB_URL.*\n\[tool.compdb\]"):
        resolve_url()
    (tmp_path / "pyproject.toml").write_text('[tool.compdb]\nurl = "sqlite:///lab.db"\n')
    (folder / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    assert resolve_url() == f"sqlite:///{tmp_path}/lab.db"
    monkeypatch.setenv("COMPDB_URL", "sqlite:///environment.db")
    assert resolve_url() == "sqlite:///environment.db"
    assert resolve_url("sqlite:///given.db") == "sqlite:///given.db"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:hunter2@127.0.0.1:1/lab?sslpassword=hunter2",
        "mysql://ann:hunter2@127.0.0.1:1/lab?ssl_key_password=hunter2&charset=utf8mb4",
        "postgresql+psycopg://ann:hunter2@127.0.0.1:1/lab?no_such_option=1",
        "oracle+hunter2driver://ann:hunter2@127.0.0.1/lab",
        "no url at all: hunter2",
    ],
)
def test_a_database_that_does_not_answer_is_named_without_its_password(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(errors.ConnectionFailed) as raised:
        connect(url)
    told = "".join(traceback.format_exception(raised.value)) + caplog.text
    if "@" in url:
        assert "127.0.0.1" in str(raised.value)
        assert "lab" in str(raised.value)
    assert "hunter2" not in told.replace("hunter2driver", "")


def test_a_wrong_password_is_a_connection_failed_that_keeps_it_secret(url: str) -> None:
    if url.startswith("sqlite"):
        pytest.skip("a file asks for no password")
    wrong = sa.make_url(url).set(username="nobody_here", password="hunter2", database="no_such_database")
    with pytest.raises(errors.ConnectionFailed, match="no_such_database") as raised:
        connect(wrong)
    assert "hunter2" not in "".join(traceback.format_exception(raised.value))


def test_a_missing_driver_names_the_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(errors.ConnectionFailed, match=r"pip install 'compdb\[mysql\]'"):
        connect("mysql://root@127.0.0.1:9/x")
    with pytest.raises(errors.ConnectionFailed, match=r"pip install 'compdb\[postgresql\]'"):
        connect("postgresql://root@127.0.0.1:9/x")


@pytest.mark.parametrize("content", [None, b"this is no database, though it is long enough to be taken for one" * 20])
def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "missing" / "lab.db" if content is None else tmp_path / "lab.db"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(errors.ConnectionFailed, match=str(file)):
        connect(f"sqlite:///{file}")


def test_a_file_that_we_may_only_read_is_read(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "old.db")) as old, old:
        old.execute("CREATE TABLE t (i integer)")
        old.execute("INSERT INTO t VALUES (7)")
    lab = connect(f"sqlite:///file:{tmp_path}/old.db?mode=ro&uri=true")
    with lab.reading() as connection:
        assert connection.scalar(sa.text("SELECT i FROM t")) == 7


def test_urls_are_printed_without_secrets() -> None:
    lab = "postgresql://ann:hunter2@lab/db?sslmode=require&password=hunter2&PASSWD=hunter2&sslkey=a.pem"
    assert redact(lab) == "postgresql://ann:***@lab/db?sslmode=require&password=***&PASSWD=***&sslkey=a.pem"


def test_mysql_becomes_mariadb_where_that_is_what_answers(lab: Database) -> None:
    if lab.dialect.name == "mariadb":
        assert lab.engine.url.drivername.startswith("mariadb+")
        assert connect(lab.engine.url) is lab
    assert "password" not in repr(lab)


# ---------------------------------------------------------------- an engine handed in


def test_an_engine_handed_in_keeps_its_pool_and_gets_our_listeners_once(url: str) -> None:
    theirs = sa.create_engine(url, pool_size=3)
    pool = theirs.pool
    lab = connect(theirs)
    assert connect(theirs) is lab
    assert theirs.pool is pool
    assert lab.engine.pool is pool
    lived_in(lab)
    with lab.transaction() as session:
        session.add(Mouse(mouse_id=1))
        assert mice(lab) == [1]
    with lab.reading() as connection, pytest.raises((sa.exc.DBAPIError, errors.SessionError)):
        connection.execute(sa.insert(Mouse).values(mouse_id=2))
    assert mice(lab) == [1]
    with lab.snapshot() as connection:
        assert connection.scalars(MICE).all() == [1]
        add(lab, 2)
        assert connection.scalars(MICE).all() == [1]
    assert mice(lab) == [1, 2]
    theirs.dispose()
    lab.dispose()


def test_an_engine_with_one_connection_in_its_pool_is_no_trap(url: str) -> None:
    theirs = sa.create_engine(url, pool_size=1, max_overflow=0, pool_timeout=1)
    lab = lived_in(connect(theirs))
    assert lab.one_connection
    with lab.lock("activate"), lab.transaction() as session:
        session.add(Mouse(mouse_id=1))
        assert mice(lab) == [1]
    assert mice(lab) == [1]
    theirs.dispose()
    lab.dispose()


def test_an_engine_whose_connections_are_all_in_use_says_what_to_give_it(sqlite_url: str) -> None:
    theirs = sa.create_engine(sqlite_url, pool_size=1, max_overflow=0, pool_timeout=0.1)
    lab = connect(theirs)
    with lab.connect(theirs), pytest.raises(errors.ConnectionFailed, match="pool_size of at least 2"), lab.connect(theirs):
        pass
    theirs.dispose()


def test_connections_made_before_an_engine_was_handed_in_are_set_up_too(sqlite_url: str) -> None:
    theirs = sa.create_engine(sqlite_url)
    with theirs.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 0
    lab = connect(theirs)
    with lab.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    theirs.dispose()


def test_an_engine_on_one_connection_says_so() -> None:
    theirs = sa.create_engine("sqlite://", poolclass=sa.StaticPool, connect_args={"check_same_thread": False})
    lab = connect(theirs)
    assert lab.one_connection
    assert not connect("sqlite://").one_connection
    lived_in(lab)
    with lab.transaction() as session:
        session.add(Mouse(mouse_id=1))
        assert mice(lab) == [1]
    assert mice(lab) == [1]
    theirs.dispose()


# ---------------------------------------------------------------- transactions


def test_a_transaction_commits_at_its_end_and_rolls_back_on_an_exception(lab: Database) -> None:
    with lab.transaction() as session:
        assert isinstance(session, orm.Session)
        session.add(Mouse(mouse_id=1))
    with pytest.raises(ZeroDivisionError), lab.transaction() as session:
        session.add(Mouse(mouse_id=2))
        session.flush()
        raise ZeroDivisionError
    assert mice(lab) == [1]
    assert not lab.in_transaction()


def test_reading_in_a_transaction_sees_what_was_added(lab: Database) -> None:
    with lab.transaction() as session:
        session.add(Mouse(mouse_id=1))
        assert mice(lab) == [1]
        assert lab.in_transaction()
        with session.no_autoflush:
            session.add(Mouse(mouse_id=2))
            assert mice(lab) == [1]


def test_rows_stay_readable_after_the_transaction(lab: Database) -> None:
    with lab.transaction() as session:
        session.add(mouse := Mouse(mouse_id=1, name="Ada"))
    assert mouse.name == "Ada"


def test_a_nested_transaction_is_the_same_session_and_a_savepoint(lab: Database) -> None:
    with lab.transaction() as outer:
        outer.add(Mouse(mouse_id=1))
        with pytest.raises(sa.exc.IntegrityError), lab.transaction() as inner:
            assert inner is outer
            inner.add(Mouse(mouse_id=2))
            inner.flush()
            inner.execute(sa.insert(Mouse), [{"mouse_id": 1}])
        with lab.transaction(), lab.transaction() as innermost:
            innermost.add(Mouse(mouse_id=3))
        assert mice(lab) == [1, 3]
    assert mice(lab) == [1, 3]


def test_the_outer_transaction_takes_the_inner_with_it(lab: Database) -> None:
    with pytest.raises(ZeroDivisionError), lab.transaction():
        with lab.transaction() as inner:
            inner.add(Mouse(mouse_id=1))
        raise ZeroDivisionError
    assert mice(lab) == []


def test_a_savepoint_before_any_write_is_undone_with_its_transaction(lab: Database) -> None:
    with lab.connect() as connection, connection.begin() as transaction:
        with connection.begin_nested():
            connection.execute(sa.insert(Mouse), [{"mouse_id": 1}])
        transaction.rollback()
    assert mice(lab) == []


def test_the_session_in_force_is_the_same_wherever_it_is_asked_for(lab: Database) -> None:
    with lab.transaction() as session:
        assert lab.session() is session
        with lab.session() as same:
            same.add(Mouse(mouse_id=1))
        session.add(Mouse(mouse_id=2))
    assert mice(lab) == [1, 2]


def test_a_session_of_its_own_is_the_callers(lab: Database) -> None:
    with lab.session() as session:
        session.add(Mouse(mouse_id=1))
        session.flush()
        assert mice(lab) == []
    assert mice(lab) == []
    with lab.session() as session:
        session.add(mouse := Mouse(mouse_id=1))
        session.commit()
        assert mouse.name is None
    assert mice(lab) == [1]


def test_a_session_in_force_is_not_committed_by_those_who_borrow_it(lab: Database) -> None:
    with lab.transaction() as session:
        session.add(Mouse(mouse_id=1))
        with pytest.raises(errors.SessionError, match="commits when its block ends"):
            lab.session().commit()
    assert mice(lab) == [1]


def test_rolling_the_session_back_ends_the_block_with_nothing_kept(lab: Database) -> None:
    with lab.transaction() as session:
        session.add(Mouse(mouse_id=1))
        session.flush()
        session.rollback()
    assert mice(lab) == []


def test_a_table_of_another_database_is_refused(lab: Database, tmp_path: Path) -> None:
    other = connect(f"sqlite:///{tmp_path}/other.db")
    with other.transaction() as session:
        session.add(Mouse(mouse_id=1))
        with pytest.raises(errors.SessionError, match="mouse lives in"):
            session.flush()
        session.expunge_all()


def test_foreign_keys_hold(lab: Database) -> None:
    with pytest.raises(sa.exc.IntegrityError), lab.transaction() as session:
        session.add(Pup(pup_id=1, mouse_id=5))
    with lab.session() as session:
        session.add(Pup(pup_id=1, mouse_id=5))
        with pytest.raises(sa.exc.IntegrityError):
            session.commit()


def test_values_stay_out_of_messages(lab: Database) -> None:
    with pytest.raises(sa.exc.IntegrityError) as raised, lab.transaction() as session:
        session.execute(sa.insert(Mouse), [{"mouse_id": 1, "name": "hunter2"}, {"mouse_id": 1, "name": "hunter2"}])
    assert "hunter2" not in str(raised.value)


# ---------------------------------------------------------------- reading


def test_a_read_outside_a_transaction_is_one_round_trip(lab: Database) -> None:
    if lab.dialect.name == "sqlite":
        statements: list[str] = []
        with lab.connect(lab.reader) as connection:
            connection.connection.dbapi_connection.set_trace_callback(statements.append)  # type: ignore[union-attr]
            connection.execute(MICE).all()
            connection.rollback()
            connection.connection.dbapi_connection.set_trace_callback(None)  # type: ignore[union-attr]
        assert len(statements) == 1
        return
    mice(lab)
    sent: list[int] = []
    with lab.connect(lab.reader) as connection:
        driver = connection.connection.dbapi_connection
        connection.rollback()
        with counting(driver, sent):
            connection.execute(MICE).all()
            connection.close()
    assert len(sent) == 1
    with lab.connect(lab.reader) as connection, counting(connection.connection.dbapi_connection, sent := []):
        connection.execute(MICE).all()
    assert len(sent) == 1


@contextlib.contextmanager
def counting(driver: object, sent: list[int]) -> Iterator[None]:
    """Count what a driver sends: writes on PyMySQL's socket, statements that psycopg waits for."""
    if hasattr(driver, "_write_bytes"):
        name, original = "_write_bytes", driver._write_bytes
        driver._write_bytes = lambda data: (sent.append(1), original(data))[1]
    else:
        name, original = "wait", driver.wait  # type: ignore[attr-defined]
        driver.wait = lambda *a, **k: (sent.append(1), original(*a, **k))[1]  # type: ignore[attr-defined]
    try:
        yield
    finally:
        setattr(driver, name, original)


def test_a_reading_connection_refuses_to_write(lab: Database) -> None:
    with lab.reading() as connection, pytest.raises(errors.SessionError, match="use transaction"):
        connection.execute(sa.insert(Mouse).values(mouse_id=1))
    assert mice(lab) == []


def test_a_snapshot_sees_one_state_while_others_write(lab: Database) -> None:
    with lab.transaction() as session:
        session.add(Mouse(mouse_id=1))
    with lab.snapshot() as connection:
        assert list(connection.scalars(MICE)) == [1]
        with lab.transaction() as session:
            session.add(Mouse(mouse_id=2))
        assert list(connection.scalars(MICE)) == [1]
        assert mice(lab) == [1, 2]
    assert mice(lab) == [1, 2]


def test_a_snapshot_can_be_begun_and_ended_again_on_one_connection(lab: Database) -> None:
    with lab.connect(lab.reader) as reader, lab.connect(lab.writer) as writer:
        for n in range(1, 4):
            lab.dialect.begin_snapshot(reader)
            assert len(list(reader.scalars(MICE))) == n - 1
            with writer.begin():
                writer.execute(sa.insert(Mouse), [{"mouse_id": n}])
            assert len(list(reader.scalars(MICE))) == n - 1
            reader.commit()
    assert mice(lab) == [1, 2, 3]


def test_a_snapshot_left_behind_by_an_error_is_not_in_the_pool(lab: Database) -> None:
    with contextlib.suppress(ZeroDivisionError), lab.snapshot() as connection:
        assert list(connection.scalars(MICE)) == []
        raise ZeroDivisionError
    with lab.transaction() as session:
        session.add(Mouse(mouse_id=1))
    assert mice(lab) == [1]


def test_readers_go_on_while_a_writer_is_at_work(lab: Database) -> None:
    with lab.transaction() as session:
        session.add(Mouse(mouse_id=1))
        session.flush()
        seen = contextvars.Context().run(mice, lab)
    assert seen == []


def test_a_writer_sees_what_was_committed_after_it_began(lab: Database) -> None:
    if lab.dialect.one_writer:
        pytest.skip("one writer at a time")
    with lab.transaction() as session:
        session.scalars(MICE).all()
        contextvars.Context().run(add, lab, 1)
        assert session.scalars(MICE).all() == [1]


def add(lab: Database, number: int) -> None:
    with lab.transaction() as session:
        session.add(Mouse(mouse_id=number))


# ---------------------------------------------------------------- threads and tasks


def test_another_thread_that_inherits_the_context_is_told(lab: Database) -> None:
    with lab.transaction():
        error = elsewhere(lambda: mice(lab))
        assert isinstance(error, errors.SessionError)
        assert "another thread" in str(error)
        assert "with Lab.transaction()" in str(error)
        assert isinstance(elsewhere(lab.session), errors.SessionError)


def test_another_thread_opens_a_transaction_of_its_own(lab: Database) -> None:
    with lab.transaction():
        if not lab.dialect.one_writer:
            assert elsewhere(lambda: add(lab, 1)) is None
    assert elsewhere(lambda: add(lab, 2)) is None
    assert 2 in mice(lab)


def test_another_task_that_inherits_the_context_is_told(lab: Database) -> None:
    async def main() -> BaseException | None:
        with lab.transaction() as session:
            session.add(Mouse(mouse_id=1))

            async def child() -> list[int]:
                return mice(lab)

            (result,) = await asyncio.gather(child(), return_exceptions=True)
            assert mice(lab) == [1]
        return result

    error = asyncio.run(main())
    assert isinstance(error, errors.SessionError)
    assert "another asyncio task" in str(error)
    assert mice(lab) == [1]


def test_tasks_that_would_wait_for_one_another_on_sqlite_are_told(lab: Database) -> None:
    async def worker(number: int, ready: asyncio.Event, go: asyncio.Event) -> None:
        with lab.transaction() as session:
            session.add(Mouse(mouse_id=number))
            ready.set()
            await go.wait()

    async def main() -> list[object]:
        ready, go = asyncio.Event(), asyncio.Event()
        first = asyncio.create_task(worker(1, ready, go))
        await ready.wait()
        second = asyncio.create_task(worker(2, asyncio.Event(), go))
        await asyncio.sleep(0)
        go.set()
        return await asyncio.gather(first, second, return_exceptions=True)

    first, second = asyncio.run(main())
    assert first is None
    if lab.dialect.one_writer:
        assert isinstance(second, errors.SessionError)
        assert "asyncio.to_thread" in str(second)
        assert mice(lab) == [1]
    else:
        assert mice(lab) == [1, 2]


def test_a_transaction_may_be_left_in_another_context_and_thread(lab: Database) -> None:
    entered = contextvars.copy_context()
    transaction = lab.transaction()
    session = entered.run(transaction.__enter__)
    session.add(Mouse(mouse_id=1))
    assert elsewhere(lambda: transaction.__exit__(None, None, None)) in (None, False)
    assert mice(lab) == [1]
    assert entered.run(lab.holder) is None
    assert entered.run(mice, lab) == [1]


def test_many_threads_write_one_after_another(lab: Database) -> None:
    threads = [threading.Thread(target=add, args=(lab, n)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert mice(lab) == list(range(8))


def test_reading_and_writing_again_is_safe_between_threads(lab: Database) -> None:
    add(lab, 1)

    def rename() -> None:
        for _ in range(10):
            with lab.transaction() as session:
                mouse = session.get_one(Mouse, 1, with_for_update=True)
                mouse.name = str(int(mouse.name or 0) + 1)

    threads = [threading.Thread(target=rename) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with lab.session() as session:
        assert session.get_one(Mouse, 1).name == "30"


# ---------------------------------------------------------------- processes


def in_child(function: Callable[[], object]) -> str:
    """Call in a forked child, and return what it raised, or returned, as text."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            try:
                told = f"{function()}"
            except BaseException as error:
                told = f"{type(error).__name__}: {error}"
            os.write(writing, told.encode()[:4000])
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        told = pipe.read()
    os.waitpid(pid, 0)
    return told


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_works_on_connections_of_its_own(lab: Database) -> None:
    add(lab, 1)
    assert in_child(lambda: (add(lab, 2), mice(lab))[1]) == "[1, 2]"
    assert mice(lab) == [1, 2]
    add(lab, 3)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_session_that_a_child_inherits_is_its_parents(lab: Database) -> None:
    with lab.transaction() as session:
        session.add(Mouse(mouse_id=1))
        session.flush()
        assert "forked" in in_child(lambda: mice(lab))
        assert "SessionError" in in_child(lambda: session.scalars(MICE).all())
        assert "SessionError" in in_child(lambda: session.connection().commit())
        assert "SessionError" in in_child(session.rollback)
        if lab.dialect.name != "sqlite":
            in_child(session.connection().connection.dbapi_connection.rollback)  # type: ignore[union-attr]
        session.add(Mouse(mouse_id=2))
    assert mice(lab) == [1, 2]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_that_leaves_its_parents_block_leaves_the_transaction_alone(lab: Database) -> None:
    def leave(error: BaseException | None) -> Callable[[], object]:
        return lambda: transaction.__exit__(type(error) if error else None, error, None)

    transaction = lab.transaction()
    session = transaction.__enter__()
    session.add(Mouse(mouse_id=1))
    session.flush()
    assert in_child(leave(None)) in ("None", "False")
    assert (
        "ZeroDivisionError" in in_child(leave(ZeroDivisionError())) or in_child(leave(ZeroDivisionError())) == "False"
    )
    assert in_child(session.close) == "None"
    session.add(Mouse(mouse_id=2))
    transaction.__exit__(None, None, None)
    assert mice(lab) == [1, 2]


# ---------------------------------------------------------------- what the database does behind our back


def test_a_connection_that_the_server_has_closed_is_replaced_at_checkout(lab: Database) -> None:
    if lab.dialect.name == "sqlite":
        pytest.skip("no server")
    add(lab, 1)
    assert mice(lab) == [1]
    kill_others(lab)
    assert mice(lab) == [1]
    add(lab, 2)


def kill_others(lab: Database) -> None:
    """Close every connection of `lab` on the server."""
    with sa.create_engine(lab.engine.url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT").connect() as admin:
        if lab.dialect.name == "postgresql":
            admin.exec_driver_sql(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        else:
            mine = admin.exec_driver_sql(
                "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()"
            ).scalars()
            for number in list(mine):
                admin.exec_driver_sql(f"KILL {number}")


def test_a_socket_that_is_closed_while_psycopg_waits_is_a_lost_connection(lab: Database) -> None:
    if lab.dialect.name != "postgresql":
        pytest.skip("psycopg's words")
    import psycopg

    def closed(*_: Any) -> None:
        sa.event.remove(lab.writer, "do_execute", closed)
        raise psycopg.OperationalError("connection socket closed")

    with pytest.raises(sa.exc.DBAPIError) as raised, lab.transaction() as session:
        session.scalars(MICE).all()
        sa.event.listen(lab.writer, "do_execute", closed)
        session.scalars(MICE).all()
    assert raised.value.connection_invalidated
    assert lab.dialect.classify(raised.value).fault.name == "DISCONNECT"
    add(lab, 2)


def test_a_transaction_whose_connection_is_lost_keeps_nothing_and_the_next_one_works(lab: Database) -> None:
    if lab.dialect.name == "sqlite":
        pytest.skip("no server")
    with pytest.raises(sa.exc.DBAPIError) as raised, lab.transaction() as session:
        session.add(Mouse(mouse_id=1))
        session.flush()
        kill_others(lab)
        session.scalars(MICE).all()
    assert lab.dialect.classify(raised.value).fault.name == "DISCONNECT"
    assert mice(lab) == []
    add(lab, 2)


def deadlock(lab: Database, swallow: bool) -> None:
    """Lose a deadlock in a nested transaction, and go on writing."""
    ready, gone = threading.Barrier(2), threading.Event()

    def rival() -> None:
        with contextlib.suppress(sa.exc.DBAPIError), lab.transaction() as session:
            # the one with more to undo is spared
            session.execute(sa.insert(Mouse), [{"mouse_id": n} for n in range(100, 400)])
            session.execute(sa.update(Mouse).where(Mouse.mouse_id == 2).values(name="rival"))
            ready.wait()
            session.execute(sa.update(Mouse).where(Mouse.mouse_id == 1).values(name="rival"))
        gone.set()

    with lab.transaction() as session:
        session.add_all([Mouse(mouse_id=1), Mouse(mouse_id=2)])
    thread = threading.Thread(target=rival)
    try:
        with lab.transaction() as outer:
            outer.add(Mouse(mouse_id=10))
            outer.flush()
            try:
                with lab.transaction() as session:
                    session.execute(sa.update(Mouse).where(Mouse.mouse_id == 1).values(name="we"))
                    thread.start()
                    ready.wait()
                    session.execute(sa.update(Mouse).where(Mouse.mouse_id == 2).values(name="we"))
            except (sa.exc.DBAPIError, errors.TransactionLost):
                if not swallow:
                    raise
            outer.add(Mouse(mouse_id=11))
    finally:
        thread.join()


@pytest.mark.parametrize("swallow", [False, True])
def test_a_deadlock_never_leaves_half_a_transaction(lab: Database, swallow: bool) -> None:
    if lab.dialect.one_writer:
        pytest.skip("one writer cannot deadlock")
    lost: Exception | None = None
    try:
        deadlock(lab, swallow)
    except (errors.TransactionLost, sa.exc.DBAPIError) as error:
        lost = error
    if lost is not None:
        assert not {10, 11} & set(mice(lab))
        assert swallow is False or isinstance(lost, errors.TransactionLost)
    else:
        # only PostgreSQL may choose the other one, or keep what was written before the SAVEPOINT
        assert lab.dialect.name == "postgresql"
        assert {10, 11} <= set(mice(lab))


@pytest.mark.parametrize("swallow", [False, True])
def test_a_full_disk_never_leaves_half_a_transaction(sqlite_url: str, swallow: bool) -> None:
    lab = lived_in(connect(sqlite_url))
    with pytest.raises((errors.TransactionLost, sa.exc.DBAPIError)) as raised, lab.transaction() as outer:
        outer.add(Mouse(mouse_id=1))
        outer.flush()
        driver = outer.connection().connection.dbapi_connection
        try:
            with lab.transaction() as session:
                driver.execute("PRAGMA max_page_count=20")  # type: ignore[union-attr]
                session.execute(sa.insert(Mouse), [{"mouse_id": 2, "name": "x" * 10_000_000}])
        except (sa.exc.DBAPIError, errors.TransactionLost):
            if not swallow:
                raise
        finally:
            driver.execute("PRAGMA max_page_count=1073741823")  # type: ignore[union-attr]
        outer.add(Mouse(mouse_id=3))
    assert isinstance(raised.value, errors.TransactionLost)
    assert mice(lab) == []
    add(lab, 4)
    assert mice(lab) == [4]


def test_an_error_of_one_statement_is_no_loss(lab: Database) -> None:
    if lab.dialect.name == "postgresql":
        pytest.skip("there a transaction ends with its first error, and says so")
    with lab.transaction() as session:
        session.execute(sa.insert(Mouse), [{"mouse_id": 1}])
        with pytest.raises(sa.exc.IntegrityError):
            session.execute(sa.insert(Mouse), [{"mouse_id": 1}])
        session.execute(sa.insert(Mouse), [{"mouse_id": 2}])
    assert mice(lab) == [1, 2]


def test_a_session_with_unfinished_writes_does_not_stop_its_own_thread_for_ever(sqlite_url: str) -> None:
    lab = lived_in(connect(sqlite_url))
    with lab.session() as forgotten:
        forgotten.add(Mouse(mouse_id=1))
        forgotten.flush()
        with pytest.raises(errors.SessionError, match="neither committed nor closed"):
            add(lab, 2)
        forgotten.commit()
        add(lab, 3)
    assert mice(lab) == [1, 3]


# ---------------------------------------------------------------- SQLite in memory


def test_sqlite_in_memory_is_one_database_for_all_connections_and_threads() -> None:
    lab = connect("sqlite://")
    assert connect("sqlite:///:memory:") is lab
    Base.metadata.drop_all(lab.engine)
    lived_in(lab)
    add(lab, 1)
    elsewhere(lambda: add(lab, 2))
    assert elsewhere(lambda: mice(lab)) == [1, 2]
    with lab.connect(lab.reader) as reader, lab.connect(lab.writer) as writer:
        lab.dialect.begin_snapshot(reader)
        assert list(reader.scalars(MICE)) == [1, 2]
        with writer.begin():
            writer.execute(sa.insert(Mouse), [{"mouse_id": 3}])
        assert list(reader.scalars(MICE)) == [1, 2]
        reader.commit()
        assert list(reader.scalars(MICE)) == [1, 2, 3]
    Base.metadata.drop_all(lab.engine)
    assert "memory.db" not in lab.url


# ---------------------------------------------------------------- tables and their database


def test_a_pipeline_without_a_database_is_named() -> None:
    metadata = sa.MetaData(info={"pipeline": "Zoo"})
    with pytest.raises(errors.NotConnected, match=r"Zoo.activate\("):
        database_of(sa.Table("keeper", metadata))


def test_schemas_are_translated_away_where_there_are_none(lab: Database) -> None:
    metadata = sa.MetaData(schema="compdb_test_zoo")
    animal = sa.Table("animal", metadata, sa.Column("animal_id", sa.Integer, primary_key=True))
    bind(metadata, lab)
    try:
        with lab.transaction() as session:
            lab.dialect.create_schemas(session.connection(), ["compdb_test_zoo"])
            lab.dialect.create_schemas(session.connection(), ["compdb_test_zoo"])
        with lab.transaction() as session:
            metadata.create_all(session.connection())
            session.execute(sa.insert(animal), [{"animal_id": 1}])
        with lab.reading() as connection:
            assert connection.execute(sa.select(animal)).all() == [(1,)]
        with lab.session() as session:
            assert session.execute(sa.select(animal)).all() == [(1,)]
    finally:
        metadata.drop_all(lab.engine)
        if lab.dialect.has_schemas:
            with lab.engine.begin() as connection:
                connection.execute(sa.schema.DropSchema("compdb_test_zoo"))


def test_two_tables_that_would_be_one_without_schemas_are_an_error(sqlite_url: str) -> None:
    lab = connect(sqlite_url)
    one, two = sa.MetaData(schema="one"), sa.MetaData(schema="two")
    for metadata in (one, two):
        sa.Table("animal", metadata, sa.Column("animal_id", sa.Integer, primary_key=True))
    bind(one, lab)
    with pytest.raises(errors.DeclarationError, match="'animal' of schema 'two' and of schema 'one'"):
        bind(two, lab)


# ---------------------------------------------------------------- locks


def test_a_lock_keeps_others_out_and_lets_its_owner_in_again(lab: Database) -> None:
    with lab.lock("activate"), lab.lock("activate"):

        def rival() -> None:
            with lab.lock("activate", timeout=0.1):
                raise AssertionError("got in")

        error = elsewhere(rival)
        assert isinstance(error, errors.DatabaseError)
        assert "another process" in str(error)
        add(lab, 1)
    with lab.lock("activate", timeout=0.1), lab.lock("migrate", timeout=0.1):
        assert mice(lab) == [1]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_lock_keeps_other_processes_out_and_dies_with_its_owner(lab: Database) -> None:
    def rival() -> str:
        with lab.lock("activate", timeout=0.1):
            return "got in"

    with lab.lock("activate"):
        assert "another process" in in_child(lambda: contextvars.Context().run(rival))
    assert in_child(rival) == "got in"


def test_disconnect_closes_every_pool(lab: Database) -> None:
    add(lab, 1)
    disconnect()
    assert lab.engine.pool.checkedin() == 0  # type: ignore[attr-defined]
    assert mice(lab) == [1]
