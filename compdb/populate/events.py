"""What happens around a make, as SQLAlchemy events.

>>> @sqlalchemy.event.listens_for(Detection, "make_failed")
... def tell(table, key, error):
...     print(table.__name__, key, error)

`before_make(table, key)`, `after_make(table, key, seconds)` once its rows are checked, `make_kept(table, key, seconds)` once they are
committed, which is with their window, and `make_failed(table, key, error)`. A listener that raises before the commit fails the make.
"""

from __future__ import annotations

from typing import Any, ClassVar

from sqlalchemy import event
from sqlalchemy.event.base import dispatcher

__all__ = ["MakeEvents", "hooks"]


class MakeEvents(event.Events[Any]):
    """The events of Imported and Computed tables."""

    _target_class_doc = "Detection"

    @classmethod
    def _accept_with(cls, target: Any, identifier: str) -> Any:
        """Take a table class that is populated as a target, and keep its listeners in its `Hooks`."""
        return hooks(target) if isinstance(target, type) and hasattr(target, "make") else None

    def before_make(self, table: type[Any], key: dict[str, Any]) -> None:
        """Called before a make."""

    def after_make(self, table: type[Any], key: dict[str, Any], seconds: float) -> None:
        """Called after a make whose rows are checked."""

    def make_kept(self, table: type[Any], key: dict[str, Any], seconds: float) -> None:
        """Called after the commit of what a make inserted."""

    def make_failed(self, table: type[Any], key: dict[str, Any], error: BaseException) -> None:
        """Called when a make, or the writing of its rows, failed."""


class Hooks:
    """The listeners of one table."""

    dispatch: ClassVar[Any] = dispatcher(MakeEvents)  # SQLAlchemy makes one for each instance


MakeEvents._dispatch_target = Hooks  # type: ignore[misc]


def hooks(table: type[Any]) -> Hooks:
    """Return the listeners of a table class, made at the first asking."""
    found = vars(table).get("__hooks__")
    if found is None:
        found = Hooks()
        type.__setattr__(table, "__hooks__", found)
    return found  # type: ignore[no-any-return]
