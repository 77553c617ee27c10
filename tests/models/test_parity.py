"""The fast encoder and merger against a slow reference written from the formulas, and their invariances."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.models import reference
from tests.models.real import GEOMETRY, make_clips, make_real

from rft3d.models import Policy, blocks
from rft3d.models.features import FeatureCache
from rft3d.models.generate import Asked, Sampling
from rft3d.models.geometry import cells_of
from rft3d.models.prefix import Row, pack
from rft3d.prompts import Prompt

KINDS = ("qwen2.5", "qwen3")


@pytest.fixture(scope="module", params=KINDS)
def policy(request: pytest.FixtureRequest) -> Policy:
    return make_real(request.param)


def slow(policy: Policy, images: torch.Tensor) -> np.ndarray:
    state = policy.model.geometry_net.aggregator.state_dict()
    weights = {n: t.double().numpy() for n, t in state.items()}
    return reference.aggregate(
        images.double().numpy(), weights, depth=GEOMETRY.patch_depth, rounds=GEOMETRY.output_round + 1,
        heads=GEOMETRY.heads, patch=14, base=100.0,
    )  # fmt: skip


def relative(a: torch.Tensor, b: np.ndarray) -> float:
    return float(np.abs(a.double().numpy() - b).max() / np.abs(b).max())


@pytest.mark.parametrize("size", [(56, 56), (42, 70), (84, 28)])
def test_the_aggregator_equals_the_formulas(size: tuple[int, int]) -> None:
    """On the trained grid and on larger, smaller and narrower ones (resampled positions)."""
    policy = make_real()
    images = torch.rand(3, 3, *size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        fast = policy.model.geometry_net(images[None])[0]
        exact = policy.model.geometry_net.double()(images[None].double())[0]
    wanted = slow(policy, images)
    assert fast.shape == (3, size[0] // 14, size[1] // 14, 64)
    assert relative(fast, wanted) <= 1e-5
    assert relative(exact, wanted) <= 1e-12


def test_the_merger_equals_the_formulas() -> None:
    merger = make_real().model.geometry_merger
    patches = torch.randn(2, 4, 5, 64, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        fast = merger(cells_of(patches)).flatten(0, 1)
    weights = {n: t.double().numpy() for n, t in merger.state_dict().items()}
    assert relative(fast, reference.merge(patches.double().numpy(), weights)) <= 1e-5


def test_the_reference_can_fail() -> None:
    """Wrong by one term each, it is far away: the comparison above means something."""
    policy = make_real()
    images = torch.rand(2, 3, 42, 56, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        fast = policy.model.geometry_net(images[None])[0]
    original = reference.rotate
    try:
        reference.rotate = lambda head, positions, base: original(head, positions[:, ::-1], base)
        assert relative(fast, slow(policy, images)) > 1e-3
        reference.rotate = lambda head, positions, base: head
        assert relative(fast, slow(policy, images)) > 1e-3
    finally:
        reference.rotate = original
    assert relative(fast, slow(policy, images.flip(0))[::-1]) > 1e-3, "the first frame is not like the others"


def test_pieces_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What bounds the memory is exact: few tokens at a time, few frames at a time."""
    encoder = make_real().model.geometry_net
    images = torch.rand(1, 5, 3, 56, 70)
    with torch.no_grad():
        whole = encoder(images)
        monkeypatch.setattr(blocks, "TOKENS_AT_ONCE", 23)
        torch.testing.assert_close(encoder(images), whole, atol=1e-5, rtol=1e-5)


def test_only_the_used_rounds_exist_and_run() -> None:
    encoder = make_real().model.geometry_net
    calls: list[str] = []
    for name, module in encoder.named_modules():
        if isinstance(module, blocks.Block):
            module.register_forward_pre_hook(lambda *_, name=name: calls.append(name))
    encoder(torch.rand(1, 2, 3, 28, 28))
    assert len([c for c in calls if "frame_blocks" in c]) == GEOMETRY.output_round + 1 == 3
    assert not any(".3" in c for c in calls)


