"""Insert: rows of any form into one table, all or nothing.

>>> Image.insert1({"image_id": 1, "image_name": "Hubble deep field", "pixels": pixels})

Every row is checked and converted before the first one is sent: names, types, missing values, doubled keys. What only the database can
know (a missing parent, a key that is there already) is told in the user's table and attribute names, with the key concerned.

    permission.py   who may insert into what, and where the rows of a make go
    forms.py        rows of any form as dicts, or as columns
    checks.py       dicts and columns as checked batches
    single.py       one row, quickly
    sending.py      batches to the database, in bulk where it has a way
    faults.py       what the database found, in the user's names
    session.py      rows that come by session.add
"""

from __future__ import annotations

import itertools
from numbers import Integral
from typing import Any

import sqlalchemy as sa

from compdb.algebra import Relation
from compdb.database import database_of
from compdb.errors import CompdbError
from compdb.insert.checks import Batch, Facts, check, check_columns, facts, prepare, rows_of
from compdb.insert.faults import translate
from compdb.insert.forms import columns, dicts
from compdb.insert.permission import SINK, Mode, Row, Sink, check_permission
from compdb.insert.sending import check_size, insert_select, store, write
from compdb.insert.session import watch
from compdb.insert.single import single

__all__ = [
    "SINK",
    "Facts",
    "Mode",
    "Row",
    "Sink",
    "check_permission",
    "dicts",
    "facts",
    "insert",
    "prepare",
    "translate",
    "watch",
    "write",
]


def insert(
    table: sa.Table,
    rows: Any,  # any of the forms that design section 4 lists
    *,
    skip_duplicates: bool = False,
    replace: bool = False,
    ignore_extra_fields: bool = False,
    chunk_size: int | None = None,
    allow_direct_insert: bool = False,
) -> None:
    """Insert `rows`; see `Table.insert`."""
    if skip_duplicates and replace:
        raise CompdbError("skip_duplicates keeps the row that is there, replace overwrites it: choose one")
    if chunk_size is not None and not (isinstance(chunk_size, Integral) and chunk_size >= 1):
        raise CompdbError(f"chunk_size is a whole number of rows, at least 1, not {chunk_size!r}")
    mode: Mode = "skip" if skip_duplicates else "replace" if replace else "plain"
    check_permission(table, allow_direct_insert=allow_direct_insert)
    sink = SINK.get()
    if sink is not None and type(rows) is list and len(rows) == 1 and type(rows[0]) is dict:
        known = facts(table)
        alone = None if known.long else single(known, rows[0])
        if alone is not None:
            sink.insert(table, [alone], mode)
            return
    if isinstance(rows, Relation) and sink is None:
        insert_select(database_of(table), table, rows, mode, ignore_extra_fields)
        return
    if chunk_size is None or sink is not None:
        batches = _checked(table, rows, mode, ignore_extra_fields)
        database = database_of(table)
        if sink is None:
            store(database, table, batches, mode)
            return
        check_size(database, table, batches)
        sink.insert(table, rows_of(batches), mode)
        return
    source, start = dicts(table, rows), 0
    while chunk := list(itertools.islice(source, chunk_size)):
        store(database_of(table), table, check(table, chunk, mode, ignore_extra_fields, start), mode)
        start += len(chunk)


def _checked(table: sa.Table, rows: Any, mode: Mode, extra_is_fine: bool) -> list[Batch]:
    frame = columns(table, rows)
    if frame is not None:
        return check_columns(table, frame, mode, extra_is_fine)
    return check(table, dicts(table, rows), mode, extra_is_fine)
