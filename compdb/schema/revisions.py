"""Revisions: whether the tables of a database are changed by migrations, so that nobody else changes them."""

from __future__ import annotations

import sqlalchemy as sa

from compdb import dialects, notes

__all__ = ["VERSIONS", "is_migrated", "mark_migrated"]

VERSIONS = "alembic_version"
MARK = "revisions: which one compdb migrate has brought this database to"


def is_migrated(connection: sa.Connection) -> bool:
    """Tell whether compdb's migrations have changed this database; those of an application beside it do not count."""
    inspector = sa.inspect(connection)
    if not inspector.has_table(VERSIONS):
        return False
    if dialects.of(connection).has_comments:
        return bool(inspector.get_table_comment(VERSIONS)["text"] == MARK)
    return notes.read(connection).get(VERSIONS) == MARK


def mark_migrated(connection: sa.Connection) -> None:
    """Note that compdb's migrations change this database."""
    if not sa.inspect(connection).has_table(VERSIONS) or is_migrated(connection):
        return
    if dialects.of(connection).has_comments:
        table = sa.Table(VERSIONS, sa.MetaData(), comment=MARK)
        connection.execute(sa.schema.SetTableComment(table))
    else:
        notes.note(connection, VERSIONS, MARK)
