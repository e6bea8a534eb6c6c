"""`compdb activate`: the tables exist, the lookups are filled."""

from __future__ import annotations

from typing import Any

from compdb.cli.answer import Answer, address
from compdb.cli.choice import tables
from compdb.cli.place import HERE, Place
from compdb.cli.standing import waiting
from compdb.database import database_of

__all__ = ["activate"]


def activate(*, update_lookups: bool = False, place: Place = HERE) -> Answer:
    """Connect, bring the tables into being, fill the lookups.

    With migrations, all that are not applied yet are, in their order; without, the tables that are missing are made.

    Parameters
    ----------
    update_lookups : bool
        Change the rows of lookups whose declared contents changed.
    """
    pipelines = place.connect()
    database = database_of(pipelines[0].metadata)
    folder = place.folder
    options: dict[str, Any] = {} if folder is None else {"migrations": folder}
    revisions = waiting(place, database)
    for pipeline in pipelines:
        pipeline.activate(place.url, update_lookups=update_lookups, **options)
    names = [pipeline.__name__ for pipeline in pipelines]
    there = [cls.__name__ for cls in tables(pipelines)]
    document = {"pipelines": names, "database": database.url, "tables": there, "applied": [r.id for r in revisions]}
    shown = [f"applied {r.id}: {r.message}" for r in revisions]
    return Answer(document, [*shown, f"{', '.join(names)} is active in {address(database.url)}: {', '.join(there)}"])
