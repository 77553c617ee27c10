"""The shared prefix is exact: the same log-probabilities, gradients and samples as separate rows."""

from __future__ import annotations

import pytest
import torch

from rft3d.models.generate import Asked, Completion, Sampling
from rft3d.models.policy import Policy
from rft3d.models.prefix import Row, pack
from rft3d.prompts import Prompt

PROMPTS = [Prompt("<image>" * 4 + "Detect the boxes.", 4), Prompt("Frame <image>" * 3 + "What? zebra", 3)]


def rows_of(policy: Policy, clips) -> tuple[list[Row], list]:
    features = policy.encode(clips)
    return [policy.row(p, f.grid) for p, f in zip(PROMPTS, features, strict=True)], features


def with_completions(rows: list[Row], sampled: list[list[Completion]]) -> list[Row]:
    return [
        Row(r.prefix, r.positions, [c.tokens for c in cs], [len(c.tokens) for c in cs])
        for r, cs in zip(rows, sampled, strict=True)
    ]


def naive_logps(policy: Policy, row: Row, features, completion: Completion, shift: int = 0) -> torch.Tensor:
    """One plain row [prompt | completion]; ``shift`` moves the completion (a negative control)."""
    ids = [*row.prefix, *completion.tokens]
    start = int(row.positions.max()) + 1 + shift
    tail = torch.arange(start, start + len(completion.tokens)).expand(3, -1)
    positions = torch.cat([row.positions, tail], 1)[:, None]
    model = policy.model
    hidden = model._hidden(torch.tensor([ids]), positions, model.fuse([features]))
    logps = model._logits(hidden[0]).log_softmax(-1)[len(row.prefix) - 1 : -1]
    return logps.gather(-1, torch.tensor(completion.tokens)[:, None])[:, 0]


@pytest.fixture
def setting(policy: Policy, clips):
    rows, features = rows_of(policy, clips)
    sampled = policy.sample([*map(Asked, rows, features, "ab")], 5, Sampling(12, 1.0, 3))
    return policy, rows, features, sampled


def test_packed_equals_separate_rows_and_sampling(setting) -> None:
    policy, rows, features, sampled = setting
    scored = policy.model(pack(with_completions(rows, sampled), policy.pad_id), features)
    naive = [
        naive_logps(policy, r, f, c) for r, f, cs in zip(rows, features, sampled, strict=True) for c in cs
    ]
    torch.testing.assert_close(scored.logps, torch.cat(naive), atol=1e-5, rtol=0)
    drawn = torch.tensor([x for cs in sampled for c in cs for x in c.logps])
    torch.testing.assert_close(scored.logps, drawn, atol=1e-5, rtol=0)


def test_gradients_equal_separate_rows_in_float64(policy: Policy, clips) -> None:
    policy.model.double()
    rows, features = rows_of(policy, clips)
    sampled = policy.sample([*map(Asked, rows, features, "ab")], 3, Sampling(7, 1.0, 1))
    parameters = [p for p in policy.model.parameters() if p.requires_grad]
    packed = policy.model(pack(with_completions(rows, sampled), policy.pad_id), features).logps
    weights = torch.linspace(-1, 1, len(packed), dtype=packed.dtype)
    ours = torch.autograd.grad((packed * weights).sum(), parameters, allow_unused=True)
    naive = torch.cat(
        [naive_logps(policy, r, f, c) for r, f, cs in zip(rows, features, sampled, strict=True) for c in cs]
    )
    theirs = torch.autograd.grad((naive * weights).sum(), parameters, allow_unused=True)
    for a, b in zip(ours, theirs, strict=True):
        assert (a is None) == (b is None)
        if a is not None and b is not None:
            torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


def test_answers_of_unlike_lengths(policy: Policy, clips) -> None:
    """Each band has its own width, and order and owners are those that were given."""
    rows, features = rows_of(policy, clips)
    answer = policy.answer_ids("chair 1.2 table 0.5 lamp " * 4)
    lengths = [[3, 40, 9, 39, 1, 33], [12, 2]]
    groups = [[Completion(tuple(answer[:n]), (0.0,) * n, False) for n in row] for row in lengths]
    packed = pack(with_completions(rows, groups), policy.pad_id)
    prefix = max(len(row.prefix) for row in rows)
    bands = [(3, 40), (1, 9), (1, 3), (1, 1)]
    assert packed.layout.bands == tuple(bands)
    assert packed.input_ids.shape[1] == prefix + sum(n * length for n, length in bands)
    assert packed.owner.unique_consecutive(dim=0).tolist() == [[0, i] for i in range(6)] + [[1, 0], [1, 1]]
    naive = [
        naive_logps(policy, r, f, c) for r, f, cs in zip(rows, features, groups, strict=True) for c in cs
    ]
    torch.testing.assert_close(policy.model(packed, features).logps, torch.cat(naive), atol=1e-5, rtol=0)


