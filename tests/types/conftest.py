"""Engines as `compdb.connect` makes them: `mysql://` on a MariaDB server is `mariadb://`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
import sqlalchemy as sa


def engine_of(url: str) -> sa.Engine:
    engine = sa.create_engine(url)
    with engine.connect():
        pass
    if engine.dialect.name == "mysql" and engine.dialect.is_mariadb:
        engine.dispose()
        engine = sa.create_engine(url.replace("mysql", "mariadb", 1))
    return engine


@pytest.fixture
def engine(url: str) -> Iterator[sa.Engine]:
    engine = engine_of(url)
    yield engine
    engine.dispose()


@pytest.fixture(scope="class", params=("sqlite", "mysql", "postgresql"))
def lasting_engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.Engine]:
    """An engine for a whole class of tests that make and drop tables of their own."""
    shared = sys.modules[
        next(name for name in ("tests.conftest", "conftest") if hasattr(sys.modules.get(name), "SERVERS"))
    ]
    engine = engine_of(shared.fresh_url(request.param, tmp_path_factory.mktemp("types")))
    yield engine
    engine.dispose()
