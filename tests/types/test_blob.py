"""Blob columns: encoded early, writable when fetched, never compared."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy import orm

from compdb.codecs import Encoded, encode
from compdb.errors import BlobError, InvalidValue, RestrictionError
from compdb.types import Blob, adapter


class Base(orm.DeclarativeBase):
    pass


class Image(Base):
    __tablename__ = "image"
    image_id: orm.Mapped[int] = orm.mapped_column(primary_key=True, autoincrement=False)
    pixels: orm.Mapped[Any] = orm.mapped_column(Blob, deferred=True)
    small: orm.Mapped[Any] = orm.mapped_column(Blob(compression="zstd"), nullable=True)


@pytest.fixture
def session(engine: sa.Engine) -> Any:
    Base.metadata.create_all(engine)
    with orm.Session(engine) as session:
        yield session


def test_a_fetched_array_is_equal_and_writable(session: orm.Session) -> None:
    pixels = np.arange(12.0).reshape(3, 4)
    session.add(Image(image_id=1, pixels=pixels, small=np.zeros((100, 100))))
    session.commit()
    image = session.get_one(Image, 1)
    np.testing.assert_array_equal(image.pixels, pixels)
    image.pixels[0, 0] = 7
    assert image.small.flags.writeable
    stored = session.execute(sa.text("SELECT length(small) FROM image")).scalar_one()
    assert stored < 1000


def test_an_array_of_more_than_64_kb_fits(session: orm.Session) -> None:
    pixels = np.random.default_rng(0).random(100_000)
    session.add(Image(image_id=1, pixels=pixels))
    session.commit()
    np.testing.assert_array_equal(session.get_one(Image, 1).pixels, pixels)
    assert session.get_one(Image, 1).small is None


def test_a_new_array_is_a_change(session: orm.Session) -> None:
    session.add(Image(image_id=1, pixels=np.zeros(3)))
    session.commit()
    session.get_one(Image, 1).pixels = np.zeros(4)
    session.commit()
    assert session.get_one(Image, 1).pixels.shape == (4,)


def test_a_blob_is_not_compared_or_ordered(session: orm.Session) -> None:
    pixels = Image.pixels
    for ask in (
        lambda: pixels == np.zeros(3), lambda: pixels != b"x", lambda: pixels < 3, lambda: pixels.in_([1]),
        lambda: pixels.like("x"), lambda: pixels + 1, lambda: 1 + pixels, lambda: pixels.desc(), lambda: pixels == Image.small,
        lambda: pixels.is_(True),
    ):  # fmt: skip
        with pytest.raises(RestrictionError, match="cannot be compared"):
            ask()
    session.add_all([Image(image_id=1, pixels=1, small=2), Image(image_id=2, pixels=1)])
    session.commit()
    ids = sa.select(Image.image_id)
    assert session.scalars(ids.where(Image.small == None)).all() == [2]  # noqa: E711
    assert session.scalars(ids.where(Image.small.is_(None))).all() == [2]
    assert session.scalars(ids.where(Image.small.is_not(None))).all() == [1]
    assert session.scalars(ids.where(Image.small != None)).all() == [1]  # noqa: E711


def test_a_blob_that_is_encoded_already_is_stored_as_it_is(session: orm.Session) -> None:
    encoded = adapter(Blob()).one([1, 2])
    assert isinstance(encoded, Encoded)
    assert adapter(Blob()).one(encoded) is encoded
    assert adapter(Blob()).many([encoded, [3]])[0] is encoded
    session.execute(
        sa.insert(Image), [{"image_id": 1, "pixels": encoded}, {"image_id": 2, "pixels": Encoded(encode("x"))}]
    )
    assert session.scalars(sa.select(Image.pixels).order_by(Image.image_id)).all() == [[1, 2], "x"]
    assert bytes(session.execute(sa.text("SELECT pixels FROM image WHERE image_id = 1")).scalar_one()) == bytes(encoded)


def test_bytes_that_are_no_blob_are_a_blob_error(session: orm.Session) -> None:
    table = Image.__table__
    raw = sa.table("image", sa.column("image_id", sa.Integer), sa.column("pixels", sa.LargeBinary))
    session.execute(raw.insert(), {"image_id": 1, "pixels": b"\x80\x04]\x94."})
    assert session.scalars(sa.select(table.c.image_id)).all() == [1]
    with pytest.raises(BlobError):
        session.scalars(sa.select(table.c.pixels)).all()


def test_a_value_that_no_blob_holds_is_refused_before_any_sql() -> None:
    with pytest.raises(BlobError):
        adapter(Blob()).one(object())
    with pytest.raises(BlobError) as caught:
        adapter(Blob()).many([1, np.array([object()])])
    assert caught.value.row == 1
    with pytest.raises(InvalidValue, match="cannot be compared"):
        adapter(Blob()).condition(np.zeros(3))
    assert adapter(Blob()).condition(None) is None
