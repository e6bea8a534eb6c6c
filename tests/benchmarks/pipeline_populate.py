"""The pipeline of bench_populate: a module, so that worker processes can import it."""

from __future__ import annotations

import time

import numpy as np

import compdb as cdb
from compdb import Key, Mapped

PARTS = 20


class Lab(cdb.Pipeline):
    """Makes to be measured."""


class Src(cdb.Manual, Lab):
    k: Key[int]
    x: Mapped[float]


class Few(cdb.Manual, Lab):
    k: Key[int]


class Plain(cdb.Computed, Lab):
    src: Key[Src]
    y: Mapped[float]

    def make(self, key):
        self.insert1({**key, "y": 2 * (Src & key).fetch1("x")})


class OneByOne(cdb.Computed, Lab):
    src: Key[Src]
    y: Mapped[float]
    prefetch = False

    def make(self, key):
        self.insert1({**key, "y": 2 * (Src & key).fetch1("x")})


class Rows(cdb.Computed, Lab):
    src: Key[Src]
    y: Mapped[float]

    def make(self, key):
        self.y = 2 * self.src.x


class Parts(cdb.Computed, Lab):
    few: Key[Few]
    n: Mapped[int]

    class P(cdb.Part):
        i: Key[int]
        z: Mapped[float]

    def make(self, key):
        self.insert1({**key, "n": PARTS})
        self.P.insert({**key, "i": i, "z": i / 3} for i in range(PARTS))


class Slow(cdb.Computed, Lab):
    src: Key[Src]

    def make(self, key):
        time.sleep(0.04)
        self.insert1(key)


class Big(cdb.Manual, Lab):
    k: Key[int]
    x: Mapped[np.ndarray]


class Three(cdb.Computed, Lab):
    big: Key[Big]
    y: Mapped[float]

    def make_fetch(self, key):
        return ((Big & key).fetch1("x"),)

    def make_compute(self, key, x):
        return (float(x[0]),)

    def make_insert(self, key, y):
        self.insert1({**key, "y": y})


class Array(cdb.Manual, Lab):
    k: Key[int]
    x: Mapped[np.ndarray]
