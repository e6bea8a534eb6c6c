"""Forms of make: in three parts, tried out dry, watched by events; and what a run does about errors and interrupts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import sqlalchemy as sa

import compdb as cdb
from compdb.database import database_of

from .conftest import N, computed
from .test_window import everything, lab_engine, transactions


def three_parts(lab, compute=None, insert=None, fetch=None, name="Res"):
    def make_fetch(self, key):
        return ((lab.Src & key).fetch1("x"), np.arange(1000.0))

    def make_compute(self, key, x, array):
        return (2 * x + array[0],)

    def make_insert(self, key, y):
        self.insert1({**key, "y": y})

    namespace = {
        "__annotations__": {"src": cdb.Key[lab.Src], "y": cdb.Mapped[float]},
        "__module__": __name__,
        "make_fetch": fetch or make_fetch,
        "make_compute": compute or make_compute,
        "make_insert": insert or make_insert,
    }
    Res = type(lab)(name, (cdb.Computed, lab), namespace)
    lab.activate()
    return Res


def test_three_parts_fetch_compute_and_insert(lab):
    Res = three_parts(lab)
    assert Res.populate() == {"success_count": N, "error_list": []}
    assert everything(Res) == {i: 2 * (i / 7) for i in range(N)}


def test_nothing_is_held_while_make_compute_runs(lab):
    held = []
    engine = lab_engine(lab.Src)

    def make_compute(self, key, x, array):
        held.append((transactions(engine), engine.pool.checkedout()))
        return (x,)

    Res = three_parts(lab, compute=make_compute)
    Res.populate({"k": 1})
    assert held == [(0, 0)]


def test_inputs_that_change_meanwhile_keep_nothing(lab):
    other = sa.create_engine(lab_engine(lab.Src).url)
    src = lab.Src.__table__

    def make_compute(self, key, x, array):
        if key["k"] == 3:
            with other.begin() as connection:
                connection.execute(sa.update(src).where(src.c.k == 3).values(x=99.0))
        return (x,)

    Res = three_parts(lab, compute=make_compute)
    result = Res.populate(suppress_errors=True, return_exception_objects=True)
    other.dispose()
    assert [key for key, _ in result["error_list"]] == [{"k": 3}]
    assert isinstance(result["error_list"][0][1], cdb.InputsChanged)
    assert len(Res) == N - 1
    assert Res.populate()["success_count"] == 1


def test_a_part_of_make_that_returns_no_tuple_is_told(lab):
    Res = three_parts(lab, fetch=lambda self, key: 5)
    with pytest.raises(cdb.MakeError, match="must return a tuple"):
        Res.populate()


def test_half_of_three_parts_is_told(lab):
    namespace = {
        "__annotations__": {"src": cdb.Key[lab.Src], "y": cdb.Mapped[float]},
        "__module__": __name__,
        "make_fetch": lambda self, key: (),
    }
    Res = type(lab)("Res", (cdb.Computed, lab), namespace)
    lab.activate()
    with pytest.raises(cdb.MakeError, match="make_compute, make_insert is missing"):
        Res.populate()


def test_the_rooms_of_populate_are_read_when_they_are_asked_for():
    program = """
import pickle, sys
from compdb import populate as room
assert "compdb.populate.loop" not in sys.modules
assert set(room.__all__) <= set(dir(room))
from compdb.populate import *
assert all(globals()[name] is getattr(room, name) for name in room.__all__)
assert pickle.loads(pickle.dumps(room.populate_all)) is room.populate_all
assert not hasattr(room, "nonsense")
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_megabytes_are_compared_in_milliseconds():
    from compdb.populate.digest import digest

    value = (np.random.default_rng(0).random(1_000_000), {"a": [1, 2.5, None, "x"]})
    again = (value[0].copy(), {"a": [1, 2.5, None, "x"]})
    assert digest(value) == digest(again)
    again[0][-1] += 1e-9
    assert digest(value) != digest(again)
    assert digest((1,)) != digest((1.0,)) != digest(([1.0],))


