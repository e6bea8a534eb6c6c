"""From annotations and plain SQLAlchemy types to columns that behave alike."""

from __future__ import annotations

import copy
import datetime as dt
import enum
import pickle
import typing
import uuid
from decimal import Decimal
from typing import Any, Literal, NewType, TypedDict

import numpy as np
import numpy.typing as npt
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite
from typing_extensions import TypeAliasType

from compdb.errors import InvalidValue
from compdb.testing.hazards import HAZARDS
from compdb.types import (
    Blob,
    Duration,
    UtcDateTime,
    adapter,
    check_key_type,
    check_type,
    column_type,
    key_bytes,
    portable,
)

SQLITE, POSTGRESQL = sqlite.dialect(), postgresql.dialect()
MYSQL, MARIADB = mysql.dialect(), mysql.dialect(is_mariadb=True)
MARIADB.name = "mariadb"


class Mood(enum.Enum):
    happy = 1
    sad = 2


class Params(TypedDict):
    threshold: float


def ddl(type_: Any) -> tuple[str, str, str]:
    return tuple(type_.compile(dialect) for dialect in (SQLITE, MARIADB, POSTGRESQL))


@pytest.mark.parametrize(
    ("python_type", "expected"),
    [
        (str, ("VARCHAR(255)", "VARCHAR(255)", 'VARCHAR(255) COLLATE "C"')),
        (int, ("INTEGER", "BIGINT", "BIGINT")),
        (float, ("DOUBLE", "DOUBLE", "DOUBLE PRECISION")),
        (bool, ("BOOLEAN", "BOOL", "BOOLEAN")),
        (dt.date, ("DATE", "DATE", "DATE")),
        (dt.datetime, ("DATETIME", "DATETIME(6)", "TIMESTAMP WITHOUT TIME ZONE")),
        (UtcDateTime, ("DATETIME", "DATETIME(6)", "TIMESTAMP WITHOUT TIME ZONE")),
        (dt.time, ("TIME", "TIME(6)", "TIME WITHOUT TIME ZONE")),
        (dt.timedelta, ("INTEGER", "BIGINT", "BIGINT")),
        (Mood, ("VARCHAR(5)", "VARCHAR(5)", 'VARCHAR(5) COLLATE "C"')),
        (Literal["left", "right"], ("VARCHAR(5)", "VARCHAR(5)", 'VARCHAR(5) COLLATE "C"')),
        (Literal[1, 2], ("INTEGER", "BIGINT", "BIGINT")),
        (Literal[True, False], ("BOOLEAN", "BOOL", "BOOLEAN")),
        (uuid.UUID, ("CHAR(32)", "CHAR(32)", "UUID")),
        (bytes, ("BLOB", "LONGBLOB", "BYTEA")),
        (dict, ("JSON", "JSON", "JSON")),
        (list[int], ("JSON", "JSON", "JSON")),
        (dict[str, Any], ("JSON", "JSON", "JSON")),
        (Params, ("JSON", "JSON", "JSON")),
        (np.ndarray, ("BLOB", "LONGBLOB", "BYTEA")),
        (npt.NDArray[np.float64], ("BLOB", "LONGBLOB", "BYTEA")),
        (Blob, ("BLOB", "LONGBLOB", "BYTEA")),
        (TypeAliasType("Count", int), ("INTEGER", "BIGINT", "BIGINT")),
        (NewType("SubjectId", str), ("VARCHAR(255)", "VARCHAR(255)", 'VARCHAR(255) COLLATE "C"')),
    ],
)
def test_an_annotation_becomes_a_column_type(python_type: Any, expected: tuple[str, str, str]) -> None:
    type_ = column_type(python_type)
    assert ddl(type_) == expected
    assert type_.compile(MYSQL) == type_.compile(MARIADB)


@pytest.mark.parametrize(
    "python_type", [set, tuple, object, complex, typing.Any, "int", None, Literal, range, np.float64]
)
def test_what_has_no_column_type_is_none(python_type: Any) -> None:
    assert column_type(python_type) is None


