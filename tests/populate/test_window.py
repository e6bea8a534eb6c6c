"""Makes that share a commit: what they read, what they write, and when one of them goes its own way (design 6)."""

from __future__ import annotations

import contextvars
import datetime as dt
import gc
import threading
import time
import weakref

import numpy as np
import pytest
import sqlalchemy as sa

import compdb as cdb
from compdb.database import database_of
from compdb.populate import inputs as reading_ahead

from .conftest import N, computed


def everything(table):
    return {row["k"]: row["y"] for row in table.to_dicts()}


def test_one_commit_serves_many_makes(lab, monkeypatch):
    def make(self, key):
        self.insert1({**key, "y": (lab.Src & key).fetch1("x")})

    Res = computed(lab, make)
    commits = []
    sa.event.listen(lab_engine(Res), "commit", lambda connection: commits.append(1))
    assert Res.populate() == {"success_count": N, "error_list": []}
    assert everything(Res) == {i: i / 7 for i in range(N)}
    assert len(commits) < N


def lab_engine(table):
    return database_of(table.__table__).engine


def test_a_make_sees_what_earlier_makes_wrote(lab):
    def make(self, key):
        before = (self & {"k": key["k"] - 1}).to_dicts()
        self.insert1({**key, "y": 1.0 + (before[0]["y"] if before else 0.0)})

    Cumul = computed(lab, make)
    Cumul.populate()
    assert everything(Cumul) == {i: i + 1.0 for i in range(N)}


def test_a_make_that_has_inserted_sees_what_earlier_makes_wrote(lab):
    def make(self, key):
        self.insert1({**key, "y": 0.0})
        if key["k"] % 5 == 4:
            counts.append(len(self))

    counts = []
    Res = computed(lab, make)
    assert Res.populate()["success_count"] == N
    assert counts == [5, 10, 15, 20]


def test_a_make_reads_back_its_own_rows(lab):
    counts = []

    def make(self, key):
        self.insert1({**key, "y": 0.0})
        self.P.insert({**key, "i": i, "z": None} for i in range(3))
        counts.append(len(self.P & key))

    Res = computed(lab, make)
    Res.populate()
    assert counts == [3] * N
    assert len(Res.P) == 3 * N


def test_parts_may_come_before_their_master(lab):
    def make(self, key):
        self.P.insert1({**key, "i": 0, "z": None})
        self.insert1({**key, "y": 0.0})

    Res = computed(lab, make)
    assert Res.populate()["success_count"] == N
    assert len(Res.P) == N


def test_parts_are_read_back_only_after_their_master(lab):
    def make(self, key):
        self.P.insert1({**key, "i": 0, "z": None})
        (self.P & key).to_dicts()
        self.insert1({**key, "y": 0.0})

    Res = computed(lab, make)
    with pytest.raises(cdb.MakeError, match="insert it first"):
        Res.populate()
    assert len(Res) == len(Res.P) == 0


def test_skip_duplicates_keeps_the_first(lab):
    def make(self, key):
        self.insert1({**key, "y": 1.0})
        self.insert1({**key, "y": 2.0}, skip_duplicates=True)
        self.P.insert([{**key, "i": 0, "z": None}] * 2, skip_duplicates=True)

    Res = computed(lab, make)
    Res.populate()
    assert set(everything(Res).values()) == {1.0}
    assert len(Res.P) == N


def test_what_a_failing_make_wrote_elsewhere_is_undone(lab):
    def make(self, key):
        lab.Note.insert1({**key, "text": "seen"}, skip_duplicates=True)
        self.insert1({**key, "y": 1.0})
        assert key["k"] != 3

    Res = computed(lab, make, allow_writes_to=(lab.Note,))
    result = Res.populate(suppress_errors=True)
    assert result["success_count"] == N - 1
    assert result["error_list"] == [({"k": 3}, "AssertionError: assert 3 != 3")] or result["error_list"][0][0] == {
        "k": 3
    }
    seen = {row["k"] for row in (lab.Note & {"text": "seen"}).to_dicts()}
    assert seen == set(range(N)) - {0, 2, 3}  # notes 0 and 2 were there before


