"""E5, E7, E3: gradients of our engine against those of TRL's own ``GRPOTrainer`` on the same groups."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tests.equality.stock import (
    CountingImages,
    Sizes,
    StockCase,
    random_clips,
    save_stock,
    trl_gradients,
)

from rft3d.models.generate import Completion
from rft3d.models.policy import Policy
from rft3d.prompts import Prompt
from rft3d.rewards import Score
from rft3d.tasks.types import Sample
from rft3d.training import update
from rft3d.training.advantages import group_advantages
from rft3d.training.config import OptimConfig, RFTConfig
from rft3d.training.data import Corpus, Item
from rft3d.training.engine import Engine
from rft3d.training.rollout import Group
from rft3d.training.update import update_policy

pytestmark = pytest.mark.filterwarnings("ignore")  # TRL's own; none of them is ours to mend

GROUP, LIMIT = 8, 11


@pytest.fixture(scope="session")
def case(tmp_path_factory: pytest.TempPathFactory) -> StockCase:
    """Two scenes of two frames, questions of different length, eight ragged completions each."""
    folder, sizes = tmp_path_factory.mktemp("stock") / "model", Sizes()
    save_stock(folder, sizes)
    rng = np.random.default_rng(0)
    completions = [
        [rng.integers(0, 256, length).tolist() for length in rng.integers(1, LIMIT + 1, GROUP)]
        for _ in range(2)
    ]
    completions[0][0] = completions[0][0] * LIMIT
    completions[0][0] = completions[0][0][:LIMIT]
    return StockCase(
        folder,
        sizes,
        random_clips(2, 2, sizes.frame),
        ["Where is chair A?", "And where, please, is the second table?"],
        completions,
        rng.random((2, GROUP)).tolist(),
        GROUP,
    )


def corpus_of(case: StockCase, policy: Policy) -> Corpus:
    features = policy.encode(case.clips)
    rows = []
    for scene, question in enumerate(case.questions):
        text = "<image>" * len(case.clips[scene]) + question
        sample = Sample(str(scene), "stock", str(scene), tuple(map(str, case.clips[scene])), text, {})
        prompt = policy.row(Prompt(text, len(case.clips[scene])), features[scene].grid)
        rows.append([Item(scene, sample, prompt, (), 0)])
    return Corpus(features, {"stock": rows})


def groups_of(case: StockCase, corpus: Corpus) -> list[Group]:
    groups = []
    for scene, item in enumerate(corpus.items("stock")):
        completions = [Completion(tuple(c), (0.0,) * len(c), True) for c in case.completions[scene]]
        advantages = group_advantages(case.rewards[scene])
        rows = [np.full(len(c.tokens), a) for a, c in zip(advantages, completions, strict=True)]
        groups.append(Group("stock", item, completions, [""] * GROUP, [Score(())] * GROUP, rows))
    return groups


def our_gradients(
    case: StockCase, monkeypatch: pytest.MonkeyPatch, checkpointing: bool = False, **settings: Any
) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """The gradients of one optimizer step of our engine, by parameter name, and its metrics."""
    policy = case.ours()
    if checkpointing:
        policy.model.gradient_checkpointing_enable({"use_reentrant": False})
    config = RFTConfig(1, {"stock": 2}, GROUP, {"stock": LIMIT}, **settings)
    corpus = corpus_of(case, policy)
    found: dict[str, torch.Tensor] = {}

    def capture(engine: Engine, step: int) -> float:
        named = engine.policy.model.named_parameters()
        found.update({n: p.grad.clone() for n, p in named if p.grad is not None})
        return 0.0

    monkeypatch.setattr(Engine, "step", capture)
    engine = Engine(policy, OptimConfig(), 1)
    engine.network.train()
    reference = case.ours(perturb=False).model if config.beta else None
    metrics, _ = update_policy(engine, corpus, groups_of(case, corpus), config, reference, 0)
    return found, metrics


def worst(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> float:
    """The largest difference of a parameter's gradient over its largest entry."""
    assert ours.keys() == theirs.keys()
    return max(float((ours[n] - theirs[n]).abs().max() / theirs[n].abs().max()) for n in theirs)


