"""Previews: what they show, what they never load, and that they never fail."""

from __future__ import annotations

import html.parser
import io

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from compdb import preview, types
from compdb.database import connect
from compdb.preview import sampling
from compdb.preview.sampling import harmless
from compdb.types import portable

METADATA = sa.MetaData()
SESSION = sa.Table(
    "session",
    METADATA,
    sa.Column("subject_id", portable(sa.String(20)), primary_key=True, comment="who <b>it</b> was"),
    sa.Column("session", portable(sa.BigInteger()), primary_key=True, autoincrement=False),
    sa.Column("note", portable(sa.Text()), comment="free text"),
    sa.Column("trace", types.Blob(), comment="in mV"),
    sa.Column("raw", portable(sa.LargeBinary())),
    sa.Column("params", portable(sa.JSON())),
    sa.Column("rate", portable(sa.Double())),
)
NOTES = ["plain", "\x1b[31mred\x1b[0m\nnew line", "<script>alert(1)</script>", "日本語" * 20, "x" * 5000, None]
TRACES = [np.zeros((87, 100)), {"a": 1}, None, np.arange(5, dtype="u2"), "text"]
SELECT = sa.select(SESSION).order_by(SESSION.c.session)
KEY = ["subject_id", "session"]


@pytest.fixture
def database(url):
    database = connect(url)
    METADATA.create_all(database.engine)
    return database


@pytest.fixture
def filled(database):
    rows = [
        {
            "subject_id": f"M{i:03}",
            "session": i,
            "note": NOTES[i % 6],
            "trace": TRACES[i % 5],
            "raw": [b"", b"\0x", b"z" * 2000, None][i % 4],
            "params": [{"k": [1, None]}, None][i % 2],
            "rate": i / 7,
        }
        for i in range(40)
    ]
    with database.transaction() as session:
        session.execute(SESSION.insert(), rows)
    return database


def text(database, select=SELECT, **options):
    return preview.text(lambda: (database, select), **{"key": KEY, "width": 140, **options})


def html_of(database, select=SELECT, **options):
    return preview.html(lambda: (database, select), **{"key": KEY, **options})


class Reader(html.parser.HTMLParser):
    """Cells and tags of a page, checking that every tag is closed."""

    def __init__(self, page):
        super().__init__()
        self.open, self.cells, self.tags, self.titles = [], [], [], []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.tags.append((tag, dict(attrs).get("class")))
        self.titles.append(dict(attrs).get("title"))
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.cells[-1] += data


# ---------------------------------------------------------------- what is shown


def test_text_shows_title_rows_and_how_many_there_are(filled):
    shown = text(filled, title="Session & 'note'", comment="Recordings.", width=140).splitlines()
    assert shown[:2] == ["Session & 'note'", "Recordings."]
    assert [cell.strip() for cell in shown[2].split("│")] == [
        "*subject_id",
        "*session",
        "note",
        "trace",
        "raw",
        "params",
        "rate",
    ]
    assert len(shown) == 2 + 2 + 12 + 1
    assert [cell.strip() for cell in shown[4].split("│")] == [
        "M000", "0", "plain", "float64 (87, 100)", "b''", '{"k": [1, null]}', "0",
    ]  # fmt: skip
    assert shown[-1] == "first 12 of 40 rows"


@pytest.mark.parametrize(
    ("largest", "words"), [(-1, "0 rows"), (0, "1 row"), (11, "12 rows"), (12, "first 12 of 13 rows")]
)
def test_the_count_in_words(filled, largest, words):
    query = SELECT.where(SESSION.c.session <= largest)
    assert text(filled, query).splitlines()[-1] == words
    assert words in html_of(filled, query)


def test_the_limit_is_the_callers(filled):
    assert text(filled, limit=3).splitlines()[-1] == "first 3 of 40 rows"


