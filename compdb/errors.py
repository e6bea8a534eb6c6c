"""Every deliberate error of compdb: what happened, where, why, and the fix.

An error carries its data as attributes and tells them in words. Driver errors stay reachable through `__cause__`.

    CompdbError
    ├── DeclarationError          a class that cannot become a table
    ├── UnknownAttribute          a name that matches nothing (AttributeError too)
    ├── UnknownVerb               a verb that relations do not have (AttributeError too)
    ├── RestrictionError          a condition that cannot restrict this relation
    ├── JoinError                 relations that cannot be combined as asked
    ├── NotOneRow                 fetch1 of nothing, or of more than one row (LookupError too)
    ├── InvalidValue              a value that would not survive (ValueError too)
    │   └── BlobError             bytes that are no blob, or a value that cannot be one
    ├── MissingAttribute          a row without a value it must have
    ├── DuplicateKey              a row whose key is there already
    ├── MissingParent             a row whose parent is not there
    ├── ConstraintError           a unique, check or foreign key constraint that a row breaks
    ├── DirectInsertError         rows for a computed table from outside its make
    ├── DatabaseError
    │   ├── NotConnected          no database in force
    │   ├── ConnectionFailed      a database that does not answer
    │   ├── SchemaDrift           a table in the database that does not fit its class
    │   ├── LookupMismatch        lookup contents that differ from what the database holds
    │   ├── MigrationError        revisions and a database that do not go together
    │   ├── SessionError          a session used in the wrong thread, task, process or place
    │   └── TransactionLost       the database dropped the transaction
    ├── SettingsError             a pyproject.toml or a command line that names what is not there
    ├── MissingExtra              a package that is not installed, and the extra that brings it (ImportError too)
    ├── PopulateError             populate called where or how it cannot run
    │   └── LeaseLost             a reservation that another worker has taken over, or whose inputs are gone
    ├── MakeError
    │   ├── EmptyMake             make inserted no row for its key
    │   ├── WrongKey              make inserted another key than the one it was given
    │   ├── MakeTimeout           make took longer than its table allows
    │   └── InputsChanged         what make_fetch read changed while make_compute ran
    ├── MergeConflict             rows of one key that differ between database and file
    ├── DeleteError               a delete or drop that would break something, or was not confirmed
    └── DiagramError              a diagram of what is no table, or a picture that nothing here can make

`CompdbWarning` is the base of all warnings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = [
    "BlobError",
    "CompdbError",
    "CompdbWarning",
    "ConnectionFailed",
    "ConstraintError",
    "DatabaseError",
    "DeclarationError",
    "DeleteError",
    "DiagramError",
    "DirectInsertError",
    "DuplicateKey",
    "EmptyMake",
    "InputsChanged",
    "InvalidValue",
    "JoinError",
    "LeaseLost",
    "LookupMismatch",
    "MakeError",
    "MakeTimeout",
    "MergeConflict",
    "MigrationError",
    "MissingAttribute",
    "MissingExtra",
    "MissingParent",
    "NotConnected",
    "NotOneRow",
    "PopulateError",
    "RestrictionError",
    "SchemaDrift",
    "SessionError",
    "SettingsError",
    "TransactionLost",
    "UnknownAttribute",
    "UnknownVerb",
    "WrongKey",
    "nearest",
    "shorten",
]


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the name in `known` that looks most like `name`, or None."""
    from difflib import get_close_matches  # noqa: PLC0415 - only when there is an error to tell

    names = list(known)
    folded = {n.lower(): n for n in reversed(names)}
    found = get_close_matches(str(name).lower(), folded, n=1, cutoff=0.6)
    return folded[found[0]] if found else None


def shorten(value: object, width: int = 80) -> str:
    """Return `repr(value)`, cut to `width` characters; never raises."""
    try:
        text = repr(value)
    except Exception as error:  # a repr of the user's own may do anything
        text = f"<{type(value).__name__} whose repr raised {type(error).__name__}>"
    return text if len(text) <= width else text[: width - 3] + "..."


