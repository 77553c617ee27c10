"""Backward in two phases: memory for the prompt and *some* completions, whatever the group's size.

The prompt runs once and its keys and values are cut off as leaves; the completions run and go backward
in chunks, which sum up what they want of the leaves; then the prompt goes backward once with that sum.
The gradients are those of one packed forward (tested), the activations of all completions never exist
together. It costs nothing but smaller matrix products, but cannot be combined with checkpointing of
the layers, which forbids a cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from rft3d.models.geometry import FrozenFeatures
from rft3d.models.kv_cache import PrefixCache
from rft3d.models.logprobs import chunk_size, token_logps
from rft3d.models.prefix import Packed, SuffixLayout
from rft3d.models.spatial import Scored, SpatialModel

LossOf = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Log-probabilities, entropies and indices (into ``Packed.targets``) of a chunk's tokens to their loss."""


def two_phase_backward(
    model: SpatialModel,
    packed: Packed,
    features: Sequence[FrozenFeatures],
    loss_of: LossOf,
    at_once: int,
    temperature: float = 1.0,
    chunk: int = 0,
    backward: Callable[[Tensor], None] = torch.Tensor.backward,
) -> Scored:
    """Add the gradient of ``sum of loss_of(chunk)`` over all scored tokens to the parameters.

    Args:
        loss_of: must be a sum over tokens, so that the chunks' losses add up to the whole.
        at_once: completions of every row that run together.
        temperature, chunk: as in ``SpatialModel.forward``.
        backward: what to do with a chunk's loss (accelerate's, say).

    Returns:
        Log-probabilities and entropies of all scored tokens, detached, in ``Packed`` order.
    """
    layout = packed.layout
    p, c, length = layout.prefix_len, layout.suffix_len, packed.input_ids.shape[1]
    chunk = chunk_size(model.config.text_config.vocab_size, chunk)
    prompt, leaves, last, last_leaf = _prompt(model, packed, features)
    predict_row, column = packed.predict_at // length, packed.predict_at % length
    logps = torch.zeros(len(packed.targets), device=column.device)
    entropy = torch.zeros_like(logps)
    for first in range(0, layout.groups, at_once):
        count = min(at_once, layout.groups - first)
        index = ((packed.owner[:, 1] >= first) & (packed.owner[:, 1] < first + count)).nonzero()[:, 0]
        if not len(index):
            continue
        cut = slice(p + first * c, p + (first + count) * c)
        own = SuffixLayout(leaves, layout.prefix_valid, count, c)
        hidden = model._hidden(packed.input_ids[:, cut], packed.position_ids[:, :, cut], None, layout=own)
        row, place = predict_row[index], column[index] - cut.start
        in_prompt = column[index] < p
        before = torch.where(in_prompt[:, None], last_leaf[row], hidden[row, place.clamp_min(0)])
        found = token_logps(model._logits, before, packed.targets[index], temperature, chunk)
        backward(loss_of(*found, index))
        logps[index], entropy[index] = found[0].detach(), found[1]
    outputs, inputs = [*prompt, last], [*(x for pair in leaves for x in pair), last_leaf]
    wanted = [(out, leaf.grad) for out, leaf in zip(outputs, inputs, strict=True) if leaf.grad is not None]
    if wanted:
        torch.autograd.backward([out for out, _ in wanted], [grad for _, grad in wanted])
    return Scored(logps, entropy)


def _prompt(
    model: SpatialModel, packed: Packed, features: Sequence[FrozenFeatures]
) -> tuple[list[Tensor], list[tuple[Tensor, Tensor]], Tensor, Tensor]:
    """Run the prefixes; keys and values flat, the same as leaves by layer, last states, the same as leaf."""
    p, valid = packed.layout.prefix_len, packed.layout.prefix_valid
    cache = PrefixCache(len(model.model.language_model.layers), valid, 0)
    hidden = model._hidden(
        packed.input_ids[:, :p],
        packed.position_ids[:, :, :p],
        model.fuse(list(features)),
        cache=cache,
    )
    last = hidden[torch.arange(len(hidden), device=hidden.device), valid.sum(-1) - 1]
    pairs = [cache.prefix_of(layer) for layer in range(len(cache.prefix))]
    leaves = [(k.detach().requires_grad_(), v.detach().requires_grad_()) for k, v in pairs]
    return [x for pair in pairs for x in pair], leaves, last, last.detach().requires_grad_()
