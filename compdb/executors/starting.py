"""Whether this process is a worker that is still being started."""

from __future__ import annotations

import sys

__all__ = ["is_starting"]


def is_starting() -> bool:
    """Say whether this is a worker process that is still reading the script of its parent."""
    module = sys.modules.get("multiprocessing.process")  # a worker has it, and nobody else need import it
    return module is not None and bool(getattr(module.current_process(), "_inheriting", False))
