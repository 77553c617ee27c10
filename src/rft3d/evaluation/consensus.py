"""One answer out of several of the same model: the one that the others agree with most.

Minimum Bayes risk decoding (Kumar and Byrne, 2004): of what was sampled, take the answer with the highest
mean agreement with the other samples. It is what a policy already knows, without luck and without training.
"""

from collections import Counter
from collections.abc import Sequence
from statistics import median_low
from typing import Any

import numpy as np

from rft3d.answers import LabelledBox, ParseFailure, render_detections
from rft3d.geometry import box_iou
from rft3d.tasks.types import Sample, Task

FLOOR = 0.15
"""A box that overlaps the other samples' boxes by less than this on the average is not named. With 8 samples
this keeps what a mean IoU of 0.25 keeps when a box's own sample counts as 1."""
DECIMALS = 6
"""Of written boxes; more than any model writes, so that sampled numbers stay as they are."""
TASKS_WITH_CONSENSUS = ("detection", "grounding", "spatial")


def consensus(task: Task, sample: Sample, texts: Sequence[str]) -> str:
    """The answer that ``texts``, complete answers to ``sample``, agree on.

    detection: label by label the box with the highest mean IoU to the other samples' boxes; the boxes that it
    stands for are taken out, and so on until that mean is below :data:`FLOOR`. grounding: the text whose
    frame and box have the highest mean IoU to the others' (0 between different frames). spatial: the vote, or
    the median of numbers. Unreadable texts have no vote; when none can be read, the first is given back.

    Raises:
        ValueError: no text at all, or a task of another kind.
    """
    if task.name not in TASKS_WITH_CONSENSUS:
        raise ValueError(f"task {task.name!r} has no consensus; only {', '.join(TASKS_WITH_CONSENSUS)} have")
    if not texts:
        raise ValueError(f"sample {sample.id!r}: a consensus needs at least one text")
    read: list[tuple[str, Any]] = [(text, task.parse(text, sample)) for text in texts]
    read = [(text, answer) for text, answer in read if not isinstance(answer, ParseFailure)]
    if not read:
        return texts[0]
    answers = [answer for _, answer in read]
    if task.name == "detection":
        return render_detections(agreed_boxes(answers), DECIMALS)
    if task.name == "grounding":
        boxes = np.array([answer.box for answer in answers])
        frames = np.array([answer.frame for answer in answers])
        central = (box_iou(boxes, boxes) * (frames[:, None] == frames)).sum(axis=1).argmax()
        return read[int(central)][0]
    votes = Counter(answers).most_common(1)[0][0]  # of equally many, the first sampled
    wanted = votes if isinstance(answers[0], str) else median_low(answers)
    return read[answers.index(wanted)][0]


def agreed_boxes(answers: Sequence[Sequence[LabelledBox]]) -> list[LabelledBox]:
    """The boxes that several detection answers agree on, the surest first (see :func:`consensus`)."""
    found: list[tuple[float, LabelledBox]] = []
    labels = dict.fromkeys(box.label for answer in answers for box in answer)
    for label in labels:
        boxes = [box for answer in answers for box in answer if box.label == label]
        owner = np.array([i for i, answer in enumerate(answers) for box in answer if box.label == label])
        places = np.array([box.box for box in boxes])
        iou = box_iou(places, places)
        alive = np.ones(len(boxes), bool)
        while alive.any():
            support = _support(iou, owner, alive, len(answers))
            best = int(support.argmax())
            if support[best] < FLOOR:
                break
            found.append((float(support[best]), boxes[best]))
            alive[best] = False
            # the box of each sample that it stands for
            for other in set(owner.tolist()) - {int(owner[best])}:
                mine = np.flatnonzero(alive & (owner == other))
                if len(mine) and iou[best, mine].max() > 0:
                    alive[mine[iou[best, mine].argmax()]] = False
    return [box for _, box in sorted(found, key=lambda each: -each[0])]


def _support(iou: np.ndarray, owner: np.ndarray, alive: np.ndarray, answers: int) -> np.ndarray:
    """``(N,)``: mean over the other answers of a box's best IoU with theirs; -1 for boxes not alive."""
    if answers == 1:
        return np.where(alive, 1.0, -1.0)
    total = np.zeros(len(iou))
    for other in set(owner.tolist()):
        theirs = alive & (owner == other)
        if theirs.any():
            total += np.where(owner == other, 0.0, iou[:, theirs].max(axis=1))
    return np.where(alive, total / (answers - 1), -1.0)
