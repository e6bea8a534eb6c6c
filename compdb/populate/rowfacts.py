"""The row that a make fills in: made with its key alone, and looked at when the make has ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from compdb.errors import nearest
from compdb.table import Table

__all__ = ["RowFacts"]


class RowFacts:
    """How a mapped class names its columns, found out once."""

    def __init__(self, cls: type[Any]) -> None:
        mapper = sa.inspect(cls)
        self.cls, self._manager = cls, mapper.class_manager
        # SQLAlchemy listens to `init` itself, once
        self._quick = self._manager.original_init is Table.__init__ and len(list(self._manager.dispatch.init)) == 1
        self.columns = {p.key: p.columns[0].name for p in mapper.column_attrs}
        self.attributes = {column: attribute for attribute, column in self.columns.items()}
        self._names = frozenset(p.key for p in mapper.attrs)
        self._known = self._names | {"_sa_instance_state"}

    def misspelt(self, row: Any) -> str | None:
        """Return a name that `row` was given, that means nothing, and that looks like an attribute which was not set."""
        others = row.__dict__.keys() - self._known
        if not others:
            return None
        unset = self._names - row.__dict__.keys()
        return next((n for n in sorted(others) if not n.startswith("_") and nearest(n, unset)), None)

    def blank(self, key: Mapping[str, Any]) -> Any:
        """Return a row of which only the key is set."""
        given = {self.attributes[name]: value for name, value in key.items()}
        if not self._quick:
            return self.cls(**given)
        row = self._manager.new_instance()
        row.__dict__.update(given)
        return row

    def values(self, row: Any) -> dict[str, Any]:
        """Return the values that `row` has, by column."""
        state = row.__dict__
        return {column: state[a] for a, column in self.columns.items() if a in state}
