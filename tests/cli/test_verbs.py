"""What the verbs do, on every database: status, populate, jobs, diagram."""

from __future__ import annotations

import os

import pytest
import sqlalchemy as sa

from .conftest import change


def counts(said, *names):
    """Return {table: values} of the tables in an answer."""
    return {t["table"]: tuple(t[n] for n in names) for t in said.json["tables"]}


@pytest.fixture
def active(compdb, lab):
    """Return the file of the pipeline, activated."""
    assert compdb("activate").code == 0
    return lab


def test_status_counts_what_is_done_pending_and_failed(compdb, active):
    said = compdb("status", "--json")
    assert said.code == 2
    assert said.json["pipelines"] == ["Lab"]
    assert counts(said, "tier", "rows", "total", "pending") == {
        "Src": ("lookup", 5, None, None),
        "Note": ("manual", 0, None, None),
        "Res": ("computed", 0, 5, 5),
        "Twice": ("computed", 0, 0, 0),
    }
    assert compdb("populate", "--json").code == 1
    after = compdb("status", "--json")
    assert after.code == 1
    assert (after.json["pending"], after.json["errors"]) == (0, 1)
    assert counts(after, "rows", "done", "pending", "errors", "ignored")["Res"] == (4, 4, 0, 1, 0)
    assert "1 failed: compdb jobs errors shows why" in compdb("status").out
    compdb("jobs", "ignore", "Res", "--where", "k = 3")
    settled = compdb("status", "--json")
    assert settled.code == 0
    assert counts(settled, "total", "done", "pending", "errors", "ignored")["Res"] == (5, 4, 0, 0, 1)


def test_status_tells_of_drift_and_counts_the_other_tables(compdb, active):
    compdb("populate")
    change(active, "    z: Mapped[float]\n", "    z: Mapped[float]\n    w: Mapped[float]\n")
    said = compdb("status", "--json")
    assert said.code == 2
    assert {d["table"] for d in said.json["drift"]} == {"Twice"}
    assert any("'w'" in d["words"] for d in said.json["drift"])
    assert counts(said, "rows", "errors")["Res"] == (4, 1)
    assert "drift: Twice: " in compdb("status").out


def test_status_tells_of_a_table_that_cannot_be_asked_and_counts_the_others(compdb, active):
    change(
        active,
        "class Twice(cdb.Computed, Lab):",
        'class Twice(cdb.Computed, Lab):\n    key_source = Src.proj(kk="k")\n',
    )
    compdb("populate", "Res")
    compdb("jobs", "ignore", "Res", "--every")
    said = compdb("status", "--json")
    assert said.code == 2
    assert (said.json["pending"], said.json["errors"], said.json["drift"]) == (0, 0, [])
    assert counts(said, "rows", "done")["Res"] == (4, 4)
    ((_, problem),) = [(n, p) for n, (p,) in counts(said, "problem").items() if p]
    assert "the key source of Twice" in problem
    assert "Twice: the key source of Twice" in compdb("status").out


def test_a_comment_is_no_drift_but_is_told_by_migrate_check(compdb, active):
    compdb("populate")
    compdb("jobs", "ignore", "Res", "--every")
    change(active, '"""What follows from a result."""', '"""What follows."""')
    assert compdb("status").code == 0
    said = compdb("migrate", "check", "--json")
    assert said.code == 2
    assert [(d["kind"], d["table"]) for d in said.json["drift"]] == [("comment", "Twice")]


def test_a_row_that_somebody_added_to_a_lookup_is_no_drift_but_one_that_changed_is(compdb, active, url):
    def run(statement):
        engine = sa.create_engine(url)
        with engine.begin() as connection:
            connection.exec_driver_sql(statement)
        engine.dispose()

    run("INSERT INTO src (k, x) VALUES (7, 0.5)")
    assert compdb("populate", "--json").json["made"] == 10
    assert compdb("status", "--json").json["drift"] == []
    said = compdb("migrate", "check", "--json")
    assert [(d["kind"], d["table"]) for d in said.json["drift"]] == [("lookup", "Src")]
    run("UPDATE src SET x = 9 WHERE k = 1")
    changed = compdb("status", "--json")
    assert changed.code == 2
    assert ["x is 9.0 in the database, 0.5 in the class" in d["words"] for d in changed.json["drift"]] == [True]


def test_populate_makes_what_is_missing_and_keeps_errors(compdb, active):
    said = compdb("populate", "--json")
    assert said.code == 1
    assert said.json["made"] == 8
    assert counts(said, "made", "pending") == {"Res": (4, 0), "Twice": (4, 0)}
    (error,) = said.json["tables"][0]["errors"]
    assert error == {"key": {"k": 3}, "error": "ValueError: a bad source\nof two lines"}
    again = compdb("populate", "--json")
    assert again.code == 0  # nothing was tried
    assert counts(again, "made", "failed_before")["Res"] == (0, 1)
    shown = compdb("populate").out
    assert "failed before" in shown
    assert "compdb jobs retry" in shown


