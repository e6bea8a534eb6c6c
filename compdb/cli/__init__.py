"""The command line: one verb per file, and the help of a verb is the docstring of its function.

    compdb init demo                        a new project, which runs
    compdb status                           what of each table is done, pending, failed
    compdb worker my_lab.pipeline:Lab       makes what there is to make

A verb is a function that returns an `Answer`; `command_line` calls it, prints the answer as tables or as one JSON document, and tells
errors in one line. `place` finds the pipeline and its database, `choice` tables and keys by name.
"""

from cyclopts import Parameter

from compdb import __version__
from compdb.cli.activate import activate
from compdb.cli.command_line import CommandLine
from compdb.cli.diagram import diagram
from compdb.cli.init import init
from compdb.cli.jobs import jobs
from compdb.cli.migrate import migrate
from compdb.cli.populate import populate
from compdb.cli.status import status
from compdb.cli.worker import worker

__all__ = ["app"]

app = CommandLine(
    name="compdb",
    version=__version__,
    help="A computational database on SQLAlchemy. The pipeline is that of [tool.compdb] in pyproject.toml, or --pipeline.",
    help_epilogue=(
        "Exit codes: 0 done; 1 a make failed; 2 keys are pending or the database has drifted (status, migrate check), or nothing was"
        " done, for the reason on stderr; 130 interrupted. COMPDB_TRACEBACK=1 shows tracebacks of errors."
    ),
    default_parameter=Parameter(negative="", show_default=False),
)
for verb in (init, activate, status, populate, worker, jobs, diagram, migrate):
    app.command(verb)
for order, name in enumerate(("init", "activate", "status", "populate", "worker", "jobs", "diagram", "migrate")):
    app[name].sort_key = order  # that of the work, not of the alphabet
