"""The repository's own `migrations/`: they make the tables of `examples/`, and change them with all that is in them."""

import datetime
import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import sqlalchemy as sa

from compdb import migrate
from compdb.database import Database
from tests.migrate.conftest import picture

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "migrations"


@pytest.fixture
def examples(monkeypatch: pytest.MonkeyPatch) -> tuple[ModuleType, ModuleType]:
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("examples.blob_detection"), importlib.import_module("examples.sessions")


def test_the_revisions_make_what_the_examples_declare(database: Database, examples: Any) -> None:
    labs = [module.Lab for module in examples]
    assert migrate.up(labs, database, FOLDER) == ["examples", "species", "methods", "settings"]
    assert migrate.check(labs, database) == []
    assert migrate.new(labs, database, FOLDER, "nothing") is None
    made = picture(database)
    for lab in labs:
        lab.activate(database.engine, migrations=FOLDER)
    assert picture(database) == made
    assert len(migrate.down(labs, database, FOLDER, "base")) == 4
    assert set(picture(database)) <= {"compdb_tables"}


def test_three_changes_keep_the_data_there_and_back(database: Database, examples: Any) -> None:
    blobs, sessions = examples
    labs = [blobs.Lab, sessions.Lab]
    migrate.up(labs, database, FOLDER, "examples")
    then = sa.MetaData()
    then.reflect(database.engine)
    rows: dict[str, list[dict[str, Any]]] = {
        "subject": [{"subject_id": "M001"}, {"subject_id": "M002"}],
        "session": [{"subject_id": "M001", "session_idx": 1, "session_date": datetime.date(2026, 1, 6)}],
        "session_analysis": [{"subject_id": "M001", "session_idx": 1, "score": 0.25}],
        "image": [{"image_id": 1, "image_name": "sky", "pixels": b""}],
        "detection": [{"image_id": 1, "blob_paramset": 2, "nblobs": 7}],
    }
    with database.engine.begin() as connection:
        for name, its in rows.items():
            connection.execute(sa.insert(then.tables[name]), its)
    before = picture(database)

    assert migrate.up(labs, database, FOLDER) == ["species", "methods", "settings"]
    for lab in labs:
        lab.activate(database.engine, migrations=FOLDER)
    s = sessions
    assert s.Subject.to_dicts(order_by="KEY") == [
        {"subject_id": name, "species": "Mus musculus"} for name in ("M001", "M002")
    ]
    assert len(s.Session) == 1
    assert s.SessionAnalysis.to_dicts() == []  # to be computed anew, now for each method
    assert s.SessionAnalysis.populate()["success_count"] == 2
    assert blobs.Detection.to_dicts() == [{"image_id": 1, "blob_paramset": 2, "nblobs": 7}]
    assert blobs.BlobParamSet.to_arrays("threshold", order_by="KEY").tolist() == [0.001, 0.002, 0.01]

    assert migrate.down(labs, database, FOLDER, "examples") == ["settings", "methods", "species"]
    assert picture(database) == before
    with database.engine.connect() as connection:
        for name in ("subject", "session", "image", "detection"):
            found = [dict(row) for row in connection.execute(sa.select(then.tables[name])).mappings()]
            assert sorted(found, key=str) == sorted(rows[name], key=str)
        assert connection.execute(sa.select(then.tables["session_analysis"])).all() == []
        thresholds = sa.select(then.tables["blob_param_set"].c.threshold).order_by(sa.text("1"))
        assert [float(t) for t in connection.scalars(thresholds)] == [0.001, 0.003]