def test_the_first_frame_is_the_reference_and_the_order_of_the_others_is_free(policy: Policy) -> None:
    images = policy.prepare(make_clips(4)[0])[None]
    with torch.no_grad():
        base = policy.model.geometry_net(images)
        swapped = policy.model.geometry_net(images[:, [0, 3, 2, 1]])
        moved = policy.model.geometry_net(images[:, [1, 0, 2, 3]])
    torch.testing.assert_close(swapped[:, [0, 3, 2, 1]], base, atol=1e-4, rtol=1e-4)
    assert (moved[:, [1, 0, 2, 3]] - base).abs().max() > 1e-2 * base.abs().max()


def test_the_last_frame_as_reference_is_the_reversed_clip() -> None:
    """``reference_frame="last"`` (V1's default): the clip reversed for the geometry encoder only."""
    first, last = make_real(), make_real(reference_frame="last")
    clip = make_clips(3)[0]
    features, reversed_features = last.encode([clip])[0], first.encode([clip[::-1]])[0]
    assert features.geometry is not None and reversed_features.geometry is not None
    per = int(features.grid[0].prod()) // 4
    unreversed = reversed_features.geometry.view(3, per, 4, -1).flip(0).flatten(0, 1)
    torch.testing.assert_close(features.geometry, unreversed, atol=1e-5, rtol=1e-5)


def logps_of(
    policy: Policy, prompts: list[Prompt], clips: list, features: list | None = None
) -> list[torch.Tensor]:
    """Log-probabilities of a fixed answer, one tensor a prompt."""
    features = features or policy.encode(clips)
    rows = [policy.row(p, f.grid) for p, f in zip(prompts, features, strict=True)]
    answer = [80, 90, 100, 110]
    packed = pack([Row(r.prefix, r.positions, [answer], [4]) for r in rows], policy.pad_id)
    with torch.no_grad():
        return list(policy.model(packed, features).logps.split(4))


def test_batching_order_and_padding_change_nothing(policy: Policy) -> None:
    """Different frame counts and picture sizes in one batch; the same numbers alone, and in another order."""
    clips = [
        make_clips(2)[0],
        make_clips(4, size=(50, 90), seed=1)[0],
        make_clips(1, size=(90, 50), seed=2)[0],
    ]
    prompts = [
        Prompt("<image>" * len(c) + "Where is it? " + "very " * 3 * i, len(c)) for i, c in enumerate(clips)
    ]
    together = logps_of(policy, prompts, clips)
    policy = replace(policy, features=FeatureCache(keep=0))
    assert len({f.grid[0].tolist()[1] for f in policy.encode(clips)}) > 1, "sizes must differ"
    for i in (2, 0, 1):
        alone = logps_of(policy, prompts[i : i + 1], clips[i : i + 1])[0]
        torch.testing.assert_close(alone, together[i], atol=2e-5, rtol=0)
    order = [2, 0, 1]
    mixed = logps_of(policy, [prompts[i] for i in order], [clips[i] for i in order])
    for got, i in zip(mixed, order, strict=True):
        torch.testing.assert_close(got, together[i], atol=2e-5, rtol=0)


def test_the_answer_depends_on_pixels_geometry_and_deepstack(policy: Policy) -> None:
    clip = make_clips(2)[0]
    prompt = [Prompt("<image><image>What?", 2)]
    base = logps_of(policy, prompt, [clip])[0]
    for frame in (0, 1):
        other = [f.copy() for f in clip]
        other[frame][:, :40] = 255 - other[frame][:, :40]
        assert (logps_of(policy, prompt, [other])[0] - base).abs().max() > 1e-4
    features = policy.encode([clip])[0]
    assert features.geometry is not None
    flat = type(features)(features.vision, torch.zeros_like(features.geometry) + 1, features.grid)
    assert (logps_of(policy, prompt, [], [flat])[0] - base).abs().max() > 1e-4
    levels = features.vision.shape[-1] // 64 - 1
    assert levels == (2 if policy.backbone.startswith("qwen3") else 0)
    for level in range(levels):
        vision = features.vision.clone()
        vision[:, 64 * (level + 1) : 64 * (level + 2)] = 0
        without = type(features)(vision, features.geometry, features.grid)
        assert (logps_of(policy, prompt, [], [without])[0] - base).abs().max() > 1e-4


