"""Dicts, all at once and streamed."""

from __future__ import annotations

import gc
import threading
import tracemalloc

import numpy as np
import pytest
import sqlalchemy as sa

from compdb.errors import SessionError
from compdb.fetch import iterate, stream, to_dicts
from compdb.sessions import Owner

from .conftest import EVERYTHING, NULLS, ROWS, SELECT, assert_same_rows, insert


def checked_out(database):
    return sum(pool.checkedout() for pool in {database.engine.pool, database.reader.pool})


def test_dicts_hold_the_values_that_went_in(filled):
    assert_same_rows(to_dicts(filled, SELECT), ROWS)


def test_iteration_gives_the_same_as_dicts(filled):
    assert_same_rows(list(iterate(filled, SELECT)), ROWS)
    assert_same_rows(list(iterate(filled, SELECT, chunk=1)), ROWS)


def test_nothing_gives_an_empty_list(database):
    assert to_dicts(database, SELECT) == []
    assert list(iterate(database, SELECT)) == []


def test_a_sum_of_ints_is_an_int_on_every_database(filled):
    query = sa.select(sa.func.sum(EVERYTHING.c.maybe).label("total"), sa.func.count().label("n"))
    query = query.where(EVERYTHING.c.id == 1)
    assert_same_rows(to_dicts(filled, query), [{"total": 7, "n": 1}])


def test_fetched_arrays_are_writable(filled):
    trace = to_dicts(filled, SELECT)[0]["trace"]
    trace[0, 0] = 5.0
    assert trace[0, 0] == 5.0


def test_iteration_crosses_chunks_in_order(numbered):
    assert [row["id"] for row in iterate(numbered, SELECT)] == list(range(3500))


def test_dicts_inside_a_transaction_see_what_it_wrote(database):
    with database.transaction() as session:
        session.execute(EVERYTHING.insert(), ROWS)
        assert_same_rows(to_dicts(database, SELECT), ROWS)
        assert_same_rows(list(iterate(database, SELECT)), ROWS)


def test_a_dropped_generator_gives_its_connection_back(numbered):
    before = checked_out(numbered)
    rows = iterate(numbered, SELECT)
    assert next(rows)["id"] == 0
    assert checked_out(numbered) == before + 1
    del rows
    gc.collect()
    assert checked_out(numbered) == before
    assert len(to_dicts(numbered, SELECT)) == 3500


def test_a_generator_closed_half_way_leaves_a_connection_that_works(numbered):
    for _ in range(3):
        rows = iterate(numbered, SELECT, chunk=100)
        assert [next(rows)["id"] for _ in range(150)] == list(range(150))
        rows.close()
        assert to_dicts(numbered, sa.select(sa.func.count().label("n")).select_from(EVERYTHING)) == [{"n": 3500}]


def test_what_is_given_up_is_not_read_to_its_end(numbered):
    """40 billion rows, which nobody could read; the server is told, or the line cut."""
    b, c = EVERYTHING.alias(), EVERYTHING.alias()
    product = EVERYTHING.join(b, EVERYTHING.c.id < b.c.id + 9999).join(c, b.c.id < c.c.id + 9999)
    rows = iterate(numbered, sa.select(EVERYTHING.c.id, b.c.id.label("b"), c.c.id.label("c")).select_from(product))
    next(rows)
    rows.close()
    assert len(to_dicts(numbered, SELECT)) == 3500


def test_a_generator_that_was_never_started_holds_nothing(numbered):
    before = checked_out(numbered)
    rows = iterate(numbered, SELECT)
    assert checked_out(numbered) == before
    rows.close()


def test_other_statements_run_between_the_rows_of_a_transaction(numbered):
    with numbered.transaction() as session:
        seen = 0
        for row in iterate(numbered, SELECT, chunk=100):
            if row["id"] % 500 == 0:
                count = sa.select(sa.func.count()).select_from(EVERYTHING).where(EVERYTHING.c.id <= row["id"])
                assert session.scalar(count) == row["id"] + 1
                assert to_dicts(numbered, SELECT.where(EVERYTHING.c.id == row["id"]))[0]["id"] == row["id"]
            seen += 1
        assert seen == 3500


def test_rows_inserted_during_an_iteration_do_not_join_it(database):
    """Else `for row in T: insert(changed row)` would go on for ever."""
    insert(database, [{**NULLS, "id": i} for i in range(300)])
    seen = 0
    with database.transaction() as session:
        for row in iterate(database, sa.select(EVERYTHING.c.id), chunk=10):
            session.execute(EVERYTHING.insert(), [{**NULLS, "id": row["id"] + 10_000}])
            seen += 1
    assert seen == 300
    for row in iterate(database, sa.select(EVERYTHING.c.id), chunk=10):
        with database.transaction() as session:
            session.execute(EVERYTHING.insert(), [{**NULLS, "id": row["id"] + 50_000}])
        seen += 1
    assert seen == 300 + 600


