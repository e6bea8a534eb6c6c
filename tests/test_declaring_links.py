"""Links: foreign keys that bring the parent's key, and the parent row (design 2)."""

import datetime

import pytest
import sqlalchemy as sa

import compdb as cdb
from compdb import Key, Mapped, foreign_key, mapped_column


@pytest.fixture
def lab():
    class Lab(cdb.Pipeline):
        """A pipeline."""

    return Lab


@pytest.fixture
def Subject(lab):
    class Subject(cdb.Manual, lab):
        """A mouse."""

        subject_id: Key[str]
        species: Mapped[str]

    return Subject


@pytest.fixture
def Session(lab, Subject):
    class Session(cdb.Manual, lab):
        """One day of one mouse."""

        subject: Key[Subject]
        session_idx: Key[int]
        session_date: Mapped[datetime.date]

    return Session


def columns(table):
    return [c.name for c in table.__table__.columns]


def key(table):
    return [c.name for c in table.__table__.primary_key.columns]


def links(table):
    """Return {(column, ...): (parent table, (parent column, ...))}."""
    return {
        tuple(e.parent.name for e in c.elements): (c.referred_table.name, tuple(e.column.name for e in c.elements))
        for c in table.__table__.foreign_key_constraints
    }


def test_a_link_brings_the_whole_key_under_its_own_names(Session):
    assert columns(Session) == ["subject_id", "session_idx", "session_date"]
    assert key(Session) == ["subject_id", "session_idx"]
    assert links(Session) == {("subject_id",): ("subject", ("subject_id",))}
    (constraint,) = Session.__table__.foreign_key_constraints
    assert (constraint.ondelete or "RESTRICT").upper() == "RESTRICT"


def test_every_constraint_has_a_name_and_a_foreign_keys_ends_in_the_referred_table(lab, Session):
    class Twice(cdb.Manual, lab):
        session: Key[Session]
        other: Mapped[Session] = foreign_key(rename={"subject_id": "other_subject", "session_idx": "other_session"})

    names = [c.name for c in Twice.__table__.constraints]
    assert all(names)
    assert len(set(names)) == len(names)
    assert all(
        str(c.name).endswith("session") or "session" in str(c.name) for c in Twice.__table__.foreign_key_constraints
    )


def test_a_diamond_shares_the_column_of_one_origin(lab, Session):
    class Traces(cdb.Imported, lab):
        session: Key[Session]

    class Mask(cdb.Imported, lab):
        session: Key[Session]

    class Extraction(cdb.Computed, lab):
        traces: Key[Traces]
        mask: Key[Mask]

    assert key(Extraction) == ["subject_id", "session_idx"]
    assert len(Extraction.__table__.foreign_key_constraints) == 2


def test_a_shared_column_is_key_if_any_link_is_and_required_if_any_link_is(lab, Subject, Session):
    class Choice(cdb.Manual, lab):
        subject: Key[Subject]
        best: Mapped[Session | None]

    assert key(Choice) == ["subject_id"]
    assert Choice.__table__.c.session_idx.nullable
    assert not Choice.__table__.c.subject_id.nullable


def test_two_links_to_one_parent_and_a_self_reference_work_through_rename(lab):
    class Mouse(cdb.Manual, lab):
        mouse_id: Key[int]
        mother: Mapped["Mouse | None"] = foreign_key(rename={"mouse_id": "mother_id"})
        father: Mapped["Mouse | None"] = foreign_key(rename={"mouse_id": "father_id"})

    class Pair(cdb.Manual, lab):
        first: Key[Mouse] = foreign_key(rename={"mouse_id": "first_id"})
        second: Key[Mouse] = foreign_key(rename={"mouse_id": "second_id"})

    assert columns(Mouse) == ["mouse_id", "mother_id", "father_id"]
    assert links(Mouse) == {("mother_id",): ("mouse", ("mouse_id",)), ("father_id",): ("mouse", ("mouse_id",))}
    assert key(Pair) == ["first_id", "second_id"]


def test_a_unique_link_is_one_to_one(lab, Session):
    class Report(cdb.Manual, lab):
        report_id: Key[int]
        session: Mapped[Session] = foreign_key(unique=True)

    uniques = [{c.name for c in u.columns} for u in Report.__table__.constraints if isinstance(u, sa.UniqueConstraint)]
    indexes = [{c.name for c in i.columns} for i in Report.__table__.indexes if i.unique]
    assert {"subject_id", "session_idx"} in uniques + indexes


def test_a_link_named_like_its_column_maps_the_column_with_an_underscore(lab):
    class Rig(cdb.Lookup, lab):
        rig: Key[int]
        room: Mapped[str]

    class Session(cdb.Manual, lab):
        session: Key[int]
        rig: Mapped[Rig]

    assert columns(Session) == ["session", "rig"]
    assert list(Session.heading.names) == ["session", "rig"]
    assert "rig > 3" in str((Session.rig_ > 3).compile()) or ".rig >" in str(Session.rig_ > 3)
    with pytest.raises(cdb.CompdbError, match="rig_"):
        Session.rig > 3  # the link, not the column
    with pytest.raises(cdb.CompdbError, match="rig_"):
        Session.rig == 3


