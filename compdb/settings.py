"""Which database: the URL asked for, else the environment, else `pyproject.toml`; what else that says; URLs that are safe to print.

>>> resolve_url("sqlite:///blobs.db")
'sqlite:///blobs.db'
>>> redact("postgresql://ann:secret@lab/db?sslpassword=secret")
'postgresql://ann:***@lab/db?sslpassword=***'

Without a URL of its own a pipeline takes `COMPDB_URL`, then the `url` of the first `[tool.compdb]` found in a
`pyproject.toml` from the working directory upward (a relative SQLite path there counts from that file's folder):

    [tool.compdb]
    pipeline = "my_lab.pipeline:Lab"    # or a list of them; for the command line
    url = "sqlite:///lab.db"
    migrations = "migrations"           # the folder of the revisions, if there are any
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from . import dialects
from .errors import ConnectionFailed, NotConnected, SettingsError, nearest

__all__ = ["Project", "make_url", "project", "redact", "redact_text", "resolve_url"]

HOW = (
    'Say which one: Lab.activate("sqlite:///lab.db"), or set COMPDB_URL, or write in pyproject.toml:\n'
    '[tool.compdb]\nurl = "sqlite:///lab.db"'
)
KNOWN = {
    "pipeline": 'text, as in "my_lab.pipeline:Lab", or a list of such',
    "url": 'text, as in "sqlite:///lab.db"',
    "migrations": 'text, as in "migrations"',
}
"""What `[tool.compdb]` may say."""
SECRET = re.compile(r"pass|pwd|secret|token|credential|private", re.IGNORECASE)


def resolve_url(url: str | sa.URL | None = None, pipeline: str = "this pipeline") -> str | sa.URL:
    """Return `url`, else the one in `COMPDB_URL`, else the one in `pyproject.toml`.

    Raises
    ------
    NotConnected
        If none of them names a database; the message shows the three ways to do so.
    """
    found = url or os.environ.get("COMPDB_URL") or _from_pyproject(Path.cwd())
    if not found:
        raise NotConnected(f"no database for {pipeline}. {HOW}")
    return found


@dataclass(frozen=True)
class Project:
    """What `[tool.compdb]` says of a project.

    Attributes
    ----------
    folder : Path
        Where its `pyproject.toml` stands.
    pipelines : tuple of str
        Where its pipelines are declared: `("my_lab.pipeline:Lab",)`.
    migrations : Path or None
        The folder of its migrations.
    """

    folder: Path
    pipelines: tuple[str, ...] = ()
    migrations: Path | None = None


def project(folder: Path | None = None) -> Project | None:
    """Return the project that `folder` (the working directory) lies in: that of the nearest `[tool.compdb]`, if there is one.

    Raises
    ------
    SettingsError
        If it says what nobody would heed; names the file, the setting and the nearest one that there is.
    """
    for place, settings in _tables(Path.cwd() if folder is None else folder.resolve()):
        given = settings.get("pipeline", [])
        migrations = settings.get("migrations")
        return Project(
            place,
            (given,) if isinstance(given, str) else tuple(given),
            None if migrations is None else place / migrations,
        )
    return None


def make_url(url: str | sa.URL) -> sa.URL:
    """Parse a URL; one that cannot be parsed raises `ConnectionFailed` without showing what may be its password."""
    try:
        return sa.make_url(url)
    except (exc.ArgumentError, ValueError):
        scheme = str(url).partition(":")[0][:20]
    raise ConnectionFailed(
        f"cannot read the database URL that begins with {scheme!r}; it should look like sqlite:///lab.db,"
        " postgresql://user:password@host/database or mysql://user:password@host/database"
        " (special characters in a password are %-escaped)"
    )


def redact(url: str | sa.URL) -> str:
    """Return the URL without its password, nor any other secret in its query."""
    parsed = make_url(url)
    text = parsed.set(query={}).render_as_string(hide_password=True)
    pairs = [
        f"{name}={'***' if SECRET.search(name) else value}"
        for name, values in parsed.query.items()
        for value in ([values] if isinstance(values, str) else values)
    ]
    return text + ("?" + "&".join(pairs) if pairs else "")


def redact_text(text: str, url: sa.URL) -> str:
    """Return `text` (of a driver's error, say) with every secret of the URL blotted out."""
    secrets = [str(url.password)] if url.password else []
    for name, values in url.query.items():
        if SECRET.search(name):
            secrets += [values] if isinstance(values, str) else list(values)
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "***", text)
    return text


def _from_pyproject(folder: Path) -> str | None:
    """Return `[tool.compdb] url` of the nearest `pyproject.toml` that has one, in `folder` or above it."""
    for place, settings in _tables(folder):
        if "url" in settings:
            url = make_url(settings["url"])
            return dialects.family(url).beside(url, place).render_as_string(hide_password=False)
    return None


def _tables(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield each folder, from this one upward, whose `pyproject.toml` has a `[tool.compdb]`, and what that says."""
    for place in (folder, *folder.parents):
        file = place / "pyproject.toml"
        if not file.is_file():
            continue
        import tomllib  # noqa: PLC0415 (only where there is a file to read)

        try:
            found = tomllib.loads(file.read_text(encoding="utf-8")).get("tool", {}).get("compdb")
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"{file} cannot be read: {error}") from error
        if found is not None:
            _check(file, found)
            yield place, found


def _check(file: Path, found: Any) -> None:
    """Refuse settings that nobody would heed."""
    if not isinstance(found, dict):
        raise SettingsError(f"{file}: [tool.compdb] must be a table")
    for name, value in found.items():
        if name not in KNOWN:
            guess = nearest(name, KNOWN)
            raise SettingsError(
                f"{file}: [tool.compdb] has {name!r}, which means nothing"
                + (f"; did you mean {guess!r}?" if guess else "")
                + f" It may have: {', '.join(KNOWN)}"
            )
        texts = value if name == "pipeline" and isinstance(value, list) else [value]
        if not texts or not all(isinstance(text, str) and text for text in texts):
            raise SettingsError(f"{file}: [tool.compdb] {name} must be {KNOWN[name]}, not {value!r}")
