"""What the tortured workers make: two rows under random keys and a part of each, so that no primary key stands in for the fence."""

import os
import random
import time
import uuid

import compdb as cdb
from compdb import Key, Mapped
from compdb.jobs import Queue

SECONDS = float(os.environ.get("TORTURE_MAKE", "0.03"))


class Lab(cdb.Pipeline, lease=float(os.environ.get("TORTURE_LEASE", "1.5"))):
    """A pipeline to be tortured."""


class Src(cdb.Manual, Lab):
    k: Key[int]
    incarnation: Mapped[int]


class Res(cdb.Computed, Lab, rows_per_key="many"):
    src: Key[Src]
    i: Key[int]
    token: Mapped[str]
    incarnation: Mapped[int]
    max_attempts = 100

    class P(cdb.Part):
        j: Key[int]
        token: Mapped[str]

    def make(self, key):
        token, incarnation = uuid.uuid4().hex, (Src & key).fetch1("incarnation")
        time.sleep(random.uniform(0, 2 * SECONDS))
        if random.random() < 0.03:
            raise ValueError("a user's error")
        for i in random.sample(range(1_000_000), 2):
            self.insert1({**key, "i": i, "token": token, "incarnation": incarnation})
            self.P.insert1({**key, "i": i, "j": 0, "token": token})


if os.environ.get("TORTURE_MUTANT") == "no fence":

    def by_key_only(self, connection, keys, **options):
        connection.execute(self.table.delete().where(self.named(keys)))
        return True

    Queue.complete = by_key_only
