"""What differs between databases, as attributes and methods with the answer most of them give.

A database is one file beside this one that overrides only where its answer differs. Nothing outside this folder asks for
the name of a database: it asks `of(connection)` for what it wants to know or have done.
"""

from __future__ import annotations

import re
import select
import time
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Literal, NoReturn, TypeVar

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor, ExecutionContext
from sqlalchemy.schema import CreateSchema
from sqlalchemy.sql.dml import Insert

from compdb.dialects.faults import Diagnosis, Fault
from compdb.dialects.urls import Addressed
from compdb.errors import ConnectionFailed, DatabaseError

__all__ = ["LAZY", "READ", "WRITE", "Dialect"]

NAMED = re.compile(r"%\((\w+)\)s")
"""A parameter by name, as drivers of MySQL take them; by place costs them less."""

SPELLINGS = (
    (re.compile(r"\bBOOL\b"), "TINYINT(1)"),
    (re.compile(r"\b((?:SMALL|MEDIUM|BIG)?INT(?:EGER)?)\(\d+\)"), r"\1"),
    (re.compile(r"\bINTEGER\b"), "INT"),
    (re.compile(r"\bNUMERIC\b"), "DECIMAL"),
    (re.compile(r"\bDOUBLE PRECISION\b"), "DOUBLE"),
)
"""What servers call by two names, and the name to compare by."""

AT_ONCE = 500
"""How many keys one statement names."""
Changing = TypeVar("Changing", sa.Update, sa.Delete)

#: What a connection is for: an execution option of connections, under the name `compdb_mode`.
LAZY, READ, WRITE = "lazy", "read", "write"


