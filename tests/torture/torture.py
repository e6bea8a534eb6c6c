"""Torture: four workers are killed, frozen beyond their lease, terminated and cut off while they make 300 keys again and again.

    python tests/torture/torture.py                       60 s on each database that answers
    python tests/torture/torture.py --seconds 20 sqlite   less, on one
    python tests/torture/torture.py --mutant              without the fence: it must find a fault

Meanwhile inputs are deleted and inserted again. At the end the workers are left in peace, and then every key has one whole result, of one
make, of the input that is there now, and no job is left over.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

HERE = Path(__file__).parent
NAME = f"compdb_torture_{os.getpid()}"
SERVERS = {
    "mysql": os.environ.get("COMPDB_TEST_MYSQL_URL", "mysql+pymysql://root@127.0.0.1:3306/test"),
    "postgresql": os.environ.get("COMPDB_TEST_POSTGRESQL_URL", "postgresql+psycopg://postgres@127.0.0.1:5432/test"),
}
KEYS, WORKERS = 300, 4
LEASE = 1.5
DECK = ["kill", "freeze", "freeze", "terminate", "cut"]
CUTS = {
    "mysql": ("SELECT id FROM information_schema.processlist WHERE db = '%s' AND id <> CONNECTION_ID()", "KILL %d"),
    "postgresql": (
        "SELECT pid FROM pg_stat_activity WHERE datname = '%s' AND pid <> pg_backend_pid()",
        "SELECT pg_terminate_backend(%d)",
    ),
}


class Herd:
    """The workers, and what is done to them."""

    def __init__(self, url: str, mutant: bool, log: Path) -> None:
        self.environment = {
            **os.environ,
            "COMPDB_URL": url,
            "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent.parent), os.environ.get("PYTHONPATH", "")]),
            "TORTURE_LEASE": str(LEASE),
            "TORTURE_MUTANT": "no fence" if mutant else "",
        }
        self.log = log.open("ab")
        self.workers: list[subprocess.Popen[bytes]] = []
        self.frozen: dict[subprocess.Popen[bytes], float] = {}
        self.deck: list[str] = []
        self.done: Counter[str] = Counter()

    def fill(self) -> None:
        """Start workers where some are missing, wake those whose time has come."""
        for process, until in list(self.frozen.items()):
            if time.monotonic() > until:
                process.send_signal(signal.SIGCONT)
                del self.frozen[process]
        self.workers = [p for p in self.workers if p.poll() is None]
        while len(self.workers) < WORKERS:
            command = [sys.executable, "-m", "compdb", "worker", "lab:Lab", "--forever"]
            self.workers.append(subprocess.Popen(command, env=self.environment, stderr=self.log, cwd=HERE))

    def hurt(self, rng: random.Random, busy: set[int], cut) -> None:
        """Do something to one of those that have keys."""
        awake = [p for p in self.workers if p not in self.frozen and p.pid in busy]
        if not awake:
            return
        if not self.deck:  # so that in a minute of a busy machine each of them happens
            self.deck = rng.sample(DECK, len(DECK))
        what = self.deck.pop()
        if what == "freeze" and len(self.frozen) >= WORKERS - 2:
            return
        process = rng.choice(awake)
        if what == "kill":
            process.kill()
        elif what == "terminate":
            process.terminate()
        elif what == "freeze":
            process.send_signal(signal.SIGSTOP)
            self.frozen[process] = time.monotonic() + LEASE + rng.uniform(0.5, 2)
        elif not cut(rng):
            return
        self.done[what] += 1

    def raise_the_dead(self, busy: set[int], stands: Callable[[], bool]) -> None:
        """Have one that has keys frozen until the others have made them: chance alone lets that happen too seldom.

        One that holds the only lock there is, so that everything `stands` still, is not what is looked for.
        """
        if math.inf not in self.frozen.values():
            for process in self.workers:
                if process.pid in busy and process not in self.frozen:
                    process.send_signal(signal.SIGSTOP)
                    if stands():
                        process.send_signal(signal.SIGCONT)
                        continue
                    self.frozen[process] = math.inf
                    self.done["zombie"] += 1
                    return

    def wake(self) -> None:
        """Wake all."""
        for process in self.frozen:
            process.send_signal(signal.SIGCONT)
        self.frozen.clear()

    def rest(self) -> None:
        """Wake all and end them in peace."""
        for process in self.workers:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for process in self.workers:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.log.close()


def torture(
    name: str, url: str, admin: sa.Engine | None, seconds: float, mutant: bool, folder: Path, seed: int
) -> list[str]:
    """Torture one database and return what is wrong then."""
    os.environ["TORTURE_LEASE"] = str(LEASE)
    sys.path.insert(0, str(HERE))
    import lab

    lab.Lab.activate(url)
    lab.Src.insert({"k": k, "incarnation": 0} for k in range(KEYS))
    rng, herd = random.Random(seed), Herd(url, mutant, folder / f"{name}.log")
    began, rounds, reinserted = time.monotonic(), 0, 0

    def cut(rng: random.Random) -> bool:
        if admin is None:
            return False
        find, kill = CUTS[name]
        with admin.connect() as connection:
            found = list(connection.exec_driver_sql(find % NAME).scalars())
            if found:
                connection.exec_driver_sql(kill % rng.choice(found))
        return bool(found)

    def stands() -> bool:
        if admin is not None:
            return False
        with contextlib.closing(sqlite3.connect(sa.make_url(url).database, timeout=0.5)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return True
            connection.rollback()
        return False

    problems: list[str] = []
    try:
        while time.monotonic() - began < seconds:
            herd.fill()
            time.sleep(rng.uniform(0.4, 1.0))
            try:
                busy = {j["pid"] for j in lab.Res.jobs.reserved}
                herd.raise_the_dead(busy, stands)
                herd.hurt(rng, busy, cut)
                if rng.random() < 0.3:
                    k = rng.randrange(KEYS)
                    (lab.Src & {"k": k}).delete(prompt=False)
                    reinserted += 1
                    lab.Src.insert1({"k": k, "incarnation": reinserted})
                if lab.Res.progress(display=False)[0] == 0:
                    rounds += 1
                    herd.wake()
                    time.sleep(1)
                    problems += check(lab, final=False)
                    lab.Res.delete(prompt=False)
            except sa.exc.DBAPIError as error:  # our own connection was cut, or the server killed it
                herd.done[f"own {type(error).__name__}"] += 1
            except Exception as error:
                if "cannot connect" not in str(error) and "locked" not in str(error):
                    raise
        for k in set(range(KEYS)) - {row["k"] for row in lab.Src}:
            lab.Src.insert1({"k": k, "incarnation": reinserted})
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and (lab.Res.progress(display=False)[0] or len(lab.Res.jobs)):
            herd.fill()
            lab.Res.jobs.errors.delete()
            time.sleep(0.5)
        herd.wake()
        time.sleep(2)
    finally:
        herd.rest()
    problems += check(lab, final=True)
    print(
        f"{name}: {seconds:.0f} s, {rounds} rounds of {KEYS} keys, {len(lab.Lab.runs)} results, {reinserted} inputs replaced,"
        f" {dict(herd.done)}: {problems[:5] or 'nothing missing, double or mixed'}",
        flush=True,
    )
    return problems


def check(lab, *, final: bool) -> list[str]:
    """Return what is wrong: keys without a result, with two, with rows of two makes, or made of an input that is gone."""
    with lab.Lab.transaction():
        rows, parts = lab.Res.to_dicts(), lab.Res.P.to_dicts()
        sources = {row["k"]: row["incarnation"] for row in lab.Src}
    of: dict[int, list] = {}
    for row in rows:
        of.setdefault(row["k"], []).append(row)
    belongs = Counter((p["k"], p["i"], p["token"]) for p in parts)
    wrong = []
    for k, mine in of.items():
        if len(mine) != 2 or len({r["token"] for r in mine}) != 1:
            wrong.append(f"key {k} has {len(mine)} rows of {len({r['token'] for r in mine})} makes")
        if any(belongs[k, r["i"], r["token"]] != 1 for r in mine):
            wrong.append(f"key {k} lacks parts")
        if any(r["incarnation"] != sources.get(k) for r in mine):
            wrong.append(f"key {k} is of an input that is gone")
    if len(parts) != len(rows):
        wrong.append(f"{len(parts)} parts for {len(rows)} rows")
    if final:
        wrong += [f"key {k} has no result" for k in set(sources) - set(of)]
        wrong += [f"a job is left over: {job}" for job in lab.Res.jobs.proj("status").to_dicts()]
    return wrong


def database(name: str, folder: Path) -> tuple[str, sa.Engine | None]:
    """Make an empty database."""
    if name == "sqlite":
        return f"sqlite:///{folder}/torture.db", None
    admin = sa.create_engine(SERVERS[name], isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {NAME}")
    return sa.make_url(SERVERS[name]).set(database=NAME).render_as_string(hide_password=False), admin


def main() -> int:
    """Torture each database in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("databases", nargs="*", default=["sqlite", "mysql", "postgresql"])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument(
        "--mutant", action="store_true", help="take the fence out; the exit code is 0 if a fault was found then"
    )
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args()
    if len(options.databases) > 1:
        again = [sys.executable, __file__, "--seconds", str(options.seconds), "--seed", str(options.seed)]
        again += ["--mutant"] * options.mutant
        return max([subprocess.run([*again, name], check=False).returncode for name in options.databases])
    (name,) = options.databases
    print(f"{name}: seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        url, admin = database(name, Path(folder))
        try:
            problems = torture(name, url, admin, options.seconds, options.mutant, Path(folder), options.seed)
            if problems and not options.mutant:
                print((Path(folder) / f"{name}.log").read_text(errors="replace")[-3000:])
        finally:
            if admin is not None:
                with admin.connect() as connection:
                    force = " WITH (FORCE)" if name == "postgresql" else ""
                    connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {NAME}{force}")
    return int(bool(problems) == (not options.mutant))


if __name__ == "__main__":
    sys.exit(main())
