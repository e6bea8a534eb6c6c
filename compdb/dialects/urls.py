"""URLs of databases: the one form that names a database from anywhere, and what is said where it does not answer.

>>> from compdb.dialects.postgresql import PostgreSQL
>>> print(PostgreSQL.normal(sa.make_url("postgresql://lab/mice")))
postgresql+psycopg://lab:5432/mice

Engines are kept by that form, so that whoever spells the URL in another way gets the same one.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import ClassVar

import sqlalchemy as sa

from compdb.errors import ConnectionFailed

__all__ = ["Addressed"]


class Addressed:
    """What is to be known of the URLs of one database, before there is an engine.

    Attributes
    ----------
    name : str
        "sqlite", "mysql", "mariadb" or "postgresql".
    extra : str or None
        The extra of our distribution that brings its driver.
    drivers : dict
        The drivers that will do, the best first, by SQLAlchemy's names, and the module of each; empty where there is no choice.
    port : int or None
        Where its servers listen if a URL does not say.
    is_file : bool
        Whether the database is a file, which the URL names by its path, and no server.
    """

    name: ClassVar[str] = "generic"
    extra: ClassVar[str | None] = None
    drivers: ClassVar[dict[str, str]] = {}
    port: ClassVar[int | None] = None
    is_file: ClassVar[bool] = False

    @classmethod
    def normal(cls, url: sa.URL) -> sa.URL:
        """Return the URL in the one form that names its database: driver, port and path filled in."""
        if cls.drivers:
            _, _, driver = url.drivername.partition("+")
            driver = driver or next((d for d, module in cls.drivers.items() if importlib.util.find_spec(module)), "")
            if not driver:
                raise ConnectionFailed(f"no driver for {cls.name} is installed: pip install 'compdb[{cls.extra}]'")
            url = url.set(drivername=f"{cls.name}+{driver}")
        if url.host and url.port is None and cls.port is not None:
            url = url.set(port=cls.port)
        return cls.complete(url)

    @classmethod
    def complete(cls, url: sa.URL) -> sa.URL:
        """Return the URL with what it takes to name its database from anywhere, and the settings that an engine of ours needs."""
        return url

    @classmethod
    def beside(cls, url: sa.URL, folder: Path) -> sa.URL:
        """Return the URL with a path in it that counts from `folder`, if it has a relative one."""
        return url

    @classmethod
    def no_answer(cls, url: sa.URL, shown: str, said: str) -> str:
        """Tell that no connection could be made, to the URL that is safe to print as `shown`, and what the driver has said."""
        where = f"{url.host or 'localhost'}" + (f":{url.port}" if url.port else "")
        return f"cannot connect to database {url.database!r} at {where} ({shown}): {said}"