def test_html_shows_the_same_cells(filled):
    page = Reader(html_of(filled, title="T"))
    assert page.cells[:7] == ["subject_id", "session", "note", "trace", "raw", "params", "rate"]
    assert page.cells[7:14] == ["M000", "0", "plain", "float64 (87, 100)", "b''", '{"k": [1, null]}', "0"]
    assert page.cells[7 + 14 :][3] == "NULL"
    assert [c for tag, c in page.tags if tag == "th"] == ["key", "key number", None, None, None, None, "number"]
    assert "who <b>it</b> was" in page.titles


def test_comments_of_the_caller_come_before_those_of_the_columns(filled):
    page = Reader(html_of(filled, comments={"note": "said by hand", "rate": None}))
    assert "said by hand" in page.titles
    assert "in mV" in page.titles
    assert "free text" not in page.titles


def test_nothing_of_the_page_takes_its_colour_from_a_theme(filled):
    page = html_of(filled)
    assert "#" not in page.split("</style>")[0].replace("&#", "")
    assert "prefers-color-scheme" not in page


def test_a_narrow_terminal_cuts_cells_first_and_leaves_columns_out_then(filled):
    for width in (20, 40, 60, 80, 200):
        shown = text(filled, width=width).splitlines()
        assert all(Console().measure(line).maximum <= width for line in shown[:-1])
        assert shown[0].split("│")[0].strip() == "*subject_id"
    assert "not shown: note, trace, raw, params, rate" in text(filled, width=30)
    assert "not shown" not in text(filled, width=200)


