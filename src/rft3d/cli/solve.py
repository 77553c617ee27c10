"""``rft3d solve``: spatial questions answered from boxes, or without looking."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rft3d.cli._choices import free

if TYPE_CHECKING:
    from rich.table import Table

    from rft3d.evaluation.records import Prediction
    from rft3d.evaluation.solving import KeyCheck, Places
    from rft3d.tasks import Sample


@dataclass(frozen=True)
class Args:
    """Answer spatial questions from 9-DoF boxes, so that perception can be read as reasoning.

    Boxes come from one of: --scenes (annotated), --metadata (VSI-Bench's), --boxes (a file), --detections (a
    model's answers to --detection-samples). With --predictions, a model's own answers, its failures are split
    into "didn't see" and "couldn't reason". --blind answers from the questions' words alone instead: the
    floor under every model; with --predictions, whether the model's numbers follow the rooms at all stands beside
    it. --check-official compares with VSI-Bench's own key.
    """

    samples: Path | None = None
    """spatial samples file with the questions, or a question file of VSI-Bench, VLM-3R, SpaceR or Spatial-MLLM"""
    scenes: str | None = None
    """scene folder, posed clip, folder of them, or rooms:0-31; or what --source reads"""
    source: Literal["auto", "embodiedscan", "scannet_export", "arkitscenes", "vsi_meta"] = "auto"
    """a data set's own format of --scenes; auto: one of the four above"""
    metadata: tuple[Path, ...] = ()
    """VSI-Bench's scene metadata: {arkitscenes,scannet,scannetpp}_meta_info_val.json"""
    boxes: Path | None = None
    """JSON lines {"scene", "boxes": [{"label", "bbox_3d"}], "T_world_camera"?, "floor_area_m2"?}"""
    detections: Path | None = None
    """a model's predictions for --detection-samples"""
    detection_samples: Path | None = None
    """detection samples file with the windows' cameras"""
    blind: Path | None = None
    """questions about other rooms, as --samples: answer with what earns most on these, without looking"""
    predictions: Path | None = None
    """a model's own answers to --samples: split its failures, or compare them with --blind"""
    out: Path | None = None
    """JSON file to write with the table"""
    force: bool = False
    """replace what is at --out and --predictions-out"""
    predictions_out: Path | None = None
    """predictions file to write with the answers that the boxes imply"""
    check_official: bool = False
    """does --metadata reproduce the key of --questions? Fails when it doesn't"""
    questions: Path | None = None
    """VSI-Bench's question file (test.parquet or test.jsonl), for --check-official"""


def main(args: Args) -> None:
    free(args.out, args.force)
    free(args.predictions_out, args.force)
    from rft3d.evaluation.records import write_predictions
    from rft3d.evaluation.solving import answer_blindly, as_predictions, solve_samples, split_failures
    from rft3d.files import write_json

    if args.check_official:
        _check(args)
        return
    if args.samples is None:
        raise ValueError("--samples is needed: the spatial questions to answer")
    if args.blind is not None and any(_given(args)):
        raise ValueError("--blind looks at no boxes: leave out where boxes come from")
    samples = _asked(args.samples)
    if args.blind is None:
        solved = solve_samples(samples, _places(args))
    else:
        solved = answer_blindly(samples, _asked(args.blind))
    if args.predictions_out is not None:
        write_predictions(args.predictions_out, as_predictions(solved))
    own = None if args.predictions is None else _answers(args.predictions, samples)
    rows = split_failures(solved, as_predictions(solved) if own is None else own)
    if args.blind is not None:
        rows = _beside_blind(rows, samples, own)
    if args.out is not None:
        write_json(args.out, rows)
    if args.blind is None:
        _print(rows, split=own is not None)
    else:
        _print_blind(rows, beside=own is not None)


def _asked(path: Path) -> list[Sample]:
    from rft3d.datasets.prepare import asked_in

    samples, left_out = asked_in(path)
    for reason, count in left_out.items():
        print(f"{path}: left out {count} x {reason}")
    return samples


def _answers(path: Path, samples: list[Sample]) -> list[Prediction]:
    from rft3d.evaluation import load_predictions

    return load_predictions(path, samples).predictions


def _beside_blind(
    rows: dict[str, dict[str, Any]], samples: list[Sample], own: list[Prediction] | None
) -> dict[str, dict[str, Any]]:
    """Accuracy of the blind answers by question type and, given a model's answers, theirs next to it."""
    from dataclasses import asdict

    from rft3d.evaluation.solving import follow

    found = {kind: {"questions": row["questions"], "blind": row["from_boxes"]} for kind, row in rows.items()}
    if own is not None:
        for kind, row in rows.items():
            found[kind]["own"] = row["accuracy"]
        for kind, followed in follow(samples, own).items():
            found[kind]["follows"] = asdict(followed)
    return found


def _places(args: Args) -> Places:
    from rft3d.evaluation import read_predictions
    from rft3d.evaluation.solving import places_from_detections, places_from_file, places_from_scenes
    from rft3d.scenes import SOURCES, open_scenes
    from rft3d.tasks.samples import read_samples

    if sum(_given(args)) != 1:
        raise ValueError("give exactly one of --scenes, --metadata, --boxes and --detections, or --blind")
    if args.scenes is not None:
        named = open_scenes(args.scenes) if args.source == "auto" else SOURCES[args.source](args.scenes)
        return places_from_scenes(named)
    if args.boxes is not None:
        return places_from_file(args.boxes)
    if args.detections is not None:
        if args.detection_samples is None:
            raise ValueError("--detections needs --detection-samples: the windows' cameras")
        samples = list(read_samples(args.detection_samples))
        return places_from_detections(samples, read_predictions(args.detections))
    return _metadata(args)


def _given(args: Args) -> list[bool]:
    return [bool(each) for each in (args.scenes, args.boxes, args.detections, args.metadata)]


def _metadata(args: Args) -> Places:
    from rft3d.evaluation.solving import places_from_scenes
    from rft3d.scenes import SOURCES

    return places_from_scenes(scene for path in args.metadata for scene in SOURCES["vsi_meta"](path))


def _check(args: Args) -> None:
    from rft3d.evaluation.solving import check_official
    from rft3d.scenes.sources import RECORDS

    if args.questions is None or not args.metadata:
        raise ValueError("--check-official needs --questions and --metadata")
    checks = check_official(RECORDS["vsi_bench"](args.questions), _metadata(args))
    _print_checks(checks)
    failed = [check.type for check in checks if not check.passed]
    if failed:
        raise ValueError(f"the official key is not reproduced for {', '.join(failed)}")


def _print_checks(checks: list[KeyCheck]) -> None:
    from rich.console import Console

    console = Console()
    for check in checks:
        console.print(
            f"{'ok ' if check.passed else 'NO '} {check.type:28} {check.reproduced} of {check.answerable} "
            f"({100 * check.share:.2f} %, needed {100 * check.bar:.0f} %; {check.unsolved} more have no answer)",
            highlight=False,
            soft_wrap=True,
        )
        for line in check.without_answer[:5]:
            console.print(f"      {line}", highlight=False)
        for example in check.examples if not check.passed else ():
            console.print(f"      {example}", highlight=False)


def _print(rows: dict[str, dict[str, Any]], split: bool) -> None:
    from rft3d.evaluation.solving import VERDICTS
    from rft3d.evaluation.tables import percent

    short = zip(VERDICTS.items(), ("both", "other", "reason", "label", "off", "none"), strict=True)
    shown = [
        (verdict, heading, words) for (verdict, words), heading in short if split or verdict == "undecided"
    ]
    table = _table("spatial questions from boxes", split, ("boxes", *(("own",) if split else ())),
                   [heading for _, heading, _ in shown])  # fmt: skip
    for kind, row in rows.items():
        own = [percent(row["accuracy"])] if split else []
        numbers = (str(row[verdict]) for verdict, _, _ in shown)
        table.add_row(kind, str(row["questions"]), percent(row["from_boxes"]), *own, *numbers)
    _show(table, (f"{heading}: {words}" for _, heading, words in shown))


def _print_blind(rows: dict[str, dict[str, Any]], beside: bool) -> None:
    from rft3d.evaluation.tables import percent

    table = _table("spatial questions without looking", beside, ("blind", *(("own",) if beside else ())),
                   ("r", "95 %", "compared") if beside else ())  # fmt: skip
    for kind, row in rows.items():
        own = [percent(row["own"]), *_followed(row.get("follows"))] if beside else []
        table.add_row(kind, str(row["questions"]), percent(row["blind"]), *own)
    meaning = (
        "r: do own numbers follow the rooms? Correlation with the truth (of the logs)",
        "   among questions about the same things; 0 can be had without looking.",
        "   same: one answer wherever the same things are asked about.",
    )
    _show(table, meaning if beside else ())


def _followed(found: dict[str, Any] | None) -> tuple[str, str, str]:
    if found is None:  # a choice
        return "", "", ""
    compared = str(found["compared"])
    if found["r"] is None:
        return "same" if found["compared"] else "-", "", compared
    spread = "" if found["low"] is None else f"{found['low']:+.2f} {found['high']:+.2f}"
    return f"{found['r']:+.2f}", spread, compared


def _table(what: str, beside: bool, shares: Sequence[str], others: Sequence[str]) -> Table:
    from rich.table import Table

    # no frame, so that it fits into 80 columns: digits that are cut off are worse
    title = what + (" beside the model's own answers" if beside else "")
    table = Table(title=title, box=None, padding=(0, 1, 0, 0))
    table.add_column("question type", no_wrap=True)
    for name in ("asked", *shares, *others):
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _show(table: Table, notes: Iterable[str]) -> None:
    from rich.console import Console

    console = Console()
    console.print(table)
    for note in notes:
        console.print(note, highlight=False)
