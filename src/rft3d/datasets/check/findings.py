"""What a check finds, and the report that says it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

Severity = Literal["ok", "note", "problem"]
MOST = 5
"""Examples that a line of the report names."""


@dataclass(frozen=True)
class Finding:
    """One finding: what was looked at, what is wrong or there, and what to do next.

    Attributes:
        severity: ``ok``; ``note`` (worth knowing, nothing to do); ``problem`` (samples or scores would be
            wrong or could not be made).
        kind: ``present``, ``missing``, ``truncated``, ``stale``, ``old-angles``, ``unaligned``, ``duplicate``,
            ``leak``, ``disk`` or ``damaged``.
        where: file or folder, relative to the checked folder.
        what: one sentence without a full stop.
        examples: scans, files or ids that it is true of.
        next_step: what to do; empty when nothing.
    """

    severity: Severity
    kind: str
    where: str
    what: str
    examples: tuple[str, ...] = ()
    next_step: str = ""


@dataclass(frozen=True)
class Report:
    """All findings about one folder, in the order in which they were made."""

    root: str
    findings: tuple[Finding, ...]

    @property
    def problems(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.severity == "problem")

    @property
    def exit_code(self) -> int:
        """0: nothing wrong; 1: problems; 3: nothing known was found (2 is bad usage)."""
        if self.problems:
            return 1
        return 0 if any(f.kind == "present" for f in self.findings) else 3

    @property
    def next_step(self) -> str:
        """Of the first problem that has one; missing things come before others."""
        order = {"truncated": 0, "damaged": 0, "missing": 1}
        ranked = sorted(self.problems, key=lambda f: order.get(f.kind, 2))
        return next((f.next_step for f in ranked if f.next_step), "")

    def text(self) -> str:
        """The report for a terminal."""
        marks = {"ok": "ok     ", "note": "note   ", "problem": "PROBLEM"}
        lines = []
        for f in self.findings:
            names = ", ".join(f.examples[:MOST])
            more = f", ... ({len(f.examples)})" if len(f.examples) > MOST else ""
            lines.append(f"{marks[f.severity]} {f.where}: {f.what}{f': {names}{more}' if names else ''}")
            if f.severity == "problem" and f.next_step:
                lines.append(f"        -> {f.next_step}")
        count = len(self.problems)
        if self.exit_code == 3:
            lines.append(
                f"{self.root}: no known data here (looked for ScanNet scans, posed pictures and clips, infos, "
                "ScanRefer, VG-LLM, VLM-3R, SpaceR and VSI-Bench files, and samples files)"
            )
        lines.append(f"{self.root}: " + (f"{count} problem{'s' * (count != 1)}" if count else "no problems"))
        if self.next_step:
            lines.append(f"next step: {self.next_step}")
        return "\n".join(lines)


def found(where: str, what: str, examples: Iterable[str] = ()) -> Finding:
    """Something that is there."""
    return Finding("ok", "present", where, what, tuple(examples))


def note(kind: str, where: str, what: str, examples: Iterable[str] = ()) -> Finding:
    """Something worth knowing, with nothing to do."""
    return Finding("note", kind, where, what, tuple(examples))


def problem(kind: str, where: str, what: str, next_step: str, examples: Iterable[str] = ()) -> Finding:
    """Something that has to be mended."""
    return Finding("problem", kind, where, what, tuple(examples), next_step)


def listed(kind: str, where: str, what: str, next_step: str, examples: Collection[str]) -> Iterator[Finding]:
    """A problem for each of ``examples`` together, if there are any; ``{n}`` in ``what`` is how many.

    Without a ``next_step`` it is a note.
    """
    if examples:
        words = what.replace("{n}", str(len(examples)))
        yield (
            problem(kind, where, words, next_step, examples)
            if next_step
            else note(kind, where, words, examples)
        )
