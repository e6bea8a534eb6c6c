"""What a make returns to pass over a key: `return cdb.skip("no spikes")`. The key is then ignored, with the reason."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Skip", "skip"]


@dataclass(frozen=True, slots=True)
class Skip:
    """That a make passes over its key.

    Attributes
    ----------
    reason : str
        Kept with the job.
    """

    reason: str


def skip(reason: str = "") -> Skip:
    """Return what a make returns to have its key ignored from now on.

    >>> def make(self, key):
    ...     if not (Session & key).fetch1("good"):
    ...         return cdb.skip("the session is not good")

    The key is not made again until its job is deleted: `(Detection.jobs.ignored & key).delete()`.
    """
    return Skip(str(reason))
