"""``rft3d questions``: spatial training questions about annotated scenes."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from rft3d.cli._choices import SourceName, free
from rft3d.datasets.leaks import leaking, place
from rft3d.datasets.prepare import holds_questions, keep_questions
from rft3d.evaluation.questions import NEEDS, QuestionConfig, exclude_list, write_questions
from rft3d.scenes import SOURCES, open_scenes


@dataclass(frozen=True)
class Args:
    """Ask VSI-Bench's eight kinds of questions about annotated scenes: official wording, balanced options.

    Near-ties are left out. Scenes of the benchmarks (VSI-Bench, ScanNet's validation split) are skipped, with
    every other scan of their rooms, and so are those of --exclude.
    """

    scenes: tyro.conf.Positional[str]
    """scene folder, posed clip, folder of them, or rooms:0-31; what --source reads (vsi_meta: VSI-Bench's scene
    metadata); or a question file of VLM-3R, Spatial-MLLM, SpaceR or VSI-Bench: its questions, kept as they are"""
    out: Path
    """samples file to write (JSON lines); pictures stay where they are"""
    config: tyro.conf.OmitArgPrefixes[QuestionConfig]
    force: bool = False
    """replace what is at --out"""
    source: SourceName = "auto"
    """a data set's own format (docs/data.md); auto: one of the four above"""
    exclude: tuple[Path, ...] = ()
    """scene ids one a line, or samples files whose scenes must not be asked about"""
    allow_benchmark_scenes: bool = False
    """ask about benchmark scenes too (never for training)"""


def main(args: Args) -> None:
    free(args.out, args.force)
    listed = exclude_list(args.exclude, place)

    def excluded(scene: str) -> bool:
        return listed(scene) or (not args.allow_benchmark_scenes and bool(leaking([scene.split("/")[-1]])))

    if args.source == "auto" and holds_questions(Path(args.scenes)):
        made = keep_questions(Path(args.scenes), args.out, args.config, excluded)
    else:
        scenes = open_scenes(args.scenes) if args.source == "auto" else SOURCES[args.source](args.scenes)
        made = write_questions(scenes, args.out, args.config, excluded)
    print(
        f"{args.out}: {made.by_type.total()} questions about {made.scenes} scenes; "
        f"{len(made.excluded)} excluded, {len(made.silent)} without a clear question"
    )
    for reason, count in made.left_out.items():
        print(f"  left out {count} x {reason}")
    for kind, count in made.by_type.items():
        note = f"   ({NEEDS[kind]})" if kind in NEEDS and not args.scenes.startswith("rooms:") else ""
        print(f"  {kind:28} {count}{note}")
