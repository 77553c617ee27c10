"""The preparations, from files to a samples file: what ``rft3d data prepare`` offers, a class a benchmark.

::

    ScannetDetection(infos=infos, media=media, out=Path("val.jsonl")).prepare().words()
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from rft3d.datasets.check.annotations import kind_of
from rft3d.datasets.detection import DetectionSettings, detection_jobs, make_detection
from rft3d.datasets.grounding import GroundingSettings, make_captions, make_grounding, referring_jobs
from rft3d.datasets.leaks import leaking
from rft3d.datasets.vgllm import Angles, make_vgllm, old_angles, vgllm_jobs
from rft3d.datasets.vsi import Question, VsiSettings, make_vsi, question_sample, vsi_jobs
from rft3d.datasets.work import Job, JobOutput, NotASample, Output, Prepared, prepare_samples
from rft3d.evaluation.questions import Made as MadeQuestions
from rft3d.evaluation.questions import QuestionConfig
from rft3d.evaluation.solving.places import places_from_scenes
from rft3d.scenes.readers.embodiedscan import embodiedscan, info_entries
from rft3d.scenes.readers.scanrefer import read_nyu40, read_proposals, scanrefer, unique_objects
from rft3d.scenes.readers.vsi_bench import vsi_bench, vsi_meta
from rft3d.scenes.sources import RECORDS
from rft3d.scenes.types import Scene
from rft3d.tasks.samples import read_samples, write_samples
from rft3d.tasks.types import Sample

NOT_OPENED = (1296, 968)
"""Size of ScanNet's colour pictures, which samples without frames take for granted."""
QUESTIONS = ("spacer", "vlm3r", "vsi_bench")
"""Of ``RECORDS``: questions in VSI-Bench's style."""


@dataclass(frozen=True, kw_only=True)
class _FromMedia(Output):
    media: Path | None = None
    """folder that the annotations' picture paths start in; their own folder when left out"""

    def _write(
        self,
        benchmark: str,
        settings: dict[str, Any],
        jobs: Iterable[Job],
        make: Callable[..., JobOutput],
        inputs: Iterable[Path],
        total: int,
    ) -> Prepared:
        plan = {"benchmark": benchmark, "settings": settings}
        work = partial(make, root=self.out.parent)
        return prepare_samples(self, jobs, work, plan=plan, inputs=inputs, total=total)


@dataclass(frozen=True, kw_only=True)
class _FromInfos(_FromMedia):
    infos: Path
    """embodiedscan_infos_{train,val}.pkl of the split"""
    image_size: tuple[int, int] | None = None
    """width and height of the pictures, when they are not on disk yet"""

    def _scenes(self, left_out: Counter[str], scans: Iterable[str] | None = None) -> Iterator[Scene]:
        size = self.image_size or (NOT_OPENED if self.no_frames else None)
        wanted = None if scans is None else set(scans)
        return embodiedscan(self.infos, self.media, scenes=wanted, image_size=size, left_out=left_out)


@dataclass(frozen=True, kw_only=True)
class ScannetDetection(_FromInfos):
    """ScanNetDetection from EmbodiedScan's infos: windows of frames a second apart, and their objects."""

    settings: DetectionSettings = field(default_factory=DetectionSettings)

    def prepare(self) -> Prepared:
        """Write the samples. ValueError: damaged annotations, or a training set with validation scans."""
        scans = [entry.scan for _, entry, _ in info_entries(self.infos) if entry.scan is not None]
        _refuse_leaks(scans, self.settings.split, self.infos)
        left_out: Counter[str] = Counter()
        jobs = detection_jobs(self._scenes(left_out), self.settings)
        make = partial(make_detection, settings=self.settings)
        facts = asdict(self.settings)
        made = self._write("scannet-detection", facts, jobs, make, [self.infos], len(scans))
        return replace(made, skipped={**made.skipped, **left_out})


@dataclass(frozen=True, kw_only=True)
class _Referring(_FromInfos):
    descriptions: Path
    """ScanRefer_filtered_{train,val}.json"""
    scans: Path
    """ScanNet's scans folder: <scan>/<scan>.txt, .aggregation.json, segs.json and _vh_clean_2.ply"""
    labels: Path | None = None
    """scannetv2-labels.combined.tsv: tells unique from multiple"""
    settings: GroundingSettings = field(default_factory=GroundingSettings)

    def _prepare(self, name: str, make: Callable[..., JobOutput], proposals: Path | None = None) -> Prepared:
        rows = list(scanrefer(self.descriptions))
        wanted = {row.scene for row in rows}
        _refuse_leaks(wanted, self.settings.split, self.descriptions)
        unique = {} if self.labels is None else unique_objects(rows, read_nyu40(self.labels))
        boxes = None if proposals is None or self.settings.split == "train" else read_proposals(proposals)
        left_out: Counter[str] = Counter()
        scenes = (
            replace(scene, frames=tuple(sorted(scene.frames, key=lambda frame: frame.name)))
            for scene in self._scenes(left_out, wanted)
        )
        jobs = referring_jobs(scenes, rows, unique, self.scans, boxes)
        work = partial(make, settings=self.settings)
        inputs = [self.descriptions, self.infos, *filter(None, (self.labels, proposals))]
        made = self._write(name, asdict(self.settings), jobs, work, inputs, len(wanted))
        return replace(made, skipped={**made.skipped, **left_out})


@dataclass(frozen=True, kw_only=True)
class Scanrefer(_Referring):
    """ScanRefer: which frame shows the described object best, and its box there."""

    def prepare(self) -> Prepared:
        """Write the samples. ValueError: damaged annotations, or a training set with validation scans."""
        return self._prepare("scanrefer", make_grounding)


