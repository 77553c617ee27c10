"""Per-object credit lands on the tokens that wrote the object."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import pytest

from rft3d.models.tokens import byte_tokenizer
from rft3d.rewards import Score
from rft3d.tasks import Detection, Task
from rft3d.training.credit import attempt_baselines, object_baselines, object_credit
from rft3d.training.data import Corpus

PIECES = ["```json\n[\n\t{", "},\n\t{", "}\n]```", "AA", "BB", "CC"]
TEXT = "```json\n[\n\t{AA},\n\t{BBBB},\n\t{CC}\n]```"


def credit_by_piece(text: str, credit: list[float], tokens: list[str] = PIECES) -> list[tuple[str, float]]:
    tokenizer = byte_tokenizer(tokens)
    ids = [*tokenizer.encode(text, add_special_tokens=False), tokenizer.convert_tokens_to_ids("<|im_end|>")]
    values = object_credit(tokenizer, ids, Score((), details={"credit": credit}))
    assert len(values) == len(ids)
    return [(str(tokenizer.decode([i])), v) for i, v in zip(ids, values, strict=True)]


def test_a_token_that_closes_one_box_and_opens_the_next_belongs_to_the_closed_one() -> None:
    pieces = credit_by_piece(TEXT, [0.9, 0.0, 0.6])
    assert [piece for piece, _ in pieces] == [
        "```json\n[\n\t{", "AA", "},\n\t{", "BB", "BB", "},\n\t{", "CC", "}\n]```", "<|im_end|>"
    ]  # fmt: skip
    assert [v for _, v in pieces] == pytest.approx([0.4, 0.4, 0.4, -0.5, -0.5, -0.5, 0.1, 0.1, 0])


def test_byte_tokens_give_the_same_owners() -> None:
    """The same text cut into single characters: only what is outside of braces has no owner."""
    pieces = credit_by_piece(TEXT, [0.9, 0.0, 0.6], [])
    for (piece, value), character in zip(pieces, TEXT, strict=False):
        assert piece == character
        if character in "ABC":
            assert value == pytest.approx({"A": 0.4, "B": -0.5, "C": 0.1}[character])
        elif character not in "{}":
            assert value == 0
    assert credit_by_piece("[{A}{B}]", [1.0, 0.0], ["{A}", "{B}"])[1:3] == [("{A}", 0.5), ("{B}", -0.5)]


def test_values_sum_to_zero_over_boxes() -> None:
    pieces = credit_by_piece(TEXT, [0.93, 0.11, 0.57])
    of_box = {piece: value for piece, value in pieces if piece in ("AA", "BB", "CC")}
    assert sum(of_box.values()) == pytest.approx(0, abs=1e-12)
    assert of_box["AA"] > of_box["CC"] > 0 > of_box["BB"]


@pytest.mark.parametrize("credit", [[], [0.5], [0.9, 0.1], [0.9, 0.1, 0.2, 0.3]])
def test_no_credit_without_one_value_per_box(credit: list[float]) -> None:
    """One box has nothing to be compared with; another count means that braces are not boxes."""
    assert not any(value for _, value in credit_by_piece(TEXT, credit))


def test_detection_scores_carry_credit_in_output_order(corpus: Corpus, tasks: Mapping[str, Task]) -> None:
    item = max(corpus.items("detection"), key=lambda i: len(i.sample.truth["boxes"]))
    gold = tasks["detection"].gold(item.sample)
    count = len(item.sample.truth["boxes"])
    lines = gold.split("\n")
    first = lines[2].rstrip(",")
    wrong = first.replace(first.split('"')[3], "nonsense")
    for reward in ("paper", "matched"):
        score = Detection(decimals=1, reward=reward).score(
            "\n".join([*lines[:2], f"{wrong},", *lines[2:]]), item.sample
        )  # type: ignore[arg-type]
        credit = score.details["credit"]
        assert isinstance(credit, list) and len(credit) == count + 1
        assert credit[0] == 0 and min(credit[1:]) > 0.2
        assert sum(credit) == pytest.approx(score.details["matched_iou_sum"])
    assert Detection().score("no list", item.sample).details["credit"] == []


def scored(*boxes: tuple[float, int | None]) -> Score:
    return Score((), details={"credit": [v for v, _ in boxes], "owners": [owner for _, owner in boxes]})


def test_an_object_is_compared_with_itself_over_the_group() -> None:
    """Object 0 is easy, object 1 is hard: the answer that finds the hard one best is praised for it."""
    group = [
        scored((0.9, 0), (0.3, 1)),
        scored((0.1, 1), (0.7, 0)),  # another order
        scored((0.8, 0)),  # misses object 1
        Score((), details={"credit": [], "owners": []}),  # unreadable
    ]
    easy, hard = (0.9 + 0.7 + 0.8) / 4, (0.3 + 0.1) / 4
    assert object_baselines(group) == [
        pytest.approx([easy, hard]), pytest.approx([hard, easy]), pytest.approx([easy]), []
    ]  # fmt: skip


def test_a_box_without_an_object_is_compared_with_the_average_box() -> None:
    baselines = object_baselines([scored((0.6, 0), (0.0, None)), scored((0.6, 0))])
    assert baselines == [pytest.approx([0.6, 0.4]), pytest.approx([0.6])]


def test_the_objects_own_mean_has_less_variance_when_objects_are_unequally_hard() -> None:
    """Credit of random answers about one easy and one hard object: the difference between them is gone."""
    rng = np.random.default_rng(0)
    group = [scored((0.9 + 0.05 * e, 0), (0.1 + 0.05 * h, 1)) for e, h in rng.normal(size=(64, 2))]
    same = [v - b for s, row in zip(group, object_baselines(group), strict=True)
            for v, b in zip(s.details["credit"], row, strict=True)]  # type: ignore[call-overload] # fmt: skip
    answer = [v - sum(c) / 2 for s in group for c in [s.details["credit"]] for v in c]  # type: ignore[arg-type, attr-defined]
    assert np.mean(same) == pytest.approx(0, abs=1e-12)
    assert np.var(same) < np.var(answer) / 20


def test_credit_takes_the_given_baselines_also_for_one_box() -> None:
    tokenizer = byte_tokenizer(["{", "A", "}"])
    ids = tokenizer.encode("{A}", add_special_tokens=False)
    score = Score((), details={"credit": [0.5]})
    assert object_credit(tokenizer, ids, score, [0.2]) == pytest.approx([0.3] * len(ids))
    with pytest.raises(ValueError, match="2 baselines for 1 boxes"):
        object_credit(tokenizer, ids, score, [0.2, 0.1])


def test_attempts_at_an_object_are_a_group_of_their_own() -> None:
    """Centred and of unit spread for each object; an answer that misses it, or a stray box, has no say."""
    group = [
        scored((0.9, 0), (0.3, 1)),
        scored((0.1, 1), (0.7, 0)),
        scored((0.0, None)),
        Score((), details={}),
    ]
    means, units = attempt_baselines(group, least_spread=0.0)
    assert means == [pytest.approx([0.8, 0.2]), pytest.approx([0.2, 0.8]), [0.0], []]
    assert units == [pytest.approx([0.1, 0.1]), pytest.approx([0.1, 0.1]), [1.0], []]
    tokenizer = byte_tokenizer(["{", "A", "}", ","])
    ids = tokenizer.encode("{A},{A}", add_special_tokens=False)
    credit = object_credit(tokenizer, ids, group[0], means[0], units[0])
    assert [credit[0], credit[-1]] == pytest.approx([1.0, 1.0])
    assert object_credit(tokenizer, ids, group[1], means[1], units[1])[0] == pytest.approx(-1.0)
    one = attempt_baselines([scored((0.4, 0))])
    assert one[0] == [[0.4]] and one[1] == [pytest.approx([0.01])]  # nothing to compare with: no credit


def test_a_shaped_reward_pays_credit_for_coming_near(corpus: Corpus, tasks: Mapping[str, Task]) -> None:
    item = corpus.items("detection")[0]
    task = Detection(decimals=1, reward="matched_diou")
    boxes = [dict(row, bbox_3d=list(row["bbox_3d"])) for row in item.sample.truth["boxes"]]
    boxes[0]["bbox_3d"][0] += 3.0  # away from the truth and from everything else
    far = "[" + ", ".join(json.dumps(box) for box in boxes) + "]"
    details = task.score(far, item.sample).details
    assert details["credit"][0] == 0  # type: ignore[index]
    assert 0 < details["shaped_credit"][0] < min([1.0, *details["shaped_credit"][1:]])  # type: ignore[index]
    assert "shaped_credit" not in Detection(decimals=1, reward="matched").score(far, item.sample).details
