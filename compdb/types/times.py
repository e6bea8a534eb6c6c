"""Dates, times of day, moments and durations, all to the microsecond.

`datetime` is naive: a clock on the wall, with no zone. `UtcDateTime` is a moment: an aware datetime goes in, and the same moment
comes back in UTC. One is refused where the other is declared, since a database would drop or shift the zone silently.
`timedelta` is stored as whole microseconds (BIGINT), so that it compares and adds alike everywhere.

ISO 8601 text, numpy's and pandas' dates are taken where nothing of them is lost: not where they are finer than a microsecond.
"""

from __future__ import annotations

import datetime as dt
import operator
import re
from typing import Any, TypeVar

import numpy as np
import sqlalchemy as sa

from compdb.errors import InvalidValue, shorten
from compdb.types.adapter import Adapter, wrong
from compdb.types.variants import Varied, is_generic, of_mysql, vary

__all__ = [
    "DateAdapter",
    "DateTimeAdapter",
    "Duration",
    "DurationAdapter",
    "TimeAdapter",
    "UtcAdapter",
    "UtcDateTime",
    "adapter",
    "column_type",
    "portable",
]

Type = sa.types.TypeEngine[Any]
Moment = TypeVar("Moment", dt.date, dt.time, dt.datetime)

_MICROSECOND = dt.timedelta(microseconds=1)
_LONGEST = dt.timedelta(microseconds=2**63 - 1)
_FINER = re.compile(r"[.,]\d{6}\d*[1-9]")
_NOT_FINER = "is finer than a microsecond, which is what databases keep; round it first"


def _naive() -> Type:
    return vary(sa.DateTime(), mysql=of_mysql("DATETIME", fsp=6))


class UtcDateTime(Varied[dt.datetime]):
    """A moment in time: aware datetimes in, the same moments out, in UTC. Stored as naive UTC on every database.

    >>> recorded: Mapped[datetime] = mapped_column(UtcDateTime)
    """

    impl: Any = sa.DateTime
    cache_ok = True

    def __init__(self) -> None:
        super().__init__()
        self.impl = _naive()

    def process_bind_param(self, value: dt.datetime | None, dialect: sa.Dialect) -> dt.datetime | None:
        """Turn an aware datetime into naive UTC."""
        if value is None:
            return None
        moment: dt.datetime = (
            value if value.__class__ is dt.datetime and value.tzinfo is dt.UTC else UtcAdapter(self).one(value)
        )
        return moment.replace(tzinfo=None)

    def process_result_value(self, value: dt.datetime | None, dialect: sa.Dialect) -> dt.datetime | None:
        """Give naive UTC its zone back."""
        return None if value is None else value.replace(tzinfo=dt.UTC)

    def __repr__(self) -> str:
        return "UtcDateTime()"


class _Arithmetic(sa.types.TypeDecorator.Comparator[dt.timedelta]):
    """Sums, multiples and fractions of durations are durations; one divided by another is a number."""

    def operate(self, op: Any, *other: Any, **kwargs: Any) -> Any:
        """Return the expression, a number where it is a ratio."""
        result = super().operate(op, *other, **kwargs)
        ratio = op is operator.truediv and isinstance(result.right.type, Duration)
        return sa.type_coerce(result, sa.Double()) if ratio else result


class Duration(sa.types.TypeDecorator[dt.timedelta]):
    """A length of time, stored as whole microseconds: it compares, adds and averages alike on every database.

    >>> took: Mapped[timedelta]
    >>> select(func.sum(Run.took), func.avg(Run.took, type_=Duration()))
    """

    impl = vary(sa.BigInteger(), sqlite=sa.Integer())
    cache_ok = True
    comparator_factory: Any = _Arithmetic

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> int | None:
        """Turn a timedelta into microseconds."""
        if value is None:
            return None
        length: dt.timedelta = value if type(value) is dt.timedelta else DurationAdapter(self).one(value)
        return length // _MICROSECOND

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> dt.timedelta | None:
        """Turn microseconds, also the Decimal of a sum, into a timedelta."""
        return None if value is None else dt.timedelta(microseconds=round(value))

    def coerce_compared_value(self, op: Any, value: Any) -> Any:
        """Let durations be multiplied and divided by plain numbers."""
        return (
            self
            if isinstance(value, (dt.timedelta, np.timedelta64))
            else self.impl_instance.coerce_compared_value(op, value)
        )

    @property
    def python_type(self) -> type[dt.timedelta]:
        """The Python type of its values."""
        return dt.timedelta

    def __repr__(self) -> str:
        return "Duration()"


