"""One of a few values: an `enum.Enum`, or `Literal["left", "right"]`, or `Literal[1, 2, 4]`.

>>> side: Mapped[Literal["left", "right"]]
>>> mood: Mapped[Mood]                            # class Mood(enum.Enum)

Stored as VARCHAR (or BIGINT for ints) with a CHECK that names the values, on every database: no ENUM type of MySQL or PostgreSQL,
which sort, compare and change in ways of their own. Of an enum the names of its members are stored, as SQLAlchemy does it;
a member, a name and a value are taken, and members come back.

The CHECK is named after its column (`side_choice`, within the naming convention of the MetaData), so that alembic can find
it. It belongs to the type: it arises where the column is attached to a table, also in a migration.
"""

from __future__ import annotations

import enum
import typing
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from compdb.errors import InvalidValue, nearest, shorten
from compdb.types.adapter import Adapter
from compdb.types.text import BYTES_PER_CHARACTER, clean, short_text
from compdb.types.variants import is_generic, vary

__all__ = ["Choice", "ChoiceAdapter", "adapter", "column_type", "portable"]

Type = sa.types.TypeEngine[Any]


class Choice(sa.types.TypeDecorator[Any]):
    """One of a few values, with a CHECK in the database.

    Parameters
    ----------
    choices : Enum class, or sequence of str, or sequence of int
        The values; of an enum the members.
    labels : sequence of str, optional
        What stands in the database for each member of an enum; by default its name.
    length : int, optional
        Length of the VARCHAR; by default that of the longest label. Leave room if members may be added later.
    """

    impl: Any = sa.String  # or BigInteger: set for each
    cache_ok = True

    def __init__(
        self,
        choices: type[enum.Enum] | Sequence[str] | Sequence[int],
        labels: Sequence[str] | None = None,
        length: int | None = None,
    ) -> None:
        members: Sequence[Any]
        if isinstance(choices, type):
            members = list(choices)
            self.labels: tuple[Any, ...] = tuple(labels if labels is not None else (m.name for m in members))
            self.choices: Any = choices
        else:
            members = self.labels = self.choices = tuple(dict.fromkeys(choices))
        _refuse_labels(self.labels, members)
        self.length = length or max((len(label) for label in self.labels if isinstance(label, str)), default=None)
        super().__init__()
        text = isinstance(self.labels[0], str)
        stored = short_text(self.length or 1) if text else vary(sa.BigInteger(), sqlite=sa.Integer())
        self.impl = self.impl_instance = stored
        self.members: dict[Any, Any] = dict(zip(self.labels, members))
        self.known = _known(self.choices, self.members)

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> Any:
        """Turn a member into its label; other text passes, for LIKE."""
        try:
            return self.known[value]
        except (KeyError, TypeError):
            if value is None or (isinstance(value, str) and isinstance(self.labels[0], str)):
                return value
            raise ChoiceAdapter(self).no_member(value) from None

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Any:
        """Turn a label into its member."""
        if value is None:
            return None
        try:
            return self.members[value]
        except KeyError:
            raise InvalidValue(
                f"the database holds {value!r}, which is not one of {', '.join(map(repr, self.labels))}; did the choices change?",
                value=value,
            ) from None

    @property
    def python_type(self) -> type[Any]:
        """The Python type of its values."""
        return self.choices if isinstance(self.choices, type) else type(self.labels[0])

    @property
    def sort_key_function(self) -> Callable[[Any], Any]:  # type: ignore[override]  # SQLAlchemy's own is a property too
        """Let the unit of work sort keys whose members have no order."""
        return self.known.__getitem__

    def __repr__(self) -> str:
        longest = max((len(label) for label in self.labels if isinstance(label, str)), default=None)
        length = f", length={self.length}" if self.length != longest else ""
        return f"Choice({list(self.labels)!r}{length})"


def _refuse_labels(labels: Sequence[Any], members: Sequence[Any]) -> None:
    kinds = {type(label) for label in labels}
    if kinds not in ({str}, {int}):
        raise InvalidValue(f"choices are all str or all int, at least one of them, not {list(labels)!r}")
    if len(set(labels)) != len(members):
        raise InvalidValue(f"{len(members)} choices need as many different labels, not {list(labels)!r}")
    if not all(clean(label) for label in labels if isinstance(label, str)):
        raise InvalidValue(f"a choice may hold neither NUL nor half of a surrogate pair: {list(labels)!r}")


