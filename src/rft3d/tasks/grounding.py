"""Video 3D grounding: the frame that shows the described object, and its box in that frame's camera.

Prompt and target are those of ScanRefer in VG-LLM, which 3D-RFT trains and reports on
(``docs/papers.md``). One real sample, room 1 with two frames::

    prompt   Frame-0: <image>Frame-1: <image>Localize the first clear frame in the video showing the ...
             Text: The couch
             Output a JSON dictionary with the frame index in "frame" and its 3D bounding box in "bbox_3d" ...
    truth    {"frame": 0, "bbox_3d": [-0.3806, 0.1509, ...], "box_world": [-1.3831, -0.4563, ...],
              "T_world_camera": [[4 x 4], [4 x 4]]}
    gold     ```json
                 {"frame": 0, "bbox_3d": [-0.38, 0.15, 2.2, 1.94, 0.82, 0.95, 0.0, 0.45, -0.26]}
             ```

The answer's box is moved to the world by the camera of the frame that the answer names.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from rft3d.answers import FrameBox, ParseFailure, ParseMode, Rounding, parse_frame_box, render_frame_box
from rft3d.geometry import canonical_boxes, invert_pose, transform_boxes
from rft3d.prompts import IMAGE
from rft3d.rewards import FRAME_REWARDS, Placement, Score, format_part
from rft3d.scenes.types import Expression, Scene
from rft3d.settings import Checked
from rft3d.tasks.types import Sample, Task, checked_refs, reward_parts

PROMPT = (
    "{frames}Localize the first clear frame in the video showing the object described in the text.\n"
    "Text: {description}\n"
    'Output a JSON dictionary with the frame index in "frame" and its 3D bounding box in "bbox_3d" in the '
    "frame's coordinates.\n"
)
"""As the model sees it: the data file has a newline behind the last picture, which upstream's loader deletes."""
CLEAR = 0.5
"""A frame shows an object clearly when it shows this share of what the best frame shows."""
PRESETS: dict[str, tuple[str, ...]] = {
    "paper": ("format", "frame", "iou"),
    "metric": ("format", "acc@0.25", "iou"),
    "metric_diou": ("format", "acc@0.25", "iou", "diou"),
}
_GROUPS: dict[bool | None, str] = {None: "", True: "/unique", False: "/multiple"}


