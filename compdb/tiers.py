"""The tiers: what kind of data a table holds, and who may put it there.

============  ==================================  =====================================
Tier          Holds                               Filled by
============  ==================================  =====================================
`Lookup`      constants of the pipeline           `contents`, at activation
`Manual`      what people and instruments enter   `insert`
`Imported`    what is read from outside           `populate`, which calls `make`
`Computed`    what follows from other tables      `populate`, which calls `make`
`Part`        details of a master's row           the master's `make`, or `insert`
============  ==================================  =====================================
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from compdb import populate as populating
from compdb.errors import DeclarationError, PopulateError
from compdb.table import Table

__all__ = ["Computed", "Imported", "Lookup", "Manual", "Part"]


class _NoJobs(PopulateError, AttributeError):
    """`jobs` of a table that is not populated."""


class _NotPopulated:
    """What stands for `jobs` where there are none."""

    def __get__(self, row: Any, owner: type[Any]) -> Any:
        raise _NoJobs(f"{owner.__name__} has no jobs: only Imported and Computed tables are populated")


class _JobsOf:
    """What stands for `jobs` in a table that is populated: its jobs, as a relation."""

    def __get__(self, row: Any, owner: type[Any]) -> populating.Jobs:
        return populating.jobs_of(owner)


class Manual(Table):
    """Rows come from outside the pipeline: people, instruments, scripts."""

    __tier__ = "manual"

    if not TYPE_CHECKING:

        @classmethod
        def populate(cls, *restrictions: Any, **options: Any) -> Any:
            """Say why a Manual table is not populated."""
            raise PopulateError(
                f"{cls.__name__} is a Manual table: its rows come by insert; populate fills Imported and Computed tables"
            )

        progress = populate
        jobs = _NotPopulated()


class Lookup(Table):
    """Rows are part of the pipeline's definition: `contents` is inserted at activation where it is missing."""

    __tier__ = "lookup"
    contents: ClassVar[Any] = ()

    if not TYPE_CHECKING:

        @classmethod
        def populate(cls, *restrictions: Any, **options: Any) -> Any:
            """Say why a Lookup table is not populated."""
            raise PopulateError(
                f"{cls.__name__} is a Lookup table: its rows are its contents; populate fills Imported and Computed tables"
            )

        progress = populate
        jobs = _NotPopulated()


class Part(Table):
    """Details of a master's row, declared inside the master's class; its key begins with the master's key."""

    __tier__ = "part"

    if not TYPE_CHECKING:

        @classmethod
        def populate(cls, *restrictions: Any, **options: Any) -> Any:
            """Say why a part is not populated."""
            raise PopulateError(
                f"{cls.__name__} is a part: it is filled by the make of its master; populate the master"
            )

        progress = populate
        jobs = _NotPopulated()


