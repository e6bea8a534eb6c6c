"""What the tables in a database are like, what their classes say, and the difference between the two.

    there = read(connection, homes(tables, connection))         # as the database tells
    ours = declared(tables, database)                           # as the database would tell of the classes
    list(compare(there, ours, database.dialect))                # [Difference(kind="type", table="Session", words="...")]

One comparing code serves activation, which refuses what no longer fits, `Lab.check()`, which tells everything, and the revisions
that `compdb.migrate` writes. Databases spell types, defaults and checks in their own words; what a class declares is therefore made
once as a table of nobody's (temporary, in memory on SQLite) and read back, so that like is compared with like.
"""

from compdb.schema.compare import Difference, align, compare
from compdb.schema.declared import declared, homes
from compdb.schema.family import family
from compdb.schema.found import names, read
from compdb.schema.revisions import VERSIONS, is_migrated, mark_migrated
from compdb.schema.state import Check, Column, ForeignKey, Index, Place, Table, Unique

__all__ = [
    "VERSIONS",
    "Check",
    "Column",
    "Difference",
    "ForeignKey",
    "Index",
    "Place",
    "Table",
    "Unique",
    "align",
    "compare",
    "declared",
    "family",
    "homes",
    "is_migrated",
    "mark_migrated",
    "names",
    "read",
]
