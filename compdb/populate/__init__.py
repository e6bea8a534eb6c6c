"""Populate: fill an Imported or Computed table with the keys it still lacks.

>>> SessionSummary.populate(Subject & {"subject_id": "M001"})
{'success_count': 2, 'error_list': []}

A key is pending when the key source has it and the table does not. Each `make` stands alone: what it inserts is kept or undone as a
unit. Its rows are checked when it inserts them, buffered, and written together with those of its neighbours in one short transaction, so
that no lock is held while it computes. If that transaction fails it is repeated key by key from the buffer: the error lands on its own
key, and no make runs twice.

`keys` finds what is pending, `run` holds what one call of populate shares (connections, snapshot, buffer), `make` is one make at work,
`loop` puts them together, `progress` counts, `display` shows.
"""

from compdb.populate.display import Display
from compdb.populate.dry import make_dry
from compdb.populate.keys import KeySource, pending
from compdb.populate.listing import Jobs, all_jobs, all_runs, jobs_of
from compdb.populate.loop import populate, populate_all
from compdb.populate.progress import progress, progress_all
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
    "progress",
    "progress_all",
]
