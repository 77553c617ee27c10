"""Groups with advantages to optimizer steps: weights, micro-batches, forward, loss, backward."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from rft3d.models.generate import Completion
from rft3d.models.policy import Policy
from rft3d.models.prefix import Packed, pack
from rft3d.models.spatial import SpatialModel
from rft3d.training.config import RFTConfig
from rft3d.training.data import Corpus
from rft3d.training.engine import Engine
from rft3d.training.lora import adapters_off
from rft3d.training.losses import policy_loss, sequence_weights
from rft3d.training.optim import require_finite
from rft3d.training.placement import ALONE, Ranks
from rft3d.training.rollout import Group, by_task


class AdaptersOff:
    """The reference of a LoRA run: the policy itself without its adapters."""


Reference = SpatialModel | AdaptersOff


@dataclass(frozen=True)
class MicroBatch:
    """Groups that go through the model together; weight, advantage and number of its sequence per token."""

    groups: Sequence[Group]
    weights: Tensor
    advantages: Tensor
    sequence: Tensor
    old_logps: Tensor | None = None
    ref_logps: Tensor | None = None


def micro_batches(groups: Sequence[Group], config: RFTConfig, ranks: Ranks = ALONE) -> list[MicroBatch]:
    """Cut a step's groups; the weights come from *all* groups, of all ranks, so the cut does not matter.

    Groups of one task stand together (their lengths are alike), largest first. A rank gets those that it sampled,
    and batches of weight 0 where another rank has more (under FSDP2 every rank must run the model equally often).
    """
    mine = _cut(groups, config, ranks)
    if ranks.world == 1:
        return mine
    kept = Counter((g.owner, g.task) for g in groups if not _left_out(g, config))
    most: Counter[int] = Counter()
    for (owner, _), count in kept.items():
        most[owner] += -(-count // config.micro_groups)
    return mine + [_nothing(groups)] * (max(most.values(), default=0) - len(mine))


def _left_out(group: Group, config: RFTConfig) -> bool:
    return config.skip_zero_advantage and config.beta == 0 and group.silent


def _nothing(groups: Sequence[Group]) -> MicroBatch:
    """A batch of weight 0: one token after the shortest prompt."""
    whole = [group for group in groups if not group.light] or groups
    group = min(whole, key=lambda g: len(g.item.prompt.prefix))
    first = next((c for c in group.completions if c.tokens), Completion((0,), (0.0,), True))
    short = replace(first, tokens=tuple(first.tokens[:1]), logps=tuple(first.logps[:1]))
    zero = torch.zeros(1)
    return MicroBatch([replace(group, completions=[short])], zero, zero, zero.long())


def _cut(groups: Sequence[Group], config: RFTConfig, ranks: Ranks) -> list[MicroBatch]:
    """The micro-batches of one rank."""
    batches: list[MicroBatch] = []
    for task, mine in by_task(groups).items():
        lengths = [[len(c.tokens) for c in g.completions] for g in mine]
        weights = sequence_weights(lengths, config.loss, config.max_new_tokens[task])
        factor = config.task_weights.get(task, 1.0) * len(mine) / len(groups)
        kept = [
            merged(g, w)
            for g, w in zip(mine, weights, strict=True)
            if g.owner == ranks.rank and not _left_out(g, config)
        ]
        # a row of the batch has as many and as long slots as its largest group
        kept.sort(key=lambda pair: -len(pair[1]) * max(len(c.tokens) for c in pair[0].completions))
        for at in range(0, len(kept), config.micro_groups):
            chunk = kept[at : at + config.micro_groups]
            told = [token_weights(g, [factor * w for w in ws], config.clip_cov) for g, ws in chunk]
            rows = [row for g, _ in chunk for row in g.advantages]
            advantages = torch.tensor([a for row in rows for a in row.tolist()]).float()
            sequence = torch.arange(len(rows)).repeat_interleave(torch.tensor([len(row) for row in rows]))
            batches.append(MicroBatch([g for g, _ in chunk], torch.cat(told), advantages, sequence))
    return batches


def merged(group: Group, weights: Sequence[float]) -> tuple[Group, list[float]]:
    """The group with equal completions once, their weights summed: the same gradient from fewer tokens.

    Equal tokens earn the same, so they have equal advantages, and ``w1 f(logp, A) + w2 f(logp, A)`` is
    ``(w1 + w2) f(logp, A)`` for any loss ``f``, clipped or not.
    """
    first: dict[tuple[Sequence[int], bytes], int] = {}
    summed: dict[int, float] = {}
    each = zip(group.completions, group.advantages, weights, strict=True)
    for i, (completion, row, weight) in enumerate(each):
        kept = first.setdefault((tuple(completion.tokens), row.tobytes()), i)
        summed[kept] = summed.get(kept, 0.0) + weight
    names = ("completions", "texts", "scores", "advantages")
    less = {name: [getattr(group, name)[i] for i in summed] for name in names}
    return replace(group, **less), list(summed.values())


def packed_groups(policy: Policy, groups: Sequence[Group]) -> Packed:
    """A row a group, on the policy's device."""
    rows = []
    for group in groups:
        tokens = [c.tokens for c in group.completions]
        rows.append(replace(group.item.prompt, suffixes=tokens, scored=[len(each) for each in tokens]))
    return pack(rows, policy.pad_id).to(policy.device)


