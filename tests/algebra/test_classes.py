"""Table classes and rows answer as their relations do."""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

import compdb as cdb
from compdb import Key, Mapped, U
from compdb.errors import JoinError


class Lab(cdb.Pipeline):
    """A pipeline for these tests."""


class Rig(cdb.Lookup, Lab):
    """A place to record."""

    rig: Key[str]
    floor: Mapped[int | None]
    picture: Mapped[np.ndarray | None]
    contents = [("A", 1, np.eye(2)), ("B", None, None)]


@pytest.fixture
def rigs(url):
    Lab.activate(url)
    return Rig


def test_a_class_streams_its_rows_to_whatever_speaks_arrow(rigs):
    assert pl.DataFrame(rigs).select("rig", "floor").sort("rig").rows() == [("A", 1), ("B", None)]
    assert pa.table(rigs).schema == rigs.to_arrow().schema
    assert pa.table(rigs()).num_rows == 2


def test_a_product_with_the_universal_set_says_what_to_write(rigs):
    for left in (rigs, rigs(), rigs & True):
        with pytest.raises(JoinError, match=r"U\(\.\.\.\) & A asks for what occurs"):
            left * U("rig")


def test_the_preview_of_a_class_is_as_wide_as_it_is_told(rigs):
    assert max(map(len, rigs.preview(width=30).splitlines()[2:6])) <= 30
    assert rigs.preview(1, width=30) == (rigs & True).preview(1, width=30).replace("Rig & True", "Rig")
