"""Log-probabilities of chosen tokens without a table of ``tokens × vocabulary`` numbers.

The language-model head runs on the scored positions only, a chunk at a time. With gradients, the chunks'
logits are made again in the backward pass, so that no more than one chunk of them exists at any moment.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

LOGIT_BYTES = 256 * 2**20
"""What one chunk of float32 logits may take when no chunk size is given."""


def chunk_size(vocabulary: int, chunk: int = 0) -> int:
    """``chunk``, or as many positions as fit into :data:`LOGIT_BYTES`."""
    return chunk if chunk > 0 else max(1, LOGIT_BYTES // (4 * vocabulary))


def token_logps(
    logits_of: Callable[[Tensor], Tensor],
    hidden: Tensor,
    targets: Tensor,
    temperature: float,
    chunk: int,
) -> tuple[Tensor, Tensor]:
    """``(N,)`` log-probabilities of ``targets`` (with gradient) and entropies (without), both float32.

    Args:
        logits_of: ``(n, hidden)`` to ``(n, vocab)`` float32 logits.
        hidden: ``(N, hidden)`` states *before* each target.
        temperature: divides the logits.
        chunk: positions whose logits exist together.
    """

    def part(rows: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        all_logps = (logits_of(rows) / temperature).log_softmax(-1)
        with torch.no_grad():
            entropy = -(all_logps.exp() * all_logps.clamp_min(-1e4)).sum(-1)
        return all_logps.gather(-1, wanted[:, None])[:, 0], entropy

    parts = list(zip(hidden.split(chunk), targets.split(chunk), strict=True))
    if len(parts) > 1 and torch.is_grad_enabled():
        done = [
            checkpoint(part, rows, wanted, use_reentrant=False, preserve_rng_state=False)
            for rows, wanted in parts
        ]
    else:
        done = [part(rows, wanted) for rows, wanted in parts]
    return torch.cat([logps for logps, _ in done]), torch.cat([entropy for _, entropy in done])