def test_a_native_attribute_may_stand_beside_the_link_that_brings_it(lab):
    class Image(cdb.Manual, lab):
        image_id: Key[int]

    class Note(cdb.Manual, lab):
        image_id: Key[int] = mapped_column(comment="the image spoken of")
        image: Key[Image]
        text: Mapped[str]

    assert columns(Note) == ["image_id", "text"]
    assert Note.__table__.c.image_id.comment == "the image spoken of"
    assert links(Note) == {("image_id",): ("image", ("image_id",))}


def test_a_part_may_refer_to_other_tables_besides_its_master(lab, Session):
    class Probe(cdb.Lookup, lab):
        probe_id: Key[int]

    class Recording(cdb.Manual, lab):
        session: Key[Session]

        class Channel(cdb.Part):
            channel: Key[int]
            probe: Mapped[Probe]

    assert {parent for parent, _ in links(Recording.Channel).values()} == {"recording", "probe"}


def test_a_table_may_refer_to_a_part(lab, Session):
    class Recording(cdb.Manual, lab):
        session: Key[Session]

        class Channel(cdb.Part):
            channel: Key[int]

    class Spikes(cdb.Computed, lab):
        channel_of: Key[Recording.Channel]

    assert key(Spikes) == ["subject_id", "session_idx", "channel"]
    assert links(Spikes)[("subject_id", "session_idx", "channel")][0] == "recording__channel"


def test_a_pipeline_may_refer_to_another_pipelines_tables(Session):
    class Analysis(cdb.Pipeline):
        """Somebody else's pipeline."""

    class Rate(cdb.Computed, Analysis):
        session: Key[Session]
        rate: Mapped[float]

    assert key(Rate) == ["subject_id", "session_idx"]
    (constraint,) = Rate.__table__.foreign_key_constraints
    assert constraint.referred_table is Session.__table__


# --- rows ---


def test_assigning_a_parent_row_sets_the_key(Subject, Session):
    mouse = Subject(subject_id="M001", species="mouse")
    row = Session(subject=mouse, session_idx=1)
    assert row.subject_id == "M001"
    row.subject = Subject(subject_id="M002", species="mouse")
    assert row.subject_id == "M002"


def test_parents_that_disagree_on_a_shared_column_are_an_error(lab, Session):
    class Traces(cdb.Manual, lab):
        session: Key[Session]

    class Mask(cdb.Manual, lab):
        session: Key[Session]

    class Overlay(cdb.Manual, lab):
        traces: Key[Traces]
        mask: Key[Mask]

    first = Traces(subject_id="M001", session_idx=1)
    with pytest.raises(cdb.CompdbError, match="subject_id"):
        Overlay(traces=first, mask=Mask(subject_id="M002", session_idx=1))


def test_a_link_takes_a_row_of_its_parent_and_nothing_else(lab, Subject, Session):
    class Rig(cdb.Lookup, lab):
        rig: Key[int]

    class Recording(cdb.Manual, lab):
        session: Key[Session]
        rig: Mapped[Rig | None]
        before: Mapped["Recording | None"] = foreign_key(
            rename={"subject_id": "before_subject", "session_idx": "before_idx"}
        )

    with pytest.raises(cdb.InvalidValue, match=r"Recording\.rig: the link takes a row of Rig, not 3; .* columns: rig_"):
        Recording(subject_id="M001", session_idx=1, rig=3)
    with pytest.raises(cdb.InvalidValue, match=r"Session\.subject: the link takes a row of Subject, not 'M001'; .*: subject_id"):
        Session(subject="M001", session_idx=1)
    with pytest.raises(cdb.InvalidValue, match=r"the link takes a row of Subject, not Rig\(rig=1\)"):
        Session(subject=Rig(rig=1), session_idx=1)
    first = Recording(subject_id="M001", session_idx=1, rig=Rig(rig=1))
    with pytest.raises(cdb.InvalidValue, match=r"Recording\.before: the link takes a row of Recording"):
        Recording(subject_id="M001", session_idx=2, before=Session(subject_id="M001", session_idx=1))
    second = Recording(subject_id="M001", session_idx=2, before=first, rig=None)
    assert (first.rig_, second.before_idx, second.rig) == (1, 1, None)


def indexes(table):
    return sorted(tuple(c.name for c in index.columns) for index in table.__table__.indexes)


def test_a_link_that_no_key_begins_with_has_an_index(lab, Subject, Session):
    class Rig(cdb.Lookup, lab):
        """A rig."""

        rig: Key[str]

    class Recording(cdb.Manual, lab):
        """A recording."""

        session: Key[Session]
        rig: Key[Rig]
        backup: Mapped[Rig | None] = foreign_key(rename={"rig": "backup_rig"})
        owner: Mapped[Subject] = foreign_key(rename={"subject_id": "owner_id"}, unique=True)
        previous: Mapped["Recording | None"] = foreign_key(
            rename={"subject_id": "previous_subject", "session_idx": "previous_idx", "rig": "previous_rig"}
        )

    assert indexes(Session) == []
    assert indexes(Recording) == [("backup_rig",), ("previous_subject", "previous_idx", "previous_rig"), ("rig",)]
    names = {index.name for index in Recording.__table__.indexes}
    assert "ix_recording_backup_rig" in names


def test_an_index_of_the_users_own_is_enough(lab, Subject):
    class Note(cdb.Manual, lab):
        """A note."""

        note: Key[int]
        subject: Mapped[Subject]
        __table_args__ = (sa.Index("by_subject", "subject_id", "note"),)

    assert [index.name for index in Note.__table__.indexes] == ["by_subject"]