@pytest.mark.parametrize(
    ("python_type", "words"),
    [
        (Decimal, r"Numeric\(10, 2\)"),
        (Literal["a", 1], "all str or all int"),
        (Literal["a", None], r"\| None"),
        (Literal[b"a"], "all str or all int"),
        (Literal["a\0"], "NUL"),
        (enum.Flag("F", ["a", "b"]), "Flag"),
        (enum.Enum("Empty", []), "at least one"),
    ],
)
def test_what_cannot_be_a_column_says_so(python_type: Any, words: str) -> None:
    with pytest.raises(InvalidValue, match=words):
        column_type(python_type)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (sa.String(16), ("VARCHAR(16)", "VARCHAR(16)", 'VARCHAR(16) COLLATE "C"')),
        (sa.String, ("VARCHAR", "LONGTEXT", 'VARCHAR COLLATE "C"')),
        (sa.String(5000), ("VARCHAR(5000)", "LONGTEXT", 'VARCHAR(5000) COLLATE "C"')),
        (sa.Text(), ("TEXT", "LONGTEXT", 'TEXT COLLATE "C"')),
        (sa.Unicode(9), ("VARCHAR(9)", "VARCHAR(9)", 'VARCHAR(9) COLLATE "C"')),
        (sa.UnicodeText(), ("TEXT", "LONGTEXT", 'TEXT COLLATE "C"')),
        (sa.NVARCHAR(9), ("VARCHAR(9)", "VARCHAR(9)", 'VARCHAR(9) COLLATE "C"')),
        (sa.CHAR(9), ("VARCHAR(9)", "VARCHAR(9)", 'VARCHAR(9) COLLATE "C"')),
        (sa.VARCHAR(9), ("VARCHAR(9)", "VARCHAR(9)", 'VARCHAR(9) COLLATE "C"')),
        (sa.Integer(), ("INTEGER", "INTEGER", "INTEGER")),
        (sa.BigInteger(), ("INTEGER", "BIGINT", "BIGINT")),
        (sa.SmallInteger(), ("SMALLINT", "SMALLINT", "SMALLINT")),
        (sa.Float(), ("DOUBLE", "DOUBLE", "DOUBLE PRECISION")),
        (sa.Float(24), ("DOUBLE", "DOUBLE", "DOUBLE PRECISION")),
        (sa.REAL(), ("DOUBLE", "DOUBLE", "DOUBLE PRECISION")),
        (sa.Double(53), ("DOUBLE", "DOUBLE", "DOUBLE PRECISION")),
        (sa.Numeric(3, 2), ("NUMERIC(3, 2)", "NUMERIC(3, 2)", "NUMERIC(3, 2)")),
        (sa.Numeric(3), ("NUMERIC(3, 0)", "NUMERIC(3, 0)", "NUMERIC(3, 0)")),
        (sa.DateTime(), ("DATETIME", "DATETIME(6)", "TIMESTAMP WITHOUT TIME ZONE")),
        (sa.DateTime(timezone=True), ("DATETIME", "DATETIME(6)", "TIMESTAMP WITHOUT TIME ZONE")),
        (sa.TIMESTAMP(), ("DATETIME", "DATETIME(6)", "TIMESTAMP WITHOUT TIME ZONE")),
        (sa.Time(timezone=True), ("TIME", "TIME(6)", "TIME WITHOUT TIME ZONE")),
        (sa.Interval(), ("INTEGER", "BIGINT", "BIGINT")),
        (sa.LargeBinary(), ("BLOB", "LONGBLOB", "BYTEA")),
        (sa.LargeBinary(9), ("BLOB", "LONGBLOB", "BYTEA")),
        (sa.BLOB(), ("BLOB", "LONGBLOB", "BYTEA")),
        (sa.VARBINARY(9), ("BLOB", "VARBINARY(9)", "BYTEA")),
        (sa.Enum(Mood), ("VARCHAR(5)", "VARCHAR(5)", 'VARCHAR(5) COLLATE "C"')),
        (sa.Enum("a", "b", length=9), ("VARCHAR(9)", "VARCHAR(9)", 'VARCHAR(9) COLLATE "C"')),
        (sa.UUID(), ("CHAR(32)", "CHAR(32)", "UUID")),
        (sa.Uuid(native_uuid=False), ("CHAR(32)", "CHAR(32)", "CHAR(32)")),
        (sa.JSON(), ("JSON", "JSON", "JSON")),
        (sa.Date, ("DATE", "DATE", "DATE")),
        (sa.Boolean, ("BOOLEAN", "BOOL", "BOOLEAN")),
    ],
)
def test_a_plain_type_is_made_portable(given: Any, expected: tuple[str, str, str]) -> None:
    type_ = portable(given)
    assert ddl(type_) == expected
    assert portable(type_) is type_


