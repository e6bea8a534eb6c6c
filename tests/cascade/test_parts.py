"""Parts and their masters: who goes with whom."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from compdb.errors import DeleteError

from .lab import Lab


def test_parts_go_with_their_masters(scans: Lab) -> None:
    assert scans.delete("scan", scans.scan.c.scan == 1) == 1
    assert scans.count() == {
        "scan": 1, "segmentation": 1, "segmentation__roi": 1, "traces": 1, "traces__trace": 1, "spikes": 1,
    }  # fmt: skip


def test_a_part_does_not_go_without_its_master(scans: Lab) -> None:
    before = scans.count()
    roi = scans.segmentation__roi
    for options in ({}, {"dry_run": True}):
        with pytest.raises(DeleteError) as caught:
            scans.delete("segmentation__roi", sa.and_(roi.c.scan == 1, roi.c.roi == 1), **options)
        said = str(caught.value)
        assert "1 row of Segmentation.Roi would go without their master in Segmentation: {'scan': 1}" in said
        assert "1 row of Traces.Trace would go without their master in Traces: {'scan': 1, 'method': 1}" in said
        assert "part_integrity='cascade'" in said
    assert scans.count() == before


def test_a_part_can_take_its_master_and_all_of_it_along(scans: Lab) -> None:
    trace = scans.traces__trace
    where = sa.and_(trace.c.scan == 1, trace.c.method == 1, trace.c.roi == 1)
    assert scans.delete("traces__trace", where, part_integrity="cascade") == 2
    assert scans.rows("traces") == [(1, 2), (2, 1)]
    assert scans.rows("traces__trace") == [(1, 2, 2), (2, 1, 1)]
    assert scans.rows("spikes") == [(1, 2), (2, 1)]
    assert scans.rows("segmentation__roi") == [(1, 1), (1, 2), (2, 1)]


def test_masters_taken_along_take_their_own_dependents_along(scans: Lab) -> None:
    roi = scans.segmentation__roi
    where = sa.and_(roi.c.scan == 1, roi.c.roi == 1)
    counts = scans.delete("segmentation__roi", where, part_integrity="cascade", dry_run=True)
    assert counts == {
        "Segmentation": 1, "Segmentation.Roi": 2, "Traces": 2, "Traces.Trace": 3, "Spikes": 2,
    }  # fmt: skip
    assert scans.delete("segmentation__roi", where, part_integrity="cascade") == 2
    assert scans.rows("segmentation") == [(2,)]
    assert scans.rows("spikes") == [(2, 1)]


def test_a_part_can_go_alone(scans: Lab) -> None:
    roi = scans.segmentation__roi
    assert scans.delete("segmentation__roi", sa.and_(roi.c.scan == 1, roi.c.roi == 1), part_integrity="ignore") == 1
    assert scans.rows("traces__trace") == [(1, 1, 2), (1, 2, 2), (2, 1, 1)]
    assert len(scans.rows("traces")) == 3


def test_part_integrity_is_one_of_three_words(scans: Lab) -> None:
    with pytest.raises(DeleteError, match=r"'enforce', 'cascade', 'ignore'.*'forced'"):
        scans.delete("scan", part_integrity="forced")
