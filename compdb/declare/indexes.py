"""An index for each foreign key, so that deleting a parent does not read the whole child.

MySQL and MariaDB make one by themselves where none begins with the columns; here all databases have it, under the name that migrations
know. A link that the primary key begins with needs none.
"""

from __future__ import annotations

import sqlalchemy as sa

from compdb import dag

__all__ = ["index_links"]


def index_links(table: sa.Table) -> None:
    """Add the indexes that the foreign keys of `table` lack."""
    constraints = sorted(table.foreign_key_constraints, key=lambda c: (-len(c.columns), [x.name for x in c.columns]))
    for constraint in constraints:  # the longest first: one index may begin with the columns of two
        names = [column.name for column in constraint.columns]
        if not dag.indexed(table, names):
            sa.Index(None, *(table.c[name] for name in names))