def test_an_insert_elsewhere_must_be_declared(lab):
    def make(self, key):
        lab.Note.insert1({"k": 100 + key["k"], "text": "seen"})
        self.insert1({**key, "y": 1.0})

    Res = computed(lab, make)
    with pytest.raises(cdb.MakeError, match=r"allow_writes_to = \(Note,\)"):
        Res.populate()
    assert len(Res) == 0
    assert len(lab.Note) == 2


def test_another_computed_table_is_never_inserted_into(lab):
    def other(self, key):
        self.insert1({**key, "y": 0.0})

    Other = computed(lab, other, name="Other")

    def make(self, key):
        Other.insert1({**key, "y": 1.0}, allow_direct_insert=True)
        self.insert1({**key, "y": 1.0})

    Res = computed(lab, make)
    with pytest.raises(cdb.MakeError, match="Other"):
        Res.populate()
    assert len(Other) == 0


def test_an_error_that_the_database_finds_lands_on_its_own_key_and_no_make_runs_twice(lab):
    runs = []
    lab.Note.insert1({"k": 1, "text": "c"})

    def make(self, key):
        runs.append(key["k"])
        self.insert1({**key, "y": 1.0, "note": key["k"] % 5})

    namespace = {
        "__annotations__": {"src": cdb.Key[lab.Src], "y": cdb.Mapped[float], "of": cdb.Mapped[lab.Note]},
        "of": cdb.foreign_key(rename={"k": "note"}),
        "make": make,
        "__module__": __name__,
    }
    Res = type(lab)("Res", (cdb.Computed, lab), namespace)
    lab.activate()
    result = Res.populate(suppress_errors=True, return_exception_objects=True)
    failed = [key["k"] for key, _ in result["error_list"]]
    assert failed == [k for k in range(N) if k % 5 > 2]
    assert sorted(runs) == list(range(N))
    error = result["error_list"][0][1]
    assert isinstance(error, cdb.MissingParent)
    assert error.key == {"k": 3}
    assert any("test_window.py" in note for note in error.__notes__)
    assert len(Res) == result["success_count"] == N - len(failed)


def test_a_doubled_key_is_found_at_the_line_that_inserts_it(lab):
    lines = []

    def make(self, key):
        self.insert1({**key, "y": 1.0})
        self.P.insert1({**key, "i": 0, "z": 1.0})
        try:
            self.P.insert1({**key, "i": 0, "z": 2.0})
        except cdb.DuplicateKey as error:
            lines.append(error.key)

    Res = computed(lab, make)
    Res.populate()
    assert len(lines) == N
    assert lines[0] == {"k": 0, "i": 0}


def test_a_buffer_that_the_make_goes_on_using_was_copied(lab):
    def make(self, key):
        buffer = np.zeros(2)
        self.insert1({**key, "y": 1.0})
        for i in range(3):
            buffer[:] = i
            self.B.insert1({**key, "i": i, "z": buffer})

    class B(cdb.Part):
        """An array."""

        i: cdb.Key[int]
        z: cdb.Mapped[np.ndarray]

    Res = computed(lab, make, part=False, B=B)
    Res.populate({"k": 1})
    assert [(Res.B & {"i": i}).fetch1("z").tolist() for i in range(3)] == [[0, 0], [1, 1], [2, 2]]


def test_text_sent_by_the_session_is_part_of_the_make(lab):
    def make(self, key):
        self.insert1({**key, "y": 1.0})
        lab.session().execute(sa.text("UPDATE note SET text = 'raw' WHERE k = :k"), key)
        assert key["k"] != 2

    Res = computed(lab, make)
    Res.populate(suppress_errors=True)
    assert {row["k"]: row["text"] for row in lab.Note.to_dicts()} == {0: "raw", 2: "a"}
    assert len(Res) == N - 1


