"""Migrate: change the tables of a database that is in use, by revisions that alembic keeps in a folder.

    compdb.migrate.init(Path("migrations"), ["my_lab.pipeline:Lab"])     # once
    compdb.migrate.new([Lab], database, Path("migrations"), "weights")   # after a change of the classes: writes a revision
    compdb.migrate.up([Lab], database, Path("migrations"))               # brings the database to it; `down` takes it back
    Lab.activate(url, migrations="migrations")                           # the same, and the lookups

`env.py` in that folder is one call, `migrate.run("my_lab.pipeline:Lab")`, so that alembic's own commands work, too.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from compdb.migrate.checking import check, refuse_drift
    from compdb.migrate.commands import Rename, Revision, activate, down, history, init, new, stamp, up
    from compdb.migrate.environment import run
    from compdb.schema import Difference

__all__ = [
    "Difference",
    "Rename",
    "Revision",
    "activate",
    "check",
    "down",
    "history",
    "init",
    "new",
    "refuse_drift",
    "run",
    "stamp",
    "up",
]

_PLACES = {
    "check": "checking",
    "refuse_drift": "checking",
    "run": "environment",
}


def __getattr__(name: str) -> Any:
    """Read alembic when it is asked for: `import compdb` does without."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "Difference":
        return importlib.import_module("compdb.schema").Difference
    return getattr(importlib.import_module(f"{__name__}.{_PLACES.get(name, 'commands')}"), name)
