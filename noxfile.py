"""Everything that must hold, one session each: `nox` runs what the README's test command runs.

    nox                         lint, layers, types, tests(all): all that a change must pass
    nox -s "tests(postgresql)"  the tests of one database; -- tests/test_insert.py -k duplicate narrows them
    nox -s bench                the figures, printed
    nox -l                      the list

Sessions run in the environment that nox itself was started from (`pip install -e '.[dev]'`), so that nothing is installed
twice; `nox --force-venv-backend virtualenv` gives each session a fresh one of its own.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nox

HERE = Path(__file__).parent
nox.needs_version = ">=2025.2"
nox.options.default_venv_backend = "none"
nox.options.reuse_venv = "yes"
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


def run(session: nox.Session, *command: str, **environment: str) -> None:
    """Run `command`, after installing the project if nox made the session an environment of its own."""
    if session.venv_backend != "none":
        session.install("-q", "-e", ".[dev]")
    session.run(*command, env=environment, external=True)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style (ruff)."""
    run(session, "ruff", "check", *session.posargs)


@nox.session
def layers(session: nox.Session) -> None:
    """Check that imports point down (import-linter; the contract is in pyproject.toml)."""
    run(session, "lint-imports", "--no-cache")


@nox.session
def types(session: nox.Session) -> None:
    """Check types (mypy --strict, pyright)."""
    run(session, "mypy", *session.posargs)
    run(session, "pyright", *session.posargs)


@nox.session
@nox.parametrize("database", [nox.param(name, id=name) for name in ("all", "sqlite", "mysql", "postgresql")])
def tests(session: nox.Session, database: str) -> None:
    """Run the tests, the examples and the README on every database that answers, or those of one database."""
    chosen = "sqlite,mysql,postgresql" if database == "all" else database
    pytest = ("pytest", "-n", os.environ.get("COMPDB_TEST_WORKERS", "2"), *session.posargs)
    run(session, *pytest, COMPDB_TEST_DATABASES=chosen)


@nox.session(default=False)
def examples(session: nox.Session) -> None:
    """Run the examples and the README alone."""
    run(session, "pytest", "tests/test_examples.py", "tests/test_readme.py", *session.posargs)


@nox.session(default=False)
def fuzz(session: nox.Session) -> None:
    """Run the property tests with 50,000 examples of values and blobs (COMPDB_FUZZ_EXAMPLES), and many more of the others."""
    counts = {"COMPDB_FUZZ_EXAMPLES": "50000", "COMPDB_ORACLE_RUNS": "300", **os.environ}
    chosen = ("-m", "hypothesis or fuzz", "--hypothesis-profile=fuzz", "--timeout=7200")
    run(session, "pytest", *chosen, *session.posargs, **{name: counts[name] for name in ("COMPDB_FUZZ_EXAMPLES", "COMPDB_ORACLE_RUNS")})


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Print the figures, one script per subject; `-- import delete` runs those of these subjects alone."""
    scripts = sorted((HERE / "tests" / "benchmarks").glob("bench_*.py"))
    for subject in session.posargs or [script.stem.removeprefix("bench_") for script in scripts]:
        run(session, "python", f"tests/benchmarks/bench_{subject}.py")


@nox.session(default=False)
def torture(session: nox.Session) -> None:
    """Kill, freeze, end and cut off workers for a minute on each database; then see that the harness finds a missing fence."""
    run(session, "python", "tests/torture/kills.py", *session.posargs)
    run(session, "python", "tests/torture/torture.py", *session.posargs)
    run(session, "python", "tests/torture/torture.py", "--mutant", "--seconds", "30", "sqlite")
    run(session, "python", "tests/torture/mutants.py", COMPDB_TEST_DATABASES="sqlite")


# `nox` alone runs the tests once, on all databases together.
nox.options.sessions = ["lint", "layers", "types", "tests(all)"]
