"""Jobs: any number of workers on any number of machines share the keys of a table, through the database alone.

>>> Detection.populate(reserve_jobs=True, suppress_errors=True)     # on each machine
>>> Detection.jobs.errors.to_dicts()                                # what failed, with its traceback

A key that is to be made has a row in the table's jobs table. A worker *reserves* a batch of them under a token that nobody had before,
and what it makes is committed together with the removal of those rows, by key and token: if one of them is no longer its own (the
worker was taken for dead, or the inputs were deleted), nothing of that key is kept. So each key has at most one result, whoever dies
or wakes up late. Who is alive is decided by leases in the workers table, on the clock of the database and no other.

`tables` declares the tables, `queue` is all the SQL that moves jobs between states, `worker` is one worker's lease and its heartbeat,
`ledger` is what a run writes down in the transaction of its results, and `skipping` is what a make returns to pass over a key.
"""

from compdb.jobs.ledger import Ledger
from compdb.jobs.queue import Held, Queue, told
from compdb.jobs.skipping import Skip, skip
from compdb.jobs.tables import STATES, JobsTable, declare_jobs, jobs_of, system_tables
from compdb.jobs.worker import Worker

__all__ = [
    "STATES",
    "Held",
    "JobsTable",
    "Ledger",
    "Queue",
    "Skip",
    "Worker",
    "declare_jobs",
    "jobs_of",
    "skip",
    "system_tables",
    "told",
]