def test_what_lies_between_the_fields_of_records_is_not_compared_and_masks_are():
    from compdb.populate.digest import digest

    there = np.dtype([("a", "i1"), ("b", "f8")], align=True)
    for size in (100, 100_000):
        records = np.frombuffer(np.random.default_rng(size).bytes(size * there.itemsize), dtype=there)
        assert digest((records,)) == digest((records,), copy=False) == digest((records[::-1].copy()[::-1],))
        assert digest((records,)) != digest((records[::-1],))
        values, changed = np.ma.masked_less(np.arange(size), 0), np.ma.masked_less(np.arange(size), 0)
        assert digest((values,)) == digest((changed,), copy=False)
        changed[3] = np.ma.masked
        assert digest((values,)) != digest((changed,), copy=False)
    crossing = np.zeros(3, np.dtype({"names": ["a", "b"], "formats": ["i4", "i4"], "offsets": [0, 2]}))
    assert digest((crossing,)) == digest((crossing.copy(),))


def test_make_dry_shows_the_rows_and_keeps_nothing(lab):
    def make(self, key):
        self.y = self.src.x
        self.P.insert([{**key, "i": 0, "z": 1.5}, {**key, "i": 1, "z": None}])

    Res = computed(lab, make)
    assert Res.make_dry({"k": 7}) == {
        "Res": [{"k": 7, "y": 1.0}],
        "Res.P": [{"k": 7, "i": 0, "z": 1.5}, {"k": 7, "i": 1, "z": None}],
    }
    assert len(Res) == len(Res.P) == 0


def test_make_dry_undoes_what_a_direct_make_wrote(lab):
    def make(self, key):
        self.insert1({**key, "y": 1.0})
        assert len(self & key) == 1
        lab.Note.insert1({"k": 99, "text": "x"})

    Res = computed(lab, make, allow_writes_to=(lab.Note,))
    found = Res.make_dry({"k": 7})
    assert found == {"Res": [{"k": 7, "y": 1.0}], "Note": [{"k": 99, "text": "x"}]}
    assert len(Res) == 0
    assert len(lab.Note) == 2


def test_events_tell_of_every_make(lab):
    def make(self, key):
        assert key["k"] != 3
        self.insert1({**key, "y": 1.0})

    Res = computed(lab, make)
    told = []
    sa.event.listen(Res, "before_make", lambda table, key: told.append(("before", key["k"])))
    sa.event.listen(Res, "after_make", lambda table, key, seconds: told.append(("after", key["k"])))
    sa.event.listen(Res, "make_failed", lambda table, key, error: told.append(("failed", key["k"], type(error))))
    Res.populate(suppress_errors=True)
    assert told[:3] == [("before", 0), ("after", 0), ("before", 1)]
    assert ("failed", 3, AssertionError) in told
    assert len(told) == 2 * N


def test_a_make_is_told_as_kept_when_its_rows_are_committed_and_not_if_they_are_refused(url):
    class Lab(cdb.Pipeline):
        """Results of which the database takes the small ones."""

    class Src(cdb.Manual, Lab):
        k: cdb.Key[int]

    class Res(cdb.Computed, Lab):
        src: cdb.Key[Src]
        y: cdb.Mapped[int]
        __table_args__ = (sa.CheckConstraint("y < 5", name="small"),)

        def make(self, key):
            if key["k"] == 1:
                return cdb.skip("one")
            if key["k"] == 2:
                with Lab.transaction():  # one that commits by itself
                    self.insert1({**key, "y": 2})
            else:
                self.insert1({**key, "y": key["k"]})
            return None

    Lab.activate(url)
    Src.insert({"k": k} for k in range(7))
    told, there = [], []

    def kept(table, key, seconds):
        told.append(key["k"])
        there.append(committed(Res, key["k"]))
        raise RuntimeError("which undoes nothing")

    sa.event.listen(Res, "make_kept", kept)
    assert Res.populate(suppress_errors=True)["success_count"] == 4
    assert sorted(told) == [0, 2, 3, 4]
    assert all(there)


def committed(table, k):
    """Say whether another connection sees the row of a key."""
    column = table.__table__.c.k
    with database_of(table.__table__).connect() as connection:
        return connection.execute(sa.select(column).where(column == k)).first() is not None


def test_keys_finished_before_an_error_are_kept_then_it_is_raised(lab):
    def make(self, key):
        self.insert1({**key, "y": 1.0})
        if key["k"] == 7:
            raise ZeroDivisionError("seven")

    Res = computed(lab, make)
    with pytest.raises(ZeroDivisionError, match="seven"):
        Res.populate()
    assert sorted(everything(Res)) == list(range(7))


