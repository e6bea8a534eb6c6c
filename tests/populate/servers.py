"""Servers of a test's own, from Debian's binaries, on a free port and in a temporary folder: to be stopped and killed at will.

>>> with private("postgresql", folder) as server:
...     server.url
...     server.kill(); server.start()
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
import sqlalchemy as sa

__all__ = ["Server", "private"]

SECONDS = 60


class Server:
    """A server of our own.

    Attributes
    ----------
    url : str
        Of an empty database on it.
    """

    command: list[str]
    user: str | None = None

    def __init__(self, name: str, folder: Path, *options: str) -> None:
        self.folder, self.port, self.options = folder, _free_port(), options
        self.process: subprocess.Popen[bytes] | None = None
        if name == "postgresql":
            self._postgresql()
        else:
            self._mariadb()
        self.command += options

    def _postgresql(self) -> None:
        binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
        if not binaries:
            _lack("PostgreSQL")
        self.user, data = _user("postgres"), self.folder / "data"
        _give(self.folder, self.user)
        run = [str(binaries[-1] / "initdb"), "-D", str(data), "-A", "trust", "-U", "postgres", "-E", "UTF8", "-N"]
        subprocess.run(run, check=True, capture_output=True, user=self.user)
        options = {"listen_addresses": "127.0.0.1", "port": str(self.port), "fsync": "off"}
        options["unix_socket_directories"] = str(self.folder)
        self.command = [str(binaries[-1] / "postgres"), "-D", str(data)]
        self.command += [f"-c{name}={value}" for name, value in options.items()]
        self.admin = f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/postgres"

    def _mariadb(self) -> None:
        server = shutil.which("mariadbd", path=os.defpath + ":/usr/sbin:/usr/local/sbin")
        if server is None:
            _lack("MariaDB")
        self.user = _user("mysql")
        _give(self.folder, self.user)
        data = self.folder / "data"
        install = ["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--skip-test-db"]
        install += ["--auth-root-authentication-method=normal", *self.options]
        subprocess.run(install, check=True, capture_output=True, user=self.user)
        self.command = [server, "--no-defaults", f"--datadir={data}", "--bind-address=127.0.0.1", f"--port={self.port}"]
        self.command += [f"--socket={self.folder}/socket", "--innodb-flush-log-at-trx-commit=2"]
        self.command += ["--innodb-buffer-pool-size=32M", "--innodb-log-file-size=16M"]
        self.admin = f"mysql+pymysql://root@127.0.0.1:{self.port}/mysql"

    @property
    def url(self) -> str:
        """The URL of the database for tests."""
        return sa.make_url(self.admin).set(database="lab").render_as_string(hide_password=False)

    def start(self) -> None:
        """Start, and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, user=self.user)
        deadline = time.monotonic() + SECONDS
        engine = sa.create_engine(self.admin, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        while True:
            try:
                with engine.connect() as connection:
                    found = connection.exec_driver_sql(
                        "SELECT 1 FROM information_schema.schemata WHERE schema_name = 'lab'"
                        if "mysql" in self.admin
                        else "SELECT 1 FROM pg_database WHERE datname = 'lab'"
                    ).first()
                    if found is None:
                        connection.exec_driver_sql("CREATE DATABASE lab")
                return
            except sa.exc.OperationalError:
                assert self.process.poll() is None, (self.folder / "log").read_text(errors="replace")[-2000:]
                assert time.monotonic() < deadline, "the server does not answer"
                time.sleep(0.05)

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End the server and wait until it has gone: SIGINT is PostgreSQL's quick way, SIGKILL a crash."""
        if self.process is not None:
            if how is signal.SIGTERM and self.admin.startswith("postgresql"):
                how = signal.SIGINT
            self.process.send_signal(how)
            self.process.wait(SECONDS)
            self.process = None

    def restart(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End the server and start it again."""
        self.end(how)
        self.start()


@contextlib.contextmanager
def private(name: str, folder: Path, *options: str) -> Iterator[Server]:
    """Run a server of our own, with more options if wanted."""
    server = Server(name, folder, *options)
    server.start()
    try:
        yield server
    finally:
        server.end()


def _lack(name: str) -> NoReturn:
    say = pytest.fail if os.environ.get("COMPDB_REQUIRE_SERVERS") == "1" else pytest.skip
    say(f"no binaries of {name} here")


def _free_port() -> int:
    """Return a port below those that outgoing connections get, one of which might take it while the server is away."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as found, contextlib.suppress(OSError):
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind(("127.0.0.1", port))
            return port


def _user(name: str) -> str | None:
    """Return as whom to run a server where we are root, which servers refuse to be."""
    return name if os.getuid() == 0 else None


def _give(folder: Path, user: str | None) -> None:
    """Let the server's user have the folder, and reach it."""
    if user is None:
        return
    shutil.chown(folder, user)
    for parent in [folder, *folder.parents]:
        if parent.stat().st_uid == os.getuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o011)
