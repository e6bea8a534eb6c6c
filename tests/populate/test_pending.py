"""Which keys are pending: the definition and the statement that answers it, their order, and how they wait."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import gc
import random
import tracemalloc
import uuid

import pytest
import sqlalchemy as sa

import compdb as cdb
from compdb import Key, Mapped
from compdb.populate import pending, serial
from compdb.populate.spool import Spool

from .conftest import N, computed


class Colour(enum.Enum):
    RED = 1


def nothing(self, key):
    raise AssertionError


def by_definition(table, *restrictions):
    """Return the pending keys as EXCEPT defines them."""
    asked = pending(table, *restrictions)
    with asked.source.database.connect() as connection:
        return {tuple(row) for row in connection.execute(asked.definition())}


def answered(table, *restrictions, order="original", limit=None):
    return [tuple(key.values()) for page in pending(table, *restrictions).pages(order, limit) for key in page]


@pytest.fixture
def wide(url):
    """Return a pipeline with a join of two parents, one of them under other names, and a text among the keys."""

    class Wide(cdb.Pipeline):
        """Two parents."""

    class A(cdb.Manual, Wide):
        a: Key[int]
        name: Key[str] = sa.orm.mapped_column(sa.String(20))
        x: Mapped[float]

    class B(cdb.Manual, Wide):
        b: Key[int]

    class Res(cdb.Computed, Wide):
        first: Key[A]
        second: Key[B] = cdb.foreign_key(rename={"b": "other"})
        y: Mapped[float | None]
        make = nothing

    Wide.activate(url)
    A.insert({"a": i // 3, "name": "xYz"[i % 3] + "é" * (i % 2), "x": i / 2} for i in range(30))
    B.insert({"b": i} for i in range(8))
    Wide.A, Wide.B, Wide.Res = A, B, Res
    return Wide


def some_done(wide, seed):
    """Let some keys be done, and some be ignored."""
    rng = random.Random(seed)
    every = answered(wide.Res)
    assert len(every) == 240
    names = ("a", "name", "other")
    wide.Res.insert([dict(zip(names, k)) for k in rng.sample(every, 100)], allow_direct_insert=True)
    for k in rng.sample(sorted(by_definition(wide.Res)), 5):
        wide.Res.jobs.ignore(dict(zip(names, k)))


@pytest.mark.parametrize("seed", range(3))
def test_what_is_answered_is_what_is_defined(wide, seed):
    some_done(wide, seed)
    for restrictions in [(), ("other < 4",), (wide.A & "x > 7", {"other": [1, 2, 3]}), ([{"a": 1}, {"a": 2}],)]:
        found = answered(wide.Res, *restrictions)
        assert len(found) == len(set(found))
        assert set(found) == by_definition(wide.Res, *restrictions)
        assert pending(wide.Res, *restrictions).count() == len(found)
    assert len(by_definition(wide.Res)) == 135


def test_keys_come_in_their_order_or_its_reverse(wide):
    some_done(wide, 1)
    found = answered(wide.Res)
    assert answered(wide.Res, order="reverse") == found[::-1]
    assert answered(wide.Res, limit=7) == found[:7]
    assert answered(wide.Res, order="reverse", limit=7) == found[::-1][:7]
    assert [k[0] for k in found] == sorted(k[0] for k in found)
    shuffled = answered(wide.Res, order="random")
    assert sorted(shuffled) == sorted(found)
    assert shuffled != found


def test_a_key_source_of_ones_own_is_answered_as_it_is_defined(lab):
    def make(self, key):
        self.insert1({**key, "y": 1.0})

    Done = computed(lab, make, name="Done")
    Done.populate("k < 5")
    sources = {
        "Restricted": lab.Src & "x > 1",
        "Excluding": lab.Src - Done,
        "Restricting": lab.Src & Done,
        "Joined": lab.Src * Done,
        "Cut": lab.Src & cdb.Top(7),
        "Grouped": lab.Src.aggr(Done, n="count(*)") & "n > 0",
    }
    for name, source in sources.items():
        table = computed(lab, make, name=name, key_source=source)
        table.insert([{"k": k, "y": 0.0} for k in (0, 2, 6, 12)], allow_direct_insert=True)
        found = answered(table)
        assert len(found) == len(set(found)) == pending(table).count()
        assert set(found) == by_definition(table) == {(k["k"],) for k in source.keys()} - {(0,), (2,), (6,), (12,)}


def test_a_key_source_may_ask_for_the_table_itself(lab):
    """A chain, of which each link waits for the one before it."""

    def source(self):
        return lab.Src & ["k IN (SELECT k + 1 FROM chain)", {"k": 0}]

    def make(self, key):
        self.insert1({**key, "y": 1.0})

    Chain = computed(lab, make, name="Chain", key_source=property(source), part=False)
    for i in range(3):
        assert answered(Chain) == [(i,)] == sorted(by_definition(Chain))
        Chain.populate()


def test_no_more_than_some_pages_of_keys_are_in_memory(tmp_path):
    class Many(cdb.Pipeline):
        """Many keys."""

    class A(cdb.Manual, Many):
        a: Key[int]

    class B(cdb.Manual, Many):
        b: Key[str] = sa.orm.mapped_column(sa.String(40))

    class Res(cdb.Computed, Many):
        first: Key[A]
        second: Key[B]
        make = nothing

    Many.activate(f"sqlite:///{tmp_path}/many.db")
    A.insert({"a": i} for i in range(300))
    B.insert({"b": f"a rather long name {i:03}"} for i in range(200))

    def run():
        pages = pending(Res).pages("original", None)
        return sum(len(page) for page in pages)

    assert run() == 60_000  # and everything is imported and compiled
    tracemalloc.start()
    try:
        assert run() == 60_000
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        assert len([key for page in pending(Res).pages("original", None) for key in page]) == 60_000
        as_list = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6_000_000 < 10_000_000 < as_list


def test_a_spool_gives_back_what_it_was_given():
    columns = [
        [1, 2**62, -5],
        ["a", "é\x7f", ""],
        [dt.date(2020, 1, 2)] * 3,
        [dt.datetime(2020, 1, 2, 3, 4, 5, 6)] * 3,
        [uuid.UUID(int=i) for i in range(3)],
        [decimal.Decimal("1.20"), decimal.Decimal(0), decimal.Decimal("-7.5")],
        [b"\x00", b"", b"x" * 100],
        [dt.timedelta(microseconds=3)] * 3,
        [True, False, True],
    ]
    names = [f"c{i}" for i in range(len(columns))]
    strange = [[Colour.RED] for _ in names]  # what no codec takes waits in memory
    spool = Spool(names)
    spool.take([columns, strange, columns])
    rows = [dict(zip(names, row)) for row in zip(*columns)]
    assert list(spool.pages()) == [rows, [dict.fromkeys(names, Colour.RED)], rows]
    assert [type(v) for v in next(spool.pages())[0].values()] == [type(c[0]) for c in columns]
    assert sorted(len(page) for page in spool.pages(shuffled=True)) == [1, 3, 3]
    spool.close()


def test_what_others_make_meanwhile_is_not_made_again(lab, monkeypatch):
    monkeypatch.setattr(serial, "FRESH", 0.0)
    runs = []

    def make(self, key):
        runs.append(key["k"])
        if key["k"] == 3:
            with other.begin() as connection:
                connection.execute(Res.__table__.insert(), [{"k": k, "y": 9.0} for k in (15, 16, 17)])
        self.insert1({**key, "y": 1.0})

    Res = computed(lab, make)
    other = sa.create_engine(pending(Res).source.database.engine.url)
    result = Res.populate()
    other.dispose()
    assert result == {"success_count": N - 3, "error_list": []}
    assert sorted(runs) == [k for k in range(N) if k not in (15, 16, 17)]


@pytest.mark.parametrize("reserve_jobs", [False, True])
@pytest.mark.parametrize("many", [False, True])
def test_a_key_is_a_plain_dict_of_plain_names_which_a_blob_can_hold(url, reserve_jobs, many):
    class Lab(cdb.Pipeline):
        """A result that says what it was made of."""

    class Src(cdb.Manual, Lab):
        k: Key[int]

    class Res(cdb.Computed, Lab, rows_per_key="many" if many else None):
        src: Key[Src]
        provenance: Mapped[cdb.Blob]
        if many:
            i: Key[int]

        def make(self, key):
            row = {**key, "provenance": {"key": key, "src": (Src & key).fetch1()}}
            self.insert1({**row, "i": 0} if many else row)

    Lab.activate(url)
    Src.insert1({"k": 1})
    assert Res.populate(reserve_jobs=reserve_jobs) == {"success_count": 1, "error_list": []}
    assert Res.to_arrays("provenance")[0] == {"key": {"k": 1}, "src": {"k": 1}}
    assert {type(n) for n in [*Src.primary_key, *Src.fetch1(), *Src.keys()[0], *Res.heading.names]} == {str}


def test_a_restriction_that_the_database_cannot_read_leaves_no_file_open(lab, recwarn):
    Res = computed(lab, nothing)
    with pytest.raises(cdb.UnknownAttribute):
        Res.populate("nowhere > 1")
    gc.collect()
    assert not [w for w in recwarn if "SpooledTemporaryFile" in str(w.message)]
