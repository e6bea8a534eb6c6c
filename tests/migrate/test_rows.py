"""Rows stay, whatever happens to their tables; results that no longer fit are computed anew; nothing is lost in silence."""

import datetime
import uuid
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import compdb as cdb
from compdb import Key, Mapped, mapped_column, migrate
from compdb.database import Database, connect
from compdb.migrate import Rename
from tests.migrate.conftest import pipeline


def tables(lab: Any) -> dict[str, Any]:
    return {c.__name__: c for c in lab.__catalog__}


def change(
    old: Any, new: Any, database: Database, folder: Path, rename: bool = False, **filled: str
) -> tuple[Path, str]:
    """Write and apply the revision from `old` (activated, with rows) to `new`; return its file and the revision before."""
    path = migrate.new([new], database, folder, "change", confirm_rename=lambda r: rename)
    assert path is not None
    text = path.read_text()
    for column, value in filled.items():
        assert f"'{column}', None)" in text
        text = text.replace(f"'{column}', None)", f"'{column}', {value})")
    path.write_text(text)
    first = migrate.history(folder)[0].id
    migrate.up([new], database, folder)
    new.activate(database.engine, migrations=folder)
    return path, first


def started(lab: Any, database: Database, folder: Path) -> dict[str, Any]:
    migrate.new([lab], database, folder, "first")
    lab.activate(database.engine, migrations=folder)
    return tables(lab)


def test_a_renamed_column_keeps_its_values_there_and_back(database: Database, folder: Path) -> None:
    def declare(lab: Any, new: bool) -> None:
        class Subject(cdb.Manual, lab):
            if new:
                mouse_id: Key[int]
            else:
                subject_id: Key[int]

        class Session(cdb.Manual, lab):
            subject: Key[Subject]
            session_id: Key[int]

    old, new = pipeline(declare, False), pipeline(declare, True)
    was = started(old, database, folder)
    was["Subject"].insert([{"subject_id": 7}, {"subject_id": 8}])
    was["Session"].insert([{"subject_id": 7, "session_id": 1}])
    asked: list[Rename] = []
    path = migrate.new([new], database, folder, "rename", confirm_rename=lambda r: bool(asked.append(r)) or True)
    assert asked == [Rename("Subject", "subject_id", "mouse_id")]
    assert path is not None
    assert "drop_column" not in path.read_text()
    first = migrate.history(folder)[0].id
    new.activate(database.engine, migrations=folder)
    now = tables(new)
    assert now["Session"].to_dicts() == [{"mouse_id": 7, "session_id": 1}]
    with pytest.raises(cdb.MissingParent):
        now["Session"].insert1({"mouse_id": 9, "session_id": 1})
    migrate.down([new], database, folder, first)
    assert was["Session"].to_dicts() == [{"subject_id": 7, "session_id": 1}]
    assert was["Subject"].keys(order_by="KEY") == [{"subject_id": 7}, {"subject_id": 8}]


def test_a_column_that_may_be_renamed_is_never_dropped_in_silence(sqlite_url: str, folder: Path) -> None:
    def declare(lab: Any, new: bool) -> None:
        class Subject(cdb.Manual, lab):
            subject_id: Key[int]
            if new:
                mass: Mapped[float | None]
                cage: Mapped[int | None]
            else:
                weight: Mapped[float | None]

    database = connect(sqlite_url)
    old, new = pipeline(declare, False), pipeline(declare, True)
    was = started(old, database, folder)
    was["Subject"].insert1({"subject_id": 1, "weight": 20.5})
    with pytest.raises(cdb.MigrationError, match=r"(?s)Subject\.weight -> mass.*confirm_rename"):
        migrate.new([new], database, folder, "mass")
    assert len(migrate.history(folder)) == 1
    path = migrate.new([new], database, folder, "mass", confirm_rename=lambda r: False)
    assert path is not None
    assert "drop_column('weight')" in path.read_text()
    path.unlink()
    change(old, new, database, folder, rename=True)
    assert tables(new)["Subject"].to_dicts() == [{"subject_id": 1, "mass": 20.5, "cage": None}]


