"""Random expressions over random pipelines, each compared with what Python sets and dicts say.

Hypothesis makes a pipeline and a seed; from the seed come expressions upon expressions, up to five deep. Each is checked as it is made,
so that what fails stands on operands that are right. COMPDB_ORACLE_RUNS says how many pipelines a server gets (SQLite, which is
quick, gets four times as many); the 30 of continuous integration are more than 5,000 expressions in all, the same ones each time.
The fuzz session, or any other number, draws new ones.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable
from random import Random
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from compdb.algebra import AndList, Not, Relation, Top, U
from compdb.database import Database, bind
from compdb.declare.checks import KEY_BYTES
from compdb.errors import CompdbError
from compdb.testing.pipelines import FLOATS, NUMBERS, Made, _link, pipelines
from compdb.types import column_type, key_bytes

from . import oracle
from .oracle import Model, Refused, Truth, World

RUNS = int(os.environ.get("COMPDB_ORACLE_RUNS", "30" if os.environ.get("CI") else "5"))
REPEATABLE = "COMPDB_ORACLE_RUNS" not in os.environ
EXPRESSIONS = 40
DEEPEST = 5
ENOUGH = 20
MOST_ROWS = 150
CONSTANTS: dict[type, tuple[Any, ...]] = {int: NUMBERS, float: FLOATS, str: ("a", "A", "a ", "'", "\\", "%s")}

Row = dict[str, Any]
Condition = tuple[Any, Callable[[Row], Truth]]


class Entry:
    """An expression, as a relation and as a model."""

    def __init__(self, relation: Relation[Any], model: Model, depth: int) -> None:
        self.relation, self.model, self.depth = relation, model, depth


class Unknown(Exception):
    """A condition that must be refused."""

    def __init__(self, condition: Any) -> None:
        self.condition = condition


class Expressions:
    """Builds expressions on both sides, and compares."""

    def __init__(self, made: Made, random: Random, seen: Counter[str]) -> None:
        self.made, self.world, self.random, self.seen = made, World(made), random, seen
        self.entries = [Entry(Relation.of(t), self.world.base(t.name), 0) for t in made.tables]

    def grow(self) -> None:
        """Make one expression more."""
        rules = {
            self.restrict: 5,
            self.match: 4,
            self.join: 4,
            self.extend: 3,
            self.union: 2,
            self.project: 4,
            self.aggregate: 3,
            self.occurring: 2,
            self.top: 2,
            self.look: 2,
        }
        self.random.choices(list(rules), list(rules.values()))[0]()

    # --- checking

    def step(self, relation: Callable[[], Relation[Any]], model: Callable[[], Model], *operands: Entry) -> Entry | None:
        """Apply an operator on both sides, and compare."""
        self.seen["expressions"] += 1
        note(f"operands: {', '.join(e.relation.written for e in operands)}")
        try:
            expected = model()
        except Refused:
            self.seen["refused"] += 1
            with pytest.raises(CompdbError):
                relation()
            return None
        if len(expected.rows) > MOST_ROWS:
            return None
        found = relation()
        note(f"result: {found.written}")
        self.compare(found, expected)
        self.seen["with rows"] += bool(expected.rows)
        entry = Entry(found, expected, 1 + max(e.depth for e in operands))
        self.entries.append(entry)
        return entry

    def compare(self, found: Relation[Any], expected: Model) -> None:
        assert list(found.heading.names) == expected.names
        assert list(found.primary_key) == expected.key
        rows = found.to_dicts()
        assert canonical(rows) == canonical(expected.rows), found.sql()
        for attribute in found.heading:
            origin = attribute.origin
            assert (origin is not None and (origin.table.name, origin.name)) == (
                expected[attribute.name].origin or False
            )
            if not attribute.nullable:
                assert all(row[attribute.name] is not None for row in rows), attribute.name
        keys = [tuple(row[n] for n in expected.key) for row in rows]
        assert len(set(keys)) == len(keys)

    # --- choosing

    def one(self) -> Entry:
        """Return an expression to build on; rather one with rows."""
        some = [e for e in self.entries if e.depth < DEEPEST]
        return self.random.choices(some, [4 if e.model.rows else 1 for e in some])[0]

    def two(self) -> tuple[Entry, Entry]:
        """Return two expressions; rather such as have something, and nothing strange, in common."""
        for _ in range(6):
            a, b = self.one(), self.one()
            same, strangers = oracle.shared(a.model, b.model)
            if same and not strangers:
                break
        return a, b

    def some(self, names: Iterable[str], most: int) -> list[str]:
        known = list(names)
        return self.random.sample(known, min(len(known), self.random.randint(0, most)))

    def often(self) -> bool:
        return self.random.random() < 0.7

    # --- operators

    def restrict(self) -> None:
        a = self.one()
        try:
            condition, test = self.condition(a.model, 2)
        except Unknown as unknown:
            with pytest.raises(CompdbError):
                a.relation & unknown.condition
            return
        if self.often():
            self.step(lambda: a.relation & condition, lambda: oracle.restrict(a.model, lambda r: test(r) is True), a)
        else:
            self.step(
                lambda: a.relation - condition, lambda: oracle.restrict(a.model, lambda r: test(r) is not True), a
            )

    def match(self) -> None:
        a, b = self.two() if self.often() else (self.one(), self.one())
        negative = not self.often()

        def model() -> Model:
            there = oracle.matching(a.model, b.model)
            return oracle.restrict(a.model, lambda r: there(r) is not negative)

        self.step(lambda: a.relation - b.relation if negative else a.relation & b.relation, model, a, b)

    def join(self) -> None:
        a, b = self.two()
        if len(a.model.rows) * len(b.model.rows) < 4000:
            self.step(lambda: a.relation * b.relation, lambda: oracle.join(a.model, b.model), a, b)

    def extend(self) -> None:
        a, b = self.two()
        if self.often():
            for _ in range(6):
                same, strangers = oracle.shared(a.model, b.model)
                if not strangers and set(b.model.key) <= set(same):
                    break
                a, b = self.two()
        self.step(lambda: a.relation.extend(b.relation), lambda: oracle.extend(a.model, b.model), a, b)

    def union(self) -> None:
        a = self.one()
        same = [e for e in self.entries if e.depth < DEEPEST and set(e.model.key) == set(a.model.key)]
        b = self.random.choice(same) if self.often() else self.one()
        self.step(lambda: a.relation + b.relation, lambda: oracle.union(a.model, b.model), a, b)

    def project(self) -> None:
        a = self.one()
        names = a.model.names
        old = self.some(names, 2)
        new = self.random.sample(list(dict.fromkeys(["p", "q", "r", *names])), len(old))
        kinds = self.random.choices(["rename", "copy", "text", "case"], [3, 1, 1, 1], k=len(old))
        made = list(zip(new, old, kinds))
        renames = {n: o for n, o, k in made if k == "rename" and n != o}
        copies = {n: o for n, o, k in made if k == "copy"}
        texts = {n: o for n, o, k in made if k == "text"}
        cases = {n: o for n, o, k in made if k == "case"}
        keep = [n for n in self.some(a.model.secondary, 4) if n not in renames.values()]
        named: dict[str, Any] = {
            **renames,
            **{n: f"({o})" for n, o in copies.items()},
            **{n: f"CASE WHEN {o} IS NULL THEN 1 ELSE 0 END" for n, o in texts.items()},
            **{n: sa.case((sa.column(o).is_(None), 7), else_=8) for n, o in cases.items()},
        }
        computed = {
            **{n: lambda r, o=o: int(r[o] is None) for n, o in texts.items()},
            **{n: lambda r, o=o: 7 if r[o] is None else 8 for n, o in cases.items()},
        }
        self.step(
            lambda: a.relation.proj(*keep, **named), lambda: oracle.proj(a.model, keep, renames, copies, computed), a
        )

    def aggregate(self) -> None:
        a, b = self.two()
        for _ in range(6):
            if set(a.model.key) <= set(oracle.shared(a.model, b.model)[0]):
                break
            a, b = self.two()
        keep, exclude = self.some(a.model.secondary, 3), not self.often()
        named, values = self.aggregates(b.model)
        said, of_both = self.of_both(a.model, b.model)
        self.step(
            lambda: a.relation.aggr(b.relation, *keep, exclude_nonmatching=exclude, **named, **said),
            lambda: oracle.aggr(a.model, b.model, keep, values, of_both, exclude),
            a,
            b,
        )

    def occurring(self) -> None:
        a = self.one()
        names = self.some(a.model.names, 3)
        if self.random.random() < 0.5:
            self.step(lambda: U(*names) & a.relation, lambda: oracle.occurring(names, a.model), a)
            return
        named, values = self.aggregates(a.model)
        self.step(lambda: U(*names).aggr(a.relation, **named), lambda: oracle.occurring(names, a.model, values), a)

    def top(self) -> None:
        a, limit, offset = self.one(), self.random.randint(0, 5), self.random.choice([0, 0, 1, 2])
        by = self.order(a.model)
        rows = oracle.ordered(a.model, by)
        model = oracle.replace(a.model, rows=rows[offset : offset + limit])
        entry = self.step(lambda: a.relation & Top(limit, order_by=spec(by), offset=offset), lambda: model, a)
        assert entry is not None
        assert entry.relation.to_dicts() == listed(model.names, model.rows)
        more, over = (
            self.random.randint(0, 3),
            self.random.choice([0, 1]),
        )  # a second one takes from the first, in its order
        again = entry.relation.to_dicts(
            order_by=spec(by) if self.random.random() < 0.5 else None, limit=more, offset=over
        )
        assert again == listed(model.names, model.rows)[over : over + more]

    # --- looking

    def look(self) -> None:
        """Look at one expression in all ways."""
        a = self.random.choice(self.entries)
        model, relation = a.model, a.relation
        note(f"looking at {relation.written}")
        assert len(relation) == len(model.rows)
        assert bool(relation) == bool(model.rows)
        assert canonical(relation.keys()) == canonical(listed(model.key, model.rows))
        by = self.order(model)
        assert relation.to_dicts(order_by=spec(by)) == listed(model.names, oracle.ordered(model, by))
        if not model.key:
            return
        assert len(relation & relation.keys()) == len(model.rows)
        assert len(relation - relation.keys()) == 0
        assert len(relation & relation.to_dicts()) == len(model.rows)
        whole = all(any(row and set(row) <= set(model.key) for _, row in model[n].cells) for n in model.secondary)
        if whole and all(model[n].origin and all(r[n] is not None for r in model.rows) for n in model.key):
            assert len(relation & relation) == len(model.rows)
            assert len(relation - relation) == 0

    # --- parts of expressions

    def aggregates(self, b: Model) -> tuple[dict[str, Any], oracle.Aggregates]:
        named: dict[str, Any] = {"n": self.random.choice(["count(*)", sa.func.count()])}
        values: oracle.Aggregates = {"n": len}
        if b.names:
            name = self.random.choice(b.names)
            named["m"] = f"count({name})"
            values["m"] = lambda g: sum(r[name] is not None for r in g)
        numbers = [n for n in b.names if b[n].kind is int]
        if numbers:
            number = self.random.choice(numbers)
            named["top"] = f"max({number})"
            values["top"] = lambda g: max((r[number] for r in g if r[number] is not None), default=None)
        return named, values

    def of_both(self, a: Model, b: Model) -> tuple[dict[str, Any], oracle.OfBoth]:
        """Return expressions that name, in their aggregates and beside them, an attribute that only the left side has."""
        mine = [n for n in a.names if n not in b.names]
        if not mine or self.often():
            return {}, {}
        left = self.random.choice(mine)
        beside = f"count(*) + (case when {left} is null then 100 else 200 end)"
        named: dict[str, Any] = {"said": beside, "known": f"count({left})"}
        values: oracle.OfBoth = {
            "said": lambda r, g: len(g) + (100 if r[left] is None else 200),
            "known": lambda r, g: 0 if r[left] is None else len(g),
        }
        numbers = [n for n in b.names if b[n].kind is int]
        if numbers and a[left].kind is int:
            number = self.random.choice(numbers)
            named["most"] = f"coalesce(max({number}), {self.random.choice([left, f'(select {left})'])})"
            values["most"] = lambda r, g: max((s[number] for s in g if s[number] is not None), default=r[left])
        chosen = [n for n in named if self.random.random() < 0.7]
        return {n: named[n] for n in chosen}, {n: values[n] for n in chosen}

    def order(self, a: Model) -> list[tuple[str, bool]]:
        first = {n: self.random.random() < 0.5 for n in self.some(a.names, 2)}
        return [*first.items(), *((n, False) for n in a.key if n not in first)]

    def condition(self, a: Model, depth: int) -> Condition:
        kinds = [self.by_dict, self.by_dict, self.by_text, self.by_column, self.by_column, self.by_truth]
        if depth:
            kinds += [self.by_list, self.by_and, self.by_not, self.by_dicts]
        return self.random.choice(kinds)(a, depth)

    def by_truth(self, a: Model, depth: int) -> Condition:
        value = self.random.random() < 0.5
        return value, lambda r: value

    def value(self, a: Model, name: str) -> Any:
        there = [r[name] for r in a.rows if r[name] is not None]
        return self.random.choice(there if there and self.often() else CONSTANTS[a[name].kind])

    def by_dict(self, a: Model, depth: int) -> Condition:
        made: Row = {}
        for name in self.some(a.names, 2):
            kind = self.random.choice(["one", "one", "none", "many"])
            many = [self.value(a, name) for _ in range(self.random.randint(0, 3))]
            many += [None] if self.random.random() < 0.3 else []
            made[name] = {"one": self.value(a, name), "none": None, "many": many}[kind]
        wanted = dict(made)
        others = sorted(self.world.key_names() - set(a.names))
        if others and not self.often():
            made[self.random.choice(others)] = 1
            if not wanted:
                raise Unknown(made)
        return made, lambda r: all_of(equal(r[n], v) for n, v in wanted.items())

    def by_text(self, a: Model, depth: int) -> Condition:
        if not a.names:
            return self.by_truth(a, depth)
        name = self.random.choice(a.names)
        if a[name].kind is not int or self.random.random() < 0.3:
            return f"{name} IS NULL", lambda r: r[name] is None
        return f"{name} > 0", lambda r: None if r[name] is None else r[name] > 0

    def by_column(self, a: Model, depth: int) -> Condition:
        table = self.random.choice(self.made.tables)
        column = self.random.choice(list(table.columns))
        there = [r[column.name] for r in self.made.rows[table.name] if r[column.name] is not None]
        value = self.random.choice(there if there and self.often() else CONSTANTS[column.type.python_type])
        clause, compare = self.random.choice(
            [
                (column == value, lambda x: None if x is None else x == value),
                (column > value, lambda x: None if x is None else x > value),
                (column.is_(None), lambda x: x is None),
                (sa.func.coalesce(column, value) == value, lambda x: x is None or x == value),
                (~(column <= value), lambda x: None if x is None else not x <= value),
            ]
        )
        try:
            name = oracle.resolve(a, table.name, column.name)
        except Refused:
            raise Unknown(clause) from None
        return clause, lambda r: compare(r[name])

    def by_list(self, a: Model, depth: int) -> Condition:
        parts = [self.condition(a, depth - 1) for _ in range(self.random.randint(0, 3))]
        return [c for c, _ in parts], lambda r: any(t(r) is True for _, t in parts)

    def by_and(self, a: Model, depth: int) -> Condition:
        parts = [self.condition(a, depth - 1) for _ in range(self.random.randint(0, 3))]
        return AndList([c for c, _ in parts]), lambda r: all(t(r) is True for _, t in parts)

    def by_not(self, a: Model, depth: int) -> Condition:
        condition, test = self.condition(a, depth - 1)
        return Not(condition), lambda r: test(r) is not True

    def by_dicts(self, a: Model, depth: int) -> Condition:
        names = self.some(a.names, 3)
        if not names:
            return self.by_truth(a, depth)
        rows = [{n: self.value(a, n) if self.often() else None for n in names} for _ in range(3)]
        return rows, lambda r: any(all(equal(r[n], row[n]) is True for n in names) for row in rows)


def canonical(rows: list[Row]) -> list[list[tuple[str, Any]]]:
    return sorted((sorted(row.items()) for row in rows), key=repr)


def listed(names: list[str], rows: list[Row]) -> list[Row]:
    return [{n: r[n] for n in names} for r in rows]


def spec(by: list[tuple[str, bool]]) -> list[str]:
    return [f"{n} DESC" if down else n for n, down in by]


def equal(found: Any, wanted: Any) -> Truth:
    if isinstance(wanted, list):
        return any(equal(found, w) is True for w in wanted)
    if wanted is None:
        return found is None
    return None if found is None else bool(found == wanted)


def all_of(truths: Iterable[Truth]) -> Truth:
    found = list(truths)
    return False if False in found else None if None in found else True


def check(database: Database, made: Made, random: Random, seen: Counter[str]) -> None:
    """Build expressions over one pipeline, and compare each."""
    made.create(database.engine)
    bind(made.metadata, database)
    try:
        expressions = Expressions(made, random, seen)
        for _ in range(EXPRESSIONS):
            expressions.grow()
    finally:
        made.metadata.drop_all(database.engine)


@pytest.mark.slow
@pytest.mark.fuzz
@pytest.mark.timeout(1200 + 60 * RUNS)  # a failure takes its time to shrink
def test_every_expression_is_what_python_says(oracle_database):
    runs = RUNS * (4 if oracle_database.engine.dialect.name == "sqlite" else 1)
    seen: Counter[str] = Counter()

    @settings(max_examples=runs, deadline=None, suppress_health_check=list(HealthCheck), derandomize=REPEATABLE)
    @given(made=pipelines(), random=st.randoms(use_true_random=False))
    def run(made, random):
        check(oracle_database, made, random, seen)

    run()
    assert seen["expressions"] >= 25 * runs
    if runs >= ENOUGH:  # hypothesis begins with small pipelines, which have few rows
        assert seen["with rows"] >= seen["expressions"] / 6  # few of the random ones would be no test


def test_the_keys_of_random_pipelines_fit_an_index():
    made = Made(sa.MetaData())
    text = column_type(str)
    parent = sa.Table("t0", made.metadata, *(sa.Column(n, text, primary_key=True) for n in ("a", "b")))
    made.links["t1"], columns = [], {}
    for renamed in (1, 0):
        drawn = [renamed, True, parent]  # a link in the key, under names of its own if 0
        _link(lambda _, drawn=drawn: drawn.pop(), made, "t1", columns)
    assert list(columns) == ["a", "b"]  # two more would have more bytes than an index of MySQL
    assert sum(key_bytes(column.type) for column in columns.values()) <= KEY_BYTES


def test_a_pipeline_that_cannot_be_made_leaves_nothing():
    made = Made(sa.MetaData())
    sa.Table("t0", made.metadata, sa.Column("a", column_type(int), primary_key=True))
    made.rows["t0"] = [{"a": 1}, {"a": 1}]
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
    with pytest.raises(sa.exc.IntegrityError):
        made.create(engine)
    assert sa.inspect(engine).get_table_names() == []
    engine.dispose()