def column_type(python_type: Any) -> Type | None:
    """Return the column type of `date`, `datetime`, `time`, `timedelta` and `UtcDateTime`."""
    types: dict[Any, Type] = {
        dt.date: sa.Date(),
        dt.datetime: _naive(),
        dt.time: vary(sa.Time(), mysql=of_mysql("TIME", fsp=6)),
        dt.timedelta: Duration(),
        UtcDateTime: UtcDateTime(),
        Duration: Duration(),
    }
    return types.get(python_type) if isinstance(python_type, type) else None


def portable(type_: Type) -> Type | None:
    """Give times their microseconds; a DateTime with a zone is a UtcDateTime, an Interval is a Duration."""
    if not is_generic(type_):
        return None
    if isinstance(type_, sa.Interval):
        return vary(Duration(), instead_of=type_)
    if isinstance(type_, sa.DateTime):
        if type_.timezone:
            return vary(UtcDateTime(), instead_of=type_)
        base: Type = type_ if type(type_) is sa.DateTime else sa.DateTime()
        return vary(base, instead_of=type_, mysql=of_mysql("DATETIME", fsp=6))
    if isinstance(type_, sa.Time):
        base = type_ if type(type_) is sa.Time and not type_.timezone else sa.Time()
        return vary(base, instead_of=type_, mysql=of_mysql("TIME", fsp=6))
    return type_ if isinstance(type_, sa.Date) else None


def adapter(type_: Type, nullable: bool, key: bool) -> Adapter | None:
    """Return the adapter of a date, time, moment or duration column."""
    if isinstance(type_, UtcDateTime) or (isinstance(type_, sa.DateTime) and type_.timezone):
        return UtcAdapter(type_, nullable, key)
    kinds: tuple[tuple[type, type[Adapter]], ...] = (
        (Duration, DurationAdapter),
        (sa.Interval, DurationAdapter),
        (sa.DateTime, DateTimeAdapter),
        (sa.Date, DateAdapter),
        (sa.Time, TimeAdapter),
    )
    return next((made(type_, nullable, key) for kind, made in kinds if isinstance(type_, kind)), None)


def _parsed(kind: type[Moment], value: str, example: str) -> Moment:
    """Read ISO 8601 text, and refuse what `fromisoformat` would cut off."""
    if _FINER.search(value):
        raise InvalidValue(f"{shorten(value)} {_NOT_FINER}", value=value)
    try:
        return kind.fromisoformat(value)
    except ValueError as error:
        raise InvalidValue(f"{shorten(value)} is no {kind.__name__}; write it as {example!r}", value=value) from error


def _from_numpy(value: np.datetime64) -> dt.datetime:
    exact = value.astype("datetime64[us]")
    found = exact.item()
    if not isinstance(found, dt.datetime):
        raise InvalidValue(f"{shorten(value)} lies outside the years 1 to 9999", value=value)
    if exact != value:
        raise InvalidValue(f"{shorten(value)} {_NOT_FINER}", value=value)
    return found


def _plain(value: dt.datetime) -> dt.datetime:
    """Return a subclass of datetime, such as pandas' Timestamp, as a datetime."""
    if getattr(value, "nanosecond", 0):
        raise InvalidValue(f"{shorten(value)} {_NOT_FINER}", value=value)
    return dt.datetime.combine(value.date(), value.timetz())


class DateAdapter(Adapter):
    """Days."""

    exact = dt.date
    takes = "a date"
    key_bytes = 3

    def convert(self, value: Any) -> dt.date:
        """Take ISO text, and naive datetimes at midnight."""
        if isinstance(value, str):
            return _parsed(dt.date, value, "2024-01-15")
        if isinstance(value, np.datetime64):
            value = _from_numpy(value)
        if isinstance(value, dt.datetime):
            moment = _plain(value)
            if moment.tzinfo is not None or moment.time() != dt.time():
                raise wrong(value, self.takes, "its time of day would be lost; write value.date()")
            return moment.date()
        if isinstance(value, dt.date):
            return dt.date(value.year, value.month, value.day)
        raise wrong(value, self.takes)

    def bulk(self, values: list[dt.date]) -> list[dt.date]:
        """Every date fits."""
        return values


def _places(type_: Any) -> int:
    """Return the decimals of a second that the column keeps: all six, but for dialects' own types."""
    if "fsp" in vars(type_):
        return type_.fsp or 0
    precision = getattr(type_, "precision", None)
    return 6 if precision is None else int(precision)