def test_rows_need_a_value_for_a_column_that_must_have_one(database: Database, folder: Path) -> None:
    def declare(lab: Any, new: bool) -> None:
        class Session(cdb.Manual, lab):
            session_id: Key[int]
            note: Mapped[str | None]
            if new:
                weight: Mapped[float]
                twice: Mapped[int]

    old, new = pipeline(declare, False), pipeline(declare, True)
    was = started(old, database, folder)
    was["Session"].insert([{"session_id": 1, "note": "a"}, {"session_id": 2}])
    path = migrate.new([new], database, folder, "weights")
    assert path is not None
    with pytest.raises(
        cdb.MigrationError, match=r"(?s)session has 2 rows without a value for 'weight'.*op\.fill\('session'"
    ) as caught:
        migrate.up([new], database, folder)
    assert str(path) in str(caught.value)
    path.write_text(
        path.read_text()
        .replace("'weight', None)", "'weight', 20.5)")
        .replace("'twice', None)", "'twice', sa.text('session_id * 2'))")
    )
    migrate.up([new], database, folder)  # on MariaDB: goes on behind what is done
    new.activate(database.engine, migrations=folder)
    now = tables(new)["Session"]
    assert now.to_dicts(order_by="KEY") == [
        {"session_id": 1, "note": "a", "weight": 20.5, "twice": 2},
        {"session_id": 2, "note": None, "weight": 20.5, "twice": 4},
    ]
    with pytest.raises(cdb.MissingAttribute):
        now.insert1({"session_id": 3})
    migrate.down([new], database, folder, migrate.history(folder)[0].id)
    assert was["Session"].to_dicts(order_by="KEY") == [{"session_id": 1, "note": "a"}, {"session_id": 2, "note": None}]


def test_results_are_computed_anew_when_their_key_changes(database: Database, folder: Path) -> None:
    def declare(lab: Any, new: bool) -> None:
        class Session(cdb.Manual, lab):
            session_id: Key[int]

        class Method(cdb.Lookup, lab):
            method: Key[str] = mapped_column(sa.String(16))
            contents = [("fast",), ("slow",)]

        class Score(cdb.Computed, lab):
            session: Key[Session]
            if new:
                method: Key[Method]
            score: Mapped[float]

            class Piece(cdb.Part):
                piece: Key[int]

            def make(self, key: Any) -> None:
                self.score = 1.0
                self.Piece.insert1({**key, "piece": 1})

        class Summary(cdb.Computed, lab):
            score: Key[Score]
            n: Mapped[int]

            def make(self, key: Any) -> None:
                self.n = 1

        class Best(cdb.Manual, lab):
            best_id: Key[int]
            score: Mapped[Score | None]

    old, new = pipeline(declare, False), pipeline(declare, True)
    was = started(old, database, folder)
    was["Session"].insert([{"session_id": 1}, {"session_id": 2}])
    old.populate()
    was["Best"].insert([{"best_id": 1, "session_id": 1}, {"best_id": 2}])
    path = migrate.new([new], database, folder, "methods")
    assert path is not None
    with pytest.raises(cdb.MigrationError, match=r"best has 1 rows that refer to score"):
        migrate.up([new], database, folder)
    (was["Best"] & {"best_id": 1}).delete(prompt=False)
    new.activate(database.engine, migrations=folder)
    now = tables(new)
    assert [len(now[n]) for n in ("Session", "Score", "Summary", "Best")] == [2, 0, 0, 1]
    new.populate()
    assert [len(now[n]) for n in ("Score", "Summary")] == [4, 4]
    assert len(now["Score"].Piece) == 4
    migrate.down([new], database, folder, migrate.history(folder)[0].id)
    assert [len(was[n]) for n in ("Session", "Score", "Summary", "Best")] == [2, 0, 0, 1]
    old.populate()
    assert len(was["Score"]) == 2


def test_lookup_rows_follow_their_contents_there_and_back(database: Database, folder: Path) -> None:
    def declare(lab: Any, new: bool) -> None:
        class Method(cdb.Lookup, lab):
            method: Key[str] = mapped_column(sa.String(16))
            threshold: Mapped[float]
            contents = [("fast", 0.4), ("exact", 1.0)] if new else [("fast", 0.5), ("slow", 0.9)]

        class Session(cdb.Manual, lab):
            session_id: Key[int]
            method: Mapped[Method]

    old, new = pipeline(declare, False), pipeline(declare, True)
    was = started(old, database, folder)
    was["Session"].insert([{"session_id": 1, "method": "slow"}])
    path = migrate.new([new], database, folder, "methods")
    assert path is not None
    with pytest.raises(cdb.MigrationError, match=r"session|Session"):
        migrate.up([new], database, folder)
    assert was["Method"].to_dicts(order_by="KEY") == [
        {"method": "fast", "threshold": 0.5},
        {"method": "slow", "threshold": 0.9},
    ]
    was["Session"].update1({"session_id": 1, "method": "fast"})
    new.activate(database.engine, migrations=folder)
    assert tables(new)["Method"].to_dicts(order_by="KEY") == [
        {"method": "exact", "threshold": 1.0},
        {"method": "fast", "threshold": 0.4},
    ]
    migrate.down([new], database, folder, migrate.history(folder)[0].id)
    assert was["Method"].to_dicts(order_by="KEY") == [
        {"method": "fast", "threshold": 0.5},
        {"method": "slow", "threshold": 0.9},
    ]