def test_making_portable_what_is_portable_changes_nothing() -> None:
    for hazard in HAZARDS:
        assert portable(hazard.type) is hazard.type


@pytest.mark.parametrize(
    "given",
    [
        mysql.MEDIUMTEXT(), mysql.DATETIME(fsp=3), mysql.TINYINT(1), postgresql.JSONB(), postgresql.ARRAY(sa.Integer), postgresql.INTERVAL(),
        sa.String(9, collation="NOCASE"), UtcDateTime(), Blob(), Duration(), sa.types.NullType(),
    ],
)  # fmt: skip
def test_a_type_of_one_database_or_of_the_user_stays(given: Any) -> None:
    assert portable(given) is given


def test_a_decorator_of_the_user_stays() -> None:
    class Tag(sa.types.TypeDecorator[str]):
        impl = sa.CHAR
        cache_ok = True

    tag = Tag(5)
    assert portable(tag) is tag


def test_a_variant_that_the_user_chose_stays() -> None:
    chosen = (
        sa.String(16)
        .with_variant(mysql.VARCHAR(16, collation="ascii_bin"), "mysql")
        .with_variant(sa.Text(), "postgresql")
    )
    type_ = portable(chosen)
    assert ddl(type_) == ("VARCHAR(16)", "VARCHAR(16) COLLATE ascii_bin", "TEXT")
    assert ddl(portable(sa.Float().with_variant(postgresql.REAL(), "postgresql"))) == ("DOUBLE", "DOUBLE", "REAL")
    assert ddl(portable(sa.DateTime().with_variant(mysql.DATETIME(fsp=3), "mysql")))[1] == "DATETIME(3)"
    assert "postgresql" not in chosen._variant_mapping or chosen is not type_


@pytest.mark.parametrize("type_", [Blob(), Blob("zstd"), UtcDateTime(), Duration()], ids=repr)
@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda t: t.copy(), lambda t: pickle.loads(pickle.dumps(t))])
def test_a_copy_of_a_type_not_used_yet_is_the_same_type(type_: Any, again: Any) -> None:
    fresh = type(type_)(**{name: value for name, value in vars(type_).items() if name == "compression"})
    copied = again(fresh)
    for dialect in (sqlite.dialect(), mysql.dialect(), postgresql.dialect()):
        assert copied.compile(dialect=dialect) == type_.compile(dialect=dialect)
        assert repr(copied.dialect_impl(dialect).impl_instance) == repr(type_.dialect_impl(dialect).impl_instance)
    assert repr(copied) == repr(type_)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (sa.Numeric(), "needs its digits"),
        (sa.Numeric(scale=2), "needs its digits"),
        (sa.Numeric(66, 2), "1 to 65"),
        (sa.Numeric(40, 31), "0 to 30"),
        (sa.Numeric(2, 3), "no more than the digits"),
        (sa.PickleType(), "use Blob"),
    ],
)
def test_a_type_that_cannot_behave_alike_is_refused(given: Any, words: str) -> None:
    with pytest.raises(InvalidValue, match=words):
        portable(given)


