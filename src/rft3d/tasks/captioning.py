"""Dense captioning (Scan2Cap): describe the object at a place, given in the first frame's camera.

Prompt and metric are those of Scan2Cap in VG-LLM (``docs/papers.md``). One real sample, room 1 with two
frames::

    prompt   <image><image>Carefully watch the video and describe the object located at
             [-0.38, 0.15, 2.2] in detail.
    truth    {"caption": "The couch", "references": ["The couch", "The green couch"], "box_world": [-1.3831, ...],
              "input_box_world": [-1.3831, ...], "iou": 1.0}
    gold     The couch

An SFT and evaluation task. Reinforcement on captions is not in 3D-RFT's paper: the score's parts (readable,
and ROUGE-L with the references) are all that can be computed from one caption; nobody has published
them as a reward.

The published numbers are CIDEr, BLEU-4, METEOR and ROUGE-L "@0.5": validation asks about a *detected* box,
and a caption counts only where that box has an IoU of at least 0.5 with the true one. METEOR is left out
(:mod:`rft3d.tasks.caption_metrics` says why).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from rft3d.answers import ParseFailure, ParseMode, split_sections
from rft3d.geometry import invert_pose, transform_points
from rft3d.prompts import IMAGE
from rft3d.rewards import Evidence, Part, Score, format_part
from rft3d.scenes.types import Scene
from rft3d.tasks.caption_metrics import Cider, Words, bleu4, bleu_counts, caption_words, rouge_l, spaced_words
from rft3d.tasks.types import Sample, Task, checked_refs, first_seen

PROMPT = "{frames}Carefully watch the video and describe the object located at {centre} in detail."
LEAST_IOU = 0.5
"""A caption counts where the box that was asked about overlaps the true one by this much."""
_LEAST_WORDS = 2
_MOST_CHARS = 20_000
_REFUSAL = re.compile(r"(?:sorry\b|(?:i am|i'm) (?:sorry|unable)|i (?:do not|don't|can ?not|can't)\b)")
_OPENINGS = ("{", "[", "```", "<")


@dataclass(frozen=True)
class Caption(Evidence):
    """A caption as read."""

    text: str


@dataclass(frozen=True)
class Captioning(Task):
    """The captioning task.

    Attributes:
        min_visible: a scene's object is asked about when some frame shows at least this share of it.
    """

    min_visible: float = 0.1

    name: ClassVar[str] = "captioning"
    rewards: ClassVar[tuple[str, ...]] = ("format", "rouge_l")

    def samples(self, scene: Scene, frame_refs: Sequence[str], seed: int) -> list[Sample]:
        """One sample for each object that is described and seen, about its true box; ``seed`` has no effect.

        ``rft3d data prepare scan2cap`` makes the benchmark's own, about detected boxes.
        """
        refs = checked_refs(scene, frame_refs)
        words: dict[int, list[str]] = {}
        for expression in scene.expressions:
            words.setdefault(expression.target, []).append(expression.text.capitalize())
        made: list[Sample] = []
        for thing in first_seen(scene, self.min_visible):
            if thing.id not in words:
                continue
            box = np.asarray(thing.box, dtype=np.float64)
            truth = caption_truth(words[thing.id], box, box, 1.0)
            prompt = caption_prompt(box[:3], scene.frames[0].T_world_camera, len(refs))
            meta = {"label": thing.label, "object_id": thing.id}
            name = f"{scene.id}:{self.name}:{thing.id}"
            made.append(Sample(name, self.name, scene.id, refs, prompt, truth, meta))
        return made

    def gold(self, sample: Sample) -> str:
        """The first description."""
        return sample.truth["caption"]

    def parse(self, text: str, sample: Sample, mode: ParseMode | None = None) -> str | ParseFailure:
        """The caption in ``text`` (inside ``<answer>``, if any); the same in every mode.

        No caption: less than two words, a refusal, JSON or a code block, an unclosed tag.
        """
        if len(text) > _MOST_CHARS:
            return ParseFailure(f"too long: {len(text)} characters for a caption")
        sections = split_sections(text)
        caption = " ".join(sections.answer.split())
        if caption.startswith(_OPENINGS):
            return ParseFailure("markup instead of a description", caption[:40])
        if sum(any(letter.isalpha() for letter in word) for word in caption.split()) < _LEAST_WORDS:
            return ParseFailure("less than two words", caption[:40])
        if _REFUSAL.match(caption.lower().replace("’", "'")):
            return ParseFailure("a refusal", caption[:40])
        return caption

    def judge(self, answer: str, text: str, sample: Sample) -> Score:
        """Parts ``format`` and ``rouge_l``, weight 1 each; see the module for what they are not."""
        references = reference_words(sample)
        value = rouge_l(caption_words(answer), references)
        part = Part("rouge_l", value, f"longest common subsequence with {len(references)} descriptions")
        return Score((format_part(None), part), evidence=Caption(answer))

    def pools(self, samples: Sequence[Sample], scores: Sequence[Score]) -> list[dict[str, float]]:
        """What each answer adds to the sums of :meth:`metric_from`.

        Not one by one: CIDEr's document frequencies are those of all ``samples``, each counted once.
        """
        read = (score.evidence for score in scores)
        words = [caption_words(each.text) if isinstance(each, Caption) else () for each in read]
        return pool_captions(samples, words)

    def metric_from(self, totals: Mapping[str, float]) -> dict[str, float | None]:
        """CIDEr-D, BLEU-4 and ROUGE-L at IoU 0.5 over all samples; None of none.

        What cannot be read, was cut off, or is about a box with too little IoU has no words and earns nothing.
        ``count/boxes``: samples whose box has enough IoU.
        """
        count = totals.get("samples", 0.0)
        return {
            "cider@0.5": totals["cider"] / count if count else None,
            "bleu4@0.5": bleu4(totals) if count else None,
            "rouge_l@0.5": totals["rouge_l"] / count if count else None,
            "count/samples": count,
            "count/boxes": totals.get("boxes", 0.0),
        }


def pool_captions(
    samples: Sequence[Sample],
    words: Sequence[Words],
    otherwise: Words = (),
    texts: Sequence[str] | None = None,
) -> list[dict[str, float]]:
    """Sums that each caption adds; ``otherwise`` replaces it where the box has less IoU than :data:`LEAST_IOU`.

    ``texts``: the captions as written; ROUGE-L is then upstream's, which cuts them otherwise than the rest.
    """
    references = [reference_words(sample) for sample in samples]
    cider = Cider({sample.id: refs for sample, refs in zip(samples, references, strict=True)}.values())
    pooled: list[dict[str, float]] = []
    for place, (sample, caption, refs) in enumerate(zip(samples, words, references, strict=True)):
        boxed = float(sample.truth["iou"]) >= LEAST_IOU
        counted = caption if boxed else otherwise
        rouge = rouge_l(counted, refs)
        if texts is not None:
            spaced = [spaced_words(text) for text in sample.truth["references"]]
            rouge = rouge_l(spaced_words(texts[place] if boxed else ""), spaced)
        sums = {"samples": 1.0, "boxes": float(boxed), "cider": cider.score(counted, refs), "rouge_l": rouge}
        pooled.append(sums | bleu_counts(counted, refs))
    return pooled


def reference_words(sample: Sample) -> list[Words]:
    """The words of every description."""
    return [caption_words(text) for text in sample.truth["references"]]


def caption_prompt(centre_world: Any, T_world_camera: Any, frames: int) -> str:
    """The prompt about the place ``centre_world`` (``(3,)``, metres) seen from the first frame's camera."""
    centre = transform_points(invert_pose(T_world_camera), np.asarray(centre_world, dtype=np.float64))
    return PROMPT.format(frames=IMAGE * frames, centre=[round(float(v), 2) for v in centre])


def caption_truth(
    references: Sequence[str], box_world: Any, input_box_world: Any, iou: float
) -> dict[str, Any]:
    """A truth: the descriptions (the first is the gold text), the true box and the one that is asked about."""
    return {
        "caption": references[0],
        "references": list(references),
        "box_world": np.asarray(box_world, dtype=np.float64).tolist(),
        "input_box_world": np.asarray(input_box_world, dtype=np.float64).tolist(),
        "iou": iou,
    }