@pytest.mark.parametrize("how", ["text", "orm", "string"])
def test_any_read_that_could_see_the_table_sees_all_makes_before_it(lab, how):
    def make(self, key):
        if how == "text":
            n = lab.session().execute(sa.text("SELECT count(*) FROM res")).scalar()
        elif how == "orm":
            n = lab.session().scalar(sa.select(sa.func.count()).select_from(Res))
        else:
            n = len(lab.Src & "k IN (SELECT k FROM res)")
        self.insert1({**key, "y": float(n)})

    Res = computed(lab, make)
    Res.populate()
    assert everything(Res) == {i: float(i) for i in range(N)}


def test_a_transaction_inside_make_is_a_savepoint(lab):
    def make(self, key):
        self.insert1({**key, "y": 1.0})
        try:
            with lab.transaction():
                lab.Note.insert1({"k": key["k"] + 500, "text": "x"})
                raise KeyError
        except KeyError:
            pass

    Res = computed(lab, make, allow_writes_to=(lab.Note,))
    assert Res.populate()["success_count"] == N
    assert len(lab.Note) == 2


def test_commit_in_make_is_refused(lab):
    def make(self, key):
        self.insert1({**key, "y": 1.0})
        if key["k"] == 4:
            lab.session().commit()

    Res = computed(lab, make)
    result = Res.populate(suppress_errors=True)
    assert [key for key, _ in result["error_list"]] == [{"k": 4}]
    assert "may not commit" in result["error_list"][0][1]
    assert len(Res) == N - 1


def test_ddl_in_make_is_refused(lab):
    def make(self, key):
        self.insert1({**key, "y": 1.0})
        if key["k"] == 4:
            lab.session().execute(sa.text("CREATE TABLE sneaky (a INTEGER)"))

    Res = computed(lab, make)
    result = Res.populate(suppress_errors=True)
    assert [key for key, _ in result["error_list"]] == [{"k": 4}]
    assert result["error_list"][0][1].startswith("MakeError")
    assert "sneaky" not in sa.inspect(lab_engine(Res)).get_table_names()
    assert len(Res) == N - 1


def test_the_orm_form_fills_self_and_inserts_parts(lab):
    def make(self, key):
        self.y = self.src.x
        self.P.insert1({**key, "i": 0, "z": None})

    Res = computed(lab, make)
    assert Res.populate()["success_count"] == N
    assert everything(Res) == {i: i / 7 for i in range(N)}
    assert len(Res.P) == N


def test_filling_self_and_inserting_the_row_is_one_too_many(lab):
    def make(self, key):
        self.y = 1.0
        self.insert1({**key, "y": 2.0})

    Res = computed(lab, make)
    with pytest.raises(cdb.MakeError, match="do one of the two"):
        Res.populate()
    assert len(Res) == 0


def test_a_part_of_another_key_is_refused(lab):
    def make(self, key):
        self.insert1({**key, "y": 1.0})
        self.P.insert1({"k": key["k"] + 1, "i": 0, "z": None})

    Res = computed(lab, make)
    with pytest.raises(cdb.WrongKey):
        Res.populate()
    assert len(Res) == 0


def test_no_lock_is_held_while_a_make_computes(lab, url):
    """Another connection writes in the middle of a make, which waits for it: where the make held a lock, none would come to its end."""
    written = []
    other = sa.create_engine(lab_engine(lab.Src).url)

    def make(self, key):
        self.insert1({**key, "y": (lab.Src & key).fetch1("x")})
        with other.begin() as connection:
            connection.execute(sa.update(lab.Src.__table__).where(lab.Src.__table__.c.k == 19).values(x=1.0))
        written.append(key["k"])

    Res = computed(lab, make)
    assert Res.populate()["success_count"] == N
    other.dispose()
    assert written == list(range(N))  # each once