class DateTimeAdapter(Adapter):
    """Naive datetimes."""

    exact: type = dt.datetime
    takes = "a datetime"
    key_bytes = 8

    def __init__(self, type_: Type, nullable: bool = True, key: bool = False) -> None:
        super().__init__(type_, nullable, key)
        self.step = 10 ** (6 - _places(type_))

    def convert(self, value: Any) -> Any:
        """Take ISO text, dates (midnight), and numpy's and pandas' datetimes."""
        if isinstance(value, str):
            return _parsed(dt.datetime, value, "2024-01-15 10:30:00")
        if isinstance(value, np.datetime64):
            return _from_numpy(value)
        if isinstance(value, dt.datetime):
            return _plain(value)
        if isinstance(value, dt.date):
            return dt.datetime(value.year, value.month, value.day)
        raise wrong(value, self.takes)

    def comparable(self, value: Any) -> None:
        """Refuse a zone."""
        if value.tzinfo is not None:
            raise InvalidValue(
                f"{value} has a time zone, which a plain {self.exact.__name__} column would lose; declare the attribute"
                " Mapped[datetime] = mapped_column(UtcDateTime), or write value.replace(tzinfo=None)",
                value=value,
            )

    def check(self, value: Any) -> Any:
        """Refuse a zone, and microseconds where the column has none."""
        self.comparable(value)
        if self.step > 1 and value.microsecond % self.step:
            raise InvalidValue(f"{value} is finer than the column, {self.type!r}, keeps", value=value)
        return value

    def bulk(self, values: list[Any]) -> list[Any] | None:
        """Look whether all are naive."""
        if self.step > 1:
            return super().bulk(values)
        return None if [v for v in values if v.tzinfo is not None] else values


class TimeAdapter(DateTimeAdapter):
    """Naive times of day."""

    exact = dt.time
    takes = "a time of day"
    key_bytes = 6

    def convert(self, value: Any) -> dt.time:
        """Take ISO text."""
        if isinstance(value, str):
            return _parsed(dt.time, value, "10:30:00")
        if isinstance(value, dt.time):
            return dt.time(value.hour, value.minute, value.second, value.microsecond, value.tzinfo, fold=value.fold)
        raise wrong(value, self.takes)


class UtcAdapter(DateTimeAdapter):
    """Aware datetimes, turned into UTC."""

    takes = "a datetime with a time zone"

    def convert(self, value: Any) -> Any:
        """Take ISO text with an offset, and pandas' aware Timestamps."""
        if isinstance(value, np.datetime64) or (isinstance(value, dt.date) and not isinstance(value, dt.datetime)):
            raise wrong(value, self.takes, _AWARE)
        return super().convert(value)

    def comparable(self, value: Any) -> None:
        """Refuse a clock without a zone."""
        if value.utcoffset() is None:
            raise wrong(value, self.takes, _AWARE)

    def check(self, value: Any) -> Any:
        """Turn the moment into UTC; refuse one without a zone."""
        self.comparable(value)
        try:
            return value.astimezone(dt.UTC)
        except OverflowError as error:
            raise InvalidValue(f"{value} lies outside the years 1 to 9999 in UTC", value=value) from error

    def bulk(self, values: list[Any]) -> list[Any]:
        """Turn all into UTC."""
        return [self.check(value) for value in values]


_AWARE = "say in which zone it is: value.replace(tzinfo=timezone.utc), or datetime.now(timezone.utc)"


class DurationAdapter(Adapter):
    """Lengths of time within 2**63 microseconds (292,271 years)."""

    exact = dt.timedelta
    takes = "a timedelta"
    key_bytes = 8

    def convert(self, value: Any) -> dt.timedelta:
        """Take numpy's and pandas' timedeltas."""
        if isinstance(value, dt.timedelta):
            if getattr(value, "nanoseconds", 0):
                raise InvalidValue(f"{shorten(value)} {_NOT_FINER}", value=value)
            return dt.timedelta(value.days, value.seconds, value.microseconds)
        if not isinstance(value, np.timedelta64):
            raise wrong(value, self.takes, "write timedelta(seconds=...)")
        if np.datetime_data(value.dtype)[0] in ("Y", "M", "generic"):
            raise wrong(value, self.takes, "its unit has no fixed length")
        exact = value.astype("timedelta64[us]")
        if exact != value:
            raise InvalidValue(f"{shorten(value)} {_NOT_FINER}", value=value)
        return dt.timedelta(microseconds=int(exact.astype(np.int64)))

    def check(self, value: dt.timedelta) -> dt.timedelta:
        """Refuse what 64 bits of microseconds do not hold."""
        if not -_LONGEST - _MICROSECOND <= value <= _LONGEST:
            raise InvalidValue(
                f"{value} is longer than the 292,271 years that 64 bits of microseconds hold", value=value
            )
        return value

    def bulk(self, values: list[dt.timedelta]) -> list[dt.timedelta] | None:
        """Look at the extremes only."""
        return values if min(values) >= -_LONGEST and max(values) <= _LONGEST else None
