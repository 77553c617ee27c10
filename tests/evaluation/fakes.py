"""Hand-made samples, their pictures on disk, and policies without a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from rft3d.prompts import Generation, Prompt
from rft3d.tasks import TASKS
from rft3d.tasks.types import Sample

K = [[120.0, 0.0, 84.0], [0.0, 120.0, 56.0], [0.0, 0.0, 1.0]]


def detection_sample(number: int, scene: str | None = None, frames: int = 2, cameras: bool = True) -> Sample:
    """A chair and a table in front of a camera that moves to the right."""
    shift = 0.1 * (number % 5)
    boxes = [
        {"label": "chair", "bbox_3d": [0.4 - shift, 0.3, 2.5, 0.5, 0.9, 0.6, 0.1, 0.2, 0.3]},
        {"label": "table", "bbox_3d": [-0.7 + shift, 0.5, 3.5, 1.2, 0.7, 0.8, 0.0, 0.2, -0.4]},
    ]
    poses = [np.eye(4) for _ in range(frames)]
    for index, pose in enumerate(poses):
        pose[0, 3] = 0.2 * index
    meta = {"intrinsics": K, "T_world_camera": [pose.tolist() for pose in poses]} if cameras else {}
    return Sample(
        id=f"s{number}",
        task="detection",
        scene=scene or f"scene{number}",
        frames=tuple(f"frames/{number}-{frame}.png" for frame in range(frames)),
        prompt="<image>" * frames + f"Find the things of room {number}.",
        truth={"boxes": boxes},
        meta=meta,
    )


def grounding_sample(number: int, frames: int = 2) -> Sample:
    first = detection_sample(number, frames=frames)
    box = first.truth["boxes"][0]["bbox_3d"]
    return Sample(
        id=f"g{number}",
        task="grounding",
        scene=first.scene,
        frames=first.frames,
        prompt="<image>" * frames + f"Text: The chair of room {number}",
        truth={"frame": 0, "bbox_3d": box, "box_world": box, "T_world_camera": first.meta["T_world_camera"]},
        meta={**first.meta, "unique": True},
    )


def spatial_sample(number: int, frames: int = 2) -> Sample:
    first = detection_sample(number, frames=frames)
    return Sample(
        id=f"q{number}",
        task="spatial",
        scene=first.scene,
        frames=first.frames,
        prompt="<image>" * frames + f"How many chairs are in room {number}?",
        truth={"question_type": "object_counting", "answer": 1 + number % 3},
        meta={"question_type": "object_counting"},
    )


NOUNS = ("chair", "table", "lamp", "door", "sink", "shelf")


def caption_sample(number: int, iou: float = 1.0) -> Sample:
    first = detection_sample(number)
    words = f"The {NOUNS[number % 6]} is {NOUNS[(number + 1) % 6]} brown, next to the wall of room {number}."
    box = first.truth["boxes"][0]["bbox_3d"]
    return Sample(
        id=f"c{number}",
        task="captioning",
        scene=f"scene{number // 2}",
        frames=first.frames,
        prompt=f"<image><image>Describe thing {number}.",
        truth={"caption": words, "references": [words, "A brown thing."], "box_world": box, "iou": iou},
        meta=first.meta,
    )


def write_frames(folder: Path, samples: Sequence[Sample]) -> None:
    """A different flat picture for every frame reference."""
    for name in sorted({frame for sample in samples for frame in sample.frames}):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shade = np.uint8(40 + sum(name.encode()) % 160)
        ramp = np.linspace(0, 60, 168).astype(np.uint8)
        Image.fromarray(np.stack([ramp + shade // 2] * 3, axis=-1)[None].repeat(112, axis=0)).save(path)


class TablePolicy:
    """Answers from a table prompt -> text; remembers how it was called."""

    def __init__(self, answers: Mapping[str, str], fail_after: int | None = None) -> None:
        self.answers = answers
        self.fail_after = fail_after
        self.calls: list[dict] = []

    def sample_texts(
        self,
        prompts: Sequence[Prompt],
        frames: Sequence[Sequence[np.ndarray]],
        per: int,
        *,
        max_new_tokens: int,
        seed: int,
        temperature: float,
    ) -> list[list[Generation]]:
        if self.fail_after is not None and len(self.calls) >= self.fail_after:
            raise KeyboardInterrupt
        assert all(len(shown) == prompt.frames for prompt, shown in zip(prompts, frames, strict=True))
        assert all(picture.dtype == np.uint8 and picture.ndim == 3 for shown in frames for picture in shown)
        self.calls.append({"size": len(prompts), "seed": seed, "temperature": temperature})
        texts = [self.answers[prompt.text] + (f" #{seed}" if temperature else "") for prompt in prompts]
        return [
            [Generation(text[:max_new_tokens], len(text) > max_new_tokens, len(text))] * per for text in texts
        ]


def gold_answers(samples: Sequence[Sample]) -> dict[str, str]:
    return {sample.prompt: TASKS[sample.task]().gold(sample) for sample in samples}
