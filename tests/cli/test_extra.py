"""The command line is an extra: without it `compdb` is one line that names what to install, and the rest works."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WITHOUT = "import sys; sys.modules['cyclopts'] = None; "
CORE = {"sqlalchemy", "alembic", "numpy", "msgpack", "rich"}


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT + code], capture_output=True, text=True, timeout=60, check=False
    )


def names(requirements: list[str]) -> set[str]:
    return {requirement.partition(">")[0] for requirement in requirements}


def test_the_core_needs_five_packages_and_the_tests_the_command_line():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    assert names(project["dependencies"]) == CORE
    assert names(extras["cli"]) == {"cyclopts"}
    assert "cli" in extras["test"][0].partition("[")[2].rstrip("]").split(",")
    assert project["scripts"] == {"compdb": "compdb.__main__:main"}


@pytest.mark.parametrize(
    "call",
    [
        "import runpy; sys.argv = ['compdb', 'status']; runpy.run_module('compdb', run_name='__main__')",
        "from compdb.__main__ import main; sys.exit(main())",
    ],
    ids=["python -m compdb", "compdb"],
)
def test_without_the_extra_one_line_says_what_to_install(call):
    said = run(call)
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr == (
        "compdb: the command line needs cyclopts, which is not installed: pip install 'compdb[cli]'\n"
    )


def test_a_pipeline_with_migrations_needs_no_command_line(folder):
    (folder / "lab.py").write_text(
        "import compdb as cdb\nfrom compdb import Key\n\n\nclass Lab(cdb.Pipeline): ...\n\n\n"
        "class Rig(cdb.Manual, Lab):\n    rig: Key[int]\n"
    )
    said = run(
        "from pathlib import Path; from lab import Lab, Rig; from compdb import migrate; from compdb.database import connect;"
        "url = 'sqlite:///lab.db'; folder = Path('migrations'); migrate.init(folder, ['lab:Lab']);"
        "migrate.new([Lab], connect(url), folder, 'first'); Lab.activate(url, migrations=folder); Rig.insert1({'rig': 1});"
        "print(len(Rig), Lab.check())"
    )
    assert said.stdout == "1 []\n", said.stderr