class CompdbError(Exception):
    """Base of all errors that compdb raises on purpose."""

    def __reduce__(self) -> Any:
        """Say how to copy it to another process: with its data, not by its constructor."""
        return _again, (type(self), self.args, dict(self.__dict__))


def _again(kind: type[CompdbError], arguments: tuple[Any, ...], data: dict[str, Any]) -> CompdbError:
    error = kind.__new__(kind)
    error.args = arguments
    error.__dict__.update(data)
    return error


class CompdbWarning(UserWarning):
    """What a user should know although nothing failed."""


class DeclarationError(CompdbError):
    """A class that cannot become a table; the message shows the line to write."""


class UnknownAttribute(CompdbError, AttributeError):
    """A name that matches nothing.

    Attributes
    ----------
    attribute : str
        The name asked for.
    relation : str
        Where it was looked for.
    known : tuple of str
        The names that are there.
    suggestion : str or None
        The nearest of them.
    """

    def __init__(self, attribute: object, relation: str, known: Iterable[str], hint: str | None = None) -> None:
        self.attribute = str(attribute)
        self.relation = relation
        self.known = tuple(known)
        self.suggestion = nearest(self.attribute, self.known)
        text = f"no attribute {self.attribute!r} in {relation}"
        if self.suggestion:
            text += f"; did you mean {self.suggestion!r}?"
        if hint:
            text += f"\n{hint}"
        text += f"\n{relation} has: {', '.join(self.known) or 'no attributes'}"
        super().__init__(text)


class UnknownVerb(CompdbError, AttributeError):
    """A verb that relations do not have, such as one of DataJoint's; the message shows ours."""


class RestrictionError(CompdbError, TypeError):
    """A condition that cannot restrict this relation."""


class JoinError(CompdbError):
    """Relations that cannot be combined as asked; the message shows the `proj` to write."""


class NotOneRow(CompdbError, LookupError):
    """fetch1 (or row1) of nothing, or of more than one row.

    Attributes
    ----------
    relation : str
        The relation as it was written.
    count : int
        How many rows it has.
    """

    def __init__(self, relation: str, count: int) -> None:
        self.relation, self.count = relation, count
        super().__init__(f"expected one row, found {count or 'none'} in {relation}")


class InvalidValue(CompdbError, ValueError):
    """A value that would not survive the database as it is.

    Attributes
    ----------
    reason : str
        What is wrong with it, without the place.
    table, attribute : str or None
        Where it was to go.
    row : int or None
        Which row of the insert, counted from 0.
    value : object
        The value.
    """

    def __init__(
        self,
        reason: str,
        *,
        value: Any = None,  # the user's own object, whatever it is
        table: str | None = None,
        attribute: str | None = None,
        row: int | None = None,
        key: Mapping[str, Any] | None = None,
    ) -> None:
        self.reason, self.value, self.table, self.attribute, self.row = reason, value, table, attribute, row
        self.key = dict(key) if key is not None else None
        where = ".".join(part for part in (table, attribute) if part)
        if row is not None:
            where += f", row {row}"
        if self.key:
            where += f" {self.key}"
        super().__init__(f"{where}: {reason}" if where else reason)

    def at(
        self,
        table: str | None = None,
        attribute: str | None = None,
        row: int | None = None,
        key: Mapping[str, Any] | None = None,
    ) -> InvalidValue:
        """Return the same error, told with its place."""
        return type(self)(
            self.reason,
            value=self.value,
            table=table or self.table,
            attribute=attribute or self.attribute,
            row=self.row if row is None else row,
            key=key or self.key,
        )


class BlobError(InvalidValue):
    """Bytes that are no valid blob, or a value that cannot be stored in one."""


class MissingAttribute(CompdbError, ValueError):
    """A row without a value it must have."""

    def __init__(self, table: str, attributes: Iterable[str], row: object, number: int | None = None) -> None:
        self.table, self.attributes, self.row, self.number = table, tuple(attributes), row, number
        names = ", ".join(repr(a) for a in self.attributes)
        where = f"row {number} of the insert into {table}" if number is not None else f"the row for {table}"
        super().__init__(f"{where} has no value for {names}, which must have one\nrow: {shorten(row, 200)}")


