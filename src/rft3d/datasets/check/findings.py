"""What a check finds, and the report that says it."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

MOST = 5
"""Examples that a line of the report names."""


@dataclass(frozen=True)
class Finding:
    """One finding: what was looked at, what is wrong or there, and what to do next.

    Attributes:
        kind: ``present``, ``missing``, ``truncated``, ``stale``, ``old-angles``, ``unaligned``, ``duplicate``,
            ``leak``, ``disk`` or ``damaged``.
        where: file or folder, relative to the checked folder.
        what: one sentence without a full stop; ``{n}`` is the number of examples.
        next_step: what to do; empty when nothing.
        examples: scans, files or ids that it is true of. Where it is empty the finding is none; None: it stands
            without examples.
    """

    kind: str
    where: str
    what: str
    next_step: str = ""
    examples: Collection[str] | None = None

    @property
    def severity(self) -> Literal["ok", "note", "problem"]:
        """``note``: worth knowing, nothing to do. ``problem``: samples or scores would be wrong."""
        return "ok" if self.kind == "present" else "problem" if self.next_step else "note"

    def text(self) -> str:
        """Its lines of the report."""
        mark = {"ok": "ok     ", "note": "note   ", "problem": "PROBLEM"}[self.severity]
        listed = list(self.examples or ())
        more = f", ... ({len(listed)})" if len(listed) > MOST else ""
        names = f": {', '.join(listed[:MOST])}{more}" if listed else ""
        step = f"\n        -> {self.next_step}" if self.next_step else ""
        return f"{mark} {self.where}: {self.what.replace('{n}', str(len(listed)))}{names}{step}"


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
        """Of the first problem; missing things come before others."""
        order = {"truncated": 0, "damaged": 0, "missing": 1}
        ranked = sorted(self.problems, key=lambda f: order.get(f.kind, 2))
        return ranked[0].next_step if ranked else ""

    def text(self) -> str:
        """The report for a terminal."""
        lines = [f.text() for f in self.findings]
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
