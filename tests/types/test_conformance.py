"""The conformance suite that `compdb.testing` ships, on every database that we support."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from compdb.testing.dialects import TypeConformance


class TestTypes(TypeConformance):
    """Inherits its tests."""

    @pytest.fixture
    def engine(self, lasting_engine: sa.Engine) -> sa.Engine:
        return lasting_engine