def _known(choices: Any, members: dict[Any, Any]) -> dict[Any, Any]:
    """Return every spelling of a choice -> its label: members first, then names, then values."""
    known = {member: label for label, member in members.items()}
    for label in members:
        known.setdefault(label, label)
    if isinstance(choices, type):
        labels = {member: label for label, member in members.items()}
        for name, member in choices.__members__.items():  # type: ignore[attr-defined]
            known.setdefault(name, labels[member])
        for member, label in labels.items():
            try:
                known.setdefault(member.value, label)
            except TypeError:  # a list, say, cannot be looked up
                continue
    return known


@event.listens_for(sa.Column, "after_parent_attach", propagate=True)
def _add_check(column: sa.Column[Any], table: Any) -> None:
    """Add the CHECK of a Choice column to its table.

    Listens to columns, not to the type, since only then the column has its name and its last type. `_type_bound` marks it as SQLAlchemy's Enum marks its own: it is made again where the column is copied, and alembic
    leaves it to the type.
    """
    if not isinstance(column.type, Choice) or not isinstance(table, sa.Table):
        return
    name = f"{column.name}_choice"
    if "constraint_name" not in str(table.metadata.naming_convention.get("ck", "")):
        home = table.name.removeprefix("_alembic_tmp_")  # what alembic's batch mode calls the new copy on SQLite
        name = f"ck_{home}_{name}"
    for old in [c for c in table.constraints if c.info.get("choice") == column.name]:
        table.constraints.discard(old)
    sa.CheckConstraint(  # attaches itself to the table of its column
        sa.type_coerce(column, column.type.impl_instance).in_(column.type.labels),
        name=name,
        info={"choice": column.name},
        _type_bound=True,
    )


def column_type(python_type: Any) -> Type | None:
    """Return the column type of an Enum class and of Literal."""
    if isinstance(python_type, type) and issubclass(python_type, enum.Enum):
        if issubclass(python_type, enum.Flag):
            raise InvalidValue(
                f"{python_type.__name__} is a Flag, whose members combine; declare int and store flag.value"
            )
        return Choice(python_type)
    if typing.get_origin(python_type) is not typing.Literal:
        return None
    choices = typing.get_args(python_type)
    if None in choices:
        raise InvalidValue("write Mapped[Literal[...] | None], without None among the choices")
    if set(map(type, choices)) == {bool}:
        return sa.Boolean()
    return Choice(choices)


def portable(type_: Type) -> Type | None:
    """Turn SQLAlchemy's Enum into a Choice."""
    if not is_generic(type_) or not isinstance(type_, sa.Enum):
        return None
    longest = max(map(len, type_.enums), default=0)
    length = type_.length if type_.length and type_.length > longest else None
    if type_.enum_class is None:
        return vary(Choice(type_.enums, length=length), instead_of=type_)
    return vary(Choice(type_.enum_class, labels=tuple(type_.enums), length=length), instead_of=type_)


def adapter(type_: Type, nullable: bool, key: bool) -> Adapter | None:
    """Return the adapter of a Choice, and of the ENUM types of the databases."""
    if isinstance(type_, sa.Enum):
        type_ = Choice(type_.enum_class or type_.enums, labels=tuple(type_.enums) if type_.enum_class else None)
    return ChoiceAdapter(type_, nullable, key) if isinstance(type_, Choice) else None


class ChoiceAdapter(Adapter):
    """The members of an enum, or the literals."""

    def __init__(self, type_: Choice, nullable: bool = True, key: bool = False) -> None:
        super().__init__(type_, nullable, key)
        self.known, self.members = type_.known, type_.members
        self.exact = type_.python_type
        self.takes = "one of " + ", ".join(map(repr, type_.labels))
        self.key_bytes = BYTES_PER_CHARACTER * type_.length if type_.length else 8

    def convert(self, value: Any) -> Any:
        """Take names and values of members."""
        try:
            return self.members[self.known[value]]
        except (KeyError, TypeError):
            raise self.no_member(value) from None

    def comparable(self, value: Any) -> None:
        """Refuse what is not among the choices: a condition on it is a slip of the pen."""
        self.convert(value)

    def check(self, value: Any) -> Any:
        """Refuse what is not among the choices."""
        return self.convert(value)

    def bulk(self, values: list[Any]) -> list[Any] | None:
        """Look at the different ones only."""
        return values if set(values) <= set(self.members.values()) else None

    def no_member(self, value: Any) -> InvalidValue:
        """Return the error for a value that is not among the choices."""
        guess = nearest(value, map(str, self.members)) if isinstance(value, str) else None
        return InvalidValue(
            f"{shorten(value)} is not {self.takes}" + (f"; did you mean {guess!r}?" if guess else ""), value=value
        )
