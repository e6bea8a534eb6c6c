"""Dates and times as ISO 8601 text, exact to the microsecond, the fold and the zone.

    2026-03-29T02:30:00                                   naive
    2026-03-29T02:30:00.000001+02:00                      at a fixed offset (`datetime.timezone`)
    2026-03-29T02:30:00+02:00[name=CEST]                  that has a name, as of `datetime.now().astimezone()`
    2026-10-25T02:30:00[Europe/Zurich][fold=1]            in a zone (`zoneinfo.ZoneInfo`): the time on its clock

A zone is kept by its key, as pickle and everything else in Python keeps it; the machine that reads must know the zone.
Other tzinfo classes (pytz, dateutil) would come back as something else and are refused.
"""

from __future__ import annotations

import datetime as dt
import re
import struct
import zoneinfo

from compdb.codecs.refusal import Refused
from compdb.codecs.scalars import Scalar
from compdb.errors import BlobError

__all__ = ["TIMES"]

_CLOCK = r"\d\d:\d\d:\d\d(?:\.\d{6})?"
_ZONE = (
    r"(?P<offset>[+-]\d\d:\d\d(?::\d\d(?:\.\d{6})?)?)?"
    r"(?:\[(?P<key>[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+)*)\])?"
    r"(?P<fold>\[fold=1\])?"
    r"(?:\[name=(?P<name>.*)\])?"
)
_DATETIME = re.compile(rf"(?P<clock>\d{{4}}-\d\d-\d\dT{_CLOCK}){_ZONE}", re.DOTALL)
_TIME = re.compile(rf"(?P<clock>{_CLOCK}){_ZONE}", re.DOTALL)
_DELTA = struct.Struct("<iII")


def _write_clock(value: dt.datetime | dt.time) -> bytes:
    """Return a datetime or time as text."""
    zone = value.tzinfo
    text = value.replace(tzinfo=None).isoformat()
    name = None
    if type(zone) is dt.timezone:
        offset = zone.utcoffset(None)
        standard = dt.timezone(offset).tzname(None)
        text += standard[3:] or "+00:00"
        name = zone.tzname(None) if zone.tzname(None) != standard else None
    elif type(zone) is zoneinfo.ZoneInfo:
        text += f"[{_key(value, zone)}]"
    elif zone is not None:
        raise Refused(
            f"has a time zone of class {type(zone).__module__}.{type(zone).__name__}, which would come back changed",
            "give it a zoneinfo.ZoneInfo or a datetime.timezone",
            value,
        )
    text += "[fold=1]" * value.fold + (f"[name={name}]" if name is not None else "")
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise Refused("has a time zone whose name is not valid text", "use datetime.timezone(offset)", value) from None


def _key(value: dt.datetime | dt.time, zone: zoneinfo.ZoneInfo) -> str:
    """Return the key of a zone, when the key alone gives the same zone again."""
    try:
        if zone.key is not None and _DATETIME.fullmatch(f"2000-01-01T00:00:00[{zone.key}]"):
            known = zoneinfo.ZoneInfo(zone.key)
            if value.replace(tzinfo=known).utcoffset() == value.utcoffset():
                return zone.key
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        pass
    raise Refused(f"has the time zone {zone!r}, which its key does not tell", "use zoneinfo.ZoneInfo(key)", value)


def _zone(text: re.Match[str]) -> dt.tzinfo | None:
    """Return the zone that a text names."""
    if text["key"] is not None:
        try:
            return zoneinfo.ZoneInfo(text["key"])
        except zoneinfo.ZoneInfoNotFoundError:
            raise BlobError(
                f"blob with the time zone {text['key']!r}, which this machine does not know: pip install tzdata"
            ) from None
    if text["offset"] is None:
        return None
    offset = _offset(text["offset"])
    return dt.timezone(offset) if text["name"] is None else dt.timezone(offset, text["name"])


def _offset(text: str) -> dt.timedelta:
    """Return `+hh:mm:ss.ffffff` as a timedelta; `fromisoformat` takes offsets of less than a second for UTC."""
    hours, minutes, seconds = (*text[1:].split(":"), "0")[:3]
    whole, _, fraction = seconds.partition(".")
    size = dt.timedelta(hours=int(hours), minutes=int(minutes), seconds=int(whole), microseconds=int(fraction or "0"))
    return -size if text[0] == "-" else size


def _read_datetime(data: bytes) -> dt.datetime:
    text = _DATETIME.fullmatch(data.decode())
    if text is None:
        raise BlobError(f"damaged blob: {data[:60]!r} is no datetime")
    return dt.datetime.fromisoformat(text["clock"]).replace(tzinfo=_zone(text), fold=1 if text["fold"] else 0)


def _read_time(data: bytes) -> dt.time:
    text = _TIME.fullmatch(data.decode())
    if text is None:
        raise BlobError(f"damaged blob: {data[:60]!r} is no time")
    return dt.time.fromisoformat(text["clock"]).replace(tzinfo=_zone(text), fold=1 if text["fold"] else 0)


def _write_delta(value: dt.timedelta) -> bytes:
    return _DELTA.pack(value.days, value.seconds, value.microseconds)


def _read_delta(data: bytes) -> dt.timedelta:
    return dt.timedelta(*_DELTA.unpack(data))


TIMES = (
    Scalar(32, dt.date, lambda value: value.isoformat().encode(), lambda data: dt.date.fromisoformat(data.decode())),
    Scalar(33, dt.datetime, _write_clock, _read_datetime),
    Scalar(34, dt.time, _write_clock, _read_time),
    Scalar(35, dt.timedelta, _write_delta, _read_delta),
)
