"""`compdb worker`: makes what there is to make, together with any number of others, until nothing is left.

    compdb worker                                                   # returns when all is done
    compdb worker my_lab.pipeline:Lab --forever --processes 4       # under systemd or Kubernetes
    sbatch --array=1-50 --wrap "compdb worker my_lab.pipeline:Lab"

SIGTERM lets the make that runs end, gives the other keys back and returns 0; a second SIGTERM rolls that make back, too.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

from cyclopts import Parameter, validators
from sqlalchemy import event

from compdb import dag
from compdb.cli.answer import DONE, FAILED, Answer
from compdb.cli.choice import populated
from compdb.cli.crew import Counts, Crew, on_sigterm
from compdb.cli.logs import logging_to_stderr
from compdb.cli.place import HERE, Place
from compdb.cli.standing import ready
from compdb.populate import Watch, drain, draining

__all__ = ["worker"]

log = logging.getLogger("compdb")

IDLE = 1.0
"""How often an idle worker looks again, in seconds."""
_LOGGING = ExitStack()
"""What a process that makes are given to keeps until its end."""


def worker(
    pipeline: str | None = None,
    /,
    *,
    table: Sequence[str] = (),
    processes: Annotated[int, Parameter(validator=validators.Number(gte=1))] = 1,
    forever: bool = False,
    quiet: bool = False,
    place: Place = HERE,
) -> Answer:
    """Make what there is to make, together with any number of other workers, until nothing is left.

    It returns when no key is pending and no other worker holds one. The exit code is 0 then, and also after SIGTERM; 1 if a make
    failed (`compdb jobs errors` shows why); 2 if the pipeline cannot be found, its database does not answer, or does not fit it.

    Parameters
    ----------
    pipeline : str, optional
        Where it is declared, as in my_lab.pipeline:Lab; the same as --pipeline.
    table : str, optional
        Only this table, as in --table Detection; may be given several times.
    processes : int
        So many workers, each in a process of its own; one that dies is replaced.
    forever : bool
        Wait for new keys instead of returning.
    quiet : bool
        Log failures only, not a line for each key.
    """
    if pipeline is not None:
        place = replace(place, pipeline=[pipeline, *place.pipeline])
    with logging_to_stderr(as_json=place.json, quiet=quiet):
        classes = populated(ready(place), table)
        if processes == 1:
            counts, code = work(classes, forever, partial(_alone, place, tuple(table), quiet)), DONE
        else:
            crew = Crew(_member, (place, tuple(table), forever, quiet))
            counts, code = crew.run(processes), crew.code
        made, failed = (sum(c[i] for c in counts.values()) for i in range(2))
        log.info("%d made, %d failed", made, failed, extra={"event": "end", "made": made, "errors": failed})
    tables = {name: {"made": m, "errors": e} for name, (m, e) in counts.items()}
    document = {"made": made, "errors": failed, "tables": tables}
    return Answer(document, (), max(code, FAILED if failed else DONE))


def work(classes: Sequence[type[Any]], forever: bool, start: Callable[[], object]) -> Counts:
    """Make what there is to make of these tables; return how many makes of each were kept, and failed.

    Parameters
    ----------
    start : callable
        What a process that makes are given to begins with.
    """
    counts = {dag.label(cls.__table__): (0, 0) for cls in classes}
    with on_sigterm(Sigterm()), _telling(classes), Watch(classes, start) as watch:
        while not draining():
            busy = False
            for cls in watch.promising():
                result = watch.populate(cls)
                made, failed = result["success_count"], len(result["error_list"])
                before = counts[dag.label(cls.__table__)]
                counts[dag.label(cls.__table__)] = before[0] + made, before[1] + failed
                busy = busy or bool(made or failed)
            if busy:
                continue
            if not (forever or watch.unfinished()):
                break
            time.sleep(IDLE)
    return counts


def _member(place: Place, table: Sequence[str], forever: bool, quiet: bool) -> Counts:
    """Work as one of several; the parent has seen that the database fits."""
    with logging_to_stderr(as_json=place.json, quiet=quiet):
        return work(populated(place.connect(), table), forever, partial(_alone, place, table, quiet))


def _alone(place: Place, table: Sequence[str], quiet: bool) -> None:
    """Begin a process that makes are given to, because they may have to be ended: it logs them as this one would, but for failures.

    Those come back to the worker, which logs them.
    """
    log.addFilter(lambda record: record.levelno < logging.ERROR)
    _LOGGING.enter_context(logging_to_stderr(as_json=place.json, quiet=quiet))
    _LOGGING.enter_context(_telling(populated(place.connect(), table)))


@contextmanager
def _telling(classes: Sequence[type[Any]]) -> Iterator[None]:
    """Log each make that is kept."""
    for cls in classes:
        event.listen(cls, "make_kept", _tell)
    try:
        yield
    finally:
        for cls in classes:
            event.remove(cls, "make_kept", _tell)


def _tell(table: type[Any], key: dict[str, Any], seconds: float) -> None:
    label = dag.label(table.__table__)
    extra = {"event": "made", "table": label, "key": dict(key), "seconds": round(seconds, 6)}
    log.info("made %s %s in %.3f s", label, dict(key), seconds, extra=extra)


class Sigterm:
    """What a SIGTERM does: the first has this worker end after its make, the second now."""

    def __init__(self) -> None:
        self.heard = False

    def __call__(self) -> None:
        """Hear one."""
        if self.heard:
            raise SystemExit(128 + signal.SIGTERM)
        self.heard = True
        log.info("SIGTERM: this make ends, then this worker")
        drain()