def test_negative_controls_fail(setting) -> None:
    """The comparison above can fail: positions that go on, and a suffix that sees another one."""
    policy, rows, features, sampled = setting
    good = policy.model(pack(with_completions(rows, sampled), policy.pad_id), features).logps
    shifted = torch.cat(
        [
            naive_logps(policy, r, f, c, shift=12 * i)
            for r, f, cs in zip(rows, features, sampled, strict=True)
            for i, c in enumerate(cs)
        ]
    )
    assert (good - shifted).abs().max() > 0.1
    one = [Row(r.prefix, r.positions, [[t for c in cs for t in c.tokens]], [sum(len(c.tokens) for c in cs)])
           for r, cs in zip(rows, sampled, strict=True)]  # fmt: skip
    leaking = policy.model(pack(one, policy.pad_id), features).logps
    assert (good - leaking).abs().max() > 0.1


def test_samples_do_not_depend_on_the_batch(setting) -> None:
    policy, rows, features, sampled = setting
    alone = policy.sample([*map(Asked, rows, features, "ab")][1:], 5, Sampling(12, 1.0, 3))
    assert [c.tokens for c in alone[0]] == [c.tokens for c in sampled[1]]
    assert len({c.tokens for c in sampled[0]}) > 1, "rows of a group must differ"
    again = policy.sample([*map(Asked, rows, features, "ab")], 5, Sampling(12, 1.0, 3))
    assert again == sampled
    other = policy.sample([*map(Asked, rows, features, "ab")], 5, Sampling(12, 1.0, 4))
    assert other != sampled


def test_rows_that_ended_leave_the_batch_without_a_trace(policy: Policy, clips) -> None:
    """Greedy rows stop at different times; the survivors' tokens equal those sampled alone."""
    rows, features = rows_of(policy, clips)
    rows, features = rows * 3, features * 3
    keys = [str(i) for i in range(6)]
    # Many stop tokens: rows end early and at different steps, so that groups are compacted.
    policy.tokenizer.add_tokens([])
    stops = frozenset(range(0, len(policy.tokenizer), 7))
    from rft3d.models.generate import generate

    def run(chosen: list[int]) -> list[list[Completion]]:
        return generate(
            policy.model, [Asked(rows[i], features[i], keys[i]) for i in chosen],
            2, Sampling(24, 1.0, 5), stops, policy.pad_id,
        )  # fmt: skip

    together = run(list(range(6)))
    assert len({len(c.tokens) for cs in together for c in cs}) > 2
    for i in range(6):
        assert [c.tokens for c in run([i])[0]] == [c.tokens for c in together[i]]


def test_answer_tokens_behind_a_question_in_the_suffix(policy: Policy, clips) -> None:
    """SFT packs several questions of a scene: splitting the prompt moves no number."""
    rows, features = rows_of(policy, clips)
    row, answer = rows[0], policy.answer_ids("chair 1.2")
    split = len(row.prefix) - 3
    whole = Row(row.prefix, row.positions, [answer], [len(answer)])
    moved = Row(
        row.prefix[:split], row.positions[:, :split], [[*row.prefix[split:], *answer]] * 2, [len(answer)] * 2
    )
    a = policy.model(pack([whole], policy.pad_id), features[:1]).logps
    b = policy.model(pack([moved], policy.pad_id), features[:1]).logps
    torch.testing.assert_close(torch.cat([a, a]), b, atol=1e-5, rtol=0)


def test_log_probabilities_depend_on_every_frame(setting) -> None:
    policy, rows, features, sampled = setting
    packed = pack(with_completions(rows, sampled)[:1], policy.pad_id)
    base = policy.model(packed, features[:1]).logps
    per = int(features[0].grid[0].prod()) // 4
    for frame in range(4):
        vision = features[0].vision.clone()
        vision[frame * per : (frame + 1) * per] += 1.0
        changed = type(features[0])(vision, features[0].geometry, features[0].grid)
        assert (policy.model(packed, [changed]).logps - base).abs().max() > 1e-4


def test_visual_tokens_are_never_sampled_and_have_probability_zero(policy: Policy, clips) -> None:
    """A policy that wants to write <|image_pad|> can't, and both distributions agree on that."""
    rows, features = rows_of(policy, clips)
    image = policy.tokenizer.convert_tokens_to_ids("<|image_pad|>")
    plain = policy.model.lm_head.forward
    raised = torch.zeros(policy.model.lm_head.weight.shape[0])
    raised[image] = 50.0
    policy.model.lm_head.forward = lambda x: plain(x) + raised  # type: ignore[method-assign]
    sampled = policy.sample([*map(Asked, rows, features, "ab")], 4, Sampling(8, 1.0, 0))
    assert all(image not in c.tokens for cs in sampled for c in cs)
    scored = policy.model(pack(with_completions(rows, sampled), policy.pad_id), features)
    drawn = torch.tensor([x for cs in sampled for c in cs for x in c.logps])
    torch.testing.assert_close(scored.logps, drawn, atol=1e-4, rtol=0)
