"""Per-object credit: what a box is worth, and that it lands on the tokens that wrote the box."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations

import numpy as np
import pytest

from rft3d.answers import LabelledBox
from rft3d.models.tokens import byte_tokenizer
from rft3d.rewards import SET_REWARDS, Comparison, Part, Score, marginal_credit
from rft3d.tasks import Detection, Task
from rft3d.training.advantages import token_credit, token_owners
from rft3d.training.data import Corpus

PIECES = ["```json\n[\n\t{", "},\n\t{", "}\n]```", "AA", "BB", "CC"]
TEXT = "```json\n[\n\t{AA},\n\t{BBBB},\n\t{CC}\n]```"


def owners_by_piece(text: str, boxes: int, pieces: list[str] = PIECES) -> list[tuple[str, int | None]]:
    tokenizer = byte_tokenizer(pieces)
    ids = [*tokenizer.encode(text, add_special_tokens=False), tokenizer.convert_tokens_to_ids("<|im_end|>")]
    owners = token_owners([str(tokenizer.decode([i], skip_special_tokens=True)) for i in ids], boxes)
    return [(str(tokenizer.decode([i])), owner) for i, owner in zip(ids, owners, strict=True)]


def test_a_token_that_closes_one_box_and_opens_the_next_belongs_to_the_closed_one() -> None:
    assert owners_by_piece(TEXT, 3) == [
        ("```json\n[\n\t{", 0), ("AA", 0), ("},\n\t{", 0), ("BB", 1), ("BB", 1), ("},\n\t{", 1), ("CC", 2),
        ("}\n]```", 2), ("<|im_end|>", None),
    ]  # fmt: skip


def test_byte_tokens_give_the_same_owners() -> None:
    """The same text cut into single characters: only what is outside of braces has no owner."""
    for (piece, owner), character in zip(owners_by_piece(TEXT, 3, []), TEXT, strict=False):
        assert piece == character
        if character in "ABC":
            assert owner == "ABC".index(character)
        elif character not in "{}":
            assert owner is None
    assert owners_by_piece("[{A}{B}]", 2, ["{A}", "{B}"])[1:3] == [("{A}", 0), ("{B}", 1)]


@pytest.mark.parametrize("boxes", [0, 1, 2, 4])
def test_braces_that_are_not_the_boxes_own_nothing(boxes: int) -> None:
    assert {owner for _, owner in owners_by_piece(TEXT, boxes)} == {None}


# ---------------------------------------------------------------------------- what a box is worth


def boxes(rng: np.random.Generator, count: int) -> tuple[LabelledBox, ...]:
    """Axis-aligned, close enough together for several overlaps a box, of two labels."""
    made = []
    for _ in range(count):
        centre, size = rng.uniform(-0.5, 0.5, 3), rng.uniform(0.5, 1.5, 3)
        made.append(LabelledBox(str(rng.choice(["chair", "table"])), (*centre, *size, 0.0, 0.0, 0.0)))
    return tuple(made)


def best_sum(values: np.ndarray) -> float:
    """The best one-to-one assignment by trying all of them."""
    n, m = values.shape
    if n > m:
        values, n, m = values.T, m, n
    return max((sum(values[i, j] for i, j in enumerate(row)) for row in permutations(range(m), n)), default=0)


def matched_iou(predicted: tuple[LabelledBox, ...], truth: tuple[LabelledBox, ...]) -> float:
    """R_matched from axis-aligned overlaps, without any code of ours."""
    if not predicted or not truth:
        return float(not predicted and not truth)
    iou = np.zeros((len(predicted), len(truth)))
    for (i, a), (j, b) in ((p, t) for p in enumerate(predicted) for t in enumerate(truth)):
        ca, sa, cb, sb = (np.array(x) for x in (a.box[:3], a.box[3:6], b.box[:3], b.box[3:6]))
        shared = np.clip(np.minimum(ca + sa / 2, cb + sb / 2) - np.maximum(ca - sa / 2, cb - sb / 2), 0, None)
        both = shared.prod()
        iou[i, j] = both / (sa.prod() + sb.prod() - both) if a.label == b.label else 0.0
    return best_sum(iou) / max(len(predicted), len(truth))


@pytest.mark.parametrize("seed", range(12))
def test_marginal_credit_is_the_reward_with_and_without_the_box(seed: int) -> None:
    """Brute force: the whole reward of both lists, by an independent formula and by the tasks' own rewards."""
    rng = np.random.default_rng(seed)
    predicted, truth = boxes(rng, seed % 5 + 1), boxes(rng, int(rng.integers(0, 5)))
    both = Comparison.of(predicted, truth)

    def credit(*names: str) -> tuple[float, ...]:
        parts = (Part("format", 1.0, ""), *(SET_REWARDS[name](both) for name in names))
        return marginal_credit(Score(parts, evidence=both))

    rest = [predicted[:i] + predicted[i + 1 :] for i in range(len(predicted))]
    whole = matched_iou(predicted, truth)
    assert credit("matched_iou") == pytest.approx([whole - matched_iou(less, truth) for less in rest])
    for name, reward in SET_REWARDS.items():
        fresh = [Comparison.of(less, truth) for less in rest]
        wanted = [reward(both).value - reward(less).value for less in fresh]
        assert credit(name) == pytest.approx(wanted, abs=1e-12)
    names = ("f1@0.25", "matched_diou")
    summed = np.sum([credit(name) for name in names], axis=0)
    assert credit(*names) == pytest.approx(summed, abs=1e-12)


