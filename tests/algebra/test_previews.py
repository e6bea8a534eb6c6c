"""A preview of any relation shows its rows and counts them, and tells an error as every other verb does."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compdb.algebra import U
from compdb.database import bind
from compdb.testing.pipelines import pipelines

from .test_oracle import Expressions

RUNS = 8
EXPRESSIONS = 15


class Shown(Expressions):
    """Shows every expression instead of comparing its rows."""

    def compare(self, found, expected):
        self.seen["previews"] += 1
        total = len(expected.rows)
        words = f"{total:,} row" + ("" if total == 1 else "s")
        words = words if total <= 12 else f"first 12 of {words}"
        told = found.preview(width=10_000)
        assert told.splitlines()[-1] == words, told
        assert len(told.splitlines()) >= 2 + min(total, 12)
        page = found._repr_html_()
        assert f">{words}<" in page
        assert page.count("<tr>") == 1 + min(total, 12)
        for name in expected.key:
            assert re.search(rf'<th class="key[^>]*>{name}</th>', page)


def test_previews_of_random_expressions_show_all_of_them(oracle_database):
    shown = Counter()

    @settings(max_examples=RUNS, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(made=pipelines(), random=st.randoms(use_true_random=False))
    def run(made, random):
        made.create(oracle_database.engine)
        bind(made.metadata, oracle_database)
        try:
            expressions = Shown(made, random, shown)
            for _ in range(EXPRESSIONS):
                expressions.grow()
        finally:
            made.metadata.drop_all(oracle_database.engine)

    run()
    assert shown["previews"] >= RUNS * EXPRESSIONS / 2
    assert shown["with rows"] > 0


def test_an_unknown_name_in_a_text_is_told_as_when_it_is_fetched(lab):
    for shown in ((lab.Session & "qualiti > 0.5").preview(), (lab.Session & "qualiti > 0.5")._repr_html_()):
        assert "UnknownAttribute: no attribute" in shown
        assert "did you mean" in shown


def test_numbers_that_a_text_computes_stand_to_the_right(lab):
    page = lab.Subject.aggr(lab.Session, n="count(*)", last="max(note)")._repr_html_()
    assert '<th class="number">n</th>' in page
    assert "<th>last</th>" in page


@pytest.fixture
def sent(lab) -> Iterator[object]:
    @contextmanager
    def watch():
        seen: list[int] = []

        def note(connection, cursor, *rest):
            seen.append(1)

        sa.event.listen(lab.database.reader, "before_cursor_execute", note)
        try:
            yield seen
        finally:
            sa.event.remove(lab.database.reader, "before_cursor_execute", note)

    return watch


def test_a_preview_of_few_rows_is_one_statement(lab, sent):
    for relation in (lab.Session, lab.Subject * lab.Session, U("rig") & lab.Session, lab.Session + lab.Session):
        with sent() as seen:
            relation.preview()
        assert len(seen) == 1
