"""How long `import compdb` takes, beside what it cannot do without: `sqlalchemy.orm` and numpy.

    python tests/benchmarks/bench_import.py
    sqlalchemy.orm + numpy   0.312 s
    compdb                   0.371 s   1.19 times (at most 1.3)

Each figure is the median CPU time of the importing thread in fresh interpreters, the two kinds taking turns so that a busy machine slows
both alike. Of that thread alone: those that numpy starts for its linear algebra first wait busily, some 50 ms that would count for
whoever imports numpy first. Both read bytecode, as what pip installed does: that of a first, unmeasured run, which PYTHONDONTWRITEBYTECODE does not forbid here. Exits with 1
beyond the limit.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

LIMIT = 1.3
RUNS = 25
BASE = "import sqlalchemy.orm, numpy"
OURS = "import compdb"


def seconds(statement: str) -> float:
    """Return the CPU time that the main thread of one fresh interpreter takes for `statement`, its own start taken off."""
    script = f"import time; start = time.thread_time(); {statement}; print(time.thread_time() - start)"
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, env=environment)
    return float(done.stdout)


def medians(runs: int) -> tuple[float, float]:
    """Return the median seconds of both imports, measured in turns after one unmeasured run of each."""
    seconds(BASE), seconds(OURS)
    pairs = []
    for _ in range(runs):
        pairs.append((seconds(BASE), seconds(OURS)))
        time.sleep(0.01)
    base, ours = zip(*pairs, strict=True)
    return statistics.median(base), statistics.median(ours)


def main() -> int:
    """Print both figures and their ratio."""
    base, ours = medians(RUNS)
    print(f"sqlalchemy.orm + numpy   {base:.3f} s")
    print(f"compdb                   {ours:.3f} s   {ours / base:.2f} times (at most {LIMIT})")
    return int(ours > LIMIT * base)


if __name__ == "__main__":
    sys.exit(main())
