"""Populate: fill an Imported or Computed table with the keys it still lacks.

>>> SessionSummary.populate(Subject & {"subject_id": "M001"})
{'success_count': 2, 'error_list': []}

A key is pending when the key source has it and the table does not. Each `make` stands alone: what it inserts is kept or undone as a
unit. Its rows are checked when it inserts them, buffered, and written together with those of its neighbours in one short transaction, so
that no lock is held while it computes. If that transaction fails it is repeated key by key from the buffer: the error lands on its own
key, and no make runs twice.

`keys` finds what is pending, `run` holds what one call of populate shares (connections, snapshot, buffer), `make` is one make at work,
`points` asks for single rows, `rowfacts` knows the row that a make fills in, `loop` puts them together, `progress` counts, `display` shows.
"""

import importlib
from typing import TYPE_CHECKING, Any

from compdb.populate import events as events  # SQLAlchemy knows the events of makes from here on

if TYPE_CHECKING:
    from compdb.populate.display import Display
    from compdb.populate.dry import make_dry
    from compdb.populate.keys import KeySource, pending
    from compdb.populate.listing import Jobs, all_jobs, all_runs, jobs_of
    from compdb.populate.loop import populate, populate_all
    from compdb.populate.progress import progress_all, progress_of
    from compdb.populate.watching import Watch, drain, draining

__all__ = [
    "Display",
    "Jobs",
    "KeySource",
    "Watch",
    "all_jobs",
    "all_runs",
    "drain",
    "draining",
    "jobs_of",
    "make_dry",
    "pending",
    "populate",
    "populate_all",
    "progress_all",
    "progress_of",
]

_ROOMS = {
    "display": ("Display",),
    "dry": ("make_dry",),
    "keys": ("KeySource", "pending"),
    "listing": ("Jobs", "all_jobs", "all_runs", "jobs_of"),
    "loop": ("populate", "populate_all"),
    "progress": ("progress_all", "progress_of"),
    "watching": ("Watch", "drain", "draining"),
}


def __getattr__(name: str) -> Any:
    """Read a room when something in it is asked for: whoever only declares, inserts or asks does not populate."""
    room = next((room for room, names in _ROOMS.items() if name in names), None)
    if room is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(importlib.import_module(f"{__name__}.{room}"), name)
    return found


def __dir__() -> list[str]:
    """Name also what no one has asked for yet."""
    return sorted({*globals(), *__all__})