class Dialect(Addressed):
    """The answers of one database; made by `of`, one for each SQLAlchemy dialect object.

    Attributes
    ----------
    name, extra, drivers, port, is_file
        What its URLs say; see `Addressed`.
    minimum : tuple of int
        The oldest version that will do.
    table_options : dict
        Keywords of `sa.Table` that make tables behave alike; each is meant for this database only.
    has_comments : bool
        Whether tables and columns carry comments.
    has_schemas : bool
        Whether a table can live in a named schema; where not, schemas are translated away.
    transactional_ddl : bool
        Whether CREATE and DROP are undone by ROLLBACK.
    unique_is_index : bool
        Whether a unique constraint and a unique index are one thing, told as both.
    makes_indexes_for_foreign_keys : bool
        Whether the server makes an index for a foreign key that has none, under the key's name.
    refusals : frozenset of str
        What ON DELETE says where a parent that has children stays; it is the same as no word.
    backslash_escapes : bool
        Whether a backslash in a literal has a meaning.
    casts_anything : bool
        Whether CAST makes something of every value, where others refuse what does not fit.
    failed_reads_break_nothing : bool
        Whether a transaction goes on after a read in it that failed.
    listeners : set of callable
        Those of ours on its engines that send statements in a way of their own.
    restates_columns : bool
        Whether to change a column is to say all of it again: what is not said is lost.
    makes_scratch_apart : bool
        Whether scratch tables are made in a database of their own, which takes no connection of this one.
    one_writer : bool
        Whether a second writing transaction waits until the first has ended, whatever the two write.
    antijoin : str
        The form of "rows of A without a match in B" that answers fastest.
    few : int
        Rows up to which SQLAlchemy makes them ready as quickly as `insert_columns`; at least 1.
    semijoin : str
        The form of "rows of A with a match in B" that answers fastest.
    remembers_subqueries : bool
        Whether a subquery is not asked again for a row that says the same as one before.
    max_identifier : int
        Longest name of a table, column or constraint, in bytes.
    max_parameters : int
        How many values one statement may bind.
    max_row : int or None
        Bytes that one row may bring in blobs and text together; more would cost the connection.
    version : str
        The server's version, in words; known once connected.
    """

    minimum: ClassVar[tuple[int, ...]] = ()
    table_options: ClassVar[dict[str, str]] = {}
    has_comments: ClassVar[bool] = True
    has_schemas: ClassVar[bool] = True
    transactional_ddl: ClassVar[bool] = True
    unique_is_index: ClassVar[bool] = False
    makes_indexes_for_foreign_keys: ClassVar[bool] = False
    refusals: ClassVar[frozenset[str]] = frozenset({"NO ACTION"})
    backslash_escapes: ClassVar[bool] = False
    casts_anything: ClassVar[bool] = False
    failed_reads_break_nothing: ClassVar[bool] = True
    restates_columns: ClassVar[bool] = False
    makes_scratch_apart: ClassVar[bool] = False
    one_writer: ClassVar[bool] = False
    calculates_with_moments: ClassVar[bool] = False
    answering_words: ClassVar[frozenset[str]] = frozenset()
    antijoin: ClassVar[Literal["except", "left join", "not exists"]] = "left join"
    semijoin: ClassVar[Literal["exists", "join"]] = "exists"
    remembers_subqueries: ClassVar[bool] = False
    max_identifier: ClassVar[int] = 63
    few = 20

    def __init__(self, dialect: sa.Dialect) -> None:
        self._dialect = weakref.ref(dialect)
        self.listeners: set[Callable[..., Any]] = set()
        self.max_parameters = 65_535
        self.max_row: int | None = None
        self.version = self.name
        self._inserts: weakref.WeakKeyDictionary[sa.Table, dict[tuple[bool, bool], Insert]] = (
            weakref.WeakKeyDictionary()
        )

    @property
    def dialect(self) -> sa.Dialect:
        """SQLAlchemy's own dialect object."""
        found = self._dialect()
        assert found is not None, "the engine is gone"
        return found

    # ---------------------------------------------------------------- connections

    @classmethod
    def engine_arguments(cls) -> dict[str, Any]:
        """Return the arguments of `create_engine` for an engine of ours."""
        return {"isolation_level": "READ COMMITTED"}

    @classmethod
    def reader_arguments(cls) -> dict[str, Any] | None:
        """Return those for an engine whose single reads cost one round trip, or None if the first one serves."""
        return {"isolation_level": "AUTOCOMMIT", "skip_autocommit_rollback": True}

    def reader_options(self) -> dict[str, Any]:
        """Return the execution options by which connections of an engine that is not ours read in one round trip."""
        return {}

    @property
    def actual_name(self) -> str:
        """The name of the database that has answered, if the URL has it under another's; known once connected."""
        return self.name

    def learn(self, connection: sa.Connection) -> None:
        """Read from the server what it is and what it allows; called once for each engine."""
        found = getattr(connection.dialect, "server_version_info", None) or ()
        self.version = f"{self.name} {'.'.join(map(str, found))}"
        if found < self.minimum:
            oldest = ".".join(map(str, self.minimum))
            raise ConnectionFailed(f"{self.version} is too old: compdb needs {self.name} {oldest} or newer")

    def connector(self) -> Callable[..., DBAPIConnection] | None:
        """Return what connects instead of the driver's own function, if anything does."""
        return None

    def setup(self, driver: DBAPIConnection, *, reader: bool) -> None:
        """Prepare a new connection of the driver; called once for each."""

    def descriptor(self, driver: DBAPIConnection) -> int | None:
        """Return the file descriptor of the connection's socket, if the driver tells."""
        return None

    def alive(self, driver: DBAPIConnection) -> bool:
        """Tell whether an idle connection can be trusted without asking the server; False if one cannot know.

        On an idle socket there should be nothing to read: what waits there is the server's last word, or the end.
        """
        descriptor = self.descriptor(driver)
        if descriptor is None or descriptor < 0:
            return False
        return _quiet(descriptor)

    # ---------------------------------------------------------------- transactions

    def begin(self, connection: sa.Connection) -> None:
        """Do what must be done when SQLAlchemy begins a transaction."""

    def end(self, connection: sa.Connection) -> None:
        """Do what must be done when SQLAlchemy ends one."""

    def before_execute(
        self, connection: sa.Connection, cursor: DBAPICursor, statement: str, context: ExecutionContext | None
    ) -> None:
        """Do what must be done before any statement."""

    def forget(self, connection: sa.Connection) -> None:
        """Have the driver forget what it knows of the server's tables; outside a transaction."""

    def line_lost(self, error: BaseException) -> bool:
        """Tell whether an error means that the connection is gone, though the driver still takes it for open."""
        return False

    def transaction_lost(self, connection: sa.Connection, error: BaseException) -> bool:
        """Tell whether an error of a statement has ended the whole transaction without a word."""
        return False

    def broken(self, connection: sa.Connection) -> bool:
        """Tell whether a statement has failed, or was left half way, and broken the transaction of a connection with it."""
        return False

    def begin_snapshot(self, connection: sa.Connection) -> None:
        """Begin a read-only transaction that sees one state of the database; `connection.commit()` ends it."""
        connection.exec_driver_sql("BEGIN")

    @contextmanager
    def lock(self, connection: sa.Connection, name: str, timeout: float) -> Iterator[None]:
        """Hold a named lock of this database, on a connection outside any transaction."""
        deadline = time.monotonic() + timeout
        while not self.take_lock(connection, name):
            if time.monotonic() > deadline:
                raise DatabaseError(f"another process has held the lock {name!r} for more than {timeout:g} s")
            time.sleep(0.05)
        try:
            yield
        finally:
            self.give_lock(connection, name)

    def take_lock(self, connection: sa.Connection, name: str) -> bool:
        """Try to take a named lock; tell whether we have it."""
        return True

    def give_lock(self, connection: sa.Connection, name: str) -> None:
        """Give a named lock back."""

    # ---------------------------------------------------------------- writing

    def insert(self, table: sa.Table, *, skip_duplicates: bool = False, replace: bool = False) -> Insert:
        """Return the INSERT for rows given as parameters; kept, so that it is compiled once.

        Parameters
        ----------
        skip_duplicates : bool
            Pass over a row whose primary key is there; every other constraint still raises.
        replace : bool
            Update, in place, the row whose primary key is there. Attributes that the rows lack become their default.
        """
        kept = self._inserts.get(table)
        if kept is None:
            kept = self._inserts[table] = {}
        form = (skip_duplicates, replace)
        if form not in kept:
            kept[form] = self.on_conflict(self.plain_insert(table), table, *form)
        return kept[form]

    def insert_rows(
        self,
        connection: sa.Connection,
        table: sa.Table,
        rows: Sequence[Mapping[str, Any]],
        *,
        skip_duplicates: bool = False,
        replace: bool = False,
    ) -> None:
        """Insert rows, all with the same attributes."""
        if not rows:
            return
        if len(rows) <= self.few or not rows[0]:
            connection.execute(self.insert(table, skip_duplicates=skip_duplicates, replace=replace), list(rows))
            return
        names = list(rows[0])
        columns = [[row[name] for row in rows] for name in names]
        self.insert_columns(connection, table, names, columns, skip_duplicates=skip_duplicates, replace=replace)

    def insert_columns(
        self,
        connection: sa.Connection,
        table: sa.Table,
        names: Sequence[str],
        columns: Sequence[Sequence[Any]],
        *,
        skip_duplicates: bool = False,
        replace: bool = False,
    ) -> None:
        """Insert the rows that stand in these columns.

        Many of them are made ready for the driver here, by columns; SQLAlchemy, which would do so value by value, makes the statement
        from the first two, and the driver is given all.
        """
        statement = self.insert(table, skip_duplicates=skip_duplicates, replace=replace)
        ready = self.ready(table, names, columns) if len(columns[0]) > self.few else None
        if ready is None:
            connection.execute(statement, [dict(zip(names, row)) for row in zip(*columns)])
            return
        names, columns = ready
        sample = [dict(zip(names, row)) for row in zip(*(column[:2] for column in columns))]
        sent = {"compdb_rows": (names, [self.driver_values(table.c[n], c) for n, c in zip(names, columns)])}
        connection.execute(statement, sample, execution_options=sent)

    def ready(
        self, table: sa.Table, names: Sequence[str], columns: Sequence[Sequence[Any]]
    ) -> tuple[list[str], list[Sequence[Any]]] | None:
        """Return these columns and those with a default of Python's; None where SQLAlchemy alone knows what to send."""
        if any(not name.isidentifier() or _is_wrapped(table.c[name], self.dialect) for name in names):
            return None
        given, values = list(names), list(columns)
        for column in table.columns:
            if column.name in names or column.default is None:
                continue
            made = defaults(column, len(columns[0]))
            if made is None:
                return None
            given.append(column.name)
            values.append(made)
        return given, values

    def driver_values(self, column: sa.Column[Any], values: Sequence[Any]) -> Sequence[Any]:
        """Return the values of a column as the driver takes them."""
        process = column.type.dialect_impl(self.dialect).bind_processor(self.dialect)
        return values if process is None else [process(value) for value in values]

    def completed(self, context: ExecutionContext | None, statement: str, parameters: Any) -> tuple[str, Any]:
        """Return what to give the driver: with the rows of `insert_columns`, if it is theirs, else as SQLAlchemy has made it."""
        sent = context.execution_options.get("compdb_rows") if context is not None else None
        if sent is None:
            return statement, parameters
        names, columns = sent
        order: Sequence[str] = context.compiled.positiontup or NAMED.findall(statement)  # type: ignore[union-attr]
        assert sorted(order) == sorted(names), (order, names)
        return NAMED.sub("%s", statement), list(zip(*(columns[names.index(name)] for name in order)))

    def insert_select(
        self,
        table: sa.Table,
        names: Sequence[str],
        select: sa.Select[Any],
        *,
        skip_duplicates: bool = False,
        replace: bool = False,
    ) -> Insert:
        """Return the INSERT for the rows of a query, whose columns go to `names` in their order."""
        statement = self.plain_insert(table).from_select(list(names), select)
        return self.on_conflict(statement, table, skip_duplicates, replace)

    def plain_insert(self, table: sa.Table) -> Any:  # each dialect of SQLAlchemy has an Insert of its own
        """Return an INSERT of the kind that knows what to do with conflicts."""
        return sa.insert(table)

    def on_conflict(self, statement: Any, table: sa.Table, skip_duplicates: bool, replace: bool) -> Insert:
        """Say in an INSERT what becomes of rows whose primary key is there: `ON CONFLICT (key) DO ...`."""
        rest = written(table) if replace else []
        key = list(table.primary_key)
        if rest:
            values = {c.name: statement.excluded[c.name] for c in rest}
            statement = statement.on_conflict_do_update(index_elements=key, set_=values)
        elif skip_duplicates or replace:
            statement = statement.on_conflict_do_nothing(index_elements=key)
        return statement  # type: ignore[no-any-return]

    def json_text(self, columns: Mapping[str, sa.ColumnElement[Any]]) -> sa.ColumnElement[str]:
        """Return the expression of a JSON object, as text, that has these columns under these names."""
        pairs = [part for name, column in columns.items() for part in (sa.literal_column(f"'{name}'"), column)]
        return sa.func.json_object(*pairs, type_=sa.Text())

    def json_rows(self, parameter: str) -> tuple[Any, list[sa.ColumnElement[Any]]]:
        """Return a FROM of the rows `[text, number, number]` of a JSON array that is bound as `parameter`, and their columns.

        Thousands of small rows arrive so as one value, several times faster than as parameters.
        """
        rows = sa.func.json_each(sa.bindparam(parameter, type_=sa.Text())).table_valued("value", name="line")
        return rows, [sa.func.json_extract(rows.c.value, f"$[{i}]") for i in range(3)]

    def size_of(self, value: sa.ColumnElement[Any]) -> sa.ColumnElement[int]:
        """Return about how many bytes a value has, of whatever type it is."""
        return sa.func.length(value, type_=sa.BigInteger())

    def by_key(self, statement: Changing, count: int) -> Changing:
        """Return an UPDATE or DELETE, which names so many rows by their primary key, such that it looks at no other rows.

        A statement that looks at a row that somebody else has locked may wait for it, whether it means that row or not.
        """
        return statement

    def claim(
        self,
        connection: sa.Connection,
        table: sa.Table,
        first: sa.Select[Any],
        order: Sequence[sa.ColumnElement[Any]],
        values: Mapping[str, Any],
    ) -> list[sa.Row[Any]]:
        """Change the rows that `first` picks and that nobody else has locked; return what it says of them as they were, in this order.

        Parameters
        ----------
        first : Select
            Begins with the primary key of the table.
        order : sequence of columns, some of them `.desc()`
            What `first` is to be ordered by.
        values : mapping
            What to set.
        """
        rows = list(connection.execute(first.order_by(*order).with_for_update(skip_locked=True)).all())
        key = list(table.primary_key)
        keys = [tuple(row[: len(key)]) for row in rows]
        for start in range(0, len(keys), AT_ONCE):
            some = keys[start : start + AT_ONCE]
            named = sa.update(table).where(self.among(key, some)).values(values)
            connection.execute(self.by_key(named, len(some)))
        return rows

    def among(
        self, columns: Sequence[sa.ColumnElement[Any]], keys: Sequence[tuple[Any, ...]]
    ) -> sa.ColumnElement[bool]:
        """Return the condition that columns have the values of one of `keys`."""
        if len(columns) == 1:
            return columns[0].in_([value for (value,) in keys])
        return sa.tuple_(*columns).in_(keys)

    def only_inserting(self, connection: sa.Connection) -> None:
        """Prepare a transaction that has begun, and that does nothing but insert rows and look up others by their keys."""

    # ---------------------------------------------------------------- the catalogue

    def create_schemas(self, connection: sa.Connection, names: Collection[str]) -> None:
        """Bring schemas into being where they are missing."""
        missing = set(names) - set(sa.inspect(connection).get_schema_names())
        for name in sorted(missing):
            connection.execute(CreateSchema(name, if_not_exists=True))

    @classmethod
    def unconnected(cls) -> sa.Dialect:
        """Return SQLAlchemy's dialect, which no engine has: for what can be said without a server."""
        return DefaultDialect()

    def spelled(self, type_: sa.types.TypeEngine[Any]) -> str:
        """Return a type in words to compare by: the same for all by which the database means the same; none where it lacks the type."""
        try:
            text = type_.compile(self.dialect).upper()
        except exc.CompileError:
            return ""
        for pattern, name in SPELLINGS:
            text = pattern.sub(name, text)
        return text

    def reflected(self, type_: sa.types.TypeEngine[Any]) -> sa.types.TypeEngine[Any]:
        """Return what a type that the database reports means in a class: SQLAlchemy's own reading, where that loses nothing."""
        return type_

    def collation(self, options: Mapping[str, Any]) -> str | None:
        """Return the collation that is among the options of a `sa.Table`, or that the inspector tells among those of a table."""
        return options.get(f"{self.name}_collate")

    def scratch_options(self, table: sa.Table) -> dict[str, Any]:
        """Return the options of a table that its scratch copy needs in order to be told of alike."""
        return {}

    def drop_index_of(self, connection: sa.Connection, schema: str | None, table: str, name: str) -> None:
        """Drop the index that the server had made for a foreign key that is gone, where it would stay, unless another one uses it."""

    # ---------------------------------------------------------------- errors

    def classify(self, error: BaseException) -> Diagnosis:
        """Tell what kind of thing went wrong, and where."""
        return Diagnosis(Fault.OTHER)


