"""A preview for notebooks, on light and on dark ground: all its colours are shades of the text around it."""

from __future__ import annotations

from html import escape
from typing import Any

from compdb.preview.sampling import Column, Sample, Source, sample

__all__ = ["html"]

CSS = """
.compdb {font-family: system-ui, sans-serif; font-size: 13px; color: inherit; margin: .4em 0; overflow-x: auto}
.compdb .title {font-weight: 600}
.compdb .comment, .compdb .count {opacity: .7}
.compdb .error {white-space: pre-wrap; font-family: ui-monospace, monospace}
.compdb table {font-size: inherit; border-collapse: collapse; margin: .35em 0; border: 0; color: inherit; background: transparent}
.compdb tr {background: transparent}
.compdb tbody tr:nth-child(odd) {background: rgba(128, 128, 128, .1)}
.compdb tbody tr:hover {background: rgba(128, 128, 128, .22)}
.compdb th, .compdb td {border: 0; padding: .25em .8em; text-align: left; white-space: nowrap; max-width: 24em;
  overflow: hidden; text-overflow: ellipsis; color: inherit; font-weight: normal}
.compdb thead th {border-bottom: 1px solid rgba(128, 128, 128, .6); opacity: .85}
.compdb thead th.key {font-weight: 700; text-decoration: underline; text-underline-offset: .2em; opacity: 1}
.compdb td.key {font-weight: 600}
.compdb .number {text-align: right; font-variant-numeric: tabular-nums}
.compdb .null {opacity: .45; font-style: italic}
.compdb [title] {cursor: help}
"""


def html(source: Source, **options: Any) -> str:  # the options of `sample`
    """Return a preview as HTML: title, comment, the first rows, how many there are. Column comments are tooltips.

    Parameters
    ----------
    **options
        Those of `sample`.
    """
    found = sample(source, **options)
    parts = [_line("title", found.title), _line("comment", found.comment)]
    parts += [_line("error", found.error)] if found.error else [_table(found), _line("count", found.count)]
    return f'<div class="compdb"><style>{CSS}</style>{"".join(parts)}</div>'


def _line(kind: str, text: str) -> str:
    return f'<div class="{kind}">{escape(text)}</div>' if text else ""


def _table(found: Sample) -> str:
    head = "".join(f"<th{_marks(c)}{_tip(c.comment)}>{escape(c.name)}</th>" for c in found.columns)
    rows = ("".join(_cell(c, value) for c, value in zip(found.columns, row)) for row in found.rows)
    body = "".join(f"<tr>{cells}</tr>" for cells in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(column: Column, value: str | None) -> str:
    if value is None:
        return f'<td class="null{" number" if column.number else ""}">NULL</td>'
    tip = value if len(value) > 30 else ""
    return f"<td{_marks(column)}{_tip(tip)}>{escape(value)}</td>"


def _marks(column: Column) -> str:
    names = [name for name, has in (("key", column.key), ("number", column.number)) if has]
    return f' class="{" ".join(names)}"' if names else ""


def _tip(text: str) -> str:
    return f' title="{escape(text)}"' if text else ""