class _AutoPopulated(Table):
    """What Imported and Computed have in common.

    Attributes
    ----------
    max_attempts : int
        How many makes of a key may fail, with `reserve_jobs`, before its job is an error; the next is tried after 1, 2, 4, ... seconds.
    timeout : float or None, s
        How long a make may take. One that hangs in compiled code can only be ended in a worker process (`processes=`, `compdb worker`).
    max_memory : float or None, bytes
        How much memory a worker process may have when it begins a make; one that has more is replaced first.
    allow_writes_to : iterable of tables
        Which tables a make may insert into besides its own and its parts.
    prefetch : bool
        Whether inputs are read for many makes at once.
    """

    __abstract__ = True
    __tier__ = "computed"
    max_attempts: ClassVar[int] = 1
    timeout: ClassVar[float | None] = None
    max_memory: ClassVar[float | None] = None
    allow_writes_to: ClassVar[Iterable[type[Table]]] = ()
    prefetch: ClassVar[bool] = True
    rows_per_key: ClassVar[str | None] = None

    if TYPE_CHECKING:
        key_source: ClassVar[Any]
        jobs: ClassVar[populating.Jobs]
    else:
        jobs = _JobsOf()

    def __init_subclass__(cls, rows_per_key: str | None = None, **keywords: Any) -> None:
        if rows_per_key is not None:
            cls.rows_per_key = rows_per_key
        given = inspect.getattr_static(cls, "key_source", None)
        if not isinstance(given, populating.KeySource):
            type.__setattr__(cls, "key_source", populating.KeySource(given))
        super().__init_subclass__(**keywords)

    def make(self, key: dict[str, Any]) -> Any:
        """Compute the row for `key` and insert it; written by each table."""
        raise PopulateError(
            f"{type(self).__name__} has no make: write\n\n    def make(self, key):\n        ...\n        self.insert1({{**key, ...}})"
        )

    @classmethod
    def populate(
        cls,
        *restrictions: Any,
        suppress_errors: bool = False,
        return_exception_objects: bool = False,
        reserve_jobs: bool = False,
        order: str = "original",
        limit: int | None = None,
        max_calls: int | None = None,
        display_progress: bool | populating.Display = False,
        processes: int | None = 1,
        executor: Any = None,
        make_kwargs: dict[str, Any] | None = None,
        priority: int | None = None,
        refresh: bool | None = None,
    ) -> dict[str, Any]:
        """Call `make` for every key of the key source that this table still lacks.

        Parameters
        ----------
        *restrictions
            Each narrows the key source; all must hold.
        suppress_errors : bool
            Go on after a make that raises; collect what it raised in `error_list`.
        return_exception_objects : bool
            Put the exceptions themselves into `error_list`, rather than "Type: message".
        reserve_jobs : bool
            Share the work with other workers through the jobs table.
        order : {"original", "reverse", "random"}
            Order of the keys; original is key order.
        limit : int, optional
            Take at most so many pending keys.
        max_calls : int, optional
            Start at most so many makes.
        display_progress : bool
            Show how far it is: live in a terminal or a notebook, in a line or two elsewhere. `Lab.populate` shows all tables at once.
        processes : int
            Worker processes on this machine; they are watched over, see `timeout` and `max_memory`.
        executor : concurrent.futures.Executor, optional
            Where makes run instead, on this machine or many.
        make_kwargs : dict, optional
            Passed to each make.
        priority, refresh
            With `reserve_jobs`: the least urgent jobs to take, and whether to look for new ones first. Jobs that are not due yet
            (delayed, or to be tried again) are left; `compdb worker` waits for them.

        Returns
        -------
        dict
            `success_count`, and `error_list` of (key, error).
        """
        return populating.populate(
            cls,
            *restrictions,
            suppress_errors=suppress_errors,
            return_exception_objects=return_exception_objects,
            reserve_jobs=reserve_jobs,
            order=order,
            limit=limit,
            max_calls=max_calls,
            display_progress=display_progress,
            processes=processes,
            executor=executor,
            make_kwargs=make_kwargs,
            priority=priority,
            refresh=refresh,
        )

    @classmethod
    def make_dry(cls, key: dict[str, Any], **make_kwargs: Any) -> dict[str, list[dict[str, Any]]]:
        """Run the make of one key and return the rows that it would insert, by table; nothing is kept."""
        return populating.make_dry(cls, key, **make_kwargs)

    @classmethod
    def progress(cls, *restrictions: Any, display: bool = True) -> tuple[int, int]:
        """Return (remaining, total) of the key source, and print it.

        Parameters
        ----------
        *restrictions
            As for `populate`.
        display : bool
            Print a line.
        """
        return populating.progress_of(cls, *restrictions, display=display)


class Imported(_AutoPopulated):
    """Rows are read from outside the database by `make`, one key of the key source at a time."""

    __tier__ = "imported"


class Computed(_AutoPopulated):
    """Rows follow from other tables by `make`, one key of the key source at a time."""

    __tier__ = "computed"


def tier_bases() -> tuple[type[Table], ...]:
    """Return the tiers that a top-level class may have."""
    return (Manual, Lookup, Imported, Computed)


def check_tier(cls: type[Any], pipeline: str) -> None:
    """Refuse a class of a pipeline that has no tier, or a part that stands alone."""
    if issubclass(cls, Part):
        raise DeclarationError(
            f"{cls.__name__} is a part: declare it inside its master\n\n    class Master(cdb.Computed, {pipeline}):\n"
            f"        class {cls.__name__}(cdb.Part):"
        )
    tiers = [t.__name__ for t in tier_bases() if issubclass(cls, t)]
    if len(tiers) > 1:
        raise DeclarationError(f"{cls.__name__} has the tiers {' and '.join(tiers)}; a table has one")
    if not issubclass(cls, tier_bases()):
        raise DeclarationError(
            f"{cls.__name__} has no tier; write class {cls.__name__}(cdb.Manual, {pipeline}): or cdb.Lookup, cdb.Imported, cdb.Computed"
        )
