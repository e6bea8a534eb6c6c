"""Pipelines to draw, as plain SQLAlchemy tables: the two examples, and random ones."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from compdb import dag

Declare = Callable[..., sa.Table]
TIERS = ("manual", "lookup", "imported", "computed")


def declare(
    metadata: sa.MetaData,
    label: str,
    tier: str | None,
    own: Mapping[str, Any],
    links: Sequence[tuple[sa.Table, bool, Mapping[str, str]]] = (),
    attributes: Mapping[str, Any] | None = None,
    master: sa.Table | None = None,
    comment: str | None = None,
) -> sa.Table:
    """Declare a table: `own` key attributes, and links (parent, in the key or not, names of renamed columns)."""
    columns: dict[str, sa.Column[Any]] = {}
    constraints = []
    for parent, primary, rename in links:
        names = [rename.get(c.name, c.name) for c in parent.primary_key]
        for name, theirs in zip(names, parent.primary_key):
            if name not in columns:
                columns[name] = sa.Column(name, theirs.type, primary_key=primary, nullable=False)
        constraints.append(sa.ForeignKeyConstraint(names, list(parent.primary_key)))
    for name, kind in own.items():
        columns[name] = sa.Column(name, kind, primary_key=True)
    for name, kind in (attributes or {}).items():
        columns[name] = sa.Column(name, kind, nullable=False)
    ordered = sorted(columns.values(), key=lambda c: not c.primary_key)
    info = {
        "label": label,
        **({"tier": tier} if tier else {}),
        **({"master_table": master.key} if master is not None else {}),
    }
    name = label.lower().replace(".", "__")
    table = sa.Table(name, metadata, *ordered, *constraints, info=info, comment=comment and f"{tier}: {comment}")
    dag.register(metadata)
    dag.changed()
    return table


def blob_detection() -> sa.MetaData:
    m = sa.MetaData()
    image = declare(
        m,
        "Image",
        "manual",
        {"image_id": sa.BigInteger()},
        (),
        {"image_name": sa.String(255)},
        None,
        "An image to search.",
    )
    params = declare(
        m,
        "BlobParamSet",
        "lookup",
        {"blob_paramset": sa.BigInteger()},
        (),
        {"min_sigma": sa.Float(), "max_sigma": sa.Float()},
    )
    found = declare(
        m,
        "Detection",
        "computed",
        {},
        [(image, True, {}), (params, True, {})],
        {"nblobs": sa.BigInteger()},
        None,
        "Blobs found in one image with one parameter set.",
    )
    declare(m, "Detection.Blob", "part", {"blob_id": sa.BigInteger()}, [(found, True, {})], {"x": sa.Float()}, found)
    declare(m, "SelectDetection", "manual", {}, [(image, True, {}), (found, False, {})])
    return m


def sessions_tutorial() -> sa.MetaData:
    m = sa.MetaData()
    subject = declare(m, "Subject", "manual", {"subject_id": sa.String(16)}, (), {"species": sa.String(50)})
    session = declare(
        m, "Session", "manual", {"session_idx": sa.Integer()}, [(subject, True, {})], {"session_date": sa.Date()}
    )
    declare(
        m,
        "Session.Trial",
        "part",
        {"trial_idx": sa.Integer()},
        [(session, True, {})],
        {"correct": sa.Boolean()},
        session,
    )
    method = declare(m, "AnalysisMethod", "lookup", {"method_name": sa.String(32)}, (), {"description": sa.String(255)})
    declare(m, "SessionSummary", "computed", {}, [(session, True, {})], {"n_trials": sa.Integer()})
    declare(m, "SessionAnalysis", "computed", {}, [(session, True, {}), (method, True, {})], {"score": sa.Float()})
    trials = declare(m, "TrialAnalysis", "computed", {}, [(session, True, {})], {"n_analyzed": sa.Integer()})
    declare(m, "TrialAnalysis.TrialResult", "part", {"trial_idx": sa.Integer()}, [(trials, True, {})], {}, trials)
    declare(m, "SubjectSummary", "computed", {}, [(subject, True, {})], {"n_sessions": sa.Integer()})
    declare(m, "QualityCheck", "computed", {}, [(session, True, {})], {"passes_qc": sa.Boolean()})
    return m


WORDS = tuple(
    re.findall(
        r"\w+",
        """
