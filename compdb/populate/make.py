"""One make at work: what it inserts is checked and buffered; what it reads comes from the window's snapshot.

A make becomes *direct* when the buffer cannot serve it: it reads back its own rows, writes elsewhere, or opens a transaction. From
there on it runs in a write transaction of its own, committed right after it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import sqlalchemy as sa
from sqlalchemy import exc, orm
from sqlalchemy.sql import visitors
from sqlalchemy.sql.elements import ColumnClause

from compdb import dag
from compdb import insert as inserting
from compdb.dialects import Fault
from compdb.errors import (
    DuplicateKey,
    EmptyMake,
    InputsChanged,
    MakeError,
    SessionError,
    TransactionLost,
    UnknownAttribute,
    WrongKey,
)
from compdb.insert import Mode, Row
from compdb.jobs import Skip
from compdb.populate.digest import digest
from compdb.populate.run import Run

__all__ = ["Call", "Make"]

PACKAGE = str(Path(__file__).resolve().parent.parent)


class Call:
    """One call of insert in a make, checked: its rows, and the line it was made from, if it was not what make set on self."""

    __slots__ = ("line", "mode", "rows", "table")

    def __init__(self, table: sa.Table, rows: list[Row], mode: Mode, line: str) -> None:
        self.table, self.rows, self.line = table, rows, line
        self.mode: Mode = mode


class Make:
    """The make of one key; while it runs, the sink of its inserts and the holder of the session in force."""

    __slots__ = (
        "began",
        "broken",
        "buffer",
        "calls",
        "closed",
        "committing",
        "ended",
        "has_written",
        "inserted_own",
        "keep",
        "key",
        "owner",
        "run",
        "seconds",
        "seen",
        "skipped",
        "transaction",
        "weight",
    )

    def __init__(self, run: Run, key: dict[str, Any], *, keep: bool = True) -> None:
        self.run, self.key, self.keep = run, key, keep
        self.calls: list[Call] | None = None if keep else []  # all of them, where nothing is to be kept
        self.owner, self.closed, self.committing = run.owner, False, False
        self.buffer: list[Call] = []
        self.seen: dict[sa.Table, list[Row] | set[tuple[Any, ...]]] | None = None  # rows of one call, or keys of several
        self.weight = 0
        self.transaction: sa.RootTransaction | None = None
        self.broken: Exception | None = None
        self.inserted_own = self.has_written = self.ended = False
        self.began, self.seconds = time.monotonic(), 0.0
        self.skipped: Skip | None = None

    # ------------------------------------------------------------ the sink of inserts

    @property
    def allowed(self) -> frozenset[sa.Table]:
        """The tables that this make may insert into."""
        return self.run.allowed

    def insert(self, table: sa.Table, rows: list[Row], mode: Mode) -> None:
        """Take rows of one call of insert."""
        self._check_owner()
        if self.broken is not None:
            self._refuse_to_go_on(self.broken)
        self.has_written = True
        call = Call(table, rows, mode, "" if self.ended else _line())
        if table in self.run.rank:
            self._check_keys(call)
            call = self._without_doubles(call)
            if table is self.run.table and rows:
                self.inserted_own = True
        else:
            self.go_direct()
        if self.calls is not None:
            self.calls.append(call)
        self.weight += _weight(table, call.rows)
        self.buffer.append(call)
        if self.transaction is not None:
            self._send_what_can_go()

    def check_row(self, table: sa.Table, row: Row) -> None:
        """Refuse a row of the session's, for the target or a part of it, that is of another key."""
        self._check_owner()
        if table in self.run.rank:
            self._check_keys(Call(table, [row], "plain", ""))
        if table is self.run.table:
            self.inserted_own = True

    def _check_owner(self) -> None:
        if not self.owner.here():
            raise SessionError(f"this make belongs to {self.owner.words()}; insert from the make itself")

    def _check_keys(self, call: Call) -> None:
        """The rows of a make belong to its key."""
        links, key = self.run.key_columns[call.table], self.key
        for name, value in key.items():
            mine = links.get(name, name)
            for row in call.rows:
                if row.get(mine) != value:
                    theirs = {n: row.get(links.get(n, n)) for n in key}
                    raise WrongKey(
                        f"make of {self.run.label} was called for {key} and inserts a row of {dag.label(call.table)} for"
                        f" {theirs}; a make inserts the rows of its own key"
                    )

    def _without_doubles(self, call: Call) -> Call:
        """Find a key that this make has inserted before, while the line that inserts it again is still known."""
        if self.seen is None:
            self.seen = {}
        before = self.seen.get(call.table)
        if before is None:  # one call has no doubles
            self.seen[call.table] = call.rows
            return call
        names = inserting.facts(call.table).key
        if isinstance(before, list):
            before = {tuple([row.get(n) for n in names]) for row in before}
        seen = self.seen[call.table] = before
        rows = []
        for row in call.rows:
            key = tuple([row.get(n) for n in names])
            if key in seen and call.mode == "plain":
                raise DuplicateKey(
                    dag.label(call.table), dict(zip(names, key)), f"make({self.key}) has inserted this row before"
                )
            if key in seen and call.mode == "skip":
                continue
            seen.add(key)
            rows.append(row)
        return Call(call.table, rows, call.mode, call.line)

    # ------------------------------------------------------------ the holder of the session in force

    @property
    def session(self) -> orm.Session:
        """The session of the running make."""
        return self.run.session

    def connection(self, statement: Any) -> sa.Connection:
        """Return the connection on which `statement` should run: the snapshot, or this make's own transaction."""
        if self.broken is not None:
            self._refuse_to_go_on(self.broken)
        if self.transaction is None:
            if not isinstance(statement, sa.SelectBase) or getattr(statement, "_for_update_arg", None) is not None:
                self.go_direct()
            elif self._could_see_buffered(statement):
                if self.buffer:
                    self.go_direct()
                else:
                    self.run.flush()
        if self.transaction is None:
            return self.run.snapshot.connection()
        self._send_what_can_go(reading=statement)
        return self.run.writer

    def answer(
        self, table: sa.Table, names: tuple[str, ...], equality: Mapping[str, Any]
    ) -> list[tuple[Any, ...]] | None:
        """Return what the window has read ahead, if it may serve, or the row of a key."""
        run, found = self.run, None
        if not self.has_written and run.inputs.serves(table, names, equality, self.key):
            connection = run.snapshot.connection()
            found = run.inputs.rows(connection, run.snapshot.number, table, names, self.key)
        if found is None and self.transaction is None and self.broken is None:
            found = run.points.rows(table, names, equality)
        return found

    def _could_see_buffered(self, statement: sa.SelectBase) -> bool:
        """Say whether a statement could return rows of the buffer; that of a statement which many makes run is found out once."""
        known = self.run.could_see.get(statement)
        if known is None:
            known = self.run.could_see[statement] = any(map(self._hides_buffered, visitors.iterate(statement)))
        return known

    def _hides_buffered(self, element: Any) -> bool:
        """Say whether an element is the target, a part, a descendant, a table that no pipeline declares, or a query in text."""
        if isinstance(element, sa.Table):
            return element in self.run.below or dag.tier(element) is None
        if isinstance(element, sa.TextClause):
            return True
        return isinstance(element, ColumnClause) and element.is_literal and "select" in str(element.name).lower()

    @contextmanager
    def nested(self) -> Iterator[orm.Session]:
        """Enter `with Lab.transaction()` inside the make: a SAVEPOINT of its own transaction."""
        self.go_direct()
        self._send_what_can_go()
        with self.run.session.begin_nested():
            self.run.session.connection()  # sets the SAVEPOINT, before anything of the block is written
            yield self.run.session
            self._send_what_can_go()

    # ------------------------------------------------------------ direct

    def go_direct(self) -> None:
        """From here on run in a write transaction of its own; the makes finished before are committed first."""
        if self.transaction is not None:
            return
        if self.broken is not None:
            self._refuse_to_go_on(self.broken)
        self.has_written = True
        self.run.flush()
        self.transaction = self.run.writer.begin()
        self.run.session.join_transaction_mode = (
            "create_savepoint"  # a rollback in make undoes what make wrote by the session
        )
        self._send_what_can_go()

    def _send_what_can_go(self, reading: Any = None) -> None:
        """Write the buffer; parts wait until the row of their master is there."""
        if self.transaction is None or not self.buffer:
            return
        if not self.inserted_own and any(
            c.table is not self.run.table for c in self.buffer if c.table in self.run.rank
        ):
            if reading is not None and self._could_see_buffered(reading):
                raise MakeError(
                    f"make of {self.run.label} reads back parts before the row of {self.run.label} itself is inserted; insert it first"
                )
            waiting = [c for c in self.buffer if c.table in self.run.rank]
        else:
            waiting = []
        calls, self.buffer = [c for c in self.buffer if c not in waiting], waiting
        for call in sorted(calls, key=lambda c: self.run.rank.get(c.table, -1)):
            writer = self.run.writer
            inside = writer.in_nested_transaction()
            # rows of tables that are not its own may be there already, and a make that has seen to that goes on
            place = None if inside or call.table in self.run.rank else writer.begin_nested()
            try:
                inserting.write(self.run.database, writer, call.table, call.rows, call.mode)
            except exc.DBAPIError as error:
                raise self._told(call, error, place, inside=inside) from error
            except BaseException:
                if place is not None:
                    place.rollback()
                raise
            if place is not None:
                place.commit()

    def _told(self, call: Call, error: exc.DBAPIError, place: sa.NestedTransaction | None, *, inside: bool) -> Exception:
        """Undo what the error has broken, to the last SAVEPOINT if there is one, and tell the error.

        Parameters
        ----------
        inside : bool
            Whether it happened in a `with Lab.transaction()`, which undoes its own.
        """
        writer = self.run.writer
        lost = error.connection_invalidated or "compdb_lost" in writer.info
        if not lost and place is not None:
            place.rollback()
        elif not inside:
            self.broken = error
            self.abort()
        return self._tell(call, error)

    def _refuse_to_go_on(self, error: Exception) -> NoReturn:
        """Raise in a make that has swallowed an error which undid everything it had written."""
        said = str(getattr(error, "orig", error)).strip().splitlines()[0]
        told = f"make of {self.run.label} goes on for {self.key} after an error that undid what it had written: {said}"
        if self.run.passes(error):
            raise TransactionLost(told) from error
        raise MakeError(f"{told}; let it raise, or insert in a block of its own: `with Lab.transaction():`") from error

    def explained(self, error: Exception) -> Exception:
        """Return the error of this make, or what to do about one that says only that its transaction is broken."""
        if not isinstance(error, exc.DBAPIError) or self.run.database.dialect.classify(error).fault is not Fault.BROKEN:
            return error
        told = MakeError(
            f"make of {self.run.label} goes on for {self.key} after a statement that failed, and broke its transaction; let the"
            " error raise, or ask in a block of its own: `with Lab.transaction():`"
        )
        told.__cause__ = error
        return told

    # ------------------------------------------------------------ three parts

    def in_three_parts(self, row: Any, options: dict[str, Any]) -> Any:
        """Fetch, compute with nothing held, then fetch again in the writing transaction and insert if the inputs are the same."""
        fetched = row.make_fetch(dict(self.key), **options)
        if isinstance(fetched, Skip):
            return fetched
        fetched = self._tuple("make_fetch", fetched)
        before = digest(fetched)
        self.run.rest()
        computed = row.make_compute(dict(self.key), *fetched)
        if isinstance(computed, Skip):
            return computed
        computed = self._tuple("make_compute", computed)
        self.go_direct()
        again = self._tuple("make_fetch", row.make_fetch(dict(self.key), **options))
        if digest(again, copy=False) != before:
            raise InputsChanged(
                f"{self.run.label}: what make_fetch read for {self.key} changed while make_compute ran; nothing is kept, populate"
                " again"
            )
        return row.make_insert(dict(self.key), *computed)

    def _tuple(self, name: str, value: Any) -> tuple[Any, ...]:
        if not isinstance(value, tuple):
            raise MakeError(
                f"{name} of {self.run.label} must return a tuple, not {type(value).__name__}: return value, (with a comma) for one"
            )
        return value

    # ------------------------------------------------------------ the end

    def finish(self, row: Any) -> None:
        """See that the row of the key is there, and hand the make to its window."""
        self.seconds, self.ended = time.monotonic() - self.began, True
        if self.broken is not None:
            self._refuse_to_go_on(self.broken)
        if self.skipped is not None:
            self._skip()
            return
        pending = self.run.session.pending()
        self._insert_self(row, pending=pending)
        if pending:
            self.run.session.flush()
        if self.transaction is None:
            if not self.inserted_own:
                raise self._empty()
            if self.keep:
                self.seen = None  # thousands of makes wait for the end of the window, and what they hold is looked at in vain
                self.run.take(self)
            return
        self._send_what_can_go()
        if not self._is_there():
            raise self._empty()
        if not self.keep:
            return
        self.run.session.settle()
        self.run.session.close()
        self.run.session.join_transaction_mode = "rollback_only"
        self.run.close_ledger([self])
        self.committing = True  # if that fails, nobody knows whether it arrived
        self.transaction.commit()
        self.transaction = None
        self.run.commits += 1
        self.run.count([self])

    def _skip(self) -> None:
        """Let the key be ignored, with the reason that make returned; what it wrote by the session is undone."""
        if self.seen or self.buffer:
            raise MakeError(
                f"make of {self.run.label} inserts rows for {self.key} and returns skip(...): do one of the two"
            )
        self.abort()
        if self.keep:
            self.run.take(self)

    def _insert_self(self, row: Any, *, pending: bool) -> None:
        """Insert the row that the make filled in, if it filled it in; the session may have other rows `pending`."""
        if row in self.run.session:  # the make has added it, so it goes with the rest of the session
            return
        values = self.run.facts.values(row)
        filled = [n for n in values if n not in self.key]
        if self.inserted_own:
            if filled:
                raise MakeError(
                    f"make of {self.run.label} both inserts a row and sets {', '.join(sorted(filled))} of self for {self.key}: do one of"
                    " the two"
                )
            return
        wrong = self.run.facts.misspelt(row)
        if wrong is not None:
            raise UnknownAttribute(wrong, self.run.label, self.run.facts.attributes, f"make set it on self for {self.key}")
        given = {sa.inspect(type(new)).local_table for new in self.run.session.new} if pending else ()
        if filled or ((self.seen or given) and self.run.table not in given):
            inserting.insert(self.run.table, [values])

    def _is_there(self) -> bool:
        table = self.run.table
        query = sa.select(sa.literal(1)).where(sa.exists().where(*(table.c[n] == v for n, v in self.key.items())))
        return self.run.writer.execute(query).first() is not None

    def _empty(self) -> EmptyMake:
        return EmptyMake(
            f"make of {self.run.label} inserted nothing for {self.key}; insert a row of {self.run.label} for that key"
        )

    def abort(self) -> None:
        """Undo everything this make did."""
        self.buffer = []
        self.run.session.close()
        self.run.session.join_transaction_mode = "rollback_only"
        if self.transaction is not None:
            transaction, self.transaction = self.transaction, None
            if transaction.is_active or self.run.writer.in_transaction():
                transaction.rollback()

    def told(self, error: exc.DBAPIError) -> BaseException:
        """Return what the database found in this make's rows, in the user's names, with the line of the insert."""
        for call in self.buffer:
            translated = inserting.translate(self.run.database, call.table, call.rows, error, call.mode)
            if translated is not error:
                return self._noted(call, translated, error)
        return error

    def _tell(self, call: Call, error: exc.DBAPIError) -> Exception:
        with self.run.aside():
            return self._noted(call, inserting.translate(self.run.database, call.table, call.rows, error, call.mode), error)

    def _noted(self, call: Call, translated: Exception, error: exc.DBAPIError) -> Exception:
        if translated is not error:
            translated.__cause__ = error
            how = f"inserted at {call.line}" if call.line else "set on self"
            translated.add_note(f"{how}, by make({self.key}) of {self.run.label}")
        return translated


def _line() -> str:
    """Return file and line of the nearest caller outside compdb."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _weight(table: sa.Table, rows: list[Row]) -> int:
    """Estimate the bytes of rows: what is long is text or bytes."""
    weight = 16 * len(rows) * len(rows[0]) if rows else 0
    for name in inserting.facts(table).long:
        weight += sum([len(v) for row in rows if isinstance(v := row.get(name), (bytes, str))])
    return weight
