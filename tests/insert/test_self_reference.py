"""A table that refers to itself: parents and children come in one insert, in any order."""

from __future__ import annotations

import pytest

import compdb as cdb
from compdb import Key, Mapped, dag, foreign_key


class Lab(cdb.Pipeline):
    """Mice and their parents."""


class Mouse(cdb.Manual, Lab):
    mouse: Key[str]
    mother: Mapped[Mouse | None] = foreign_key(rename={"mouse": "mother_id"})
    father: Mapped[Mouse | None] = foreign_key(rename={"mouse": "father_id"})
    weight: Mapped[int | None]


@pytest.fixture
def mice(url):
    Lab.activate(url)
    return Mouse


@pytest.mark.parametrize("option", [{}, {"skip_duplicates": True}, {"replace": True}])
@pytest.mark.parametrize(
    "rows",
    [
        [{"mouse": "c", "mother_id": "b"}, {"mouse": "b", "mother_id": "a"}, {"mouse": "a"}],
        [("c", "b", None, 1), ("b", None, "a", 2), ("a", None, None, 3)],
        [{"mouse": "c", "mother_id": "b", "father_id": "a"}, {"mouse": "b", "weight": 4}, {"mouse": "a", "weight": 5}],
    ],
    ids=["kinds", "tuples", "two parents"],
)
def test_children_may_come_before_their_parents(mice, rows, option):
    mice.insert(rows, **option)
    assert mice.to_arrays("mouse", order_by="KEY").tolist() == ["a", "b", "c"]
    assert (mice & {"mouse": "c"}).fetch1("mother_id") == "b"


def test_many_generations_in_one_insert(mice):
    mice.insert({"mouse": f"m{i:04}", "mother_id": f"m{i + 1:04}" if i < 1999 else None} for i in range(2000))
    assert len(mice & "mother_id IS NULL") == 1
    assert len(mice) == 2000


def test_the_parent_that_is_nowhere_is_named(mice):
    with pytest.raises(cdb.MissingParent, match=r"Mouse needs a row of Mouse that is not there: \{'mouse': 'nobody'\}"):
        mice.insert([{"mouse": "c", "mother_id": "b"}, {"mouse": "b", "mother_id": "nobody"}])
    assert len(mice) == 0


def test_of_several_links_to_one_parent_the_one_that_is_wrong_is_named(mice):
    mice.insert1({"mouse": "a"})
    with pytest.raises(cdb.MissingParent, match=r"\{'mouse': 'nobody'\}, as father_id says; insert it into Mouse first"):
        mice.insert1({"mouse": "b", "mother_id": "a", "father_id": "nobody"})
    with pytest.raises(cdb.MissingParent, match=r"\{'mouse': 'nobody'\}, as mother_id says; insert it into Mouse first"):
        mice.update1({"mouse": "a", "mother_id": "nobody"})


def test_rows_keep_their_order_where_it_is_right_and_in_a_circle():
    table = Mouse.__table__
    right = [{"mouse": "a"}, {"mouse": "x"}, {"mouse": "b", "mother_id": "a"}, {"mouse": "s", "mother_id": "s"}]
    assert dag.parents_first(table, right) == right
    circle = [{"mouse": "a", "mother_id": "b"}, {"mouse": "b", "mother_id": "a"}, {"mouse": "c"}]
    assert sorted(row["mouse"] for row in dag.parents_first(table, circle)) == ["a", "b", "c"]