def test_suppressed_errors_are_told_in_words_or_as_objects(lab):
    def make(self, key):
        if key["k"] % 10 == 3:
            raise ValueError("three")
        self.insert1({**key, "y": 1.0})

    Res = computed(lab, make)
    words = Res.populate(suppress_errors=True)
    assert words == {
        "success_count": N - 2,
        "error_list": [({"k": 3}, "ValueError: three"), ({"k": 13}, "ValueError: three")],
    }
    objects = Res.populate(suppress_errors=True, return_exception_objects=True)["error_list"]
    assert [type(e) for _, e in objects] == [ValueError, ValueError]
    assert objects[0][1].__traceback__ is not None


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_ends_the_run_and_finished_keys_are_kept(lab, interrupt):
    def make(self, key):
        self.insert1({**key, "y": 1.0})
        if key["k"] == 7:
            raise interrupt

    Res = computed(lab, make)
    with pytest.raises(interrupt):
        Res.populate(suppress_errors=True)
    assert sorted(everything(Res)) == list(range(7))
    assert not lab_engine(Res).pool.checkedout()


def test_ctrl_c_in_a_long_make_leaves_the_process_whole(lab):
    def make(self, key):
        self.insert1({**key, "y": 1.0})
        if key["k"] == 2:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)

    Res = computed(lab, make)
    with pytest.raises(KeyboardInterrupt):
        Res.populate(suppress_errors=True)
    assert sorted(everything(Res)) == [0, 1]
    lab.Note.insert1({"k": 77, "text": "still here"})


def test_populate_inside_a_transaction_or_a_make_is_told(lab):
    def make(self, key):
        Res.populate()

    Res = computed(lab, make)
    with lab.transaction(), pytest.raises(cdb.PopulateError, match="call it outside"):
        Res.populate()
    with pytest.raises(cdb.PopulateError, match="call it outside"):
        Res.populate()


def test_order_limit_and_max_calls(lab):
    seen = []

    def make(self, key):
        seen.append(key["k"])
        if key["k"] == 19:
            raise ValueError
        self.insert1({**key, "y": 1.0})

    Res = computed(lab, make)
    Res.populate(order="reverse", max_calls=3, suppress_errors=True)
    assert seen == [19, 18, 17]
    seen.clear()
    Res.populate(limit=4)
    assert seen == [0, 1, 2, 3]
    seen.clear()
    Res.populate({"k": [5, 6, 7]}, "k < 7")
    assert seen == [5, 6]
    seen.clear()
    Res.populate(order="random", suppress_errors=True)
    assert sorted(seen) == [4, *range(7, 17), 19]


def test_make_gets_its_own_copy_of_the_key(lab):
    def make(self, key):
        key["y"] = 1.0
        self.insert1(key)
        key.clear()

    Res = computed(lab, make)
    assert Res.populate()["success_count"] == N


def test_make_kwargs_reach_the_make(lab):
    def make(self, key, factor):
        self.insert1({**key, "y": factor * 1.0})

    Res = computed(lab, make)
    Res.populate(make_kwargs={"factor": 3})
    assert set(everything(Res).values()) == {3.0}


def test_pending_is_key_source_except_target(lab):
    from compdb.populate.keys import Pending

    def make(self, key):
        self.insert1({**key, "y": 1.0})

    Res = computed(lab, make)
    Res.populate({"k": [1, 5, 9]})
    pending = Pending(Res, ("k < 15",))
    with lab.session() as session:
        defined = {tuple(r) for r in session.execute(pending.definition())}
        answered = {tuple(r) for r in session.execute(pending.statement())}
    assert defined == answered == {(k,) for k in range(15) if k not in (1, 5, 9)}
    assert pending.count() == 12
    assert [k["k"] for page in pending.pages("original", None) for k in page] == sorted(k for (k,) in defined)


def test_populate_twice_is_populate_once(lab):
    def make(self, key):
        self.insert1({**key, "y": 1.0})

    Res = computed(lab, make)
    assert Res.populate()["success_count"] == N
    assert Res.populate() == {"success_count": 0, "error_list": []}
    assert Res.progress(display=False) == (0, N)


