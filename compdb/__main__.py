"""`compdb`, and `python -m compdb`: the command line, where the extra `cli` is installed."""

from __future__ import annotations

import importlib
import importlib.util
import sys

from compdb.errors import MissingExtra

__all__ = ["main"]


def main() -> int:
    """Run the command that this process was called with; return its exit code."""
    if importlib.util.find_spec("cyclopts") is None:
        print(f"compdb: {MissingExtra('the command line', 'cyclopts', 'cli')}", file=sys.stderr)
        return 2
    return int(importlib.import_module("compdb.cli").app())


if __name__ == "__main__":
    sys.exit(main())
