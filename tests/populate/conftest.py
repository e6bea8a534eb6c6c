"""A pipeline of sources and notes, on which every test declares the computed table it needs."""

from __future__ import annotations

import pytest

import compdb as cdb
from compdb import Key, Mapped

N = 20


def pipeline():
    """Return a fresh pipeline with its tables: Lab, Src, Note."""

    class Lab(cdb.Pipeline):
        """Sources, notes, and what is computed from them."""

    class Src(cdb.Manual, Lab):
        """A source."""

        k: Key[int]
        x: Mapped[float]

    class Note(cdb.Manual, Lab):
        """A note that somebody wrote."""

        k: Key[int]
        text: Mapped[str]

    Lab.Src, Lab.Note = Src, Note
    return Lab


@pytest.fixture
def lab(url):
    """Return the pipeline, connected, with twenty sources and two notes; `lab.finish()` makes what was declared since."""
    Lab = pipeline()
    Lab.activate(url)
    Lab.Src.insert({"k": i, "x": i / 7} for i in range(N))
    Lab.Note.insert([{"k": 2, "text": "a"}, {"k": 0, "text": "b"}])
    return Lab


def computed(Lab, make, *, name="Res", part=True, activate=True, **settings):
    """Declare and activate a computed table over Src with this make, and a part `P`."""

    namespace = {
        "__annotations__": {"src": Key[Lab.Src], "y": Mapped[float]},
        "make": make,
        "__module__": __name__,
        **settings,
    }
    if part:

        class P(cdb.Part):
            """Details."""

            i: Key[int]
            z: Mapped[float | None]

        namespace["P"] = P
    table = type(Lab)(name, (cdb.Computed, Lab), namespace)
    if activate:
        Lab.activate()
    return table