def test_the_reads_of_one_make_are_of_one_state(lab):
    other = sa.create_engine(lab_engine(lab.Src).url)
    src = lab.Src.__table__

    def make(self, key):
        first = (lab.Src & {"k": 19}).to_dicts()[0]["x"]
        with other.begin() as connection:
            connection.execute(sa.update(src).where(src.c.k == 19).values(x=src.c.x + 1))
        self.insert1({**key, "y": (lab.Src & {"k": 19}).to_dicts()[0]["x"] - first})

    Res = computed(lab, make)
    Res.populate()
    other.dispose()
    assert set(everything(Res).values()) == {0.0}


def test_a_long_make_lets_its_snapshot_go(lab):
    """With a commit interval of 0.2 s, a make that computes for longer holds no transaction meanwhile."""
    open_meanwhile = []
    engine = lab_engine(lab.Src)

    def make(self, key):
        (lab.Src & key).fetch1("x")
        time.sleep(0.6)
        open_meanwhile.append(transactions(engine))
        self.insert1({**key, "y": (lab.Src & key).fetch1("x")})

    Res = computed(lab, make)
    assert Res.populate({"k": 1})["success_count"] == 1
    assert open_meanwhile == [0]


def transactions(engine):
    """Count the transactions that other connections of this database hold open."""
    if engine.dialect.name == "postgresql":
        query = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND state LIKE 'idle in transaction%%'"
        )
    elif engine.dialect.name in ("mysql", "mariadb"):
        query = (
            "SELECT count(*) FROM information_schema.innodb_trx JOIN information_schema.processlist"
            " ON id = trx_mysql_thread_id WHERE db = DATABASE()"
        )
    else:
        return 0 if checkpoints(engine) else 1
    with engine.connect() as connection:
        return connection.exec_driver_sql(query).scalar_one()


def checkpoints(engine):
    """Say whether nothing keeps SQLite from taking its whole log back into the file: no reader holds a snapshot."""
    with engine.connect() as connection:
        connection.exec_driver_sql("UPDATE note SET text = 'z' WHERE k = 2")
        connection.commit()
    with engine.connect() as connection:
        busy, _, _ = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
    return busy == 0


INPUTS = {
    "fetch1()": lambda table, key: [(table & key).fetch1()],
    "fetch1(a)": lambda table, key: [(table & key).fetch1("x")],
    "fetch1(a, b)": lambda table, key: [*(table & key).fetch1("x", "n")],
    "fetch1(KEY)": lambda table, key: [*(table & key).fetch1("KEY", "t")],
    "to_dicts": lambda table, key: (table & key).to_dicts(),
    "to_arrays(a)": lambda table, key: [(table & key).to_arrays("x")],
    "to_arrays(a, b)": lambda table, key: [*(table & key).to_arrays("n", "t", "at")],
    "to_arrays(), all": lambda table, key: [(table & key).to_arrays()],
    "to_arrays(), key": lambda table, key: [*(table & key).to_arrays("n", "x", include_key=True)],
}


def plain(values):
    """Return values as what can be compared: with their types, and of arrays all that there is."""
    return [(v.dtype.descr, v.tolist()) if isinstance(v, np.ndarray) else (type(v), v) for v in values]


def statements_of(database, run):
    """Return the statements that `run` sends on connections that only read."""
    sent = []

    def listener(connection, cursor, statement, *rest):
        sent.append(statement)

    sa.event.listen(database.reader, "before_cursor_execute", listener)
    run()
    sa.event.remove(database.reader, "before_cursor_execute", listener)
    return sent


@pytest.fixture
def inputs(lab):
    """Return a table over the sources with values of several types, and some missing."""
    namespace = {
        "__annotations__": {
            "src": cdb.Key[lab.Src],
            "x": cdb.Mapped[float],
            "n": cdb.Mapped[int | None],
            "t": cdb.Mapped[str],
            "at": cdb.Mapped[dt.datetime | None],
        },
        "__module__": __name__,
    }
    table = type(lab)("Input", (cdb.Manual, lab), namespace)
    lab.activate()
    then = dt.datetime(2026, 1, 2, 3, 4, 5, 6)
    table.insert(
        {"k": k, "x": k / 7, "n": None if k % 3 else k, "t": "é" * k, "at": None if k % 2 else then} for k in range(N)
    )
    return table