def test_two_iterations_of_one_transaction_run_side_by_side(numbered):
    with numbered.transaction():
        pairs = list(zip(iterate(numbered, SELECT, chunk=100), iterate(numbered, SELECT, chunk=70)))
    assert [(a["id"], b["id"]) for a, b in pairs] == [(i, i) for i in range(3500)]


class Snapshot:
    """The holder of a make: a snapshot that may end while the make goes on."""

    def __init__(self, database):
        self.owner, self.closed, self.connected = Owner(), False, database.connect(database.reader)
        database.dialect.begin_snapshot(self.connected)

    def connection(self, statement):
        return self.connected


def test_an_iteration_outlives_the_snapshot_it_reads(numbered):
    snapshot = Snapshot(numbered)
    with numbered.holding(snapshot):
        rows = iterate(numbered, SELECT, chunk=100)
        assert next(rows)["id"] == 0
        snapshot.connected.exec_driver_sql("ROLLBACK")
        snapshot.connected.close()
        assert sum(1 for _ in rows) == 3499


def test_a_snapshot_ended_from_another_thread_does_a_fetch_no_harm(numbered, monkeypatch):
    snapshot = Snapshot(numbered)
    threads = []

    def ending(field, values, inner=stream.whole_numbers):
        if not threads:
            threads.append(threading.Thread(target=snapshot.connected.exec_driver_sql, args=("ROLLBACK",)))
            threads[0].start()
            threads[0].join(0.3)
        return inner(field, values)

    monkeypatch.setattr(stream, "whole_numbers", ending)
    with numbered.holding(snapshot):
        rows = to_dicts(numbered, SELECT)
    threads[0].join()
    assert [row["id"] for row in rows] == list(range(3500))
    assert snapshot.connected.exec_driver_sql("SELECT 1").scalar() == 1
    snapshot.connected.close()


def test_an_iteration_dropped_in_a_transaction_leaves_it_whole(numbered):
    with numbered.transaction() as session:
        rows = iterate(numbered, SELECT, chunk=100)
        next(rows)
        rows.close()
        session.execute(EVERYTHING.delete().where(EVERYTHING.c.id >= 10))
    assert len(to_dicts(numbered, SELECT)) == 10


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_iteration_dropped_after_its_transaction_leaves_the_next_one_whole(numbered):
    """The connection is someone else's by then: closing the cursor there would be an error in their transaction."""
    with numbered.transaction():
        rows = iterate(numbered, SELECT, chunk=100)
        next(rows)
    with numbered.transaction() as session:
        session.execute(EVERYTHING.delete().where(EVERYTHING.c.id >= 10))
        if numbered.dialect.name == "postgresql":
            with pytest.raises(SessionError, match="the transaction in which this iteration began has ended"):
                list(rows)
        rows.close()
        del rows
        gc.collect()
        assert session.scalar(sa.select(sa.func.count()).select_from(EVERYTHING)) == 10
    assert len(to_dicts(numbered, SELECT)) == 10


def test_iteration_holds_few_rows_in_memory(database):
    blob = np.zeros(12_500)  # 100 kB
    insert(database, [{**NULLS, "id": i, "trace": blob} for i in range(400)])
    query = sa.select(EVERYTHING.c.id, EVERYTHING.c.trace)
    next(iterate(database, query, chunk=10))
    tracemalloc.start()
    try:
        assert sum(1 for _ in iterate(database, query, chunk=10)) == 400
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8_000_000, f"{peak / 1e6:.0f} MB for rows of 40 MB in all"


@pytest.mark.parametrize("ask", [to_dicts, lambda d, s: list(iterate(d, s))])
def test_an_error_of_the_database_is_sqlalchemys(database, ask):
    with pytest.raises(sa.exc.DBAPIError):
        ask(database, sa.select(sa.literal_column("nope")).select_from(EVERYTHING))
    assert ask(database, SELECT) == []


def test_an_error_in_the_middle_of_the_rows_is_sqlalchemys(numbered):
    """PostgreSQL finds the division by zero when rows are on their way already; the others call it NULL."""
    query = sa.select(EVERYTHING.c.id, sa.literal_column("10 / (2000 - id)").label("x")).order_by(EVERYTHING.c.id)
    if numbered.dialect.name == "postgresql":
        with pytest.raises(sa.exc.DBAPIError, match="division by zero"):
            to_dicts(numbered, query)
        with pytest.raises(sa.exc.DBAPIError, match="division by zero"):
            list(iterate(numbered, query, chunk=100))
    else:
        assert to_dicts(numbered, query)[2000]["x"] is None
    assert len(to_dicts(numbered, SELECT)) == 3500
