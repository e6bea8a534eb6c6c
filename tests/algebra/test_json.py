"""Attributes inside JSON: by path in dicts and in proj."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from compdb import dag
from compdb.algebra import Relation, Top, U
from compdb.database import bind, connect
from compdb.errors import InvalidValue, JoinError, RestrictionError, UnknownAttribute
from compdb.types import column_type


@pytest.fixture
def Setting(url):
    metadata = sa.MetaData()
    table = sa.Table(
        "setting",
        metadata,
        sa.Column("n", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("params", column_type(dict), nullable=True),
        info={"label": "Setting", "tier": "lookup"},
    )
    dag.register(metadata)
    database = connect(url)
    metadata.create_all(database.engine)
    bind(metadata, database)
    rows = [
        {"gain": 2, "name": "low", "filter": {"order": 4, "band": [1.5, 30.0]}, "on": True},
        {"gain": 10, "name": "it's", "filter": {"order": 2, "band": [0.5, 40.0]}, "on": False},
        {"name": None},
        None,
    ]
    with database.engine.begin() as connection:
        for n, params in enumerate(rows):
            connection.execute(table.insert().values(n=n, params=sa.null() if params is None else params))
    return Relation.of(table)


ODD = {
    "int": [3, 2**40, "3", True, None, -2.5, 2**63 - 1, [1], {"a": 1}],
    "float": [3, 2**40, "3", True, None, -2.5, 1e300, [1], {"a": 1}],
    "bool": [1, 0, "true", True, False, None, [True]],
    "str": ["a", "A", "a ", "it's", '"', "\\", "null", "", "é", None],
    "json": [1, 2.5, "a", True, False, None, [1, {"b": None}], {"a": [True]}],
}
"""Values, some of them of another type than the path says."""

READ = {
    "int": [3, 2**40, None, None, None, -2, 2**63 - 1, None, None],
    "float": [3.0, 2.0**40, None, None, None, -2.5, 1e300, None, None],
    "bool": [None, None, None, True, False, None, None],
    "str": ODD["str"],
    "json": ODD["json"],
}


@pytest.fixture
def Odd(Setting):
    """Return a function that fills the table with values under the name `x`, and returns its relation."""

    def fill(values):
        with Setting.database.engine.begin() as connection:
            connection.execute(Setting.table.delete())
            rows = [{"n": n, "params": {"x": value}} for n, value in enumerate(values)]
            connection.execute(Setting.table.insert(), [*rows, {"n": len(rows), "params": {}}])
        return Setting

    return fill


def numbers(relation):
    return [k["n"] for k in relation.keys(order_by="KEY")]


def test_dict_by_path(Setting):
    assert numbers(Setting & {"params.gain:int": 2}) == [0]
    assert numbers(Setting & {"params.filter.order:int": 2}) == [1]
    assert numbers(Setting & {"params.filter.band[0]:float": 1.5}) == [0]
    assert numbers(Setting & {"params.name": "it's"}) == [1]
    assert numbers(Setting & {"params.name:str": ["it's", "low"]}) == [0, 1]
    assert numbers(Setting & {"params.on:bool": True}) == [0]


def test_opposite_of_a_path(Setting):
    assert numbers(Setting - {"params.gain:int": 2}) == [1, 2, 3]


def test_what_is_not_there_is_null(Setting):
    assert numbers(Setting & {"params.gain:int": None}) == [2, 3]


def test_proj_by_path(Setting):
    found = Setting.proj(gain="params.gain:int", low="params.filter.band[0]:float", name="params.name")
    rows = found.to_dicts(order_by="KEY")
    assert [r["gain"] for r in rows] == [2, 10, None, None]
    assert [r["low"] for r in rows] == [1.5, 0.5, None, None]
    assert [r["name"] for r in rows] == ["low", "it's", None, None]
    assert numbers(found & "gain > 5") == [1]
    assert numbers(found & {"name": "low"}) == [0]


def test_list_of_dicts_by_path(Setting):
    assert numbers(Setting & [{"params.gain:int": 2}, {"params.gain:int": 10, "n": 1}, {"n": 3}]) == [0, 1, 3]


def test_wrong_paths_are_errors(Setting):
    with pytest.raises(UnknownAttribute):
        Setting & {"parms.gain": 2}
    with pytest.raises(UnknownAttribute):
        Setting & {"n.gain": 2}
    with pytest.raises(RestrictionError, match="'decimal' is not a type"):
        Setting & {"params.gain:decimal": 2}


@pytest.mark.parametrize("kind", ODD)
def test_a_value_of_another_type_is_null_and_the_same_everywhere(Odd, kind):
    relation = Odd(ODD[kind])
    found = relation.proj(x=f"params.x:{kind}").to_arrays("x", order_by="KEY").tolist()
    assert [v if v == v else None for v in found] == [*READ[kind], None]
    assert [type(v) for v, right in zip(found, READ[kind]) if right is not None] == [
        type(right) for right in READ[kind] if right is not None
    ]


@pytest.mark.parametrize("kind", ODD)
def test_each_value_is_found_by_its_path_and_what_is_not_there_by_none(Odd, kind):
    relation, path = Odd(ODD[kind]), f"params.x:{kind}"
    there = [*READ[kind], None]
    assert numbers(relation & {path: None}) == [n for n, v in enumerate(there) if v is None]
    if kind == "json":
        return
    for value in there:
        assert numbers(relation & {path: value}) == [n for n, v in enumerate(there) if v == value]
    assert numbers(relation & [{path: v} for v in there]) == list(range(len(there)))


def test_text_is_that_of_any_scalar(Odd):
    relation = Odd([3, 2.5, True, False, "a"])
    assert relation.proj(x="params.x").to_arrays("x", order_by="KEY").tolist() == ["3", "2.5", "true", "false", "a", None]


def test_json_is_not_compared_as_a_whole(Odd):
    for value in ([1, 2], {"a": 1}, 1):
        with pytest.raises(InvalidValue, match="JSON is not compared as a whole"):
            Odd([1]) & {"params.x:json": value}


def test_a_number_beside_a_path_without_a_type_is_an_error_that_shows_the_path(Setting):
    with pytest.raises(InvalidValue, match=r"write {'params\.gain:int': 2}"):
        Setting & {"params.gain": 2}
    with pytest.raises(InvalidValue, match=r"write {'params\.on:bool': True}"):
        Setting & {"params.on": [True]}


def test_json_is_neither_grouped_nor_joined_by(Setting):
    for wrong in (
        lambda: U("params") & Setting,
        lambda: U("params").aggr(Setting, n="count(*)"),
        lambda: Setting * Setting.proj("params", m="n"),
        lambda: Setting & Setting.proj("params", m="n"),
        lambda: Setting - Setting.proj("params", m="n"),
    ):
        with pytest.raises(JoinError, match=r"proj\(x='params\.member:int'\)"):
            wrong()
    assert len(U("x") & Setting.proj(x="params.gain:int")) == 3
    assert len(Setting * Setting.proj("params")) == len(Setting & Setting.proj("params")) == 4


def test_json_has_no_order(Setting):
    with pytest.raises(RestrictionError, match=r"proj\(..., x='params.member:int'\)"):
        Setting.to_dicts(order_by="params DESC")
    assert numbers(Setting.proj(x="params.gain:int") & Top(1, order_by="x DESC")) == [1]


def test_an_empty_result_has_the_types_of_its_paths(Setting):
    named = {kind: f"params.x:{kind}" for kind in ODD}
    types = (Setting & False).proj(**named).to_arrow().schema
    assert [str(types.field(kind).type) for kind in ODD] == ["int64", "double", "bool", "large_string", "large_string"]


def test_aggr_says_what_is_inside_the_left_side_also_where_nothing_belongs_to_it(Setting):
    found = Setting.aggr(Setting.proj() & "n < 1", c="count(*)", gain="params.gain:int", low="params.filter.band[0]:float")
    expected = [(1, 2, 1.5), (0, 10, 0.5), (0, None, None), (0, None, None)]
    assert [tuple(r.values())[1:] for r in found.to_dicts(order_by="KEY")] == expected
