"""Nothing in the package can run code from data: no module imports, or calls, what could."""

import ast
from pathlib import Path

import pytest

import compdb

PACKAGE = Path(compdb.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
FORBIDDEN = {
    "pickle",
    "_pickle",
    "cPickle",
    "pickletools",
    "marshal",
    "shelve",
    "dill",
    "cloudpickle",
    "joblib",
    "jsonpickle",
}
ALLOWED = {"executors": {"cloudpickle"}}
"""Executors send the user's own functions to the user's own workers; they never touch what a database holds."""
CALLS = {"eval", "exec"}
ATTRIBUTES = {"load", "loads", "fromfile", "DataSource", "read_pickle", "to_pickle", "PickleType"}
"""Of numpy, pandas, SQLAlchemy: what unpickles, or reads files by names from data."""
LIBRARIES = {"np", "numpy", "pd", "pandas", "sa", "sqlalchemy", "pl", "polars"}


def crimes(source, allowed=frozenset()):
    """Yield what a module does that it must not."""
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
            if (node.module or "").split(".")[0] in LIBRARIES:
                names += [alias.name for alias in node.names if alias.name in ATTRIBUTES]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            names = [node.func.id] if node.func.id in CALLS else []
            if node.func.id in ("__import__", "import_module") and node.args and isinstance(node.args[0], ast.Constant):
                names = [str(node.args[0].value)]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in LIBRARIES:
            names = [node.attr] if node.attr in ATTRIBUTES and not _is_check(node) else []
        for name in names:
            root = name.split(".")[0]
            if (root in FORBIDDEN - allowed) or name in CALLS | ATTRIBUTES:
                yield f"line {node.lineno}: {name}"


def _is_check(node):
    return node.attr == "PickleType"  # naming the type to refuse it is what types/blob.py does


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_module_imports_nothing_that_unpickles(path):
    allowed = ALLOWED.get(path.relative_to(PACKAGE).parts[0], frozenset())
    assert list(crimes(path.read_text("utf-8"), allowed)) == []


def test_all_modules_are_looked_at():
    names = {str(path.relative_to(PACKAGE)) for path in MODULES}
    assert {"__init__.py", "codecs/reader.py", "codecs/frame.py", "errors.py"} <= names


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import pickle as p",
        "from pickle import loads",
        "import os, marshal",
        "def f():\n    from cloudpickle import dumps",
        "if x:\n    import dill.source",
        "np.load('x')",
        "numpy.load('x', allow_pickle=True)",
        "from numpy import load",
        "pd.read_pickle('x')",
        "eval('1')",
        "exec(text)",
        "__import__('pickle')",
        "import_module('_pickle')",
    ],
)
def test_the_test_sees(source):
    assert list(crimes(source))


def test_executors_may_import_cloudpickle_and_nothing_else():
    assert list(crimes("import cloudpickle", ALLOWED["executors"])) == []
    assert list(crimes("import pickle", ALLOWED["executors"]))