def test_features_without_deepstack_are_refused() -> None:
    policy = make_real("qwen3")
    features = policy.encode(make_clips(1))[0]
    bare = type(features)(features.vision[:, :64], features.geometry, features.grid)
    with pytest.raises(ValueError, match="0 deepstack levels, the model needs 2"):
        logps_of(policy, [Prompt("<image>", 1)], [], [bare])


def test_qwen3_without_geometry_is_transformers_own() -> None:
    """Deepstack, positions and pixels of the second backbone against transformers' forward pass.

    Qwen2.5-VL has this test among the checkpoints.
    """
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    from rft3d.models.images import crop_to_cells, prepare_frames, qwen_patches
    from rft3d.models.tokens import special_ids

    bare = make_real("qwen3", use_geometry_encoder=False)
    source = bare.model.config.to_dict()
    stock = Qwen3VLForConditionalGeneration(
        Qwen3VLConfig(
            text_config=source["text_config"], vision_config=source["vision_config"],
            tie_word_embeddings=True, **special_ids(bare.tokenizer),
        )
    ).eval()  # fmt: skip
    stock.load_state_dict(bare.model.state_dict())
    clip = make_clips(2)[0]
    prompt = Prompt("<image> and <image>", 2)
    row = bare.row(prompt, bare.encode([clip])[0].grid)
    ids = torch.tensor([[*row.prefix, 80, 90, 100, 110]])
    cropped = crop_to_cells(prepare_frames(clip, 70, 16), 32)
    pixels, grid = qwen_patches(cropped, 16, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    kinds = (ids == bare.model.config.image_token_id).int()
    positions, _ = stock.model.get_rope_index(ids, kinds, grid)
    assert torch.equal(positions[:, 0, : len(row.prefix)], row.positions)
    with torch.no_grad():
        logits = stock(
            input_ids=ids, pixel_values=pixels, image_grid_thw=grid, mm_token_type_ids=kinds,
            attention_mask=torch.ones_like(ids),
        ).logits[0, -5:-1]  # fmt: skip
    theirs = logits.index_fill(-1, bare.model.suppressed, float("-inf")).log_softmax(-1)
    theirs = theirs.gather(-1, torch.tensor([[80], [90], [100], [110]]))[:, 0]
    torch.testing.assert_close(logps_of(bare, [prompt], [clip])[0], theirs, atol=1e-5, rtol=0)


def test_sampling_equals_scoring_on_every_backbone(policy: Policy) -> None:
    """Prefill once, one token at a time, and one packed forward: one distribution."""
    clips = [make_clips(2)[0], make_clips(3, seed=5)[0]]
    prompts = [Prompt("<image>" * len(c) + "Tell.", len(c)) for c in clips]
    features = policy.encode(clips)
    rows = [policy.row(p, f.grid) for p, f in zip(prompts, features, strict=True)]
    sampled = policy.sample([*map(Asked, rows, features, "ab")], 3, Sampling(6, 1.0, 0))
    packed = pack(
        [
            Row(r.prefix, r.positions, [c.tokens for c in cs], [len(c.tokens) for c in cs])
            for r, cs in zip(rows, sampled, strict=True)
        ],
        policy.pad_id,
    )
    with torch.no_grad():
        scored = policy.model(packed, features).logps
    drawn = torch.tensor([x for cs in sampled for c in cs for x in c.logps])
    torch.testing.assert_close(scored, drawn, atol=1e-4, rtol=0)