@pytest.mark.parametrize("how", INPUTS)
def test_reading_ahead_asks_once_for_many_and_gives_the_rows_that_asking_one_by_one_gives(lab, inputs, how):
    found = {"Ahead": {}, "Single": {}}

    def make(self, key):
        found[type(self).__name__][key["k"]] = plain(INPUTS[how](inputs, key))
        self.insert1({**key, "y": 0.0})

    def over_inputs(name, **settings):
        namespace = {
            "__annotations__": {"input": cdb.Key[inputs], "y": cdb.Mapped[float]},
            "make": make,
            "__module__": __name__,
            **settings,
        }
        return type(lab)(name, (cdb.Computed, lab), namespace)

    tables = over_inputs("Ahead"), over_inputs("Single", prefetch=False)
    lab.activate()
    ahead, single = (
        [s for s in statements_of(database_of(lab.metadata), table.populate) if "FROM input" in s and "JOIN" not in s]
        for table in tables
    )
    assert found["Ahead"] == found["Single"]
    assert set(found["Ahead"]) == set(range(N))
    assert len(single) == N
    assert len(ahead) < N


@pytest.mark.parametrize("kind", [bytes, dict])
@pytest.mark.parametrize("form", ["fetch1", "link"])
def test_what_is_read_ahead_has_its_weight_bounded_and_the_rest_is_asked_for_alone(lab, monkeypatch, form, kind):
    monkeypatch.setattr(reading_ahead, "BYTES", 60_000)
    sizes, weights, asked = {}, [], []

    def value(k):
        content = 1000 if k < 14 else 20_000
        return b"x" * content if kind is bytes else {"a": "x" * content}

    def make(self, key):
        row = self.long if form == "link" else (Long & key)
        sizes[key["k"]] = row.content if form == "link" else row.fetch1("content")
        weights.append(run_of(self).inputs.weight)
        self.y = 0.0

    def run_of(row):
        return sa.orm.object_session(row).run

    monkeypatch.setattr(
        reading_ahead._Slices,
        "__next__",
        lambda self, go=reading_ahead._Slices.__next__: (asked.append(some := go(self)), some)[1],
    )
    Long = type(lab)(
        "Blurb",
        (cdb.Manual, lab),
        {"__annotations__": {"src": cdb.Key[lab.Src], "content": cdb.Mapped[kind]}, "__module__": __name__},
    )
    namespace = {
        "__annotations__": {"long": cdb.Key[Long], "y": cdb.Mapped[float]},
        "make": make,
        "__module__": __name__,
    }
    Res = type(lab)("Res", (cdb.Computed, lab), namespace)
    lab.activate()
    Long.insert({"k": k, "content": value(k)} for k in range(N))
    assert Res.populate()["error_list"] == []
    assert sizes == {k: value(k) for k in range(N)}
    assert max(weights) < 60_000 + 20_000 * reading_ahead.FEW
    assert asked
    assert sum(map(len, asked)) < N - 1


def test_what_a_make_has_changed_is_not_read_from_before(lab):
    src = lab.Src.__table__

    def make(self, key):
        (lab.Src & key).fetch1("x")
        if key["k"] == 5:  # in the middle of keys whose inputs were read together
            lab.session().execute(sa.update(src).where(src.c.k == 5).values(x=99.0))
        self.insert1({**key, "y": (lab.Src & key).fetch1("x")})

    Res = computed(lab, make)
    Res.populate()
    assert everything(Res) == {k: 99.0 if k == 5 else k / 7 for k in range(N)}


