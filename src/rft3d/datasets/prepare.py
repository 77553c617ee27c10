"""The preparations, from files to a samples file: what ``rft3d data prepare`` calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from rft3d.datasets.captions import CaptionSettings, make_captions
from rft3d.datasets.check.kinds import READERS, kind_of
from rft3d.datasets.convert import NotASample, question_sample
from rft3d.datasets.detection import DetectionSettings, detection_jobs, make_detection
from rft3d.datasets.grounding import GroundingSettings, make_grounding, referring_jobs
from rft3d.datasets.leaks import leaking
from rft3d.datasets.vgllm import Angles, make_vgllm, old_angles, vgllm_jobs
from rft3d.datasets.vsi import Question, VsiSettings, make_vsi, vsi_jobs
from rft3d.datasets.work import Prepared, prepare_samples
from rft3d.evaluation.questions import Made as MadeQuestions
from rft3d.evaluation.questions import QuestionConfig
from rft3d.evaluation.solving.places import places_from_scenes
from rft3d.scenes.readers.embodiedscan import embodiedscan, info_records
from rft3d.scenes.readers.proposals import read_proposals
from rft3d.scenes.readers.scannet_labels import read_nyu40
from rft3d.scenes.readers.scanrefer import scanrefer, unique_objects
from rft3d.scenes.readers.spacer import spacer
from rft3d.scenes.readers.vsi_bench import vsi_bench
from rft3d.scenes.readers.vsi_meta import vsi_meta
from rft3d.scenes.types import Scene
from rft3d.tasks.samples import read_samples, write_samples
from rft3d.tasks.types import Sample

NOT_OPENED = (1296, 968)
"""Size of ScanNet's colour pictures, which samples without frames take for granted."""


def prepare_detection(
    infos: Path,
    out: Path,
    media: Path | None = None,
    settings: DetectionSettings | None = None,
    *,
    image_size: tuple[int, int] | None = None,
    workers: int = 1,
    overwrite: bool = False,
    no_frames: bool = False,
) -> Prepared:
    """ScanNetDetection from EmbodiedScan's infos; see :mod:`rft3d.datasets.detection`.

    Raises:
        ValueError: damaged annotations, or a training set with validation scans.
    """
    settings = settings or DetectionSettings()
    scans = scans_of(infos)
    _refuse_leaks(scans, settings.split, infos)
    left_out: Counter[str] = Counter()
    size = image_size or (NOT_OPENED if no_frames else None)
    scenes = embodiedscan(infos, media, image_size=size, left_out=left_out)
    made = prepare_samples(
        detection_jobs(scenes, out.parent, settings),
        make_detection,
        out,
        plan={"benchmark": "scannet-detection", "settings": asdict(settings)},
        inputs=[infos],
        workers=workers,
        total=len(scans),
        overwrite=overwrite,
        no_frames=no_frames,
    )
    return replace(made, skipped={**made.skipped, **left_out})


def prepare_referring(
    benchmark: str,
    descriptions: Path,
    infos: Path,
    scans: Path,
    out: Path,
    media: Path | None = None,
    settings: GroundingSettings | None = None,
    *,
    labels: Path | None = None,
    proposals: Path | None = None,
    image_size: tuple[int, int] | None = None,
    workers: int = 1,
    overwrite: bool = False,
    no_frames: bool = False,
) -> Prepared:
    """``scanrefer`` or ``scan2cap`` from ScanRefer's file, the infos and ScanNet's annotations.

    ``labels`` (ScanNet's label table) tells unique from multiple; ``proposals`` only serve ``scan2cap``.

    Raises:
        ValueError: damaged annotations, or a training set with validation scans.
    """
    if benchmark not in ("scanrefer", "scan2cap"):
        raise ValueError(f"benchmark must be 'scanrefer' or 'scan2cap', got {benchmark!r}")
    settings = settings or (GroundingSettings() if benchmark == "scanrefer" else CaptionSettings())
    rows = list(scanrefer(descriptions))
    wanted = {row.scene for row in rows}
    _refuse_leaks(wanted, settings.split, descriptions)
    unique = unique_objects(rows, read_nyu40(labels)) if labels is not None else {}
    boxes = read_proposals(proposals) if proposals is not None else None
    size = image_size or (NOT_OPENED if no_frames else None)
    left_out: Counter[str] = Counter()
    scenes = _sorted_frames(embodiedscan(infos, media, scenes=wanted, image_size=size, left_out=left_out))
    inputs = [descriptions, infos, *(path for path in (labels, proposals) if path is not None)]
    made = prepare_samples(
        referring_jobs(scenes, rows, unique, scans, out.parent, settings, boxes),
        make_grounding if benchmark == "scanrefer" else make_captions,
        out,
        plan={"benchmark": benchmark, "settings": asdict(settings)},
        inputs=inputs,
        workers=workers,
        total=len(wanted),
        overwrite=overwrite,
        no_frames=no_frames,
    )
    return replace(made, skipped={**made.skipped, **left_out})


