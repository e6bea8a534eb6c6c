"""Pipeline: one set of tables, one dependency graph, one database.

>>> class Lab(cdb.Pipeline):
...     '''Bright spots in images.'''
>>> Lab.activate("sqlite:///blobs.db")
>>> Lab.populate()

The verbs of a pipeline live on its metaclass and answer on pipeline classes only, so that a table may have a link `session`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import sqlalchemy as sa
from sqlalchemy import orm

from compdb import cascade, dag, migrate, transfer
from compdb import populate as populating
from compdb.algebra import Relation
from compdb.database import Database, bind, connect, database_of
from compdb.declare import Catalog, declare
from compdb.declare.catalog import Settings, naming_convention
from compdb.errors import CompdbError, DeclarationError, NotConnected
from compdb.insert import watch
from compdb.jobs import declare_jobs
from compdb.settings import resolve_url
from compdb.table import TableMeta, show_classes_in_notebooks
from compdb.tiers import check_tier

if TYPE_CHECKING:
    from compdb.diagram import Diagram
    from compdb.migrate import Difference

__all__ = ["Pipeline", "PipelineMeta", "reflect"]


class _Whole:
    """A relation over all tables of a pipeline; a table's own attribute of that name goes before it.

    `jobs`: the jobs of all tables: table_name, key (JSON), status, priority, times, errors. `runs`: every make that was kept:
    table_name, key (JSON), when, how long, by whom, with which version of its code. Both are for reading.
    """

    def __init__(self, name: str, relation: Callable[[sa.MetaData], Relation[Any]]) -> None:
        self.name, self.relation = name, relation

    def __get__(self, cls: Any, metaclass: type[Any] | None = None) -> Relation[Any]:
        return self.relation(_catalog(cls, self.name).metadata)


class PipelineMeta(TableMeta):
    """The type of pipelines, and of their tables."""

    def activate(
        cls,
        url_or_engine: str | sa.URL | sa.Engine | None = None,
        *,
        migrations: str | Path | None = None,
        update_lookups: bool = False,
    ) -> None:
        """Connect, bring the tables into being, fill the lookups.

        Parameters
        ----------
        url_or_engine : str or Engine, optional
            The database; without it the one in force, else `COMPDB_URL`, else `[tool.compdb] url` in `pyproject.toml`.
        migrations : str or Path, optional
            Folder of revisions; the tables are brought into being by these, up to the last one (see `compdb.migrate`).
        update_lookups : bool
            Change lookup rows whose declared values changed.

        Raises
        ------
        NotConnected, ConnectionFailed
            Without a database, or if it does not answer.
        SchemaDrift, LookupMismatch
            If the database does not fit the classes; nothing runs then.
        MigrationError
            If database and revisions do not go together.
        """
        catalog = _catalog(cls, "activate")
        database = _database(catalog, url_or_engine)
        if migrations is not None:
            migrate.activate([cls], database, Path(migrations))  # this reads alembic
        from compdb import activation  # noqa: PLC0415 - read by those who activate

        activation.activate(catalog, database, migrated=migrations is not None, update_lookups=update_lookups)

    def check(cls) -> list[Difference]:
        """Return the differences between the classes and the database, each in words; nothing is changed."""
        catalog = _catalog(cls, "check")
        return migrate.check([cls], database_of(catalog.metadata))

    def connect(cls, url_or_engine: str | sa.URL | sa.Engine | None = None) -> None:
        """Use this database; tables are neither made nor looked at. See `activate`."""
        catalog = _catalog(cls, "connect")
        bind(catalog.metadata, _database(catalog, url_or_engine))

    def transaction(cls) -> AbstractContextManager[orm.Session]:
        """Group work: all of the block is kept, or none of it. Nested, it is a SAVEPOINT.

        >>> with Lab.transaction() as session:
        ...     Image.insert1(row)
        """
        return database_of(_catalog(cls, "transaction").metadata).transaction()

    def session(cls) -> orm.Session:
        """Return the SQLAlchemy session in force; outside a transaction a new one, which the caller closes."""
        return database_of(_catalog(cls, "session").metadata).session()

    def populate(cls, *restrictions: Any, tables: Iterable[type[Any]] | None = None, **options: Any) -> dict[str, Any]:
        """Populate every Imported and Computed table, parents first.

        Parameters
        ----------
        *restrictions : relations or tables
            Each restricts what lies downstream of it.
        tables : iterable of table classes, optional
            Only these.
        **options
            As for `Computed.populate`.

        Returns
        -------
        dict
            `success_count` and `error_list` over all tables, and `tables`: {name: result of its populate}.
        """
        return populating.populate_all(list(_catalog(cls, "populate")), restrictions, tables, options)

    def progress(cls, *restrictions: Any, display: bool = True) -> dict[str, tuple[int, int]]:
        """Return {table: (remaining, total)} for every Imported and Computed table, and print it."""
        return populating.progress_all(list(_catalog(cls, "progress")), restrictions, display=display)

    jobs = _Whole("jobs", lambda metadata: populating.all_jobs(metadata))
    runs = _Whole("runs", lambda metadata: populating.all_runs(metadata))

    def diagram(cls, *, progress: bool = False) -> Diagram:
        """Draw the tables and what depends on what; with `progress` also how much of each is done."""
        catalog = _catalog(cls, "diagram")
        done = populating.progress_all(list(catalog), (), display=False) if progress else None
        drawing = importlib.import_module("compdb.diagram")  # read by those who draw
        return cast("Diagram", drawing.Diagram(*(c.__table__ for c in catalog.classes.values()), progress=done))

    def merge(cls, path: str | Path) -> dict[str, int]:
        """Insert the rows of a file that `export` wrote, those that are not there yet; see `compdb.transfer`.

        Returns
        -------
        dict
            How many rows of each table were inserted.

        Raises
        ------
        MergeConflict
            If rows of one key differ; nothing is changed then.
        """
        catalog = _catalog(cls, "merge")
        tables = {t: None for own in catalog.metadata.tables.values() for t in [*dag.ancestors(own), own]}
        return transfer.merge(database_of(catalog.metadata), tables, path)

    def drop(cls, prompt: bool | None = None) -> None:
        """Drop all tables of the pipeline, and what depends on them, from the database; the classes stay declared.

        Parameters
        ----------
        prompt : bool, optional
            Ask first; by default at a terminal or in a notebook. Elsewhere `prompt=False` is needed.
        """
        catalog = _catalog(cls, "drop")
        from compdb import activation  # noqa: PLC0415 - as above

        activation.forget(database_of(catalog.metadata))
        cascade.drop(
            database_of(catalog.metadata),
            [t for t in catalog.metadata.tables.values() if not t.info.get("system")],
            prompt=prompt,
        )


class Pipeline(orm.DeclarativeBase, metaclass=PipelineMeta):
    """Base of pipelines: `class Lab(cdb.Pipeline)`, and then `class Image(cdb.Manual, Lab)`.

    A pipeline is a SQLAlchemy declarative base with its own registry and MetaData.

    Parameters
    ----------
    schema : str, optional
        Database schema for its tables, on servers; on SQLite it is translated away.
    metadata : MetaData, optional
        Share this one with an application.
    commit_interval : float, s
        How much work of populate shares one commit.
    lease : float, s
        How long a worker's reservations outlive its last sign of life.
    keep_completed : bool
        Whether finished jobs stay in the jobs table.
    """

    if TYPE_CHECKING:
        __catalog__: Catalog

    def __init_subclass__(
        cls,
        *,
        schema: str | None = None,
        metadata: sa.MetaData | None = None,
        commit_interval: float | None = None,
        lease: float | None = None,
        keep_completed: bool | None = None,
        **keywords: Any,
    ) -> None:
        settings = {"commit_interval": commit_interval, "lease": lease, "keep_completed": keep_completed}
        given: dict[str, Any] = {name: value for name, value in settings.items() if value is not None}
        if Pipeline in cls.__bases__:
            _check_keywords(cls, keywords, ["schema", "metadata", *settings], "a pipeline")
            _check_settings(cls, given, schema, metadata)
            _set_up(cls, schema, metadata, Settings(**given))
            return
        if "__abstract__" in vars(cls):
            return
        catalog = cls.__catalog__
        its = {
            **given,
            **({"schema": schema} if schema else {}),
            **({"metadata": metadata} if metadata else {}),
            **keywords,
        }
        _check_keywords(cls, its, ["rows_per_key (Imported and Computed only)"], "this table")
        check_tier(cls, catalog.name)
        parts: list[type[Any]] = [
            v for v in vars(cls).values() if isinstance(v, TableMeta) and getattr(v, "__tier__", None) == "part"
        ]
        declare(cls, catalog, parts)
        if dag.tier(cls.__table__) in dag.AUTO_TIERS:
            declare_jobs(cls)
        for made in [cls, *parts]:
            watch(made)


def reflect(url_or_engine: str | sa.URL | sa.Engine, schema: str | None = None) -> type[Pipeline]:
    """Return a pipeline with a class for each table of a database whose source is not at hand.

    Parameters
    ----------
    url_or_engine : str or Engine
    schema : str, optional
        Schema of its tables, on servers.

    Returns
    -------
    Pipeline
        Connected; its tables are its attributes: `cdb.reflect(url).Detection`.
    """
    from compdb import reflection  # noqa: PLC0415 - read by those who reflect

    database, metadata, comments = reflection.reflected(url_or_engine, schema)
    pipeline: type[Pipeline] = PipelineMeta(
        "Reflected", (Pipeline,), {"__module__": __name__, "__doc__": f"Tables of {database.url}."}, schema=schema
    )
    for name, cls in reflection.classes(pipeline, metadata, comments).items():
        type.__setattr__(pipeline, name, cls)
    bind(pipeline.metadata, database)
    return pipeline


def _check_keywords(cls: type[Any], given: dict[str, Any], known: list[str], what: str) -> None:
    if given:
        raise DeclarationError(
            f"{cls.__name__}: {what} has no class keyword {', '.join(given)}; there are: {', '.join(known)}"
        )


def _check_settings(cls: type[Any], given: dict[str, Any], schema: Any, metadata: Any) -> None:
    """Refuse a setting here, rather than in the first populate or in the thread that keeps a lease alive."""
    problems = {
        "schema": schema is None or (isinstance(schema, str) and schema != ""),
        "metadata": metadata is None or isinstance(metadata, sa.MetaData),
        "commit_interval": _is_time(given.get("commit_interval", 0)),
        "lease": _is_time(given.get("lease", 1)) and given.get("lease", 1) > 0,
        "keep_completed": isinstance(given.get("keep_completed", False), bool),
    }
    shapes = {
        "schema": "a name, as text",
        "metadata": "a SQLAlchemy MetaData",
        "commit_interval": "a number of seconds, 0 or more",
        "lease": "a number of seconds, more than 0",
        "keep_completed": "True or False",
    }
    for name, fine in problems.items():
        if not fine:
            value = {"schema": schema, "metadata": metadata, **given}[name]
            raise DeclarationError(f"{cls.__name__}: {name} is {shapes[name]}, not {value!r}")


def _is_time(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < float("inf")


def _set_up(cls: type[Pipeline], schema: str | None, metadata: sa.MetaData | None, settings: Settings) -> None:
    if metadata is None:
        metadata = sa.MetaData(schema=schema, naming_convention=naming_convention)
    registry = orm.registry(metadata=metadata)
    type.__setattr__(cls, "__abstract__", True)
    for name, value in (("registry", registry), ("_sa_registry", registry), ("metadata", metadata)):
        type.__setattr__(cls, name, value)
    type.__setattr__(
        cls, "__catalog__", Catalog(cls.__name__, cls, metadata, registry, schema or metadata.schema, settings)
    )
    metadata.info.setdefault("pipeline", cls.__name__)
    dag.register(metadata)
    show_classes_in_notebooks(PipelineMeta, _html)


def _html(cls: Any) -> str | None:
    return cls.__relation__()._repr_html_() if "__table__" in vars(cls) else None


def _catalog(cls: Any, verb: str) -> Catalog:
    catalog = vars(cls).get("__catalog__") if "__table__" not in vars(cls) else None
    if catalog is None:
        pipeline = getattr(getattr(cls, "__catalog__", None), "name", "the pipeline")
        raise CompdbError(f"{verb} is a verb of the pipeline: {pipeline}.{verb}(); {cls.__name__} is not one")
    return cast("Catalog", catalog)


def _database(catalog: Catalog, url_or_engine: str | sa.URL | sa.Engine | None) -> Database:
    if url_or_engine is not None:
        return connect(url_or_engine)
    try:
        return database_of(catalog.metadata)
    except NotConnected:
        return connect(resolve_url(None, catalog.name))
