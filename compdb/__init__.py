"""compdb: a computational database on SQLAlchemy.

A pipeline is a set of tables. Foreign keys say what depends on what, so the schema is an executable workflow: `populate()` asks the
database which keys a table lacks and calls its `make` for each.

>>> import compdb as cdb
>>> from compdb import Key, Mapped
>>> class Lab(cdb.Pipeline): ...
>>> class Image(cdb.Manual, Lab):
...     image_id: Key[int]
...     image_name: Mapped[str]
"""

import importlib
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Mapped, mapped_column, relationship

from compdb.algebra import AndList, Not, Relation, Top, U
from compdb.declare import Key, foreign_key
from compdb.errors import (
    BlobError,
    CompdbError,
    ConnectionFailed,
    ConstraintError,
    DatabaseError,
    DeclarationError,
    DeleteError,
    DirectInsertError,
    DuplicateKey,
    EmptyMake,
    InputsChanged,
    InvalidValue,
    JoinError,
    LeaseLost,
    LookupMismatch,
    MakeError,
    MakeTimeout,
    MergeConflict,
    MigrationError,
    MissingAttribute,
    MissingParent,
    NotConnected,
    NotOneRow,
    PopulateError,
    RestrictionError,
    SchemaDrift,
    SessionError,
    TransactionLost,
    UnknownAttribute,
    WrongKey,
)
from compdb.jobs import skip
from compdb.pipeline import Pipeline, reflect
from compdb.tiers import Computed, Imported, Lookup, Manual, Part
from compdb.types import Blob, UtcDateTime

if TYPE_CHECKING:
    from compdb.diagram import Diagram

__version__ = "0.1.0"

__all__ = [
    "AndList",
    "Blob",
    "BlobError",
    "CompdbError",
    "Computed",
    "ConnectionFailed",
    "ConstraintError",
    "DatabaseError",
    "DeclarationError",
    "DeleteError",
    "Diagram",
    "DirectInsertError",
    "DuplicateKey",
    "EmptyMake",
    "Imported",
    "InputsChanged",
    "InvalidValue",
    "JoinError",
    "Key",
    "LeaseLost",
    "Lookup",
    "LookupMismatch",
    "MakeError",
    "MakeTimeout",
    "Manual",
    "Mapped",
    "MergeConflict",
    "MigrationError",
    "MissingAttribute",
    "MissingParent",
    "Not",
    "NotConnected",
    "NotOneRow",
    "Part",
    "Pipeline",
    "PopulateError",
    "Relation",
    "RestrictionError",
    "SchemaDrift",
    "SessionError",
    "Top",
    "TransactionLost",
    "U",
    "UnknownAttribute",
    "UtcDateTime",
    "WrongKey",
    "foreign_key",
    "mapped_column",
    "reflect",
    "relationship",
    "skip",
]


def __getattr__(name: str) -> Any:
    """Read the drawing of diagrams when it is asked for."""
    if name == "Diagram":
        return importlib.import_module("compdb.diagram").Diagram
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
