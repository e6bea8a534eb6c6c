"""What a worker logs to stderr: lines for people, or a JSON object in each line for programs."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from compdb.cli.answer import plain

__all__ = ["logging_to_stderr"]

EXTRAS = ("event", "table", "key", "seconds", "error", "made", "errors")
"""What records may carry beside their message."""


@contextmanager
def logging_to_stderr(*, as_json: bool, quiet: bool) -> Iterator[None]:
    """Have the log of this process on stderr while the block runs; `quiet` leaves out what is no warning."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if as_json else logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.WARNING if quiet else logging.INFO)
    logging.getLogger("alembic").setLevel(logging.WARNING)  # which would tell of every look at a database
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(before)


class JsonLines(logging.Formatter):
    """A record as one line of JSON: time, level, process, message, and what else it carries."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "pid": record.process,
            "message": record.getMessage(),
            **{name: getattr(record, name) for name in EXTRAS if hasattr(record, name)},
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=plain)
