"""A row that the server would not take is refused before it is sent, and the connection is not lost over it."""

from __future__ import annotations

import numpy as np
import pytest

import compdb as cdb
from compdb import Key, Mapped
from compdb.database import database_of


class Lab(cdb.Pipeline):
    """Pictures."""


class Image(cdb.Manual, Lab):
    """A picture."""

    image_id: Key[int]
    pixels: Mapped[np.ndarray]


def test_a_row_over_the_limit_is_refused_naming_it_and_the_limit(url, monkeypatch):
    Lab.activate(url)
    monkeypatch.setattr(database_of(Lab.metadata).dialect, "max_row", 10_000)
    with pytest.raises(cdb.InvalidValue, match=r"Image\.pixels, row 1.*10,000 bytes; max_allowed_packet") as caught:
        Image.insert([{"image_id": 1, "pixels": np.zeros(10)}, {"image_id": 2, "pixels": np.zeros(2000)}])
    assert caught.value.key == {"image_id": 2}
    assert len(Image) == 0
    Image.insert1({"image_id": 3, "pixels": np.zeros(1000)})
    assert len(Image) == 1
