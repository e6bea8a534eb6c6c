"""U: the universal set of some attributes, to ask for the values that occur and to group by anything.

>>> U("species") & Subject                       # every species that occurs, once
>>> U("session_date").aggr(Session, n="count(*)")
>>> U().aggr(Session, n="count(*)")              # one row without a key
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NoReturn

from compdb.algebra.aggregate import group
from compdb.algebra.conditions import Universal
from compdb.algebra.heading import Heading
from compdb.algebra.match import refuse_json
from compdb.algebra.project import moved_to
from compdb.algebra.relation import Relation, to_relation
from compdb.algebra.written import Arguments
from compdb.errors import JoinError, RestrictionError, UnknownAttribute

__all__ = ["U"]


class U(Universal):
    """All possible values of some attributes; `U()` is one row without attributes.

    As a condition it restricts nothing: `A & U("x")` is A.
    """

    __slots__ = ("primary_key",)

    def __init__(self, *attributes: str) -> None:
        wrong = [a for a in attributes if not isinstance(a, str)]
        if wrong:
            raise RestrictionError(f"U takes names of attributes, not {wrong[0]!r}")
        self.primary_key = tuple(dict.fromkeys(attributes))

    def __and__(self, other: Any) -> Relation[Any]:
        """Return the combinations of values that occur in a relation, each once; NULL is a value too."""
        relation = to_relation(other)
        for name in self.primary_key:
            if name not in relation.heading:
                raise UnknownAttribute(name, relation.label, relation.heading.names)
        refuse_json(relation.heading, self.primary_key)
        inner = relation.joinable()
        heading = Heading(moved_to(inner.heading, name, self.primary_key) for name in self.primary_key)
        return replace(
            inner,
            heading=heading,
            where=inner.restrictions,
            equal={},
            distinct=True,
            entity=None,
            table=None,
            history=("{0} & {1}", self, relation),
        )

    def aggr(self, other: Any, **named: Any) -> Relation[Any]:
        """Return one row for each combination that occurs, with attributes computed over its rows.

        Raises
        ------
        RestrictionError
            If asked to keep what does not occur: that has no end.
        """
        if named.pop("exclude_nonmatching", True) is False:
            raise RestrictionError("U(...).aggr cannot keep what does not occur: the universal set has no end")
        relation = to_relation(other)
        found = group(self.primary_key, relation, named)
        return replace(found, history=("{0}.aggr({1}, {2})", self, relation, Arguments((), named)))

    def __sub__(self, other: Any) -> NoReturn:
        raise RestrictionError(f"{self} - ... has no end; U(...) & A asks for what occurs")

    def __mul__(self, other: Any) -> NoReturn:
        raise JoinError(f"{self} * ... is not a join; U(...) & A asks for what occurs, U(...).aggr(A, ...) groups by it")

    __rmul__ = __mul__

    def __repr__(self) -> str:
        return f"U({', '.join(map(repr, self.primary_key))})"
