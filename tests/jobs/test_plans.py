"""What each statement of the queue costs at 100,000 jobs: the plan names an index, and nobody walks the whole jobs table."""

import re

import pytest
import sqlalchemy as sa

from compdb.database import database_of
from compdb.dialects import utcnow
from compdb.jobs import jobs_of

from .conftest import pipeline, queue, worker

MANY = 100_000


@pytest.fixture
def many(url):
    """Return a pipeline with 100,000 pending jobs, of which the database has statistics."""
    Lab = pipeline()
    Lab.activate(url)
    Lab.Src.insert(({"k": i, "x": 0.0} for i in range(MANY)), chunk_size=20_000)
    assert Lab.Res.jobs.refresh()["added"] == MANY
    with database_of(Lab.Res.__table__).engine.connect() as connection:
        words = {"sqlite": "ANALYZE", "postgresql": "ANALYZE"}.get(
            connection.dialect.name, "ANALYZE TABLE res__jobs, src, compdb_workers"
        )
        connection.exec_driver_sql(words)
        connection.commit()
    return Lab


def plans(table, work):
    """Return the plan of each statement over the jobs that `work` sends."""
    database = database_of(table.__table__)
    sent = []

    def note(connection, cursor, statement, parameters, context, executemany):
        if "res__jobs" in statement and not statement.startswith("EXPLAIN"):
            sent.append((statement, parameters))

    sa.event.listen(database.engine, "before_cursor_execute", note)
    try:
        work()
    finally:
        sa.event.remove(database.engine, "before_cursor_execute", note)
    explain = "EXPLAIN QUERY PLAN " if database.engine.dialect.name == "sqlite" else "EXPLAIN "
    with database.engine.connect() as connection:
        found = []
        for statement, parameters in sent:
            rows = connection.exec_driver_sql(explain + statement, parameters).all()
            found.append((statement, "\n".join(" ".join(map(str, row)) for row in rows)))
        connection.rollback()
    assert found
    return found


def walks(plan):
    """Say whether a plan walks the whole jobs table, or sorts more of it than the few rows that it picks."""
    whole = re.search(r"SCAN res__jobs(?! USING)|Seq Scan on res__jobs|res__jobs \S* ?ALL ", plan)
    sorts = re.search(r"TEMP B-TREE|Sort Key: (?!changed\.)", plan)  # "changed" are the rows picked
    mysql = re.search(r" (\d+) (?:\S+ )*?Using .*filesort", plan)
    return bool(whole or sorts or (mysql and int(mysql[1]) > 1000))


def test_reserve_rescue_and_completion_use_an_index(many):
    q, me = queue(many.Res), worker(many.Res)
    held = []

    def work():
        held.extend(q.reserve(me.about, 50))
        q.rescue()
        with database_of(many.Res.__table__).transaction() as session:
            assert q.complete(session.connection(), held)
        q.due()
        q.unfinished()
        q.release(me.id)

    for statement, plan in plans(many.Res, work):
        assert not walks(plan), f"{statement}\n{plan}"


def test_refresh_looks_each_key_up_and_reads_no_table_twice(many):
    """All keys have to be read; what each is looked up in has an index, or is read once and hashed."""
    many.Src.insert({"k": k, "x": 0.0} for k in range(MANY, MANY + 5))
    answers = []
    for statement, plan in plans(many.Res, lambda: answers.append(many.Res.jobs.refresh())):
        assert not walks_again(plan), f"{statement}\n{plan}"
    (many.Src & f"k >= {MANY + 3}").delete(prompt=False)
    many.Src.insert({"k": k, "x": 0.0} for k in range(MANY + 3, MANY + 5))
    few = many.Src & f"k >= {MANY}"
    for statement, plan in plans(many.Res, lambda: answers.append(many.Res.jobs.refresh(few))):
        assert not walks_again(plan), f"{statement}\n{plan}"
        assert "INSERT" not in statement or not walks(plan), f"{statement}\n{plan}"
    assert [answer["added"] for answer in answers] == [5, 2]


def walks_again(plan):
    """Say whether a plan walks a table for each row of another."""
    if costs := re.findall(r"cost=\S+?\.\.(\S+)", plan):
        return max(map(float, costs)) > MANY  # pages and rows; a walk for each row of 100,000 costs 10^8 at least
    return len(re.findall(r"\bSCAN (?!CONSTANT)| (?:ALL|index) ", plan)) > 1


def test_dead_workers_are_found_by_index_among_many_reserved(many):
    q = queue(many.Res)
    table, c = q.table, q.c
    with database_of(many.Res.__table__).transaction() as session:
        session.execute(
            sa.update(table)
            .where(table.c.k < 300)
            .values({c["status"].name: "reserved", c["worker_id"].name: "gone", c["reserved_time"].name: utcnow()})
        )
    found = plans(many.Res, lambda: q.rescue())
    assert not any(walks(plan) for _, plan in found), found
    assert jobs_of(many.Res.__table__).table is table
    assert q.rescue() == 0