@dataclass(frozen=True, kw_only=True)
class Scan2cap(_Referring):
    """Scan2Cap: describe the object at a place."""

    settings: GroundingSettings = field(default_factory=lambda: GroundingSettings(draws=1))
    proposals: Path | None = None
    """scannet_val_pred_box.json; without it val asks about true boxes, unlike the published protocol"""

    def prepare(self) -> Prepared:
        """Write the samples. ValueError: damaged annotations, or a training set with validation scans."""
        return self._prepare("scan2cap", make_captions, self.proposals)


@dataclass(frozen=True, kw_only=True)
class Vsi(_FromMedia):
    """VSI-Bench (test), or training questions in its style without benchmarks' rooms (train).

    --media is a folder of <dataset>/<scene>.mp4 (test), VG-LLM's media folder or one with the videos (train).
    """

    questions: tuple[Path, ...]
    """test: the parquet file; train: VLM-3R and SpaceR files"""
    settings: VsiSettings = field(default_factory=VsiSettings)
    metadata: tuple[Path, ...] = ()
    """scene metadata, {dataset}_meta_info_*.json: boxes that thoughts are worked out from"""

    def prepare(self) -> Prepared:
        """Write the samples.

        ValueError: damaged annotations, missing videos, or a test file that isn't the whole benchmark.
        """
        if self.media is None and not self.no_frames:
            raise ValueError("give the folder of videos (--media), or --no-frames to score without them")
        if (self.settings.answers == "think") != bool(self.metadata):
            raise ValueError(
                "worked thoughts (--answers think) and scene metadata (--metadata) need each other; for RFT and "
                "evaluation, which need no thoughts, ask with --answers think-prompt"
            )
        places = places_from_scenes(scene for path in self.metadata for scene in vsi_meta(path))
        read = vsi_bench if self.settings.split == "test" else question_records
        records = [record for path in self.questions for record in read(path)]
        jobs = vsi_jobs(records, places)
        make = partial(make_vsi, settings=self.settings, media=None if self.no_frames else self.media)
        inputs = [*self.questions, *self.metadata]
        return self._write("vsi", asdict(self.settings), jobs, make, inputs, len(jobs))


@dataclass(frozen=True, kw_only=True)
class Vgllm(_FromMedia):
    """VG-LLM's own JSON files: detection of 4 or 6 frames, ScanRefer, Scan2Cap."""

    file: Path
    """scannet_det_val_4frames.json, scanrefer_val_32frames.json ..."""
    angles: Angles = "detect"
    """of its boxes: extrinsic in files from before 2025-11-27; detect decides it from the boxes"""

    def prepare(self) -> Prepared:
        """Write the samples. ValueError: damaged records, or boxes that don't tell their angles' convention."""
        if self.media is None and not self.no_frames:
            raise ValueError("give the folder that the pictures' paths start in (--media), or --no-frames")
        old = old_angles(self.file, self.angles)
        jobs = vgllm_jobs(self.file, old)
        make = partial(make_vgllm, media=self.media or self.file.parent)
        facts = {"angles": "extrinsic" if old else "intrinsic"}
        return self._write("vg-llm", facts, jobs, make, [self.file], len(jobs))


def question_records(path: Path) -> Iterator[Question]:
    """The questions of a file of VSI-Bench, VLM-3R, SpaceR or Spatial-MLLM, told by its first record."""
    if (kind := kind_of(path)) in QUESTIONS:
        return RECORDS[kind](path)
    raise ValueError(f"{path}: not a question file of VSI-Bench, VLM-3R, SpaceR or Spatial-MLLM")


def asked_in(path: Path) -> tuple[list[Sample], Counter[str]]:
    """A samples file, or a question file's questions as samples without frames; and what was left out, and why."""
    if kind_of(path) == "samples":
        return list(read_samples(path)), Counter()
    samples: list[Sample] = []
    left_out: Counter[str] = Counter()
    for record in question_records(path):
        try:
            samples.append(question_sample(record, ()))
        except NotASample as reason:
            left_out[str(reason)] += 1
    return samples, left_out


def holds_questions(path: Path) -> bool:
    """Whether ``path`` is a question file of VSI-Bench, VLM-3R, SpaceR or Spatial-MLLM."""
    return path.is_file() and kind_of(path) in QUESTIONS


def keep_questions(
    path: Path, out: Path, config: QuestionConfig, excluded: Callable[[str], bool]
) -> MadeQuestions:
    """A question file's own questions as a samples file without frames; only ``config.types`` chooses.

    ValueError: ``config`` asks for thoughts, which need boxes.
    """
    if config.answers == "think":
        raise ValueError(
            f"{path}: thoughts are worked out from boxes, and this file has none; give them to "
            "rft3d data prepare vsi --answers think --metadata ..."
        )
    samples, left_out = asked_in(path)
    gone = {sample.scene: excluded(sample.scene) for sample in samples}
    asked = (sample for sample in samples if not gone[sample.scene])
    kept = [sample for sample in asked if sample.meta.get("question_type") in config.types]
    write_samples(out, kept)
    kinds = Counter(str(sample.meta["question_type"]) for sample in kept)
    scenes = len({sample.scene for sample in kept})
    return MadeQuestions(scenes, [name for name in gone if gone[name]], by_type=kinds, left_out=left_out)


def _refuse_leaks(scans: Iterable[str], split: str, file: Path) -> None:
    if split == "train" and (found := leaking(scans)):
        shown = "; ".join(f"{name}: {', '.join(ids[:3])} ({len(ids)})" for name, ids in found.items())
        raise ValueError(f"{file}: training data with scans of benchmarks ({shown}); is this the val file?")