def forward_logps(
    network: torch.nn.Module,
    policy: Policy,
    corpus: Corpus,
    groups: Sequence[Group],
    temperature: float,
    chunk: int = 0,
) -> tuple[Tensor, Tensor, int]:
    """Log-probabilities and entropies of the completions' tokens, in group order, and tokens run."""
    packed = packed_groups(policy, groups)
    features = [corpus.features[g.item.scene] for g in groups]
    scored = network(packed, features, temperature=temperature, chunk=chunk)
    return scored.logps, scored.entropy, packed.input_ids.numel()


def update_policy(
    engine: Engine,
    corpus: Corpus,
    groups: Sequence[Group],
    config: RFTConfig,
    reference: Reference | None,
    step: int,
) -> tuple[dict[str, float], int]:
    """One or more optimizer steps on a rollout; returns metrics and the tokens run."""
    ranks = engine.ranks
    batches = micro_batches(groups, config, ranks)
    if not batches:
        return {"kl": 0.0, "clip_share": 0.0, "loss": 0.0, "entropy": 0.0, "trained_groups": 0.0}, 0
    metrics = {"trained_groups": float(sum(len(b.groups) for b in batches if b.weights.any()))}
    batches, tokens = _with_fixed_logps(batches, engine.policy, corpus, config, reference)
    metrics["weight"] = float(sum(b.weights.sum() for b in batches))
    metrics = ranks.total(metrics)
    total_weight = metrics.pop("weight")
    for update in range(config.updates_per_rollout):
        sums: dict[str, float] = dict.fromkeys(("kl", "clip_share", "loss", "entropy", "logp_gap"), 0.0)
        for index, batch in enumerate(batches):
            with engine.accumulating(last=index + 1 == len(batches)):
                found, count = _backward(engine, corpus, batch, config)
            tokens += count
            for name, value in found.items():
                sums[name] += value if name == "loss" else value / total_weight
        metrics |= ranks.total(sums)
        number = step * config.updates_per_rollout + update
        require_finite(number, {"loss": metrics["loss"]})
        metrics["grad_norm"] = engine.step(number)
    return metrics, tokens


def _backward(
    engine: Engine, corpus: Corpus, batch: MicroBatch, config: RFTConfig
) -> tuple[dict[str, float], int]:
    """Forward and backward of one batch; its loss, sums of KL, clip share and entropy by weight, tokens."""
    policy = engine.policy
    weights = batch.weights.to(policy.device)
    logps, entropy, count = forward_logps(
        engine.network, policy, corpus, batch.groups, config.temperature, config.memory.logit_chunk
    )
    old = logps.detach() if batch.old_logps is None else batch.old_logps
    sums, scaled = {"logp_gap": 0.0}, weights
    told = [p for g in batch.groups for c in g.completions for p in c.logps]
    if len(told) == len(weights):
        apart = old - torch.tensor(told, device=policy.device)
        sums["logp_gap"] = float((apart.abs() * weights).sum())
        if config.importance_cap:
            scaled = weights * apart.exp().clamp_max(config.importance_cap)
    settings = (config.beta, config.epsilon, config.epsilon_high, config.kl_bias_correction, config.loss)
    advantages, sequence = batch.advantages.to(policy.device), batch.sequence.to(policy.device)
    found = policy_loss(logps, old, advantages, scaled, batch.ref_logps, *settings, sequence)
    engine.backward(found.loss)
    weight = float(weights.sum())
    sums |= {"loss": float(found.loss.detach()), "entropy": float((entropy * weights).sum())}
    return sums | {"kl": float(found.kl) * weight, "clip_share": float(found.clip_share) * weight}, count


def _with_fixed_logps(
    batches: list[MicroBatch], policy: Policy, corpus: Corpus, config: RFTConfig, reference: Reference | None
) -> tuple[list[MicroBatch], int]:
    """Add what stays fixed during the updates: sampling and reference log-probabilities."""
    tokens = 0

    def logps_of(model: SpatialModel, groups: Sequence[Group]) -> Tensor:
        nonlocal tokens
        logps, _, count = forward_logps(
            model, policy, corpus, groups, config.temperature, config.memory.logit_chunk
        )
        tokens += count
        return logps

    out: list[MicroBatch] = []
    with torch.no_grad():
        for batch in batches:
            old = ref = None
            if config.updates_per_rollout > 1:
                old = logps_of(policy.model, batch.groups)
            if isinstance(reference, AdaptersOff):
                with adapters_off(policy.model):
                    ref = logps_of(policy.model, batch.groups)
            elif reference is not None:
                ref = logps_of(reference, batch.groups)
            out.append(replace(batch, old_logps=old, ref_logps=ref))
    return out, tokens


def covariance_mask(logps: Tensor, advantages: Tensor, share: float) -> Tensor:
    """``(N,)`` 1 for the tokens that learn, 0 for the ``share`` of them with the largest positive ``(logp -
    mean)(advantage - mean)``, which is what an update takes from the policy's entropy (Clip-Cov, arXiv
    2505.22617). The paper draws as many at random from a band; the largest need no random numbers."""
    together = (logps - logps.mean()) * (advantages - advantages.mean())
    most = int(share * len(logps))
    keep = torch.ones_like(logps)
    if most:
        worst = together.topk(most).indices
        keep[worst[together[worst] > 0]] = 0.0
    return keep


def token_weights(group: Group, weights: Sequence[float], clip_cov: float) -> Tensor:
    """A weight a token, from one a completion; 0 where Clip-Cov takes the token out."""
    told = torch.tensor([w for w, c in zip(weights, group.completions, strict=True) for _ in c.tokens])
    if not clip_cov:
        return told
    logps = torch.tensor([p for c in group.completions for p in c.logps])
    return told * covariance_mask(logps, torch.tensor(np.concatenate(group.advantages)).float(), clip_cov)
