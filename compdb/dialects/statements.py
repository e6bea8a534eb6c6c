"""Whether a statement only reads, judged by its text."""

from __future__ import annotations

import functools
import re

__all__ = ["reads_only"]

BEFORE = r"(?:\s|\(|--[^\n]*\n|/\*.*?\*/)*"
VERBS = (
    "select|values|table|explain|show|describe|desc|pragma|set|attach|detach|vacuum|begin|start|commit|end|rollback"
    "|release|declare|fetch|move|close|handler|use"
)
READS = re.compile(rf"{BEFORE}(?:{VERBS})\b", re.IGNORECASE | re.DOTALL)
READING_CTE = re.compile(rf"{BEFORE}with\b(?!.*\b(?:insert|update|delete|replace|merge)\b)", re.IGNORECASE | re.DOTALL)


@functools.lru_cache(maxsize=4096)
def reads_only(statement: str) -> bool:
    """Tell whether a statement writes nothing; in doubt (a WITH that names a verb of writing) it does.

    >>> reads_only("SELECT * FROM image")
    True
    >>> reads_only("WITH a AS (SELECT 1) DELETE FROM image")
    False
    >>> reads_only("SAVEPOINT sa_savepoint_1")
    False
    """
    return bool(READS.match(statement) or READING_CTE.match(statement))
