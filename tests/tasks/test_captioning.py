"""Captions: the measures against values worked out by hand, and the rules of Scan2Cap around them."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from rft3d.answers import ParseFailure
from rft3d.scenes.types import Scene
from rft3d.tasks import Captioning, Sample
from rft3d.tasks.caption_metrics import (
    Cider,
    Words,
    bleu4,
    bleu_counts,
    caption_words,
    common_length,
    rouge_l,
)
from rft3d.tasks.captioning import pool_captions


def cut(text: str) -> Words:
    return tuple(text.split())


def item(number: int, text: str, *more: str, iou: float = 1.0) -> Sample:
    truth = {"caption": text, "references": [text, *more], "iou": iou}
    return Sample(f"c{number}", "captioning", f"s{number}", (), "Describe it in detail.", truth)


def test_words_are_cut_as_scan2cap_cuts_them() -> None:
    assert caption_words("A Chair, brown.") == ("sos", "a", "chair", ",", "brown", ".", "eos")
    assert caption_words("") == caption_words(" \n") == ()


def test_bleu_by_hand() -> None:
    """ "the the cat sat on a mat" against two references.

    Clipped matches: 1-grams the(2) cat sat on mat = 6 of 7; 2-grams "the cat", "cat sat", "sat on" = 3 of 6;
    3-grams "the cat sat", "cat sat on" = 2 of 5; 4-grams "the cat sat on" = 1 of 4. Lengths 7 and 6 (nearest).
    """
    words = cut("the the cat sat on a mat")
    counts = bleu_counts(
        words, [cut("the cat sat on the mat"), cut("there is a very big cat that sat down now")]
    )
    # "a" stands in the second reference, so the 1-grams are 7 of 7
    assert [counts[f"bleu:matched{n}"] for n in (1, 2, 3, 4)] == [7, 3, 2, 1]
    assert [counts[f"bleu:guessed{n}"] for n in (1, 2, 3, 4)] == [7, 6, 5, 4]
    assert (counts["bleu:length"], counts["bleu:reference"]) == (7, 6)
    assert bleu4(counts) == pytest.approx((7 / 7 * 3 / 6 * 2 / 5 * 1 / 4) ** 0.25)
    short = bleu_counts(cut("the cat sat on"), [cut("the cat sat on the mat")])
    assert bleu4(short) == pytest.approx(math.exp(1 - 6 / 4)), "all precisions 1, the brevity penalty is left"
    both = {key: counts[key] + short[key] for key in counts}
    assert bleu4(both) == pytest.approx(
        ((11 / 11) * (6 / 9) * (4 / 7) * (2 / 5)) ** 0.25 * math.exp(1 - 12 / 11)
    )
    assert bleu4(bleu_counts(cut("a b c"), [cut("a b c")])) == 0, "no 4-gram at all"


def test_rouge_by_hand() -> None:
    """LCS of "a brown chair here" and "the brown old chair" is 2 of 4 and 4; with "a chair" 2 of 2."""
    words = cut("a brown chair here")
    assert common_length(words, cut("the brown old chair")) == 2 == common_length(words, cut("a chair"))
    one, square = rouge_l(words, [cut("the brown old chair")]), 1.2**2
    assert one == pytest.approx(0.5)
    both = rouge_l(words, [cut("the brown old chair"), cut("a chair")])
    assert both == pytest.approx((1 + square) * 0.5 * 1.0 / (1.0 + square * 0.5))
    assert rouge_l(words, [words]) == 1.0 and rouge_l((), [words]) == 0.0 == rouge_l(cut("x"), [words])


def test_cider_by_hand() -> None:
    """Two items, "a b" and "a c": "a" is in both (weight log 1), everything else in one (weight log 2).

    The caption "a b b" against "a b": 1-grams: (b: 2w) and (b: w), clipped to w: w*w / (2w*w) = 1/2.
    2-grams: (ab: w, bb: w) and (ab: w): w*w / (sqrt2 w * w) = 1/sqrt2. No longer runs. Lengths differ by 1.
    """
    cider = Cider([[cut("a b")], [cut("a c")]])
    penalty = math.exp(-1 / 72)
    assert cider.score(cut("a b b"), [cut("a b")]) == pytest.approx(
        10 * penalty * (1 / 2 + 1 / math.sqrt(2)) / 4
    )
    assert cider.score(cut("a b"), [cut("a b")]) == pytest.approx(10 * 2 / 4)
    assert cider.score(cut("a b"), [cut("a b"), cut("a c")]) == pytest.approx(10 * 2 / 4 / 2)
    assert cider.score(cut("a c"), [cut("a b")]) == 0 == cider.score((), [cut("a b")])
    assert Cider([[cut("a b")]]).score(cut("a b"), [cut("a b")]) == 0, "nothing tells one item apart"
    long = cut("u v w x y z")
    assert Cider([[long], [cut("p q r s")]]).score(long, [long]) == pytest.approx(10)


def test_the_coco_evaluation_agrees() -> None:
    """An oracle, where somebody installed it: ``pip install --no-deps pycocoevalcap``."""
    bleu, cider, rouge = (
        pytest.importorskip(f"pycocoevalcap.{name}.{name}") for name in ("bleu", "cider", "rouge")
    )
    rng = Random(0)
    known = cut("the a brown chair table next to wall by is big small round , . near door window it")

    def sentence() -> str:
        return " ".join(rng.choice(known) for _ in range(rng.randint(3, 18)))

    references = {i: [f"sos {sentence()} eos" for _ in range(rng.randint(1, 5))] for i in range(60)}
    said = {i: [f"{refs[0][:30].rsplit(' ', 1)[0]} {sentence()} eos"] for i, refs in references.items()}
    pairs = [(cut(said[i][0]), [cut(ref) for ref in references[i]]) for i in references]
    ours = Cider([refs for _, refs in pairs])
    totals = Counter()
    for words, refs in pairs:
        totals.update(bleu_counts(words, refs))
    theirs, _ = bleu.Bleu(4).compute_score(references, said, verbose=0)
    assert bleu4(totals) == pytest.approx(theirs[3], rel=1e-6)
    mean_cider = sum(ours.score(words, refs) for words, refs in pairs) / len(pairs)
    assert mean_cider == pytest.approx(cider.Cider().compute_score(references, said)[0], rel=1e-9)
    mean_rouge = sum(rouge_l(words, refs) for words, refs in pairs) / len(pairs)
    assert mean_rouge == pytest.approx(rouge.Rouge().compute_score(references, said)[0], rel=1e-9)


def test_only_well_detected_boxes_count() -> None:
    task = Captioning()
    samples = [item(0, "a big brown chair"), item(1, "the round white table here", iou=0.49)]
    gold = [task.score(task.gold(sample), sample) for sample in samples]
    assert [score.total for score in gold] == [2.0, 2.0], (
        "a reward is about the caption, not about the detector"
    )
    found = task.metric(samples, gold)
    assert found["rouge_l@0.5"] == 0.5 and found["count/boxes"] == 1 and found["count/samples"] == 2
    better = [samples[0], replace(samples[1], truth={**samples[1].truth, "iou": 0.5})]
    assert task.metric(better, gold)["rouge_l@0.5"] == 1.0
    assert task.metric(better, gold)["bleu4@0.5"] == pytest.approx(1.0)
    assert task.metric(better, gold)["cider@0.5"] == pytest.approx(10.0)
    empty = pool_captions(samples, [caption_words("a big brown chair")] * 2, ("sos", "eos"))
    assert 0 < empty[1]["rouge_l"] < 1, "upstream's empty text matches sos and eos"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "less than two words"),
        ("chair", "less than two words"),
        ("I don't know what it is.", "refusal"),
        ("I’m sorry, no object", "refusal"),
        ('{"caption": "a brown chair"}', "markup"),
        ("<think>a chair is", "less than two words"),
        ("long " * 5000, "too long"),
    ],
)
def test_what_is_no_caption(text: str, reason: str) -> None:
    found = Captioning().parse(text, item(0, "a chair"))
    assert isinstance(found, ParseFailure) and reason in found.reason


def test_captions_are_read_inside_answers() -> None:
    text = "<think>brown?</think><answer>A brown\n chair.</answer>"
    assert Captioning().parse(text, item(0, "a chair")) == "A brown chair."


def test_one_question_an_object_that_is_described(scene: Scene, frame_refs: list[str]) -> None:
    samples = Captioning().samples(scene, frame_refs, 0)
    assert [s.truth["references"] for s in samples] == [
        ["The bed by the wall"],
        ["The table"],
        ["The chair next to the table"],
    ]
    assert samples[0].prompt.startswith("<image>" * 4 + "Carefully watch the video and describe the object")
    centre = samples[0].prompt.split("located at ")[1].removesuffix(" in detail.")
    assert centre.startswith("[") and all(
        len(n.partition(".")[2]) <= 2 for n in centre.strip("[]").split(", ")
    )


def test_upstreams_rouge_counts_the_empty_words_between_two_spaces() -> None:
    text, reference = "a chair, brown.", "this is a brown chair. it is here."
    sample = Sample("s", "captioning", "r", (), "p", {"references": [reference], "iou": 1.0, "caption": ""})
    ours = pool_captions([sample], [caption_words(text)])[0]["rouge_l"]
    theirs = pool_captions([sample], [caption_words(text)], texts=[text])[0]["rouge_l"]
    # 9 words: sos a chair , "" brown . "" eos; 14: sos this is a brown chair . "" it is here . "" eos
    # in common: sos a chair "" . "" eos
    precision, recall = 7 / 9, 7 / 14
    assert theirs == pytest.approx(2.44 * precision * recall / (recall + 1.44 * precision))
    assert ours != theirs