def _quiet(descriptor: int) -> bool:
    """Tell whether nothing waits to be read from a socket."""
    if not hasattr(select, "poll"):  # Windows
        return not select.select([descriptor], [], [], 0)[0]
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return not poll.poll(0)


def written(table: sa.Table) -> list[sa.Column[Any]]:
    """Return the columns outside the primary key that can be written."""
    return [c for c in table.columns if not c.primary_key and c.computed is None]


class _NoContext:
    """Stands for the context of a default's execution, and tells whether it is asked for anything."""

    def __getattr__(self, name: str) -> NoReturn:
        raise _ContextNeeded


class _ContextNeeded(Exception):
    """A default depends on the other values of its row."""


def defaults(column: sa.Column[Any], count: int) -> list[Any] | None:
    """Return the Python-side default of a column for so many rows; None if only SQLAlchemy can compute it."""
    default: Any = column.default  # a value or a function of the context
    if default.is_scalar:
        return [default.arg] * count
    if not default.is_callable:
        return None
    try:
        return [default.arg(_NoContext()) for _ in range(count)]
    except _ContextNeeded:
        return None


def _is_wrapped(column: sa.Column[Any], dialect: sa.Dialect) -> bool:
    """Tell whether a column's values stand inside an SQL expression, or are not for anybody to give."""
    if column.computed is not None or (column.identity is not None and column.identity.always):
        return True
    type_ = column.type.dialect_impl(dialect)
    return type_.bind_expression(sa.bindparam(None, type_=type_)) is not None
