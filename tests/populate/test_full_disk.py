"""The disk of a server of our own is full (fault 15): there are a few megabytes for its database."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

import compdb as cdb
from compdb import Key, Mapped
from compdb.database import connect

from .servers import private

N, PIECES, MEGABYTES, ROOM = 12, 4_000, 40, 7


@contextlib.contextmanager
def small(folder: Path, owner: str | None):
    """Mount a small file system."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "tmpfs", str(folder)]
    folder.mkdir()
    if os.getuid() != 0 or shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no right to mount a small file system")
    try:
        shutil.chown(folder, owner)
        folder.chmod(0o700)
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextlib.contextmanager
def postgresql(folder: Path):
    """Run PostgreSQL with its database in a small file system; give its URL and the way to fill it, which gives the way to free it."""
    with private("postgresql", folder) as server, small(folder / "small", server.user) as disk:
        engine = sa.create_engine(server.admin, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE TABLESPACE small LOCATION '{disk}'")
            connection.exec_driver_sql("ALTER DATABASE lab SET TABLESPACE small")

        def fill():
            filler = disk / "filler"
            with filler.open("wb") as file:
                file.write(bytes((shutil.disk_usage(disk).free // 2**20 - ROOM) * 2**20))
            return filler.unlink

        yield server.url, fill
        connect(server.url).dispose()
        server.end()


@contextlib.contextmanager
def mariadb(folder: Path):
    """Run MariaDB with one file for all tables, which does not grow.

    Not in a small file system: MariaDB (10.11) ends itself where that is full, or where there is no room for a LONGBLOB.
    """
    options = ("--innodb-file-per-table=0", "--innodb-undo-tablespaces=2", f"--innodb-data-file-path=ibdata1:{MEGABYTES}M")
    with private("mysql", folder, *options) as server:
        engine = sa.create_engine(server.url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)

        def sql(statement):
            with engine.connect() as connection:
                result = connection.exec_driver_sql(statement)
                return result.scalar() if result.returns_rows else None

        def left():
            return sql("SELECT MAX(data_free) FROM information_schema.tables WHERE table_schema = 'lab'")

        def fill():
            sql("CREATE TABLE filler (x LONGBLOB)")
            while left() > ROOM * 2**20:
                sql("INSERT INTO filler VALUES (REPEAT('x', 1048576))")
            return free

        def free():
            sql("DROP TABLE filler")
            deadline = time.monotonic() + 60
            while left() < MEGABYTES // 2 * 2**20:  # what was dropped goes in the background
                assert time.monotonic() < deadline
                time.sleep(0.05)

        yield server.url, fill
        connect(server.url).dispose()


@pytest.fixture(params=[mariadb, postgresql], ids=["mysql", "postgresql"])
def place(request):
    """Return the URL of a database that has little room, and the way to fill it."""
    with tempfile.TemporaryDirectory(prefix="compdb-") as folder, request.param(Path(folder)) as found:
        yield found


@pytest.mark.parametrize("direct", [False, True])
def test_a_full_disk_of_a_server_ends_the_run_and_loses_nothing(place, direct):
    url, fill = place

    class Lab(cdb.Pipeline):
        pass

    class Src(cdb.Manual, Lab):
        k: Key[int]

    class Big(cdb.Computed, Lab):
        src: Key[Src]
        n: Mapped[int]

        class Piece(cdb.Part):
            i: Key[int]
            x: Mapped[str]

        def make(self, key):
            self.insert1({**key, "n": PIECES})
            if direct:
                assert len(self & key) == 1
            self.Piece.insert({**key, "i": i, "x": f"{key['k']:03}{i:05}" * 30} for i in range(PIECES))

    Lab.activate(url)
    Src.insert({"k": k} for k in range(N))
    free = fill()
    with pytest.raises(cdb.DatabaseError, match="disk full; populate of Big stops here"):
        Big.populate(suppress_errors=True)
    done = Big.keys()
    assert len(done) < N
    assert len(Big.Piece) == PIECES * len(done)
    assert len(Big.Piece & done) == len(Big.Piece)
    free()
    assert Big.populate() == {"success_count": N - len(done), "error_list": []}
    assert len(Big) == N
    assert len(Big.Piece) == N * PIECES
    assert (Big.Piece & {"k": 7, "i": 5}).fetch1("x") == "00700005" * 30
