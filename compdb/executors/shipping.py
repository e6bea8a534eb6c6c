"""How a table class travels to a worker.

A mapped class cannot be pickled, and need not be: a worker imports the module it is declared in. A script is run there under another name,
as Python's spawn does, so that what stands under `if __name__ == "__main__":` stays undone. The classes of a notebook have no file; their
definitions are kept when they are declared, and declared again in the worker (this needs cloudpickle, `pip install compdb[notebook]`).
"""

from __future__ import annotations

import importlib
import runpy
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from compdb.errors import PopulateError

__all__ = ["Shipment", "ship"]

SCRIPT = "__compdb_script__"
"""The name under which a worker runs the script that declares the classes."""


@dataclass(frozen=True)
class Shipment:
    """Where to find a class: a module, a script, or the definitions themselves.

    Attributes
    ----------
    module, name : str
        The module of the class, and its qualified name there.
    script : str or None
        The file to run where the module is a script.
    folder : str
        The first entry of the search path, from which modules beside the script are imported.
    parcel : bytes or None
        The definitions, where there is no file.
    """

    module: str
    name: str
    script: str | None = None
    folder: str = ""
    parcel: bytes | None = None

    def open(self) -> type[Any]:
        """Return the class, in the process that this is called in."""
        here = sys.modules.get(self.module)
        if self.parcel is not None:
            return _unpack(self.parcel, self.name)
        if self.script is not None:
            here = _run_script(self.script, self.folder)
        elif here is None:
            if self.folder and self.folder not in sys.path:
                sys.path.insert(0, self.folder)
            here = importlib.import_module(self.module)
        found: Any = here
        for step in self.name.split("."):
            found = getattr(found, step)
        return found  # type: ignore[no-any-return]


def ship(cls: type[Any], pack: Callable[[type[Any]], bytes] | None = None) -> Shipment:
    """Return how `cls` travels.

    Parameters
    ----------
    pack : callable, optional
        Makes a parcel of a class that is declared in a notebook.

    Raises
    ------
    PopulateError
        For a class that a worker cannot find; says what to do.
    """
    name, module = cls.__qualname__, cls.__module__
    if "<locals>" in name:
        raise PopulateError(
            f"{cls.__name__} is declared inside a function, where worker processes cannot find it; move it to the top of a module"
        )
    folder = sys.path[0] if sys.path else ""
    if module == SCRIPT or module not in ("__main__", "__mp_main__"):
        if module == SCRIPT:
            return Shipment(module, name, script=str(sys.modules[SCRIPT].__file__), folder=folder)
        return Shipment(module, name, folder=folder)
    file = getattr(sys.modules[module], "__file__", None)
    if file is not None and Path(file).suffix == ".py":
        return Shipment(module, name, script=str(Path(file).resolve()), folder=folder)
    if pack is None:
        raise PopulateError(
            f"{cls.__name__} is declared in a notebook or at a prompt; move it into a module for worker processes"
        )
    return Shipment(module, name, parcel=pack(cls))


def _run_script(script: str, folder: str) -> ModuleType:
    """Run a script once in this process, under a name that is not `__main__`."""
    there = sys.modules.get(SCRIPT)
    if there is not None and there.__file__ == script:
        return there
    main = sys.modules.get("__mp_main__")
    if main is not None and getattr(main, "__file__", None) and Path(str(main.__file__)).resolve() == Path(script):
        return main  # multiprocessing has done so already
    if folder and folder not in sys.path:
        sys.path.insert(0, folder)
    module = ModuleType(SCRIPT)
    module.__file__ = script
    sys.modules[SCRIPT] = module
    try:
        names = runpy.run_path(script, run_name=SCRIPT)
    except BaseException:
        sys.modules.pop(SCRIPT, None)
        raise
    module.__dict__.update(names)
    return module


_OPENED: dict[bytes, dict[str, type[Any]]] = {}


def _unpack(parcel: bytes, name: str) -> type[Any]:
    import cloudpickle  # noqa: PLC0415 (an extra; the parcel is of our own parent process, never read from a database)

    if parcel not in _OPENED:
        _OPENED.clear()
        _OPENED[parcel] = cloudpickle.loads(parcel)()
    return _OPENED[parcel][name]
