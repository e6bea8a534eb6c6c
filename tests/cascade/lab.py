"""Pipelines to delete from: plain SQLAlchemy tables with the facts in `info`, and somebody who answers questions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from compdb import cascade, dag
from compdb.cascade import consent
from compdb.database import Database, bind, connect


def fresh(url: str) -> Database:
    """Connect anew: the `url` fixture has ended the connections that the test before left in the pool."""
    database = connect(url)
    for engine in (database.engine, database.reader):
        engine.dispose()
    return database


class Lab:
    """Tables of one pipeline in one database, by their names."""

    def __init__(self, database: Database, metadata: sa.MetaData) -> None:
        self.database, self.metadata = database, metadata
        dag.register(metadata)
        bind(metadata, database)
        with database.transaction() as session:
            metadata.create_all(session.connection())

    def __getattr__(self, name: str) -> sa.Table:
        return self.metadata.tables[name]

    def add(self, name: str, *rows: tuple[Any, ...]) -> None:
        table = self.metadata.tables[name]
        with self.database.transaction() as session:
            for row in rows:
                session.execute(table.insert().values(dict(zip([c.name for c in table.columns], row))))

    def rows(self, name: str) -> list[tuple[Any, ...]]:
        table = self.metadata.tables[name]
        with self.database.reading() as connection:
            return [tuple(row) for row in connection.execute(sa.select(table).order_by(*table.primary_key))]

    def count(self) -> dict[str, int]:
        return {name: len(self.rows(name)) for name in self.metadata.tables}

    def delete(self, name: str, where: sa.ColumnElement[bool] | None = None, **options: Any) -> Any:
        table = self.metadata.tables[name]
        query = sa.select(*table.primary_key) if where is None else sa.select(*table.primary_key).where(where)
        return cascade.delete(self.database, table, query, **{"prompt": False, **options})

    @contextmanager
    def statements(self) -> Iterator[list[str]]:
        """Collect the SQL that is sent."""
        seen: list[str] = []

        def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
            seen.append(statement)

        engines = {self.database.engine, self.database.reader}
        for engine in engines:
            sa.event.listen(engine, "before_cursor_execute", note)
        try:
            yield seen
        finally:
            for engine in engines:
                sa.event.remove(engine, "before_cursor_execute", note)


def table(metadata: sa.MetaData, name: str, *items: Any, tier: str = "manual", **info: Any) -> sa.Table:
    label = info.pop("label", name.title())
    return sa.Table(name, metadata, *items, info={"tier": tier, "label": label, **info})


def key(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Integer, primary_key=True, autoincrement=False)


def to(parent: str, *columns: str, **options: Any) -> sa.ForeignKeyConstraint:
    """A foreign key; `mother=id` is written as `"mother=id"`."""
    pairs = [c.split("=") if "=" in c else [c, c] for c in columns]
    return sa.ForeignKeyConstraint(
        [a for a, _ in pairs], [f"{parent}.{b}" for _, b in pairs], ondelete="RESTRICT", **options
    )


def recordings(metadata: sa.MetaData | None = None) -> sa.MetaData:
    """subject -> session -> trial, rig -> session (secondary), detection with a part."""
    m = metadata if metadata is not None else sa.MetaData()
    table(m, "subject", key("subject"), sa.Column("sex", sa.String(1)))
    table(m, "rig", key("rig"))
    table(
        m,
        "session",
        key("subject"),
        key("session"),
        sa.Column("rig", sa.Integer),
        to("subject", "subject"),
        to("rig", "rig"),
    )
    table(m, "trial", key("subject"), key("session"), key("trial"), to("session", "subject", "session"))
    table(m, "detection", key("subject"), key("session"), to("session", "subject", "session"), tier="computed")
    table(
        m,
        "detection__spot",
        key("subject"),
        key("session"),
        key("spot"),
        to("detection", "subject", "session"),
        tier="part",
        label="Detection.Spot",
        master_table="detection",
    )
    return m


def animals() -> sa.MetaData:
    m = sa.MetaData()
    table(m, "animal", key("animal"), sa.Column("mother", sa.Integer), sa.Column("father", sa.Integer),
          to("animal", "mother=animal"), to("animal", "father=animal"))  # fmt: skip
    table(m, "weight", key("animal"), key("day"), to("animal", "animal"))
    return m


def segmentation() -> sa.MetaData:
    """Traces.Trace refers to Segmentation.Roi by a foreign key that is not its master's."""
    m = sa.MetaData()
    table(m, "scan", key("scan"))
    table(m, "segmentation", key("scan"), to("scan", "scan"), tier="computed")
    table(m, "segmentation__roi", key("scan"), key("roi"), to("segmentation", "scan"), tier="part",
          label="Segmentation.Roi", master_table="segmentation")  # fmt: skip
    table(m, "traces", key("scan"), key("method"), to("segmentation", "scan"), tier="computed")
    table(m, "traces__trace", key("scan"), key("method"), key("roi"), to("traces", "scan", "method"),
          to("segmentation__roi", "scan", "roi"), tier="part", label="Traces.Trace", master_table="traces")  # fmt: skip
    table(m, "spikes", key("scan"), key("method"), to("traces", "scan", "method"), tier="computed")
    return m


def outsider(lab: Lab, rule: str, name: str = "old_notes") -> None:
    with lab.database.transaction() as session:
        session.execute(
            sa.text(
                f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, subj INTEGER, sess INTEGER,"
                f" FOREIGN KEY (subj, sess) REFERENCES session (subject, session) {rule})"
            )
        )
        session.execute(sa.text(f"INSERT INTO {name} (id, subj, sess) VALUES (1, 1, 2), (2, NULL, 1)"))


class Person:
    """Somebody who answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: Any) -> None:
        self.answers = list(answers)
        monkeypatch.setattr(consent, "_somebody_there", lambda: True)
        monkeypatch.setattr("builtins.input", self)

    def __call__(self, prompt: str = "") -> str:
        answer = self.answers.pop(0)
        if callable(answer):
            answer = answer()
        return str(answer)
