"""Fixtures: labs with rows."""

from __future__ import annotations

import pytest

from .lab import Lab, fresh, recordings, segmentation


@pytest.fixture
def lab(url: str) -> Lab:
    lab = Lab(fresh(url), recordings())
    lab.add("subject", (1, "F"), (2, "M"), (3, "F"))
    lab.add("rig", (1,), (2,))
    lab.add("session", (1, 1, 1), (1, 2, 2), (2, 1, None), (3, 1, 1))
    lab.add("trial", (1, 1, 1), (1, 1, 2), (1, 2, 1), (3, 1, 1))
    lab.add("detection", (1, 1), (1, 2))
    lab.add("detection__spot", (1, 1, 1), (1, 1, 2), (1, 2, 1))
    return lab


@pytest.fixture
def scans(url: str) -> Lab:
    lab = Lab(fresh(url), segmentation())
    lab.add("scan", (1,), (2,))
    lab.add("segmentation", (1,), (2,))
    lab.add("segmentation__roi", (1, 1), (1, 2), (2, 1))
    lab.add("traces", (1, 1), (1, 2), (2, 1))
    lab.add("traces__trace", (1, 1, 1), (1, 1, 2), (1, 2, 2), (2, 1, 1))
    lab.add("spikes", (1, 1), (1, 2), (2, 1))
    return lab
