"""Attributes inside JSON: by path in dicts and in proj."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from compdb import dag
from compdb.algebra import Relation
from compdb.database import bind, connect
from compdb.errors import RestrictionError, UnknownAttribute
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
