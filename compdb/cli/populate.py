"""`compdb populate`: calls make for every key that is missing."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Annotated, Any

from cyclopts import Parameter, validators
from rich.console import RenderableType
from rich.text import Text

from compdb import dag
from compdb.cli.answer import DONE, FAILED, Answer, count, table
from compdb.cli.choice import Conditions, populated
from compdb.cli.place import HERE, Place
from compdb.cli.standing import ready, standing
from compdb.populate import Display

__all__ = ["populate"]

TOLD = 5
Count = Annotated[int, Parameter(validator=validators.Number(gte=1))]


def populate(
    *tables: str,
    where: Sequence[str] = (),
    limit: Count | None = None,
    processes: Count = 1,
    reserve: Annotated[bool, Parameter(negative="--no-reserve")] = True,
    place: Place = HERE,
) -> Answer:
    """Call make for every key that is missing, parents first.

    A make that fails does not keep the others from running; its key is noted with its error and not made again until `compdb jobs
    retry`. The exit code is 1 if a make failed, else 0.

    Parameters
    ----------
    tables : str
        Only these, as in `compdb populate Detection`; by default all that are Imported or Computed.
    where : str, optional
        Only these keys, as in --where "image_id < 10", or --where "Image: quality > 0" for those that come from some rows of Image.
        May be given several times; all must hold.
    limit : int, optional
        At most so many keys of each table.
    processes : int
        So many worker processes, instead of this one.
    reserve : bool
        Share the keys with other workers through the jobs tables, where errors are kept, too; so it is by default.
    """
    pipelines = ready(place)
    classes = populated(pipelines, tables)
    conditions = Conditions(pipelines, where)
    conditions.check(classes)
    logging.getLogger("compdb").addHandler(logging.NullHandler())  # the answer tells the errors
    live = sys.stderr.isatty() and sys.stdout.isatty() and not place.json
    lines: list[dict[str, Any]] = []
    with Display([dag.label(c.__table__) for c in classes]) if live else nullcontext(False) as display:
        for cls in classes:
            result = cls.populate(
                *conditions.of(cls),
                reserve_jobs=reserve,
                suppress_errors=True,
                limit=limit,
                processes=processes,
                display_progress=display,
            )
            now = standing(cls)
            lines.append(
                {
                    "table": dag.label(cls.__table__),
                    "made": result["success_count"],
                    "errors": [{"key": key, "error": error} for key, error in result["error_list"]],
                    "pending": now.pending,
                    "failed_before": max(0, (now.errors or 0) - len(result["error_list"])),
                }
            )
    made, failed = sum(line["made"] for line in lines), sum(len(line["errors"]) for line in lines)
    document = {"tables": lines, "made": made, "errors": failed}
    return Answer(document, _shown(lines, reserve), FAILED if failed else DONE)


def _shown(lines: Sequence[dict[str, Any]], kept: bool) -> list[RenderableType]:
    names = ["made", "failed", "pending"]
    before = any(line["failed_before"] for line in lines)
    drawn = table("table", *names, *(["failed before"] if before else []), numbers=[*names, "failed before"])
    for line in lines:
        cells = [count(line["made"], "green"), count(len(line["errors"]), "red"), count(line["pending"], "yellow")]
        drawn.add_row(line["table"], *cells, *([count(line["failed_before"], "red")] if before else []))
    told = [(line["table"], e) for line in lines for e in line["errors"]]
    shown: list[RenderableType] = [drawn]
    for name, error in told[:TOLD]:
        shown.append(Text(f"{name} {error['key']}: {error['error'].splitlines()[0]}", style="red"))
    if len(told) > TOLD:
        shown.append(f"and {len(told) - TOLD} more")
    if before or (told and kept):
        shown.append("compdb jobs errors --traceback shows all; compdb jobs retry makes their keys pending again")
    return shown
