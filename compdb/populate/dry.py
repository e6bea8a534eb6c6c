"""A make tried out: it runs, its rows are checked, and nothing is kept."""

from __future__ import annotations

from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from compdb import codecs, dag
from compdb.database import database_of
from compdb.errors import MissingAttribute, PopulateError
from compdb.populate.keys import Pending
from compdb.populate.make import Make
from compdb.populate.run import Run
from compdb.populate.serial import working

__all__ = ["make_dry"]


def make_dry(cls: type[Any], key: dict[str, Any], **options: Any) -> dict[str, list[dict[str, Any]]]:
    """Run the make of one key and return the rows that it would insert; see `Computed.make_dry`."""
    database = database_of(cls.__table__)
    if database.in_transaction():
        raise PopulateError(f"{dag.label(cls.__table__)}.make_dry() inside a transaction or a make: call it outside")
    names = Pending(cls, ()).names
    missing = [n for n in names if n not in key]
    if missing:
        raise MissingAttribute(dag.label(cls.__table__), missing, key)
    run = Run(cls, database, names, cls.__catalog__.settings.commit_interval)
    make = Make(run, {n: key[n] for n in names}, keep=False)
    try:
        with working(run, make) as row:
            run.perform(row, make, options)
            make.finish(row)
    except SQLAlchemyError as error:
        explained = make.explained(error)
        if explained is not error:
            raise explained from error
        raise
    finally:
        make.abort()
        run.close()
    found: dict[str, list[dict[str, Any]]] = {}
    for call in make.calls or ():
        found.setdefault(dag.label(call.table), []).extend(
            {n: codecs.decode(v) if isinstance(v, codecs.Encoded) else v for n, v in r.items()} for r in call.rows
        )
    return found