Session Probe Unit Spike Trial Stimulus Image Mask Fluorescence Trace Event Behavior Video Pose LFP
Band Power Filter Cluster Metric Template Waveform Position Sorting Curation Decode Model Result
Summary Quality Scan Field Align Atlas
""",
    )
)


def random_pipeline(seed: int, count: int = 40) -> sa.MetaData:
    """Return a pipeline such as people make: a few roots and lookups, parts, mostly recent parents, some renamed links."""
    chance = random.Random(seed)
    m = sa.MetaData()
    tables: list[sa.Table] = []
    masters: list[sa.Table] = []
    for i in range(count):
        label = "".join(chance.sample(WORDS, chance.choice((1, 2, 2, 3)))) + str(i)
        roll = chance.random()
        if masters and roll < 0.2:
            master = chance.choice(masters[-8:])
            made = declare(
                m,
                f"{dag.label(master)}.{chance.choice(WORDS)}{i}",
                "part",
                {f"n{i}": sa.Integer()},
                [(master, True, {})],
                {},
                master,
            )
        elif not masters or roll < 0.32:
            made = declare(m, label, "lookup" if roll > 0.26 else "manual", {f"k{i}": sa.Integer()})
            masters.append(made)
        else:
            wanted = chance.choice((1, 1, 1, 2, 2, 3))
            near = {
                chance.choice(masters[-7:]) if chance.random() < 0.75 else chance.choice(masters) for _ in range(wanted)
            }
            links = []
            for parent in sorted(near, key=dag.label):
                rename = {c.name: f"{c.name}_{i}" for c in parent.primary_key} if chance.random() < 0.06 else {}
                links.append((parent, not links or chance.random() < 0.75, rename))
            own = {f"k{i}": sa.Integer()} if chance.random() < 0.3 else {}
            made = declare(m, label, chance.choice(TIERS[2:] if not own else TIERS[:1]), own, links)
            masters.append(made)
        if tables and chance.random() < 0.04:
            refer_to_itself(made, f"before_{i}")
        tables.append(made)
    return m


def refer_to_itself(table: sa.Table, name: str) -> None:
    """Give a table a secondary foreign key to itself."""
    names = [f"{name}_{c.name}" for c in table.primary_key]
    for mine, c in zip(names, table.primary_key):
        table.append_column(sa.Column(mine, c.type, nullable=True))
    table.append_constraint(sa.ForeignKeyConstraint(names, list(table.primary_key)))
    dag.changed()


@pytest.fixture
def blobs() -> sa.MetaData:
    return blob_detection()


@pytest.fixture
def sessions() -> sa.MetaData:
    return sessions_tutorial()


@pytest.fixture
def pedigree() -> sa.MetaData:
    """Mice with parents (self references), pairs of mice (two links to one parent), and a table of another application."""
    m = sa.MetaData()
    mouse = declare(m, "Mouse", "manual", {"mouse_id": sa.Integer()}, comment="A mouse.")
    for parent in ("mother", "father"):
        refer_to_itself(mouse, parent)
    declare(
        m, "Synapse", "computed", {}, [(mouse, True, {"mouse_id": "pre_id"}), (mouse, True, {"mouse_id": "post_id"})]
    )
    room = sa.Table("room", m, sa.Column("room_id", sa.Integer, primary_key=True))
    declare(m, "Cage", "lookup", {"cage": sa.Integer()}, [(room, False, {})])
    return m


@pytest.fixture
def tables_of() -> Callable[[sa.MetaData], dict[str, sa.Table]]:
    return lambda metadata: {dag.label(t): t for t in metadata.tables.values()}
