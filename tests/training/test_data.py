"""Draws are functions of (seed, step); rows share the frames of a scene; golds are checked."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping

import pytest
from tests.tiny import Digits

from rft3d.answers.types import ParseFailure
from rft3d.models import Policy
from rft3d.models.prefix import pack
from rft3d.tasks.types import Sample, Task
from rft3d.training.config import RFTConfig, SFTConfig
from rft3d.training.data import Corpus, choose, draw, permutation, shared_rows, tokenize
from rft3d.training.rollout import step_prompts
from rft3d.training.sft import step_items


@pytest.mark.parametrize(("per_step", "count"), [(4, 12), (5, 7), (3, 1), (9, 4)])
def test_draw_covers_every_item_once_an_epoch(per_step: int, count: int) -> None:
    pairs = [pair for step in range(3 * count) for pair in draw(5, step, per_step, count)]
    by_epoch: dict[int, list[int]] = {}
    for epoch, index in pairs:
        by_epoch.setdefault(epoch, []).append(index)
    assert len(by_epoch) == 3 * per_step
    assert all(sorted(indices) == list(range(count)) for indices in by_epoch.values())
    assert [epoch for epoch, _ in pairs] == sorted(epoch for epoch, _ in pairs)


def test_draw_has_no_state_and_epochs_differ() -> None:
    later = draw(1, 17, 4, 30)
    assert draw(1, 17, 4, 30) == later and draw(2, 17, 4, 30) != later
    assert permutation(0, 0, 30).tolist() != permutation(0, 1, 30).tolist()
    with pytest.raises(ValueError, match="nothing to draw from"):
        draw(0, 0, 1, 0)


def test_choose_is_fixed_by_its_arguments_and_reaches_everything(corpus: Corpus) -> None:
    items = max(corpus.by_scene["spatial"], key=len)
    assert len(items) > 4
    assert choose(0, 0, 3, items, 99) == list(items)
    seen: Counter[str] = Counter()
    for epoch in range(40):
        chosen = choose(0, epoch, 3, items, 2)
        assert chosen == choose(0, epoch, 3, items, 2)
        assert len({item.sample.id for item in chosen}) == 2
        seen.update(item.sample.id for item in chosen)
    assert len(seen) == len(items)


def test_steps_do_not_depend_on_earlier_steps(corpus: Corpus) -> None:
    sft = SFTConfig(9, 2, {"detection": 1, "spatial": 2, "absent": 0})
    rft = RFTConfig(9, {"detection": 2, "spatial": 3, "absent": 0})
    for step in (4, 1, 4):
        ids = [[i.sample.id for items in step_items(corpus, sft, step).values() for i in items]]
        ids += [[i.sample.id for items in step_prompts(corpus, rft, step).values() for i in items]]
        assert ids == [
            [i.sample.id for items in step_items(corpus, sft, step).values() for i in items],
            [i.sample.id for items in step_prompts(corpus, rft, step).values() for i in items],
        ]
    assert {k: len(v) for k, v in step_prompts(corpus, rft, 0).items()} == {"detection": 2, "spatial": 3}
    assert {k: len(v) for k, v in step_items(corpus, sft, 0).items()} == {"detection": 2, "spatial": 4}


def test_rows_share_frames_and_score_exactly_the_answers(
    corpus: Corpus, new_policy: Callable[[], Policy]
) -> None:
    policy = new_policy()
    items = [*corpus.by_scene["spatial"][0], *corpus.by_scene["detection"][0], *corpus.by_scene["spatial"][1]]
    rows = shared_rows(items)
    assert [scene for scene, _ in rows] in ([0, 1], [0, 0, 1])
    end = policy.tokenizer.convert_tokens_to_ids("<|vision_end|>")
    assert all(row.prefix[-1] == end and end not in suffix for _, row in rows for suffix in row.suffixes)
    packed = pack([row for _, row in rows], policy.pad_id)
    expected = [
        token for _, row in rows for s, n in zip(row.suffixes, row.scored, strict=True) for token in s[-n:]
    ]
    assert packed.targets.tolist() == expected
    assert sorted(expected) == sorted(token for item in items for token in item.answer)
    whole = Counter((*item.prompt.prefix, *item.answer) for item in items)
    assert Counter((*row.prefix, *suffix) for _, row in rows for suffix in row.suffixes) == whole


def test_tokenize_refuses_a_gold_that_its_task_cannot_read(
    corpus: Corpus, new_policy: Callable[[], Policy], tasks: Mapping[str, Task]
) -> None:
    policy = new_policy()
    sample = corpus.items("detection")[0].sample
    tokenize(policy, {"detection": tasks["detection"]}, {"detection": [[sample]]}, corpus.features[:1])
    boxes = [{"label": "", "bbox_3d": sample.truth["boxes"][0]["bbox_3d"]}]
    damaged = dataclasses.replace(sample, id="damaged", truth={"boxes": boxes})
    with pytest.raises(ValueError, match=r"'damaged' has no gold answer.*label"):
        tokenize(policy, {"detection": tasks["detection"]}, {"detection": [[damaged]]}, corpus.features[:1])

    class Mute(Digits):
        def parse(self, text: str, sample: Sample, mode: str = "lenient") -> ParseFailure:
            return ParseFailure(f"read {mode}")

    with pytest.raises(ValueError, match="read strict"):
        tokenize(policy, {"mute": Mute()}, {"mute": [[sample]]}, corpus.features[:1])
