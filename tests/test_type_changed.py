"""The type of a column changes under a process that goes on reading, as when somebody migrates while a notebook is open."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

import compdb as cdb
from compdb import Key, Mapped
from compdb.database import database_of

OFTEN = 12  # psycopg prepares a statement when it is executed the fifth time
POOLED = 3  # connections


@pytest.fixture
def lab(url: str) -> type[cdb.Pipeline]:
    class Lab(cdb.Pipeline):
        pass

    class Src(cdb.Manual, Lab):
        k: Key[int]
        x: Mapped[int]

    class Made(cdb.Computed, Lab):
        src: Key[Src]
        y: Mapped[float]
        prefetch = False

        def make(self, key):
            self.insert1({**key, "y": (Src & key).fetch1("x")})

    Lab.activate(url)
    Src.insert({"k": k, "x": k} for k in range(40))
    Lab.Src, Lab.Made = Src, Made
    return Lab


def change(lab: type[cdb.Pipeline], url: str) -> None:
    """Make x a number with a point, by a connection that this process's readers know nothing of."""
    engine = sa.create_engine(url)
    change = {"mysql": "MODIFY x DOUBLE NOT NULL", "postgresql": "ALTER x TYPE DOUBLE PRECISION"}
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":  # has no types to change; a new table under the old name is what a migration makes there
            connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
            connection.exec_driver_sql("CREATE TABLE other (k INTEGER PRIMARY KEY, x REAL NOT NULL)")
            connection.exec_driver_sql("INSERT INTO other SELECT k, x FROM src")
            connection.exec_driver_sql("DROP TABLE src")
            connection.exec_driver_sql("ALTER TABLE other RENAME TO src")
        else:
            connection.exec_driver_sql(f"ALTER TABLE src {change[engine.dialect.name]}")
    engine.dispose()


def test_whoever_reads_goes_on_reading(lab, url):
    def look():
        one = lab.Src & {"k": 3}
        return one.fetch1("x"), one.to_dicts(), len(lab.Src), str(one.preview()) != "", one.row1().x, one.to_arrays("x")[0]

    before = [look() for _ in range(OFTEN)][-1]
    change(lab, url)
    assert look() == before
    assert look() == before


def test_in_a_transaction_the_next_one_goes_well(lab, url):
    engine = database_of(lab.Src.__table__).engine
    taken = [engine.connect() for _ in range(POOLED)]  # the pool lends one after the other from now on
    for connection in taken:
        connection.close()
    for _ in range(OFTEN * POOLED):
        with lab.transaction():
            assert (lab.Src & {"k": 3}).fetch1("x") == 3
    change(lab, url)
    if url.startswith("postgresql"):  # what was done in this one is lost, and can be done again
        with pytest.raises(sa.exc.NotSupportedError, match="cached plan") as caught, lab.transaction():
            (lab.Src & {"k": 3}).fetch1("x")
        assert database_of(lab.Src.__table__).dialect.classify(caught.value).fault.transient
    for _ in range(2 * POOLED):
        with lab.transaction():
            assert (lab.Src & {"k": 3}).fetch1("x") == 3


def test_populate_goes_on(lab, url):
    lab.Made.populate(limit=20)
    change(lab, url)
    assert lab.Made.populate()["success_count"] == 20
    assert len(lab.Made) == 40