def test_a_pipeline_is_populated_in_order_of_what_depends_on_what(lab):
    """Tables may be chosen; restrictions hold for what lies downstream of them."""
    made = []

    def make(self, key):
        made.append((type(self).__name__, key["k"]))
        self.insert1({**key, "y": 1.0})

    def over(name, parent):
        namespace = {
            "__annotations__": {"of": cdb.Key[parent], "y": cdb.Mapped[float]},
            "make": make,
            "__module__": __name__,
        }
        return type(lab)(name, (cdb.Computed, lab), namespace)

    First = over("First", lab.Src)
    Second = over("Second", First)
    Beside = over("Beside", lab.Note)
    lab.activate()
    result = lab.populate(lab.Src & "k < 3", tables=[Second, First])
    assert made == [("First", 0), ("First", 1), ("First", 2), ("Second", 0), ("Second", 1), ("Second", 2)]
    three = {"success_count": 3, "error_list": []}
    assert result == {"success_count": 6, "error_list": [], "tables": {"First": three, "Second": three}}
    made.clear()
    result = lab.populate(First & "k = 7", lab.Note)
    assert [k for name, k in made if name == "Second"] == [7]
    assert len(First) == N
    assert len(Beside) == 2
    with pytest.raises(cdb.PopulateError, match="Src is a manual table"):
        lab.populate(tables=[lab.Src])


# --- rows given to the session of the make ---


def by_session(url, make):
    class Lab(cdb.Pipeline):
        """What makes add to their session."""

    class Src(cdb.Manual, Lab):
        k: cdb.Key[int]
        x: cdb.Mapped[float]

    class Res(cdb.Computed, Lab):
        src: cdb.Key[Src]
        y: cdb.Mapped[float | None]

        class Item(cdb.Part):
            item: cdb.Key[int]

    Res.make = make
    Lab.Src, Lab.Res = Src, Res
    Lab.activate(url)
    Src.insert((k, k / 2) for k in range(4))
    return Lab


def own_and_part(self, key):
    Res, session = type(self), type(self).__catalog__.pipeline.session()
    x = self.src.x
    session.add(Res(k=key["k"], y=2 * x))
    session.add(Res.Item(k=key["k"], item=1))


def own_then_part(self, key):
    Res, session = type(self), type(self).__catalog__.pipeline.session()
    session.add(Res(k=key["k"], y=2 * self.src.x))
    session.flush()
    assert (self & key).fetch1("y") == key["k"]
    session.add(Res.Item(k=key["k"], item=1))


def self_filled(self, key):
    self.y = 2 * self.src.x
    type(self).__catalog__.pipeline.session().add(type(self).Item(k=key["k"], item=1))


def self_added(self, key):
    self.y = 2 * self.src.x
    session = type(self).__catalog__.pipeline.session()
    session.add(self)
    session.add(type(self).Item(k=key["k"], item=1))


def inserted(self, key):
    self.insert1({**key, "y": 2 * self.src.x})
    type(self).__catalog__.pipeline.session().add(type(self).Item(k=key["k"], item=1))


@pytest.mark.parametrize("make", [own_and_part, own_then_part, self_filled, self_added, inserted])
def test_a_make_may_add_rows_to_its_session(url, make):
    lab = by_session(url, make)
    assert lab.Res.populate() == {"success_count": 4, "error_list": []}
    assert lab.Res.to_dicts(order_by="KEY") == [{"k": k, "y": float(k)} for k in range(4)]
    assert len(lab.Res.Item) == 4


def test_parts_alone_in_the_session_bring_the_row_of_their_key(url):
    def make(self, key):
        type(self).__catalog__.pipeline.session().add(type(self).Item(k=key["k"], item=1))

    lab = by_session(url, make)
    assert lab.Res.populate()["success_count"] == 4
    assert lab.Res.to_dicts(order_by="KEY") == [{"k": k, "y": None} for k in range(4)]


def test_rows_of_the_session_are_held_to_the_rules_of_insert(url):
    def make(self, key, wrong):
        session = type(self).__catalog__.pipeline.session()
        self.y = 1.0
        if key["k"] == 2:
            session.add(wrong(type(self)))

    lab = by_session(url, make)
    for wrong, error in [
        (lambda Res: Res.Item(k=1, item=1), cdb.WrongKey),
        (lambda Res: Res(k=3, y=1.0), cdb.WrongKey),
        (lambda Res: lab.Src(k=9, x=1.0), cdb.MakeError),
        (lambda Res: Res.Item(k=2, item="one"), cdb.InvalidValue),
    ]:
        found = lab.Res.populate(
            suppress_errors=True, return_exception_objects=True, make_kwargs={"wrong": wrong}
        )
        ((key, raised),) = found["error_list"]
        assert (key, type(raised)) == ({"k": 2}, error)
        assert sorted(r["k"] for r in lab.Res) == [0, 1, 3]
        assert len(lab.Res.Item) == 0
        assert len(lab.Src) == 4
        (lab.Res & {"k": [0, 1, 3]}).delete(prompt=False)