def test_a_long_decimal_is_refused_by_sqlite_alone() -> None:
    type_ = portable(sa.Numeric(16, 2))
    reason = check_type(type_, SQLITE)
    assert reason is not None
    assert "15 digits" in reason
    for driver in ("mysql+pymysql://", "mariadb+pymysql://", "postgresql+psycopg://"):
        assert check_type(type_, sa.create_engine(driver).dialect) is None
    assert check_type(portable(sa.Numeric(15, 2)), SQLITE) is None
    assert check_type(portable(sa.String(3)), SQLITE) is None


@pytest.mark.parametrize(
    "type_", [sa.Float(), sa.Double(), sa.JSON(), sa.Text(), sa.String(), sa.String(5000), sa.LargeBinary(), Blob()]
)
def test_a_key_must_compare_and_be_short(type_: Any) -> None:
    problem = check_key_type(portable(type_))
    assert problem is not None
    assert "cannot be part of a primary key" in problem


@pytest.mark.parametrize(
    ("type_", "size"),
    [
        (sa.String(16), 64), (sa.Integer(), 4), (sa.SmallInteger(), 2), (sa.BigInteger(), 8), (sa.Boolean(), 1), (sa.Date(), 3),
        (sa.DateTime(), 8), (sa.Time(), 6), (UtcDateTime(), 8), (Duration(), 8), (sa.Numeric(15, 4), 7), (sa.Numeric(3, 2), 2), (sa.Uuid(), 128),
        (sa.VARBINARY(20), 20), (sa.Enum("ab", "c"), 8),
    ],
)  # fmt: skip
def test_a_key_column_costs_so_many_bytes_of_an_index(type_: Any, size: int) -> None:
    made = portable(type_)
    assert check_key_type(made) is None
    assert key_bytes(made) == size


def test_the_index_limit_of_mysql_is_what_key_bytes_says(engine: sa.Engine) -> None:
    if engine.dialect.name not in ("mysql", "mariadb"):
        pytest.skip("only MySQL and MariaDB have this limit")
    others = [sa.Integer(), sa.SmallInteger(), sa.BigInteger(), sa.Boolean(), sa.Date(), sa.DateTime(), sa.Time(), sa.Numeric(15, 4),
              sa.Numeric(3, 2), sa.Numeric(18, 9), sa.Numeric(10, 0), sa.Uuid(), sa.VARBINARY(20), sa.Enum("ab", "c")]  # fmt: skip
    for number, other in enumerate(others):
        spare = 3072 - key_bytes(portable(other))
        for length, fits in ((spare // 4, True), (spare // 4 + 1, False)):
            columns = [
                sa.Column("a", portable(sa.String(length)), primary_key=True),
                sa.Column("b", portable(other), primary_key=True),
            ]
            rest = spare - 4 * length
            if fits and rest:
                columns.append(sa.Column("c", sa.VARBINARY(rest), primary_key=True))
            table = sa.Table(
                f"limit_{number}_{fits}", sa.MetaData(), *columns, mariadb_charset="utf8mb4", mysql_charset="utf8mb4"
            )
            if fits:
                table.create(engine)
            else:
                with pytest.raises(sa.exc.OperationalError, match="1071"):
                    table.create(engine)


def test_what_a_reflected_type_keeps_is_known() -> None:
    assert adapter(mysql.TINYINT(unsigned=True)).one(255) == 255
    with pytest.raises(InvalidValue, match="8 bits"):
        adapter(mysql.TINYINT()).one(128)
    with pytest.raises(InvalidValue, match="finer than the column"):
        adapter(mysql.DATETIME()).one(dt.datetime(2024, 1, 1, 0, 0, 0, 1))
    assert adapter(mysql.DATETIME(fsp=3)).one(dt.datetime(2024, 1, 1, 0, 0, 0, 1000)).microsecond == 1000
    with pytest.raises(InvalidValue, match="time zone"):
        adapter(postgresql.TIMESTAMP(timezone=True)).one(dt.datetime(2024, 1, 1))
    assert adapter(postgresql.NUMERIC()).one(Decimal("1.123456789")) == Decimal("1.123456789")
    assert adapter(postgresql.JSONB()).one({"a": np.int64(1)}) == {"a": 1}
    assert adapter(mysql.ENUM("a", "b")).one("a") == "a"
