"""``rft3d export KIND``: a run or a scene in other forms. A kind is a class here with ``run``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclass(frozen=True, kw_only=True)
class _Shown:
    source: Annotated[str, tyro.conf.Positional]
    """run folder, scene folder or rooms:SEED"""
    out: Path
    """what to write"""
    tasks: tuple[str, ...] = ()
    """only these tasks"""
    models: tuple[str, ...] = ()
    """only these models (folders of RUN/eval)"""
    ids: tuple[str, ...] = ()
    """only the questions with these ids"""
    limit: int = 8
    """questions of each task, evenly spaced over the file"""


@dataclass(frozen=True, kw_only=True)
class Rerun(_Shown):
    """A rerun recording: cameras and pictures along a time line, true and predicted boxes in the world.

    Needs pip install 'rft3d[rerun]'. Open it with: rerun OUT.rrd
    """

    def run(self) -> None:
        from rft3d.report.exhibit import exhibits
        from rft3d.report.rerun_export import write_rerun

        shown = exhibits(self.source, tasks=self.tasks, models=self.models, ids=self.ids, limit=self.limit)
        print(f"{self.out}: {write_rerun(shown, self.out)} questions or scenes")


@dataclass(frozen=True, kw_only=True)
class Overlay(_Shown):
    """Pictures for papers: boxes over frames as a PNG sheet and single PNGs, optionally as MP4 videos.

    Green is true, orange predicted (dashed: a miss); or one colour a class. MP4 needs rft3d[video].
    """

    width: int = 640
    """pixels of a frame"""
    colour: Literal["kind", "label"] = "kind"
    """kind: green true, orange predicted; label: one colour a class, truth dashed"""
    labels: bool = True
    """write labels and IoUs"""
    fps: float | None = None
    """also an MP4 of each question and model, so many pictures a second"""

    def run(self) -> None:
        from rft3d.report.exhibit import exhibits
        from rft3d.report.overlay import OverlayStyle, export_overlays

        shown = exhibits(self.source, tasks=self.tasks, models=self.models, ids=self.ids, limit=self.limit)
        style = OverlayStyle(self.width, self.colour, self.labels)
        print(f"{self.out}: {export_overlays(shown, self.out, style, self.fps)} files")


@dataclass(frozen=True, kw_only=True)
class Card:
    """A model card (Markdown with YAML front matter) from what the run wrote down.

    Data, convention, protocol, numbers with intervals, cost and licences; what the run doesn't know is named.
    """

    source: Annotated[Path, tyro.conf.Positional]
    """run folder"""
    model: str
    """the model that the card is about: a folder of RUN/eval"""
    out: Path | None = None
    """file to write; RUN/models/MODEL/README.md when not given"""
    data_licence: str = ""
    """licence of the training data, when they are not procedural rooms"""
    base_licence: str = ""
    """licence of the base model, when training started from a published one"""

    def run(self) -> None:
        from rft3d.report.card import write_card

        licences = {"data": self.data_licence, "base": self.base_licence}
        print(write_card(self.source, self.model, self.out, licences))


@dataclass(frozen=True)
class Args:
    """Write a run or a scene in another form: a rerun recording, pictures and videos, a model card."""

    kind: tyro.conf.OmitSubcommandPrefixes[
        Annotated[Rerun, tyro.conf.subcommand("rerun")]
        | Annotated[Overlay, tyro.conf.subcommand("overlay")]
        | Annotated[Card, tyro.conf.subcommand("card")]
    ]


def main(args: Args) -> None:
    args.kind.run()
