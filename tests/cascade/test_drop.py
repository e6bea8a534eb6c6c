"""Dropping tables with what depends on them."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from compdb import cascade
from compdb.errors import DeleteError

from .lab import Lab, Person, animals, fresh, outsider


def names(lab: Lab) -> set[str]:
    with lab.database.reading() as connection:
        return set(sa.inspect(connection).get_table_names())


def test_drop_takes_what_depends_on_the_table(lab: Lab) -> None:
    cascade.drop(lab.database, [lab.session], prompt=False)
    assert names(lab) == {"subject", "rig"}
    assert "trial" in lab.metadata.tables
    lab.metadata.create_all(lab.database.engine)
    assert lab.rows("trial") == []


def test_drop_takes_jobs_tables_along(lab: Lab) -> None:
    outsider(lab, "ON DELETE CASCADE", "detection__jobs")
    cascade.drop(lab.database, [lab.detection], prompt=False)
    assert names(lab) == {"subject", "rig", "session", "trial"}


def test_drop_of_everything_twice(lab: Lab) -> None:
    for _ in range(2):
        cascade.drop(lab.database, lab.metadata.tables.values(), prompt=False)
        assert names(lab) == set()


def test_drop_of_a_self_referencing_table_with_rows(url: str) -> None:
    lab = Lab(fresh(url), animals())
    lab.add("animal", (1, None, None), (2, 1, None), (3, 2, 1))
    cascade.drop(lab.database, [lab.animal], prompt=False)
    assert names(lab) == set()


def test_drop_stops_at_undeclared_tables(lab: Lab) -> None:
    outsider(lab, "")
    with pytest.raises(DeleteError, match="old_notes"):
        cascade.drop(lab.database, [lab.subject], prompt=False)
    assert "trial" in names(lab)


def test_a_part_is_dropped_with_its_master_only(scans: Lab) -> None:
    with pytest.raises(DeleteError, match=r"Traces.Trace would be dropped without its master Traces|Segmentation"):
        cascade.drop(scans.database, [scans.segmentation__roi], prompt=False)
    assert "segmentation__roi" in names(scans)


def test_drop_asks_first(lab: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DeleteError, match=r"drop\(prompt=False\)"):
        cascade.drop(lab.database, [lab.session])
    Person(monkeypatch, "no")
    cascade.drop(lab.database, [lab.session])
    assert "session" in names(lab)
    assert "  4  Session\n  4  Trial" in capsys.readouterr().out
    Person(monkeypatch, "yes")
    cascade.drop(lab.database, [lab.session])
    assert "session" not in names(lab)


def test_drop_refuses_an_open_transaction(lab: Lab) -> None:
    with lab.database.transaction(), pytest.raises(DeleteError, match="outside"):
        cascade.drop(lab.database, [lab.session], prompt=False)