def test_a_parent_made_anew_keeps_its_children_and_their_jobs(database: Database, folder: Path) -> None:
    def declare(lab: Any, new: bool) -> None:
        class Session(cdb.Manual, lab):
            session_id: Key[int]
            note: Mapped[str] = mapped_column(sa.String(64 if new else 32), server_default="none")

        class Score(cdb.Computed, lab):
            session: Key[Session]
            score: Mapped[float]

            def make(self, key: Any) -> Any:
                if key["session_id"] == 2:
                    return cdb.skip("dark")
                self.score = 1.0
                return None

    old, new = pipeline(declare, False), pipeline(declare, True)
    was = started(old, database, folder)
    was["Session"].insert([{"session_id": 1}, {"session_id": 2}])
    old.populate()
    change(old, new, database, folder)
    now = tables(new)
    assert now["Score"].to_dicts() == [{"session_id": 1, "score": 1.0}]
    assert now["Score"].jobs.ignored.keys() == [{"session_id": 2}]
    with pytest.raises(sa.exc.IntegrityError), new.transaction() as session:
        session.execute(sa.text("DELETE FROM session"))


def test_values_change_their_types_as_on_every_database(database: Database, folder: Path) -> None:
    def declare(lab: Any, new: bool) -> None:
        class Session(cdb.Manual, lab):
            session_id: Key[int]
            at: Mapped[datetime.datetime if new else datetime.date]
            tag: Mapped[uuid.UUID if new else str]
            cage: Mapped[int if new else str]
            weight: Mapped[float if new else int]
            settings: Mapped[dict[str, Any] | None if new else str | None]
            done: Mapped[bool if new else int]

    old, new = pipeline(declare, False), pipeline(declare, True)
    was = started(old, database, folder)["Session"]
    tag = uuid.UUID("6BA7B810-9DAD-11D1-80B4-00C04FD430C8")
    row = {"session_id": 1, "at": datetime.date(2026, 1, 6), "cage": "12", "weight": 20, "settings": None, "done": 1}
    was.insert1({**row, "tag": tag.hex})
    change(old, new, database, folder)
    now = tables(new)["Session"]
    changed = {"at": datetime.datetime(2026, 1, 6), "tag": tag, "cage": 12, "weight": 20.0, "done": True}
    assert now.to_dicts() == [{**row, **changed}]
    assert len(now & {"tag": tag, "at": changed["at"]}) == 1
    migrate.down([new], database, folder, migrate.history(folder)[0].id)
    found = was.fetch1()
    assert uuid.UUID(found.pop("tag")) == tag
    assert found == row


CAGE, BORN, NAME, SETTINGS = "cage", "born", "name", "settings"


@pytest.mark.parametrize("which", [CAGE, BORN, NAME, SETTINGS])
def test_values_that_another_type_does_not_take_are_refused(database: Database, folder: Path, which: str) -> None:
    def changed(name: str, type_: Any) -> Any:
        return type_ if name == which else str

    def declare(lab: Any, new: bool) -> None:
        class Subject(cdb.Manual, lab):
            subject_id: Key[int]
            cage: Mapped[changed(CAGE, int) if new else str]
            born: Mapped[changed(BORN, datetime.date) if new else str]
            settings: Mapped[changed(SETTINGS, dict) if new else str]
            name: Mapped[str] = mapped_column(sa.String(5 if new and which == NAME else 30))

    old, new = pipeline(declare, False), pipeline(declare, True)
    was = started(old, database, folder)["Subject"]
    row = {"subject_id": 1, "cage": "in the cellar", "born": "in spring", "name": "a long name", "settings": "{none"}
    was.insert1(row)
    assert migrate.new([new], database, folder, "types") is not None
    with pytest.raises(cdb.MigrationError) as caught:
        migrate.up([new], database, folder)
    if database.dialect.name == "sqlite":
        assert f"subject.{which} has {row[which]!r}, which cannot become" in str(caught.value)
    assert was.to_dicts() == [row]
