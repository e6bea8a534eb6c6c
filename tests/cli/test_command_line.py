"""The command line as a whole: help, one JSON document each, errors in one line, exit codes; as a real process, too."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys

import pytest

from compdb.cli import app

from .conftest import change, process

VERBS = {
    "init": [],
    "activate": [],
    "status": [],
    "populate": [],
    "worker": [],
    "diagram": [],
    "jobs": ["errors", "ignored", "retry", "ignore"],
    "migrate": ["init", "new", "up", "down", "stamp", "history", "check"],
}
EVERY = [
    [verb, *sub] for verb, subs in VERBS.items() for sub in ([[]] if verb != "migrate" else []) + [[s] for s in subs]
]


def names(cli):
    """Return the verbs of an app."""
    return {name for name in cli if not name.startswith("-")}


def test_these_are_all_verbs():
    assert names(app) == set(VERBS)
    for verb in ("jobs", "migrate"):
        assert names(app[verb]) == set(VERBS[verb])


@pytest.mark.parametrize("verb", EVERY, ids=" ".join)
def test_help_is_the_docstring_and_every_verb_answers_with_json(compdb, verb, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    help_ = compdb(*verb, "--help")
    assert help_.code == 0
    assert "--json" in help_.out
    assert "Exit codes: 0 done;" in help_.out
    function = app
    for name in verb:
        function = function[name]
    first = (function.default_command.__doc__ or "").splitlines()[0].replace("`", "")
    assert first
    assert first in help_.out


def test_without_a_verb_it_lists_them(compdb):
    shown = compdb()
    assert shown.code == 0
    for verb in VERBS:
        assert f" {verb} " in shown.out
    assert shown.out.index(" init ") < shown.out.index(" activate ") < shown.out.index(" migrate ")


@pytest.mark.parametrize("verb", EVERY, ids=" ".join)
def test_every_parameter_has_a_word_of_help(compdb, verb, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    lines = [line.strip("│ ") for line in compdb(*verb, "--help").out.splitlines() if line.startswith("│")]
    assert len(lines) >= 4 or verb == ["init"]
    for line in lines:
        assert re.fullmatch(r"(\* +)?\S+( \S+)*  +\S.*", line), line


def test_every_answer_is_one_document(compdb, sqlite_lab):
    for arguments in (
        ["activate"],
        ["status"],
        ["populate", "--limit", "2"],
        ["worker", "--quiet"],
        ["jobs"],
        ["jobs", "errors"],
        ["jobs", "retry"],
        ["jobs", "ignore", "Res", "--where", "k = 3"],
        ["jobs", "ignored"],
        ["diagram"],
        ["migrate", "check"],
    ):
        said = compdb(*arguments, "--json")
        assert isinstance(said.json, dict), arguments


def test_what_a_module_prints_does_not_spoil_the_document(compdb, sqlite_lab):
    change(sqlite_lab, "import compdb as cdb\n", "import compdb as cdb\nprint('loaded')\n")
    said = compdb("activate", "--json")
    assert said.json["tables"] == ["Src", "Note", "Res", "Twice"]
    assert said.err == "loaded\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["statu"], "did you mean compdb status?"),
        (["populate", "--limt", "3"], "did you mean --limit"),
        (["populate", "--limit", "many"], "unable to convert"),
        (["populate", "--limit", "0"], "must be"),
        (["populate", "--processes", "0"], "must be"),
        (["populate", "Ress"], "did you mean 'Res'?"),
        (["populate", "Src"], "Src is a lookup table: it has no make; these have one: Res, Twice"),
        (["populate", "Res.Part"], "Res.Part is a part table"),
        (["populate", "--where", "q = 3"], "Res has no keys with 'q'; they have k"),
        (["populate", "Twice", "--where", "x > 1"], "it is an attribute of Src: write --where 'Src: x > 1'"),
        (["populate", "--where", "Sr: x > 1"], "there is no table 'Sr'; did you mean 'Src'?"),
        (["populate", "--where", "Note: text = 'good'"], "Res, Twice does not follow from Note"),
        (["populate", "--where", "k !! 3"], "cannot read"),
        (["errors"], "there is no command 'errors'; did you mean compdb jobs errors? there are: init, activate, status"),
        (["nope"], "there is no command 'nope'; there are: init, activate, status, populate, worker, jobs, diagram, migrate"),
        (["migrate", "upp"], "compdb migrate: there is no command 'upp'; did you mean compdb migrate up?"),
        (["populate", "--where", "Src: xx > 1"], "no attribute 'xx' in"),
        (["jobs", "errors", "--where", "q = 3"], "Res has no jobs with 'q'; they have k, status"),
        (["jobs", "ignore", "Res"], "which keys? --where"),
        (["jobs", "ignore", "Res", "--every", "--where", "k = 3"], "which keys? --where"),
        (["diagram", "lab.gif"], "must end in .svg, .mmd, .dot or .png"),
        (["diagram", "nowhere/lab.svg"], "No such file or directory"),
        (["diagram", "--table", "Rs"], "did you mean 'Res'?"),
        (["status", "--pipeline", "nowhere:Lab"], "there is no module 'nowhere'"),
        (["status", "--pipeline", "lab"], "write module:Pipeline, as in my_lab.pipeline:Lab"),
        (["status", "--pipeline", "lab:Lob"], "lab has Lab; did you mean lab:Lab?"),
        (["status", "--pipeline", "lab:Src"], "'lab:Src' is no pipeline: lab has Lab"),
        (["status", "--pipeline", "json:Lab"], "json has none; write class Lab(cdb.Pipeline) there"),
        (["worker", "lab:Lob"], "did you mean lab:Lab?"),
        (["worker", "--table", "Ress"], "did you mean 'Res'?"),
        (["status", "--url", "sqlite:///no/such/folder/lab.db"], "no/such/folder"),
        (["status", "--url", "nonsense"], "cannot read the database URL"),
        (["migrate", "up"], 'write migrations = "migrations" under [tool.compdb]'),
        (["migrate", "history", "--migrations", "nowhere"], "nowhere is no folder of migrations"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_users_error_is_one_line_that_names_the_fix(compdb, sqlite_lab, arguments, told):
    compdb("activate")
    said = compdb(*arguments)
    assert said.code == 2
    assert said.line.startswith("compdb")
    assert told.lower() in said.line.lower()
    assert compdb(*arguments, "--json").code == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import nowhere_at_all", "cannot be imported (lab.py, line 1): No module named 'nowhere_at_all'; install it"),
        ("import compdb\n1 / 0", "cannot be imported (lab.py, line 2): ZeroDivisionError: division by zero"),
        ("class Lab(:", "cannot be imported (lab.py, line 1): SyntaxError"),
        (
            "import compdb as cdb\nclass Lab(cdb.Pipeline): ...\nclass A(Lab):\n    k: cdb.Key[int]\n",
            "(lab.py, line 3): DeclarationError: A has no tier; write class A(cdb.Manual, Lab)",
        ),
    ],
)
def test_a_module_that_cannot_be_imported_is_told_with_its_line(compdb, sqlite_lab, text, told):
    sqlite_lab.write_text(text)
    said = compdb("status")
    assert said.code == 2
    assert told in said.line


def test_what_the_code_of_a_user_raises_is_told_with_its_line(compdb, sqlite_lab):
    change(sqlite_lab, "    contents = [(i, i / 2) for i in range(5)]", "    contents = lambda: [1 / 0]")
    said = compdb("activate")
    assert said.code == 2
    line = sqlite_lab.read_text().splitlines().index("    contents = lambda: [1 / 0]") + 1
    assert said.line == (
        f"compdb activate: ZeroDivisionError: division by zero (lab.py, line {line}); COMPDB_TRACEBACK=1 shows the traceback"
    )


def test_the_environment_can_ask_for_the_traceback(compdb, sqlite_lab, monkeypatch):
    sqlite_lab.write_text("1 / 0")
    monkeypatch.setenv("COMPDB_TRACEBACK", "1")
    with pytest.raises(Exception, match="ZeroDivisionError") as caught:
        compdb("status")
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_password_is_never_shown(compdb, sqlite_lab):
    said = compdb("status", "--url", "postgresql+psycopg://ann:s3cret@127.0.0.1:1/lab")
    assert said.code == 2
    assert "127.0.0.1:1" in said.line
    assert "s3cret" not in said.line


def test_a_table_that_is_not_there_is_not_a_traceback(compdb, sqlite_lab):
    said = compdb("jobs")
    assert said.code == 2
    assert "Res.jobs: there is no table 'res__jobs'" in said.line
    assert "Lab.activate() brings it into being" in said.line


# ---- as a real process


def test_python_dash_m_and_the_script_are_the_same(compdb, sqlite_lab):
    compdb("activate")
    for command in ([sys.executable, "-m", "compdb"], [shutil.which("compdb") or "compdb"]):
        said = subprocess.run([*command, "status", "--json"], capture_output=True, text=True, timeout=60)
        assert said.returncode == 2, said.stderr
        assert json.loads(said.stdout)["pending"] == 5
        assert said.stderr == ""


def test_a_closed_pipe_is_quiet(compdb, sqlite_lab):
    piped = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m compdb diagram --mermaid | true; echo ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (piped.stdout, piped.stderr) == ("0\n", "")


def test_ctrl_c_is_told_in_a_line(compdb, sqlite_lab):
    import signal
    import time

    compdb("activate")
    change(
        sqlite_lab,
        "        self.y = self.src.x\n",
        "        import time\n        print('in', flush=True)\n        time.sleep(60)\n",
    )
    with process("populate", "Res") as running:
        running.stdout.readline()
        time.sleep(0.2)
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=30)
    assert running.returncode == 130
    assert err == "compdb populate: interrupted; what was finished is kept\n"