def test_what_was_read_ahead_is_forgotten_with_its_snapshot(lab):
    """Key 3 lets go of the snapshot in which the inputs of key 4 were read; meanwhile they change."""
    other = sa.create_engine(lab_engine(lab.Src).url)
    src = lab.Src.__table__

    def make(self, key):
        x = (lab.Src & key).fetch1("x")
        if key["k"] == 3:
            time.sleep(0.5)
            with other.begin() as connection:
                connection.execute(sa.update(src).where(src.c.k.in_([3, 4])).values(x=99.0))
        assert (lab.Src & {"k": key["k"], "x": x}).to_dicts() or key["k"] == 3  # asked of the database
        self.insert1({**key, "y": (lab.Src & key).fetch1("x")})

    Res = computed(lab, make)
    Res.populate()
    other.dispose()
    assert everything(Res) == {k: 99.0 if k in (3, 4) else k / 7 for k in range(N)}


def test_a_missing_input_is_told_as_if_it_was_asked_for_alone(lab):
    Extra = type(lab)(
        "Extra",
        (cdb.Manual, lab),
        {"__annotations__": {"src": cdb.Key[lab.Src], "a": cdb.Mapped[int]}, "__module__": __name__},
    )

    def make(self, key):
        self.insert1({**key, "y": float((Extra & key).fetch1("a"))})

    namespace = {
        "__annotations__": {"src": cdb.Key[lab.Src], "y": cdb.Mapped[float], "extra": cdb.Mapped[Extra | None]},
        "make": make,
        "__module__": __name__,
    }
    Res = type(lab)("Res", (cdb.Computed, lab), namespace)
    lab.activate()
    Extra.insert([{"k": 1, "a": 5}, {"k": 2, "a": 6}])
    result = Res.populate(suppress_errors=True, return_exception_objects=True)
    assert result["success_count"] == 2
    assert all(isinstance(e, cdb.NotOneRow) for _, e in result["error_list"])
    assert everything(Res) == {1: 5.0, 2: 6.0}


def test_another_thread_may_not_use_the_makes_session(lab):
    errors = []

    def make(self, key):

        context = contextvars.copy_context()

        def work():
            try:
                context.run(lambda: (lab.Src & key).fetch1("x"))
            except cdb.SessionError as error:
                errors.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        self.insert1({**key, "y": 1.0})

    Res = computed(lab, make)
    Res.populate({"k": 1})
    assert len(errors) == 1
    assert "thread" in str(errors[0])


def test_what_a_make_has_set_on_itself_is_freed_with_its_window(lab, monkeypatch):
    """Without the collector of cycles, which may come much later: such a row may hold an array of a gigabyte."""
    seen, alive = [], []

    def make(self, key):
        self.y = self.src.x
        seen.append(weakref.ref(self))
        alive.append(sum(row() is not None for row in seen))

    Res = computed(lab, make)
    gc.disable()
    try:
        Res.populate()
    finally:
        gc.enable()
    assert max(alive) <= 2
    assert [row() for row in seen] == [None] * N
    assert everything(Res) == {k: k / 7 for k in range(N)}


def test_a_link_that_was_read_ahead_is_that_row_and_no_change(lab):
    """Makes after the first are given their parents; one of them is given to the session all the same."""
    found, given = {}, []

    def make(self, key):
        given.append("src" in vars(self))
        assert "src" not in sa.inspect(self).committed_state  # where SQLAlchemy keeps what was there before a change
        found[key["k"]] = self.src
        assert (self.src.k, self.src.x) == (key["k"], key["k"] / 7)
        assert sa.orm.object_session(self.src) is lab.session()
        self.y = self.src.x
        if key["k"] % 4 == 3:
            lab.session().add(self)

    Res = computed(lab, make)
    assert Res.populate() == {"success_count": N, "error_list": []}
    assert everything(Res) == {k: k / 7 for k in range(N)}
    assert len({id(row) for row in found.values()}) == N
    assert any(given)
