"""Declaring: from a class with `Key`, `Mapped` and links to a mapped SQLAlchemy table.

>>> class Detection(cdb.Computed, Lab):
...     image: Key[Image]          # a link: Image's key attributes become ours, with a foreign key and a relationship
...     nblobs: Mapped[int]

`annotations` reads the class, `plan` decides columns, foreign keys and links, `checks` says what is wrong with them, `mapping`
hands them to SQLAlchemy, `again` replaces a class that is declared a second time, and `catalog` is what one pipeline knows of its classes.
"""

from compdb.declare.annotations import ForeignKeySpec, Key, foreign_key
from compdb.declare.catalog import Catalog
from compdb.declare.mapping import declare

__all__ = ["Catalog", "ForeignKeySpec", "Key", "declare", "foreign_key"]
