"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    ``ok`` is None where it could not be looked at from here; ``text`` says what was checked, or in
    one sentence what is wrong and how to mend it.
    """

    ok: bool | None
    text: str

    def __str__(self) -> str:
        mark = {True: "✓", False: "✗", None: "–"}[self.ok]
        return f"  {mark} {self.text}"


def good(text: str) -> Finding:
    """Return a finding that all is well."""
    return Finding(True, text)


def bad(text: str) -> Finding:
    """Return a finding that would stop the run."""
    return Finding(False, text)


def unseen(text: str) -> Finding:
    """Return a finding of something that cannot be checked from here."""
    return Finding(None, text)