def prepare_vsi(
    questions: Sequence[Path],
    media: Path | None,
    out: Path,
    settings: VsiSettings | None = None,
    *,
    metadata: Sequence[Path] = (),
    workers: int = 1,
    overwrite: bool = False,
    no_frames: bool = False,
) -> Prepared:
    """VSI-Bench (``split="test"``), or training questions of VLM-3R and SpaceR files (``"train"``).

    ``no_frames`` needs no ``media``: questions and keys only, to score a log of answers.

    ``metadata``: scene metadata files; ``answers="think"`` works its thoughts out from their boxes.

    Raises:
        ValueError: damaged annotations, missing videos, or a test file that isn't the whole benchmark.
    """
    settings = settings or VsiSettings()
    if media is None and not no_frames:
        raise ValueError("give the folder of videos (--media), or --no-frames to score answers without them")
    if (settings.answers == "think") != bool(metadata):
        raise ValueError(
            "worked thoughts (--answers think) and scene metadata (--metadata) need each other; for RFT and "
            "evaluation, which need no thoughts, ask with --answers think-prompt"
        )
    places = places_from_scenes(scene for path in metadata for scene in vsi_meta(path))
    read = vsi_bench if settings.split == "test" else read_questions
    records = [record for path in questions for record in read(path)]
    scans = {f"{record.dataset}/{record.scene or record.video}" for record in records}
    return prepare_samples(
        vsi_jobs(records, None if no_frames else media, out.parent, settings, places),
        make_vsi,
        out,
        plan={"benchmark": "vsi", "settings": asdict(settings)},
        inputs=[*questions, *metadata],
        workers=workers,
        total=len(scans),
        overwrite=overwrite,
        no_frames=no_frames,
    )


def prepare_vgllm(
    file: Path,
    media: Path | None,
    out: Path,
    angles: Angles = "detect",
    *,
    workers: int = 1,
    overwrite: bool = False,
    no_frames: bool = False,
) -> Prepared:
    """The samples of one of VG-LLM's own JSON files; see :mod:`rft3d.datasets.vgllm`.

    Raises:
        ValueError: damaged records, or boxes that don't tell their angles' convention.
    """
    if media is None and not no_frames:
        raise ValueError("give the folder that the pictures' paths start in (--media), or --no-frames")
    old = old_angles(file, angles)
    return prepare_samples(
        vgllm_jobs(file, media or file.parent, out.parent, old),
        make_vgllm,
        out,
        plan={"benchmark": "vg-llm", "settings": {"angles": "extrinsic" if old else "intrinsic"}},
        inputs=[file],
        workers=workers,
        overwrite=overwrite,
        no_frames=no_frames,
    )


def scans_of(infos: Path, dataset: str = "scannet") -> list[str]:
    """Scan ids of an infos pickle."""
    names = [record.text("sample_idx") for record, _ in info_records(infos)]
    return [name.partition("/")[2] for name in names if name.startswith(f"{dataset}/")]


def read_questions(path: Path) -> Iterator[Question]:
    """The questions of a file of VSI-Bench, VLM-3R, SpaceR or Spatial-MLLM, told by its first record."""
    kind = kind_of(path)
    if kind == "SpaceR":
        return spacer(path)
    if kind in ("VLM-3R", "VSI-Bench"):
        return READERS[kind](path)
    raise ValueError(
        f"{path}: neither VSI-Bench's, VLM-3R's, SpaceR's nor Spatial-MLLM's layout of questions"
    )


def asked_in(path: Path) -> tuple[list[Sample], Counter[str]]:
    """A samples file, or a question file's questions as samples without frames; and what was left out, and why."""
    if kind_of(path) == "samples":
        return list(read_samples(path)), Counter()
    samples: list[Sample] = []
    left_out: Counter[str] = Counter()
    for record in read_questions(path):
        try:
            samples.append(question_sample(record, ()))
        except NotASample as reason:
            left_out[str(reason)] += 1
    return samples, left_out


def holds_questions(path: Path) -> bool:
    """Whether ``path`` is a question file of VSI-Bench, VLM-3R, SpaceR or Spatial-MLLM."""
    return path.is_file() and kind_of(path) in ("SpaceR", "VLM-3R", "VSI-Bench")


def keep_questions(
    path: Path, out: Path, config: QuestionConfig, excluded: Callable[[str], bool]
) -> MadeQuestions:
    """A question file's own questions as a samples file without frames; only ``config.types`` chooses.

    Raises:
        ValueError: ``config`` asks for thoughts, which need boxes.
    """
    if config.answers == "think":
        raise ValueError(
            f"{path}: thoughts are worked out from boxes, and this file has none; give them to "
            "rft3d data prepare vsi --answers think --metadata ..."
        )
    samples, left_out = asked_in(path)
    made = MadeQuestions(left_out=left_out)
    kept: list[Sample] = []
    scenes = {sample.scene: excluded(sample.scene) for sample in samples}
    for sample in samples:
        kind = str(sample.meta.get("question_type"))
        if not scenes[sample.scene] and kind in config.types:
            made.by_type[kind] += 1
            kept.append(sample)
    made.excluded = [scene for scene, out_of_it in scenes.items() if out_of_it]
    made.scenes = len({sample.scene for sample in kept})
    write_samples(out, kept)
    return made


def _refuse_leaks(scans: Iterable[str], split: str, file: Path) -> None:
    if split == "train" and (found := leaking(scans)):
        shown = "; ".join(f"{name}: {', '.join(ids[:3])} ({len(ids)})" for name, ids in found.items())
        raise ValueError(
            f"{file}: training annotations with scans of benchmarks ({shown}); is this the val file?"
        )


def _sorted_frames(scenes: Iterable[Scene]) -> Iterator[Scene]:
    for scene in scenes:
        yield replace(scene, frames=tuple(sorted(scene.frames, key=lambda frame: frame.name)))
