"""Kills: a process that populates is killed at every step that it takes, then at random for a while; then it is cut off at every packet.

    python tests/torture/kills.py                       on each database that answers, and 30 s at random
    python tests/torture/kills.py --seconds 300 sqlite  longer, on one

After each kill the database holds whole makes and nothing else, and the next populate makes the rest.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import sqlalchemy as sa

sys.path.insert(0, str(Path(__file__).parents[1]))

from populate.harness import Victim, cut, through_proxy
from populate.proxy import WAYS

NAME = f"compdb_torture_{os.getpid()}"
SERVERS = {
    "sqlite": None,
    "mysql": os.environ.get("COMPDB_TEST_MYSQL_URL", "mysql+pymysql://root@127.0.0.1:3306/test"),
    "postgresql": os.environ.get("COMPDB_TEST_POSTGRESQL_URL", "postgresql+psycopg://postgres@127.0.0.1:5432/test"),
}


def torture(name: str, url: str, seconds: float, seed: int) -> None:
    """Kill at every step, and at random; cut the line to a server at every packet."""
    with Victim(url) as victim:
        steps, whole = victim.steps()
        done = [victim.kill(number) for number in range(1, len(steps) + 1)]
        killed, left = sum(n is not None for n in done), Counter(n for n in done if n is not None)
        print(
            f"{name}: killed at {killed} of {len(steps)} steps; keys done then: {dict(sorted(left.items()))}",
            flush=True,
        )
        assert killed > 0.8 * len(steps)
        rng, began, times = random.Random(seed), time.monotonic(), 0
        while time.monotonic() - began < seconds:
            victim.kill_after(rng.uniform(0, whole))
            times += 1
        print(f"{name}: killed {times} times at random (seed {seed}); nothing half, nothing lost", flush=True)
    if name == "sqlite":
        return
    for way in WAYS:
        with through_proxy(url) as (lab, proxy):
            print(f"{name}: cut at {cut(lab, proxy, way)} packets ({way}); every run ended well", flush=True)


def main() -> int:
    """Torture one database after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("databases", nargs="*", default=list(SERVERS))
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args()
    for name in options.databases:
        server = SERVERS[name]
        with tempfile.TemporaryDirectory(prefix="kills-") as folder:
            if server is None:
                torture(name, f"sqlite:///{folder}/kills.db", options.seconds, options.seed)
                continue
            admin = sa.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
            try:
                with admin.connect() as connection:
                    connection.exec_driver_sql(f"CREATE DATABASE {NAME}")
            except sa.exc.OperationalError as error:
                print(f"{name} is left out: {str(error).splitlines()[0]}")
                continue
            try:
                url = sa.make_url(server).set(database=NAME).render_as_string(hide_password=False)
                torture(name, url, options.seconds, options.seed)
            finally:
                with admin.connect() as connection:
                    force = " WITH (FORCE)" if name == "postgresql" else ""
                    connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {NAME}{force}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