@pytest.fixture(scope="session")
def oracle(case: StockCase, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """TRL's gradients and metrics for given settings."""

    def run(perturb: float = 0.0, **settings: Any) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
        changed = replace(case, perturb=perturb)
        return trl_gradients(changed, tmp_path_factory.mktemp("trl"), **settings)

    return run


def test_both_sides_read_the_same_prompt_and_pictures(case: StockCase) -> None:
    policy, processor = case.ours(), case.processor()
    corpus = corpus_of(case, policy)
    for scene, item in enumerate(corpus.items("stock")):
        content = [{"type": "image", "image": f} for f in case.clips[scene]]
        chat = [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": [*content, {"type": "text", "text": case.questions[scene]}]},
        ]
        theirs = processor.apply_chat_template(
            [chat], tokenize=True, return_dict=True, add_generation_prompt=True, return_tensors="pt"
        )
        assert theirs["input_ids"][0].tolist() == list(item.prompt.prefix)
        stock = case.stock()
        with torch.no_grad():
            vision = stock.model.get_image_features(
                theirs["pixel_values"], theirs["image_grid_thw"], return_dict=True
            ).pooler_output
        torch.testing.assert_close(torch.cat(list(vision)), corpus.features[scene].vision, atol=2e-6, rtol=0)


@pytest.mark.parametrize("loss", ["grpo", "dapo", "dr_grpo"])
@pytest.mark.parametrize(("rows", "accumulate"), [(8, 2), (2, 8), (1, 16)])
def test_gradients_are_those_of_trl(
    loss: Any, rows: int, accumulate: int, case: StockCase, oracle: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Whatever TRL's micro-batches and ours; without KL."""
    theirs, _ = oracle(
        loss_type=loss, beta=0.0, per_device_train_batch_size=rows, gradient_accumulation_steps=accumulate
    )
    assert max(float(g.abs().max()) for g in theirs.values()) > 1e-3
    for micro_groups in (1, 2):
        ours, _ = our_gradients(case, monkeypatch, loss=loss, micro_groups=micro_groups)
        assert worst(ours, theirs) < 1e-5


@pytest.mark.parametrize("correction", [False, True])
@pytest.mark.parametrize("loss", ["grpo", "dapo"])
def test_kl_and_its_gradient_are_those_of_trl(
    loss: Any, correction: bool, case: StockCase, oracle: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A policy away from its reference; TRL's k3 with and without the bias correction."""
    away = 0.02
    theirs, logged = oracle(
        away, loss_type=loss, beta=0.3, use_bias_correction_kl=correction,
        per_device_train_batch_size=16, gradient_accumulation_steps=1,
    )  # fmt: skip
    moved = replace(case, perturb=away)
    ours, metrics = our_gradients(moved, monkeypatch, loss=loss, beta=0.3, kl_bias_correction=correction)
    assert worst(ours, theirs) < 1e-5
    other, _ = our_gradients(moved, monkeypatch, loss=loss, beta=0.3, kl_bias_correction=not correction)
    assert worst(other, theirs) > 1e-3, "the two forms must differ, or this test shows nothing"
    assert metrics["kl"] > 1e-3
    if loss == "dapo":  # TRL logs the mean over tokens
        assert metrics["kl"] == pytest.approx(logged["kl"], rel=1e-3)


def moved_away(tokens: torch.Tensor) -> torch.Tensor:
    """How far the sampling policy's log-probability of a token is said to be from the current one."""
    return 0.4 * torch.sin(tokens * 1.7)


OFF_POLICY = {
    "grpo": ({"loss_type": "grpo"}, {}),
    "dapo": ({"loss_type": "dapo", "epsilon_high": 0.28}, {"epsilon_high": 0.28}),
    "gspo": (
        {"loss_type": "grpo", "importance_sampling_level": "sequence", "epsilon": 0.05},
        {"epsilon": 0.05},
    ),
    "cispo": (
        {"loss_type": "cispo", "epsilon_high": 1.2},
        {"epsilon_high": 0.2},
    ),  # TRL's is the bound itself
}


@pytest.mark.parametrize("loss", OFF_POLICY)
@pytest.mark.parametrize("micro_groups", [1, 2])
def test_off_policy_gradients_are_those_of_trl(
    loss: Any, micro_groups: int, case: StockCase, oracle: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both sides are told the same log-probabilities of a sampling policy that is not the current one."""
    from trl import GRPOTrainer

    theirs_settings, ours_settings = OFF_POLICY[loss]
    inner, found = GRPOTrainer._get_per_token_logps_and_entropies, {}

    def remember(trainer: Any, model: Any, input_ids: torch.Tensor, *rest: Any, **named: Any) -> Any:
        out = inner(trainer, model, input_ids, *rest, **named)
        found["old"] = out[0].detach() - moved_away(input_ids[:, -out[0].shape[1] :])
        return out

    class Told(dict[str, Any]):
        """A batch whose old log-probabilities are known once the current ones are."""

        def get(self, name: str, default: Any = None) -> Any:
            return found["old"] if name == "old_per_token_logps" else super().get(name, default)

    compute = GRPOTrainer._compute_loss
    monkeypatch.setattr(GRPOTrainer, "_get_per_token_logps_and_entropies", remember)
    monkeypatch.setattr(
        GRPOTrainer, "_compute_loss", lambda t, model, inputs: compute(t, model, Told(inputs))
    )
    theirs, _ = oracle(
        beta=0.0, per_device_train_batch_size=8, gradient_accumulation_steps=2, **theirs_settings
    )
    plain, packed = update.policy_loss, update.packed_groups
    tokens: list[int] = []

    def seen(policy: Any, groups: Any) -> Any:
        tokens[:] = [t for g in groups for c in g.completions for t in c.tokens]
        return packed(policy, groups)

    def away(logps: torch.Tensor, old: torch.Tensor, *rest: Any) -> Any:
        return plain(logps, old - moved_away(torch.tensor(tokens)), *rest)

    on_policy, _ = our_gradients(case, monkeypatch, loss=loss, **ours_settings)
    monkeypatch.setattr(update, "packed_groups", seen)
    monkeypatch.setattr(update, "policy_loss", away)
    ours, metrics = our_gradients(case, monkeypatch, loss=loss, micro_groups=micro_groups, **ours_settings)
    assert worst(ours, theirs) < 1e-5
    assert 0.01 < metrics["clip_share"] < 0.9 and worst(on_policy, theirs) > 1e-2


def test_gradient_checkpointing_changes_nothing(
    case: StockCase, oracle: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs, _ = oracle(
        loss_type="grpo", beta=0.0, gradient_checkpointing=True, per_device_train_batch_size=8,
        gradient_accumulation_steps=2,
    )  # fmt: skip
    plain, _ = our_gradients(case, monkeypatch, loss="grpo")
    saved, _ = our_gradients(case, monkeypatch, checkpointing=True, loss="grpo")
    assert worst(saved, plain) < 1e-5
    assert worst(saved, theirs) < 1e-5


def test_what_trl_repeats(case: StockCase, oracle: Callable[..., Any]) -> None:
    """The redundancy that we save, as counted in TRL: every picture is prepared 2 G times a step."""
    CountingImages.seen = 0
    oracle(beta=0.0, loss_type="grpo", per_device_train_batch_size=8, gradient_accumulation_steps=2)
    pictures = sum(map(len, case.clips))
    assert CountingImages.seen == 2 * GROUP * pictures
