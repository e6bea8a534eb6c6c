"""Names: of tables from classes, and which names an attribute may not have.

>>> snake_case("LFPBand")
'lfp_band'
"""

from __future__ import annotations

import keyword
import re

__all__ = ["IDENTIFIER_BYTES", "TABLE_VERBS", "identifier_problem", "reserved_problem", "snake_case"]

IDENTIFIER_BYTES = 63
"""The longest name that every database keeps: PostgreSQL cuts at 63 bytes, MySQL refuses more than 64 characters."""

TABLE_VERBS = frozenset(
    """
    aggr ancestors children delete descendants describe drop export extend fetch fetch1 head heading insert insert1
    jobs join key_source keys make make_compute make_dry make_fetch make_insert metadata parents parts
    populate preview primary_key progress proj registry restrict row1 rows select sql tail to_arrays to_arrow
    to_dicts to_pandas to_polars update1
    """.split()  # noqa: SIM905
)
"""What every table answers to: verbs of compdb and of SQLAlchemy that an attribute would hide."""

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def snake_case(name: str) -> str:
    """Return the table name of a class name: `LFPBand` -> `lfp_band`, `Blob2D` -> `blob2d`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z0-9])(?=[A-Z][a-z])", "_", name).lower()


def identifier_problem(name: str, what: str) -> str | None:
    """Say why `name` cannot be the name of `what` in every database, or return None."""
    if not _WORD.match(name):
        return f"{what} {name!r} is not a plain name: letters, digits and _ only, not beginning with a digit"
    size = len(name.encode())
    if size > IDENTIFIER_BYTES:
        return f"{what} {name!r} has {size} bytes; the databases keep {IDENTIFIER_BYTES}: choose a shorter name"
    return None


def reserved_problem(name: str) -> str | None:
    """Say why `name` cannot be an attribute, or return None."""
    if name in TABLE_VERBS:
        return f"attribute name {name!r} is a verb of every table; choose another. Taken are: " + ", ".join(
            sorted(TABLE_VERBS)
        )
    if name.startswith("_"):
        return f"attribute name {name!r} begins with an underscore; those names are compdb's own"
    if keyword.iskeyword(name):
        return f"attribute name {name!r} is a word of Python; choose another"
    return None