def test_without_a_terminal_the_width_is_fixed(filled, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr("os.get_terminal_size", lambda fd=0: (_ for _ in ()).throw(OSError))
    assert text(filled, width=None) == text(filled, width=100)


def test_a_rich_console_draws_the_table_in_colour(filled):
    found = preview.sample(lambda: (filled, SELECT), key=KEY)
    console = Console(file=io.StringIO(), force_terminal=True, color_system="standard", width=120)
    console.print(preview.table(found))
    assert "\x1b[1m*subject_id" in console.file.getvalue()


# ---------------------------------------------------------------- what is never loaded


@pytest.mark.parametrize(
    "select",
    [
        SELECT,
        SELECT.limit(20),
        sa.select(SESSION.c.subject_id, SESSION.c.trace.label("other")),
        sa.select(SELECT.subquery()),
        sa.select(SESSION.c.subject_id, SESSION.c.note, SESSION.c.trace).distinct().order_by(SESSION.c.subject_id),
        sa.select(SESSION.c.session, sa.func.max(SESSION.c.note).label("m")).group_by(SESSION.c.session),
        sa.select(SESSION.c.subject_id, sa.literal_column("coalesce(trace, trace)").label("t")),
        sa.select(SESSION.c.subject_id, sa.literal_column("(note)").label("n")),
        sa.select(SESSION.c.subject_id, sa.literal_column("(raw)").label("r")).distinct(),
    ],
    ids=["table", "limited", "renamed", "nested", "distinct", "grouped", "text of blobs", "text of text", "text of bytes"],
)
def test_no_value_that_may_be_large_is_fetched_whole(database, select, monkeypatch):
    big = np.random.default_rng(1).random(50_000)
    with database.transaction() as session:
        session.execute(
            SESSION.insert(),
            [
                {"subject_id": f"M{i}", "session": i, "note": "y" * 90_000, "trace": big, "raw": big.tobytes()}
                for i in range(3)
            ],
        )
    sizes = []

    def row(wanted, values, inner=sampling._row):
        sizes.extend(len(v) for v in values if isinstance(v, (str, bytes, memoryview)))
        return inner(wanted, values)

    monkeypatch.setattr(sampling, "_row", row)
    shown = text(database, select, width=140)
    assert "3 rows" in shown
    assert max(sizes) <= 512
    if "trace" in select.selected_columns or "other" in select.selected_columns:
        assert "float64 (50000,)" in shown
    if list(select.selected_columns)[-1].name in ("t", "n", "r"):
        assert shown.count(" bytes") == 3


def test_what_text_computes_is_shown_as_it_is_unless_it_is_large(database):
    with database.transaction() as session:
        session.execute(SESSION.insert(), [{"subject_id": "M1", "session": 7, "note": "z" * 3_000}])
    texts = ["session + 1", "1.5", "'a'", "NULL", "note", "coalesce(session, 2) * 2"]
    select = sa.select(*(sa.literal_column(f"({t})").label(f"c{i}") for i, t in enumerate(texts))).select_from(SESSION)
    row = preview.sample(lambda: (database, select)).rows[0]
    assert row[:4] == ["8", "1.5", "a", None]
    assert row[4] == "z" * 200 + "…"
    assert row[5] == "14"


def test_rows_that_differ_beyond_what_is_read_are_different_rows(database):
    with database.transaction() as session:
        for i, tail in enumerate("aab"):
            session.execute(SESSION.insert(), [{"subject_id": f"M{i}", "session": i, "note": "y" * 300 + tail}])
    assert text(database, sa.select(SESSION.c.note).distinct()).splitlines()[-1] == "2 rows"
    assert text(database, sa.select(SESSION.c.note).distinct(), limit=1).splitlines()[-1] == "first 1 of 2 rows"
    assert text(database, sa.select(SESSION.c.note).group_by(SESSION.c.note)).splitlines()[-1] == "2 rows"


def test_a_damaged_blob_is_told_by_its_size(database):
    with database.transaction() as session:
        session.execute(SESSION.insert(), [{"subject_id": "M", "session": 1}])
        session.execute(
            sa.table("session", sa.column("trace", sa.LargeBinary)).update().values(trace=b"\x93NUMPY no blob")
        )
    assert "blob, 14 bytes" in text(database)


# ---------------------------------------------------------------- what does no harm


def test_control_characters_and_markup_are_written_out(filled):
    shown = text(filled, title="a\x1b[2Jb", comment="[bold]c[/bold]")
    assert "\x1b" not in shown
    assert r"a\x1b[2Jb" in shown
    assert "[bold]c[/bold]" in shown
    page = html_of(filled, title="<i>t</i>", comment="&")
    assert "<script>" not in page
    assert "<i>" not in page
    assert r"\x1b[31mred\x1b[0m\nnew line" in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


@given(st.text())
def test_harmless_text_is_one_printable_line(value):
    shown = harmless(value)
    assert shown.isprintable()
    assert harmless(shown) == shown
    assert len(value) > 200 or not value.isprintable() or shown == value


# ---------------------------------------------------------------- never fails


def broken():
    raise LookupError("there is <nothing>\nhere")


def test_an_error_is_a_line_of_text():
    assert preview.text(broken, title="Session") == "Session\nLookupError: there is <nothing>"
    assert "LookupError: there is &lt;nothing&gt;" in preview.html(broken)


def test_an_error_of_the_database_is_a_line_of_text(filled):
    nope = sa.select(sa.literal_column("nope")).select_from(SESSION)
    assert "nope" in text(filled, nope, title="Session").splitlines()[1]
    assert len(text(filled).splitlines()) == 15


def test_an_error_in_a_transaction_leaves_it_usable(filled):
    nope = sa.select(sa.literal_column("nope")).select_from(SESSION)
    with filled.transaction() as session:
        session.execute(SESSION.delete().where(SESSION.c.session > 5))
        assert "nope" in text(filled, nope)
        assert text(filled).splitlines()[-1] == "6 rows"
    assert text(filled).splitlines()[-1] == "6 rows"


class Awkward(sa.types.TypeDecorator[object]):
    """Values that cannot be shown."""

    impl = sa.Integer
    cache_ok = True

    def process_result_value(self, value, dialect):
        class Value:
            def __str__(self):
                raise RuntimeError("no")

        return Value()


def test_a_value_that_cannot_be_shown_is_told_by_its_type(filled):
    query = sa.select(sa.type_coerce(SESSION.c.session, Awkward).label("x"))
    assert "Awkward" in text(filled, query)


def test_a_relation_without_columns_shows_its_rows():
    database = connect("sqlite://")
    assert "row" in preview.text(lambda: (database, sa.select(sa.literal_column("1").label("one"))))
