"""Asking the person at the terminal or in the notebook, with what is at stake in numbers."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping

import sqlalchemy as sa

from compdb import dag
from compdb.errors import DeleteError

__all__ = ["agree", "must_ask", "named", "rows", "told"]


def must_ask(prompt: bool | None, verb: str, *, in_transaction: bool) -> bool:
    """Tell whether to ask first: as `prompt` says, else if somebody is there to answer.

    Raises
    ------
    DeleteError
        If nobody is there, or if a transaction is open that would wait for the answer.
    """
    if prompt is False:
        return False
    if prompt is None and not _somebody_there():
        raise DeleteError(f"nobody is there to confirm this {verb}; {verb}(prompt=False) does it without asking")
    if in_transaction:
        raise DeleteError(
            f"{verb} asks before its transaction begins, and one is open already, which would keep others waiting for the"
            f" answer; {verb}(prompt=False) does it without asking"
        )
    return True


def agree(verb: str, question: str, counts: Mapping[str, int]) -> bool:
    """Show the counts per table and ask the question; True if the answer is yes.

    Raises
    ------
    DeleteError
        If nobody can answer.
    """
    width = max(len(f"{count:,}") for count in counts.values())
    lines = [f"  {count:>{width},}  {label}" for label, count in counts.items()]
    print(question, *lines, sep="\n", flush=True)
    while True:
        try:
            answer = input("yes or no: ").strip().lower()
        except EOFError as error:
            raise DeleteError(f"nobody answered; {verb}(prompt=False) does it without asking") from error
        if answer in ("yes", "y"):
            return True
        if answer in ("no", "n", ""):
            print("nothing was changed")
            return False


def named(counts: Mapping[sa.Table, int]) -> dict[str, int]:
    """Return counts under the users' names of the tables; namesakes of two pipelines are told apart."""
    labels = _labels(counts)
    return {labels[table]: count for table, count in counts.items()}


def told(counts: Mapping[str, int]) -> str:
    """Return `12 rows of Image, 1 row of Detection`."""
    shown = [f"{rows(count)} of {label}" for label, count in counts.items() if count]
    return ", ".join(shown) or "no rows"


def rows(count: int) -> str:
    """Return `1 row` or `1,200 rows`."""
    return f"{count:,} row" if count == 1 else f"{count:,} rows"


def _labels(tables: Iterable[sa.Table]) -> dict[sa.Table, str]:
    plain = {table: dag.label(table) for table in tables}
    often = Counter(plain.values())
    return {
        table: label if often[label] == 1 else f"{table.info.get('pipeline') or table.fullname}.{label}"
        for table, label in plain.items()
    }


def _somebody_there() -> bool:
    """Tell whether a question would reach a person: through a terminal, or a Jupyter front end that takes input."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    kernel = getattr(shell, "kernel", None)
    if kernel is not None:
        return bool(getattr(kernel, "_allow_stdin", False))  # what ipykernel itself asks before it lets input() through
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))
