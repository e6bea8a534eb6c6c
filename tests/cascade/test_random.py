"""Deletion equals the closure over foreign keys on Python sets, for random schemas and rows."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compdb import cascade, dag
from compdb.cascade import keys, plan
from compdb.database import Database, bind
from compdb.errors import DeleteError
from compdb.testing.schemas import Schema, random_schema

from .lab import fresh


@pytest.fixture
def batches() -> Iterator[Any]:
    """Make batches small, so that a few rows fill many; 0 puts back what was."""
    usual = keys._VALUES, keys._GROUPS, plan._FEW

    def small(size: int) -> None:
        keys._VALUES, keys._GROUPS, plan._FEW = usual if size == 0 else (size, size, size)

    yield small
    small(0)


def choose(rng: random.Random, made: Schema) -> tuple[sa.Table, sa.Select[Any] | None]:
    """Choose a table that has rows, and some of them, in one of several ways."""
    target = rng.choice([t for t in made.tables() if made.rows[t.name]])
    query = sa.select(*target.primary_key)
    number = target.name[1:]
    kind = rng.choice(["all", "some", "limit", "parent of", "one"])
    if kind == "some":
        return target, query.where(target.c[f"u{number}"] % 3 == rng.randint(0, 2))
    if kind == "one":
        return target, query.where(target.c[f"u{number}"] == rng.choice(made.rows[target.name])[f"u{number}"])
    if kind == "limit":
        return target, query.order_by(target.c[f"u{number}"].desc()).limit(2)
    edges = dag.children(target)
    if kind == "parent of" and edges:
        edge = rng.choice(edges)
        child = edge.child.alias()
        return target, query.join(child, sa.and_(*(child.c[m] == target.c[t] for m, t in edge.pairs)))
    return target, None


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 10**9), size=st.sampled_from([0, 1, 2, 3]))
def test_deletion_equals_the_closure_over_foreign_keys(
    url: str, tmp_path: Path, batches: Any, seed: int, size: int
) -> None:
    rng = random.Random(seed)
    made = random_schema(rng, tables=rng.randint(2, 7))
    database = fresh(url)
    dag.register(made.metadata)
    bind(made.metadata, database)
    batches(size)
    try:
        with database.transaction() as session:
            made.fill(session.connection())
        _check_deletion(rng, made, database)
    finally:
        with database.engine.begin() as connection:
            if database.dialect.has_schemas is False:
                connection.execute(sa.text("PRAGMA defer_foreign_keys = on"))
            cascade_away(connection, made)


def cascade_away(connection: sa.Connection, made: Schema) -> None:
    for t in reversed(made.tables()):
        for row in reversed(made.rows[t.name]):
            connection.execute(t.delete().where(*(c == row[c.name] for c in t.primary_key)))
    made.metadata.drop_all(connection)


def _check_deletion(rng: random.Random, made: Schema, database: Database) -> None:
    target, query = choose(rng, made)
    integrity = rng.choice(["enforce", "cascade", "ignore"])
    with database.reading() as connection:
        rows = connection.execute(sa.select(*target.primary_key) if query is None else query)
        chosen = {(target.name, tuple(row)) for row in rows}
    going = made.downstream(chosen, masters=integrity == "cascade")
    options: dict[str, Any] = {"prompt": False, "part_integrity": integrity}
    if integrity == "enforce" and made.bereft(going):
        with pytest.raises(DeleteError):
            cascade.delete(database, target, query, **options)
        going = set()
    else:
        per_table = {t.info["label"]: sum(name == t.name for name, _ in going) for t in made.tables()}
        expected = {label: n for label, n in per_table.items() if n or label == target.info["label"]}
        assert cascade.delete(database, target, query, dry_run=True, **options) == expected
        assert cascade.delete(database, target, query, **options) == per_table[target.info["label"]]
    with database.reading() as connection:
        for t in made.tables():
            left = {(t.name, tuple(row)) for row in connection.execute(sa.select(*t.primary_key))}
            assert left == {made.spot(t, row) for row in made.rows[t.name]} - going