@pytest.mark.parametrize("reward", ["matched", "matched_diou", "f1", "hungarian", "graded"])
def test_a_hit_is_worth_something_and_a_false_alarm_costs(
    reward: str, corpus: Corpus, tasks: Mapping[str, Task]
) -> None:
    item = max(corpus.items("detection"), key=lambda i: len(i.sample.truth["boxes"]))
    lines = tasks["detection"].gold(item.sample).split("\n")
    first = lines[2].rstrip(",")
    wrong = first.replace(first.split('"')[3], "nonsense")
    text = "\n".join([*lines[:2], f"{wrong},", f"{first},", *lines[2:]])  # a false alarm, a duplicate
    task = Detection(decimals=1, reward=reward)  # type: ignore[arg-type]
    credit = marginal_credit(task.score(text, item.sample))
    assert len(credit) == len(item.sample.truth["boxes"]) + 2
    assert credit[0] < 0 and max(credit[1], credit[2]) < 0.05 and min(credit[3:], default=1) > 0
    assert marginal_credit(task.score("no list", item.sample)) == ()
    assert marginal_credit(task.score(text, item.sample, truncated=True)) == ()


def test_credit_lands_on_the_tokens_of_its_box() -> None:
    """Two answers of a group, each with one right and one wrong box."""
    truth = (LabelledBox("chair", (0.0, 0, 0, 1, 1, 1, 0, 0, 0)),)
    wrong = LabelledBox("lamp", truth[0].box)
    scores = []
    for answer in ((truth[0], wrong), (wrong, truth[0])):
        both = Comparison.of(answer, truth)
        scores.append(Score((SET_REWARDS["f1@0.25"](both),), evidence=both))
    tokenizer = byte_tokenizer(["{", "A", "}", ","])
    ids = [str(tokenizer.decode([i])) for i in tokenizer.encode("{A},{A}", add_special_tokens=False)]
    hit, alarm = 2 / 3, 2 / 3 - 1  # F1 with both boxes is 2/3, 0 without the right one, 1 without the wrong
    found = token_credit("marginal", [ids, ids], scores)
    assert found[0] == pytest.approx([hit] * 3 + [0] + [alarm] * 3)
    assert found[1] == pytest.approx([alarm] * 3 + [0] + [hit] * 3)
    assert token_credit("none", [ids, ids], scores) == [[0.0] * 7] * 2
    assert token_credit("marginal", [ids], [Score(())]) == [[0.0] * 7], "not a list of boxes"
