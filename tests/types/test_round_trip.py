"""Whatever a column takes comes back equal and is found again: drawn by hypothesis, one row with a value of every type at a time.

COMPDB_FUZZ_EXAMPLES sets the number of rows on SQLite; servers get a tenth, many rows at a time.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compdb.testing.columns import same, values
from compdb.testing.dialects import TypeConformance
from compdb.testing.hazards import HAZARDS
from compdb.types import adapter

EXAMPLES = int(os.environ.get("COMPDB_FUZZ_EXAMPLES", "2000"))
BATCH = 20
ALIKE = {"plain_int", "plain_float", "plain_string", "wide_text", "reaction_time", "plain_datetime", "uuid_text", "literal_int", "choice",
         "small_blob"}  # fmt: skip
TYPES = {h.name: h.type for h in HAZARDS if h.name not in ALIKE}
NOT_COMPARED = {"json", "blob"}
TABLE = sa.Table(
    "round_trip",
    sa.MetaData(),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    *(sa.Column(name, type_) for name, type_ in TYPES.items()),
    **TypeConformance.table_options,
)
ADAPTERS = {name: adapter(type_) for name, type_ in TYPES.items()}
rows = st.fixed_dictionaries(
    {name: values(type_, nullable=name in ("int", "text", "json", "blob")) for name, type_ in TYPES.items()}
)
quiet = settings(deadline=None, database=None, suppress_health_check=list(HealthCheck))


def check(connection: sa.Connection, given_rows: list[dict[str, Any]]) -> None:
    with connection.begin() as transaction:
        _check(connection, given_rows)
        transaction.rollback()


def _check(connection: sa.Connection, given_rows: list[dict[str, Any]]) -> None:
    columns = {name: column.many([row[name] for row in given_rows]) for name, column in ADAPTERS.items()}
    stored = [{"number": n, **{name: column[n] for name, column in columns.items()}} for n in range(len(given_rows))]
    connection.execute(TABLE.insert(), stored)
    found = connection.execute(sa.select(TABLE).order_by(TABLE.c.number)).mappings().all()
    for number, (row, back) in enumerate(zip(given_rows, found, strict=True)):
        for name, value in row.items():
            assert same(value, back[name]) or value == back[name] == 0.0, (name, value, back[name])
        equal = [
            TABLE.c[name].is_(None) if value is None else TABLE.c[name] == ADAPTERS[name].condition(value)
            for name, value in row.items()
            if name not in NOT_COMPARED
        ]
        matches = connection.execute(sa.select(TABLE.c.number).where(*equal)).scalars().all()
        assert number in matches, row


@pytest.mark.slow
@pytest.mark.fuzz
@pytest.mark.timeout(max(300, EXAMPLES // 10))
def test_a_row_of_any_values_comes_back_and_is_found_on_sqlite() -> None:
    engine = sa.create_engine("sqlite://")
    with engine.connect() as connection:
        TABLE.create(connection)
        connection.commit()

        @settings(quiet, max_examples=EXAMPLES)
        @given(rows)
        def round_trip(row: dict[str, Any]) -> None:
            check(connection, [row])

        round_trip()
    engine.dispose()


@pytest.mark.slow
@pytest.mark.fuzz
@pytest.mark.timeout(max(300, EXAMPLES // 10))
def test_rows_of_any_values_come_back_and_are_found_on_servers(engine: sa.Engine) -> None:
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite has the test above")
    with engine.connect() as connection:
        TABLE.create(connection)
        connection.commit()

        @settings(quiet, max_examples=max(1, EXAMPLES // 10 // BATCH))
        @given(st.lists(rows, min_size=BATCH, max_size=BATCH))
        def round_trip(given_rows: list[dict[str, Any]]) -> None:
            check(connection, given_rows)

        round_trip()