class DuplicateKey(CompdbError):
    """A row whose primary key is there already."""

    def __init__(self, table: str, key: Mapping[str, Any], hint: str = "") -> None:
        self.table, self.key = table, dict(key)
        super().__init__(
            f"{table} already has a row for {self.key}"
            + (f"; {hint}" if hint else "; insert(..., skip_duplicates=True) passes over rows that are there")
        )


class MissingParent(CompdbError):
    """A row that refers to a parent row which is not there."""

    def __init__(
        self, table: str, parent: str, key: Mapping[str, Any], count: int = 1, attributes: Sequence[str] = ()
    ) -> None:
        self.table, self.parent, self.key, self.count = table, parent, dict(key), count
        self.attributes = tuple(attributes) or tuple(self.key)
        renamed = [own for own, theirs in zip(self.attributes, self.key) if own != theirs]
        by = f", as {', '.join(renamed)} says" if renamed else ""
        more = f" (and {count - 1} more)" if count > 1 else ""
        super().__init__(
            f"{table} needs a row of {parent} that is not there: {self.key}{by}{more}; insert it into {parent} first"
        )


class ConstraintError(CompdbError):
    """A unique, check, not-null or foreign key constraint that a row breaks."""


class DirectInsertError(CompdbError):
    """Rows for an Imported or Computed table, or its parts, from outside its make."""


class DatabaseError(CompdbError):
    """What concerns a database as a whole."""


class NotConnected(DatabaseError):
    """No database in force for this pipeline."""


class ConnectionFailed(DatabaseError):
    """The database does not answer, or does not let us in."""


class SchemaDrift(DatabaseError):
    """A table in the database that does not fit its class."""


class LookupMismatch(DatabaseError):
    """Lookup contents that differ from the rows in the database."""


class MigrationError(DatabaseError):
    """Revisions and a database that do not go together, or a revision that failed."""


class SessionError(DatabaseError):
    """A session used in the wrong thread, task, process or place."""


class TransactionLost(DatabaseError):
    """The database rolled the whole transaction back behind our back."""


class PopulateError(CompdbError):
    """populate called where, or how, it cannot run."""


class LeaseLost(PopulateError):
    """A reservation that is this worker's no more: it was taken for dead, or the inputs were deleted meanwhile."""


class MakeError(CompdbError):
    """What a make may not do."""


class EmptyMake(MakeError):
    """make inserted no row for its key."""


class WrongKey(MakeError):
    """make inserted another key than the one it was given."""


class MakeTimeout(MakeError):
    """make took longer than the `timeout` of its table."""


class InputsChanged(MakeError):
    """What make_fetch read was changed while make_compute ran."""


class MergeConflict(CompdbError):
    """Rows of one key that differ between a database and a file to be merged.

    Attributes
    ----------
    conflicts : list of str
        Table, key and the values that differ.
    """

    def __init__(self, conflicts: list[str]) -> None:
        self.conflicts = conflicts
        shown = "\n  ".join(conflicts[:10]) + (f"\n  and {len(conflicts) - 10} more" if len(conflicts) > 10 else "")
        super().__init__(f"{len(conflicts)} rows differ, so nothing was merged:\n  {shown}")


class DeleteError(CompdbError):
    """A delete or drop that would break something, or was not confirmed."""


class DiagramError(CompdbError):
    """A diagram of what is no table, or a picture that nothing installed here can make."""


class SettingsError(CompdbError):
    """What a pyproject.toml or a command line says, and cannot be done so; names the file or the argument, and the fix."""


class MissingExtra(CompdbError, ImportError):
    """A package that compdb uses where it is there, and that is not.

    Attributes
    ----------
    extra : str
        What brings it: `pip install 'compdb[extra]'`.
    """

    def __init__(self, verb: str, package: str, extra: str) -> None:
        self.extra = extra
        super().__init__(f"{verb} needs {package}, which is not installed: pip install 'compdb[{extra}]'", name=package)
