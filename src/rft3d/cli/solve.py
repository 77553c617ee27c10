"""``rft3d solve``: spatial questions answered from boxes, and failures split."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from rft3d.cli._choices import JsonOut, SourceName, free, say
from rft3d.datasets.prepare import asked_in
from rft3d.evaluation import write_predictions
from rft3d.evaluation.solving.blind import solve_questions
from rft3d.evaluation.solving.places import BoxSource
from rft3d.evaluation.solving.split import as_predictions, check_official
from rft3d.evaluation.tables import key_checks, solving_table
from rft3d.tasks import Sample


@dataclass(frozen=True, kw_only=True)
class Args(JsonOut):
    """Answer spatial questions from 9-DoF boxes: are a model's errors those of seeing or of reasoning?

    Boxes come from one of: --scenes (annotated), --metadata (VSI-Bench's, or another program's in its layout),
    --detections (a model's answers to --detection-samples). With --predictions, a model's own answers, its
    failures are split into "didn't see" and "couldn't reason". --blind answers from the questions' words alone
    instead, which any model should beat; with --predictions, the model's accuracy is shown too.
    --check-official compares with VSI-Bench's own key.
    """

    samples: Path | None = None
    """spatial samples file with the questions, or a question file of VSI-Bench, VLM-3R, SpaceR or Spatial-MLLM"""
    boxes: tyro.conf.OmitArgPrefixes[BoxSource]
    source: SourceName = "auto"
    """a data set's own format of --scenes; auto: a scene folder, posed clip, folder of them, or rooms:0-31"""
    blind: Path | None = None
    """questions about other rooms, as --samples: answer with what earns most on these, without looking;
    the --samples file itself: ten-fold by room"""
    predictions: Path | None = None
    """a model's own answers to --samples: split its failures, or compare them with --blind"""
    predictions_out: Path | None = None
    """predictions file to write with the answers that the boxes imply"""
    check_official: bool = False
    """does --metadata reproduce the key of --questions? Fails when it doesn't"""
    questions: Path | None = None
    """VSI-Bench's question file (test.parquet or test.jsonl), for --check-official"""


def main(args: Args) -> None:
    free(args.out, args.force)
    free(args.predictions_out, args.force)
    if args.check_official:
        if args.questions is None or not args.boxes.metadata:
            raise ValueError("--check-official needs --questions and --metadata")
        checks = check_official(_asked(args.questions), args.boxes.places())
        say(*key_checks(checks))
        if failed := [check.type for check in checks if not check.passed]:
            raise ValueError(f"the official key is not reproduced for {', '.join(failed)}")
        return
    if args.samples is None:
        raise ValueError("--samples is needed: the spatial questions to answer")
    if args.blind is not None and args.boxes != BoxSource():
        raise ValueError("--blind uses no boxes: leave out --scenes, --metadata and --detections")
    samples, known, places = _asked(args.samples), [], None
    if args.blind is None:
        places = args.boxes.places(args.source)
    else:
        known = samples if args.blind == args.samples else _asked(args.blind)
    solved, rows = solve_questions(samples, places, known, args.predictions)
    if args.predictions_out is not None:
        write_predictions(args.predictions_out, as_predictions(solved))
    args.write(rows)
    table, meaning = solving_table(rows, beside=args.predictions is not None)
    say(table, *meaning)


def _asked(path: Path) -> list[Sample]:
    samples, left_out = asked_in(path)
    for reason, count in left_out.items():
        print(f"{path}: left out {count} x {reason}")
    return samples
