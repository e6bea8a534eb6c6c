"""What a type checker must refuse: each line that ends in `# wrong` is an error to mypy and to pyright, no other is."""

import compdb as cdb
from compdb import Key, Mapped


class Lab(cdb.Pipeline):
    """A pipeline."""


class Subject(cdb.Manual, Lab):
    """A mouse."""

    subject_id: Key[str]
    species: Mapped[str]


class Session(cdb.Manual, Lab):
    """A day."""

    subject: Key[Subject]
    session_idx: Key[int]


row = Session.row1()
species: str = row.subject.species
number: int = row.subject.species  # wrong
row.subject.specie  # wrong
row.session_index  # wrong
row.session_idx = "one"  # wrong
Session.session_index  # wrong
row.subject = row  # wrong
Session.insert1({"session_idx": 1}, skip_duplicate=True)  # wrong
Session & {"session_idx": 1}
