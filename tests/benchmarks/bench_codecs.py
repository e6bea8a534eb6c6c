"""Blobs: how fast values become bytes and bytes values, beside a memcpy and beside DataJoint, in one run.

    python tests/benchmarks/bench_codecs.py

Prints medians and ratios of CPU time, in which other work on the machine does not count. A memcpy is `array.tobytes()`: the
same bytes into fresh memory, page faults included. DataJoint (2.3.5 was measured) is compared where it can be imported,
and left out by name where it cannot. Ends with status 1 where a goal is missed.
"""

from __future__ import annotations

import statistics
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import msgpack_numpy
import numpy as np

from compdb import codecs

ROUNDS = 9
SECONDS = 0.02


def peer() -> Any | None:
    """Return DataJoint's blob module, or None, saying so."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from datajoint import blob
    except ImportError as error:
        print(f"DataJoint is left out: {error}\n")
        return None
    return blob


def medians(*works: Callable[[], object]) -> list[float]:
    """Return the median seconds of each, measured in turns so that noise meets all alike."""
    times: list[list[float]] = [[] for _ in works]
    calls = []
    for work in works:
        start = time.process_time()
        work()
        calls.append(max(1, int(SECONDS / (time.process_time() - start))))
    for _ in range(ROUNDS):
        for taken, work, count in zip(times, works, calls, strict=True):
            start = time.process_time()
            for _ in range(count):
                work()
            taken.append((time.process_time() - start) / count)
    return [statistics.median(taken) for taken in times]


def arrays() -> dict[str, float]:
    """Measure bare arrays; return the ratios to a memcpy."""
    ratios = {}
    print(f"{'float64 array':16}{'memcpy':>12}{'encode':>12}{'decode':>12}{'encode/memcpy':>16}{'decode/memcpy':>16}")
    for megabytes in (1, 10, 100):
        array = np.random.default_rng(1).random(megabytes * 125_000)
        blob = codecs.encode(array)
        assert codecs.decode(blob).tobytes() == array.tobytes()
        copy, encode, decode = medians(array.tobytes, lambda: codecs.encode(array), lambda: codecs.decode(blob))  # noqa: B023
        speeds = [f"{array.nbytes / seconds / 1e9:.2f} GB/s" for seconds in (copy, encode, decode)]
        ratios |= {f"encode {megabytes} MB": copy / encode, f"decode {megabytes} MB": copy / decode}
        print(
            f"{f'{megabytes} MB':16}"
            + "".join(f"{s:>12}" for s in speeds)
            + f"{copy / encode:>15.2f}x{copy / decode:>15.2f}x"
        )
    return ratios


def small(datajoint: Any | None) -> dict[str, float]:
    """Measure a dict of 100 small arrays beside DataJoint's default; return the ratios."""
    value = {f"channel_{i}": np.random.default_rng(i).random(100) for i in range(100)}
    blob, theirs = codecs.encode(value), msgpack_numpy.packb(value)
    works = [lambda: codecs.encode(value), lambda: codecs.decode(blob)]
    works += [lambda: msgpack_numpy.packb(value), lambda: msgpack_numpy.unpackb(theirs)]
    if datajoint is not None:
        packed = datajoint.pack(value)
        works += [lambda: datajoint.pack(value), lambda: datajoint.unpack(packed)]
    encode, decode, *others = medians(*works)
    print(f"\n{'dict of 100 x float64[100]':32}{'encode':>12}{'decode':>12}{'compdb is':>16}{'':>9}")
    print(f"{'compdb':32}{encode * 1e6:>9.0f} us{decode * 1e6:>9.0f} us")
    ratios = {}
    for name, pack, unpack in zip(
        ("msgpack-numpy (read-only)", "DataJoint, default"), others[::2], others[1::2], strict=False
    ):
        print(f"{name:32}{pack * 1e6:>9.0f} us{unpack * 1e6:>9.0f} us{pack / encode:>15.1f}x{unpack / decode:>15.1f}x")
        ratios |= {f"encode against {name}": pack / encode, f"decode against {name}": unpack / decode}
    return ratios


def python() -> None:
    """Measure values without arrays."""
    values = {
        "list of 1,000,000 floats": [number + 0.5 for number in range(1_000_000)],
        "list of 100,000 dicts": [{"x": number + 0.5, "n": number, "name": "abc"} for number in range(100_000)],
        "None": None,
    }
    print(f"\n{'Python values':32}{'encode':>12}{'decode':>12}")
    for name, value in values.items():
        blob = codecs.encode(value)
        encode, decode = medians(lambda: codecs.encode(value), lambda: codecs.decode(blob))  # noqa: B023
        print(f"{name:32}{encode * 1e3:>9.3f} ms{decode * 1e3:>9.3f} ms")


def main() -> int:
    """Print all figures; return how many goals were missed."""
    print(f"Python {sys.version.split()[0]}, numpy {np.__version__}\n")
    datajoint = peer()
    ratios = arrays()
    against = small(datajoint)
    python()
    missed = [f"{name}: {ratio:.2f}x of a memcpy, not 0.5x" for name, ratio in ratios.items() if ratio < 0.5]
    missed += [f"{name}: {r:.1f}x, not 5x" for name, r in against.items() if "DataJoint" in name and r < 5]
    print("\n" + ("\n".join(missed) if missed else "all goals met"))
    return len(missed)


if __name__ == "__main__":
    sys.exit(main() > 0)
