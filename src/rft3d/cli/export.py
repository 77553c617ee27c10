"""``rft3d export KIND``: a run or a scene in other forms. A kind is a class here with ``run``."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tyro

from rft3d.cli._choices import free, tell
from rft3d.evaluation.export_verl import export_verl, read_options
from rft3d.report.card import write_card
from rft3d.report.exhibit import Exhibit, OverlayStyle, Wanted, exhibits, export_overlays
from rft3d.report.rerun_export import write_rerun


@dataclass(frozen=True, kw_only=True)
class _Shown:
    source: tyro.conf.Positional[str]
    """run folder, scene folder, posed clip, folder of them, folder of pictures, video, or rooms:SEED"""
    out: Path
    """what to write"""
    force: bool = False
    """replace what is at --out"""
    wanted: tyro.conf.OmitArgPrefixes[Wanted]

    def shown(self) -> Iterator[Exhibit]:
        """What is to be drawn, each named on standard error as its turn comes: it may take minutes."""
        free(self.out, self.force)
        return exhibits(self.source, self.wanted, tell)


@dataclass(frozen=True, kw_only=True)
class Rerun(_Shown):
    """A rerun recording: cameras and pictures along a time line, true and predicted boxes in the world.

    Needs pip install '.[rerun]'. Open it with: rerun OUT.rrd
    """

    def run(self) -> None:
        print(f"{self.out}: {write_rerun(self.shown(), self.out)} questions or scenes")


@dataclass(frozen=True, kw_only=True)
class Overlay(_Shown):
    """Pictures for papers: boxes over frames as a PNG sheet and single PNGs, optionally as MP4 videos.

    Green is true, orange predicted (dashed: a miss); or one colour a class. MP4 needs the extra video. Of a video
    or a folder of pictures alone, the frames: rft3d detect --fov draws a model's boxes into them.
    """

    style: tyro.conf.OmitArgPrefixes[OverlayStyle]
    fps: float | None = None
    """also an MP4 of each question and model, so many pictures a second"""

    def run(self) -> None:
        print(f"{self.out}: {export_overlays(self.shown(), self.out, self.style, self.fps)} files")


@dataclass(frozen=True, kw_only=True)
class Card:
    """A model card (Markdown with YAML front matter) from what the run wrote down.

    Data, convention, protocol, numbers with intervals, cost and licences; what the run doesn't know is named.
    """

    source: tyro.conf.Positional[Path]
    """run folder"""
    name: str
    """the model that the card is about: a folder of RUN/eval"""
    out: Path | None = None
    """file to write; RUN/models/NAME/README.md when not given"""
    force: bool = False
    """replace the file"""
    data_licence: str = ""
    """licence of the training data, when they are not procedural rooms"""
    base_licence: str = ""
    """licence of the base model, when training started from a published one"""

    def run(self) -> None:
        free(self.out, self.force)
        licences = {"data": self.data_licence, "base": self.base_licence}
        print(write_card(self.source, self.name, self.out, licences))


@dataclass(frozen=True, kw_only=True)
class Verl:
    """Samples and their rewards for verl: OUT/train.parquet and OUT/reward.py.

    Give them to verl as data.train_files and reward.custom_reward_function.path (name compute_score).
    rft3d must be installed where verl's reward workers run. Needs pyarrow, no torch.
    """

    samples: tyro.conf.Positional[Path]
    """samples file, of one task or several"""
    out: Path
    """folder to write into"""
    force: bool = False
    """replace what is in OUT"""
    options: str = "{}"
    """options of tasks as JSON, e.g. '{"detection": {"decimals": 1}}'"""
    embed: bool = True
    """put the pictures into the rows; --no-embed writes their absolute paths"""
    pictures: Path | None = None
    """folder besides that of the samples file in which its pictures may lie"""

    def run(self) -> None:
        free(self.out, self.force)
        options = read_options(self.options)
        count = export_verl(self.samples, self.out, options, self.embed, self.pictures, tell)
        print(f"{self.out}: {count} samples in train.parquet; reward.py holds compute_score")


@dataclass(frozen=True)
class Args:
    """Write a run or a scene in another form: a rerun recording, pictures, videos, a model card, verl's files."""

    kind: tyro.conf.OmitSubcommandPrefixes[Rerun | Overlay | Card | Verl]


def main(args: Args) -> None:
    args.kind.run()