@dataclass(frozen=True)
class Grounding(Checked, Task):
    """The grounding task.

    Attributes:
        decimals: of the numbers in gold texts; 2 is official.
        tau: distance in frames at which the frame reward reaches 0 (3D-RFT: 5).
        canonical: write each box in that one of its 24 equivalent forms whose rotation is nearest to none.
        max_per_scene: at most so many descriptions of a scene, drawn by ``seed``; None: all.
        rounding: of gold texts (:data:`rft3d.answers.Rounding`).
        mode: how the answer is read; the format part always needs ``strict``.
        reward: parts of the score, a preset or names of :data:`rft3d.rewards.FRAME_REWARDS` joined by ``+`` (format
            is always there). ``paper``: format + frame + IoU; ``metric``: format + Acc@0.25 + IoU.
            The official number does not look at the frame by itself, and on short clips the frame part
            pays for always naming a middle one (``docs/log.md``). ``metric_diou``: and DIoU, for policies
            that rarely overlap the truth.
        target_frame: which frame is the right one. ``best``: the expression's best frame, else the one that
            shows most of the object, as upstream annotates; ``first_clear``: the first that shows at least
            half of what the best shows, which is what the prompt's words ask for.
    """

    decimals: int = 2
    tau: float = 5.0
    canonical: bool = True
    max_per_scene: int | None = None
    rounding: Rounding = "safe"
    mode: ParseMode = "lenient"
    reward: str = "paper"
    target_frame: Literal["best", "first_clear"] = "best"

    name: ClassVar[str] = "grounding"
    rewards: ClassVar[tuple[str, ...]] = ("format", *FRAME_REWARDS)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.parts()  # an unknown reward is named here

    def parts(self) -> tuple[str, ...]:
        return reward_parts("Grounding", self.reward, PRESETS, ("format", *FRAME_REWARDS))

    def samples(self, scene: Scene, frame_refs: Sequence[str], seed: int) -> list[Sample]:
        """One sample for each description whose object some frame shows."""
        refs = checked_refs(scene, frame_refs)
        made: list[Sample] = []
        for index, expression in enumerate(scene.expressions):
            frame = _target_frame(scene, expression, self.target_frame == "first_clear")
            if frame is not None:
                made.append(self._sample(scene, refs, index, expression, frame))
        if self.max_per_scene is not None and len(made) > self.max_per_scene:
            rng = np.random.default_rng(seed)
            kept = rng.choice(len(made), self.max_per_scene, replace=False)
            made = [made[index] for index in sorted(kept.tolist())]
        return made

    def _sample(
        self, scene: Scene, refs: tuple[str, ...], index: int, expression: Expression, frame: int
    ) -> Sample:
        target = next(thing for thing in scene.objects if thing.id == expression.target)
        box = transform_boxes(invert_pose(scene.frames[frame].T_world_camera), target.box[None])
        if self.canonical:
            box = canonical_boxes(box)
        frames = "".join(f"Frame-{i}: {IMAGE}" for i in range(len(refs)))
        prompt = PROMPT.format(frames=frames, description=expression.text.capitalize())
        truth = {
            "frame": frame,
            "bbox_3d": box[0].tolist(),
            "box_world": np.asarray(target.box, dtype=np.float64).tolist(),
            "T_world_camera": [f.T_world_camera.tolist() for f in scene.frames],
        }
        meta = {
            "label": target.label,
            **({} if self.rounding == "safe" else {"rounding": self.rounding}),
            "unique": sum(thing.label == target.label for thing in scene.objects) == 1,
        }
        return Sample(f"{scene.id}:grounding:{index}", self.name, scene.id, refs, prompt, truth, meta)

    def gold(self, sample: Sample) -> str:
        """The best frame and the box in it, in upstream's layout; rounded, so its IoU is not quite 1."""
        truth = sample.truth
        rounding: Rounding = sample.meta.get("rounding", self.rounding)
        box = tuple(truth["bbox_3d"])
        return render_frame_box(FrameBox(truth["frame"], box), self.decimals, rounding)

    def exact(self) -> "Grounding":
        return replace(self, decimals=6)

    def parse(self, text: str, sample: Sample, mode: ParseMode | None = None) -> FrameBox | ParseFailure:
        """Frame and box in ``text``; a frame beyond the sample's is a failure. ``mode`` None: the task's."""
        answer = parse_frame_box(text, mode or self.mode)
        frames = len(sample.truth.get("T_world_camera", sample.frames))
        if isinstance(answer, FrameBox) and answer.frame >= frames:
            reason = f"frame {answer.frame} of a video with frames 0 to {frames - 1}"
            return ParseFailure(reason, f'"frame": {answer.frame}')
        return answer

    def score(self, text: str, sample: Sample, truncated: bool = False) -> Score:
        """Parts as ``reward`` says, weight 1 each. ValueError: a sample without cameras, which serves SFT only."""
        if "T_world_camera" not in sample.truth:
            raise ValueError(
                f"sample {sample.id!r}: truth has no T_world_camera, so nothing can be scored; "
                "its file serves SFT only"
            )
        return super().score(text, sample, truncated)

    def judge(self, answer: FrameBox, text: str, sample: Sample) -> Score:
        strict = self.parse(text, sample, "strict")
        form = format_part(strict if isinstance(strict, ParseFailure) else None)
        poses = np.array(sample.truth["T_world_camera"])
        both = Placement(answer, sample.truth["frame"], sample.truth["box_world"], poses, self.tau)
        parts = tuple(form if name == form.name else FRAME_REWARDS[name](both) for name in self.parts())
        return Score(parts, evidence=both)

    def pools(self, samples: Sequence[Sample], scores: Sequence[Score]) -> list[dict[str, float]]:
        """Per answer: :func:`pool_iou`."""
        pools: list[dict[str, float]] = []
        for sample, found in zip(samples, (score.evidence for score in scores), strict=True):
            placed = isinstance(found, Placement)  # else the answer could not be read
            right = placed and found.answer.frame == found.frame
            pools.append(pool_iou(sample, found.iou if placed else 0.0, right))
        return pools

    def metric_from(self, totals: Mapping[str, float]) -> dict[str, float | None]:
        """Acc@0.25 and Acc@0.5 (IoU >= threshold, no proposal refinement), mean IoU, frame accuracy.

        A failed or truncated answer has IoU 0. ``.../unique``: descriptions of the only object of its label
        in the scene, ``.../multiple``: the others. The frame is not scored by the official number.
        None where there is no sample.
        """
        result: dict[str, float | None] = {}
        for suffix in _GROUPS.values():
            count = totals.get(f"samples{suffix}", 0.0)
            for name in ("acc@0.25", "acc@0.5", "mean_iou", "frame_accuracy"):
                result[f"{name}{suffix}"] = totals[f"{name}{suffix}"] / count if count else None
            result[f"count/samples{suffix}"] = count
        return result


def pool_iou(sample: Sample, iou: float, frame_right: bool) -> dict[str, float]:
    """Sums that one answer adds, by its IoU: overall, and in the group that ``meta.unique`` puts it in."""
    kind = sample.meta.get("unique")
    pooled: dict[str, float] = {}
    for suffix in {_GROUPS[None], _GROUPS.get(kind if isinstance(kind, bool) else None, "")}:
        pooled[f"samples{suffix}"] = 1.0
        pooled[f"acc@0.25{suffix}"] = float(iou >= 0.25)
        pooled[f"acc@0.5{suffix}"] = float(iou >= 0.5)
        pooled[f"mean_iou{suffix}"] = iou
        pooled[f"frame_accuracy{suffix}"] = float(frame_right)
    return pooled


def _target_frame(scene: Scene, expression: Expression, first_clear: bool) -> int | None:
    """The frame that a description asks for (see :class:`Grounding`); None when none shows its target."""
    if expression.best_frame is not None and not first_clear:
        return expression.best_frame
    shares = [frame.visible.get(expression.target, 0.0) for frame in scene.frames]
    most = max(shares, default=0.0)
    least = CLEAR * most if first_clear else most
    return next((k for k, share in enumerate(shares) if share >= least), None) if most > 0 else None
