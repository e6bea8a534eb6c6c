"""The relational algebra: frozen relations over SQLAlchemy selectables, sent to a database only when asked for rows.

>>> good = Session & "quality > 0.5"
>>> (Subject * good).proj("species", day="session_date").to_pandas(order_by="day", limit=10)
"""

from __future__ import annotations

from compdb.algebra.conditions import AndList, Not
from compdb.algebra.heading import Attribute, Heading
from compdb.algebra.relation import Relation, to_relation
from compdb.algebra.top import Top
from compdb.algebra.universal import U

__all__ = ["AndList", "Attribute", "Heading", "Not", "Relation", "Top", "U", "to_relation"]