def test_populate_takes_tables_a_limit_and_conditions(compdb, active):
    assert counts(compdb("populate", "Res", "--limit", "2", "--json"), "made", "pending") == {"Res": (2, 3)}
    assert counts(compdb("populate", "Res", "--where", "k > 2", "--where", "k < 4", "--json"), "made") == {"Res": (0,)}
    assert counts(compdb("populate", "--where", "Src: x > 1.9", "--json"), "made") == {"Res": (1,), "Twice": (1,)}
    assert counts(compdb("populate", "res", "--json"), "made") == {"Res": (1,)}  # by its name in the database


def test_populate_in_processes(compdb, active, url):
    change(active, "        self.y = self.src.x\n", "        import os\n        self.y = float(os.getpid())\n")
    said = compdb("populate", "--processes", "2", "--json")
    assert said.code == 1
    assert said.json["made"] == 8
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        pids = set(connection.exec_driver_sql("SELECT y FROM res").scalars())
    engine.dispose()
    assert pids
    assert os.getpid() not in pids


def test_populate_without_reservations_tries_again_each_time(compdb, active):
    for _ in range(2):
        said = compdb("populate", "--no-reserve")
        assert said.code == 1
        assert "Res {'k': 3}: ValueError: a bad source" in said.out
        assert "compdb jobs" not in said.out
    assert counts(compdb("jobs", "--json"), "error")["Res"] == (0,)


def test_jobs_are_counted_listed_retried_and_ignored(compdb, active):
    compdb("populate")
    assert counts(compdb("jobs", "--json"), "error", "pending", "ignore") == {"Res": (1, 0, 0), "Twice": (0, 0, 0)}
    (error,) = compdb("jobs", "errors", "--json").json["jobs"]
    assert (error["table"], error["key"], error["status"]) == ("Res", {"k": 3}, "error")
    assert "ValueError" in error["error_stack"]
    shown = compdb("jobs", "errors")
    assert "ValueError: a bad source" in shown.out
    assert "Traceback" not in shown.out
    assert "Traceback" in compdb("jobs", "errors", "--traceback").out
    assert compdb("jobs", "errors", "Twice").out == "none\n"
    assert compdb("jobs", "errors", "--where", "error_message LIKE 'KeyError%'").out == "none\n"
    assert compdb("jobs", "retry", "--where", "error_message LIKE 'KeyError%'", "--json").json["retried"] == 0
    assert compdb("jobs", "retry", "--where", "error_message LIKE 'ValueError%'", "--json").json["retried"] == 1
    assert compdb("status", "--json").json["pending"] == 1
    change(active, 'key["k"] == 3', 'key["k"] == 99')
    assert compdb("populate", "--json").json["made"] == 2
    assert compdb("status").code == 0


def test_what_stands_in_brackets_is_shown(compdb, sqlite_lab):
    change(sqlite_lab, '"a bad source', '"[red]a bad source')
    compdb("activate")
    assert "ValueError: [red]a bad source" in compdb("populate").out
    assert "ValueError: [red]a bad source" in compdb("jobs", "errors").out


def test_ignored_keys_are_passed_over_until_they_are_retried(compdb, active):
    said = compdb("jobs", "ignore", "Res", "--where", "Src: x > 0.9", "--reason", "too loud", "--json")
    assert said.json["ignored"] == [{"k": 2}, {"k": 3}, {"k": 4}]
    assert compdb("populate", "--json").json["made"] == 4
    listed = compdb("jobs", "ignored", "--json").json["jobs"]
    assert [(job["key"]["k"], job["error_message"]) for job in listed] == [(k, "too loud") for k in (2, 3, 4)]
    assert "too loud" in compdb("jobs", "ignored", "Res").out
    assert compdb("status").code == 0
    assert compdb("jobs", "retry", "--ignored", "--where", "k <> 3", "--json").json["retried"] == 2
    assert compdb("populate", "--json").json["made"] == 4
    assert compdb("jobs", "ignore", "Twice", "--every", "--json").json["ignored"] == []


def test_a_diagram_on_the_terminal_and_in_files(compdb, sqlite_lab, folder):
    assert compdb("diagram").out.splitlines()[0] == "Diagram of 5 tables"
    assert compdb("diagram", "--mermaid").out.startswith("flowchart")
    assert not (folder / "lab.db").exists()  # nobody asked the database
    for name, begins in (("lab.svg", "<svg"), ("lab.mmd", "flowchart"), ("lab.dot", "digraph")):
        assert compdb("diagram", name).out == f"{name}: 5 tables\n"
        assert (folder / name).read_text().startswith(begins)
    one = compdb("diagram", "--table", "Res", "--up", "1", "--json")
    assert [t["table"] for t in one.json["tables"]] == ["Src", "Res"]
    assert one.json["tables"][1]["parents"] == [{"table": "Src", "columns": {"k": "k"}, "primary": True}]
    below = compdb("diagram", "--table", "Src", "--down", "1", "--json")
    assert {t["table"] for t in below.json["tables"]} == {"Src", "Note", "Res"}


def test_a_diagram_with_progress_asks_the_database(compdb, active):
    compdb("populate", "Res")
    said = compdb("diagram", "--progress", "--json")
    assert said.json["progress"]["Res"] == {"remaining": 1, "total": 5}
    assert "4/5" in compdb("diagram", "--progress").out.replace(" ", "")
