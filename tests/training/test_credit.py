"""Per-object credit lands on the tokens that wrote the object."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from rft3d.models.tokens import byte_tokenizer
from rft3d.rewards import Score
from rft3d.tasks import Detection, Task
from rft3d.training.credit import object_credit
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
