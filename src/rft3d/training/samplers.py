"""Who samples: a seam with one implementation.

vLLM would be another. It needs a model class of its own for this architecture (its geometry encoder
attends across frames, while vLLM encodes and caches each picture separately), which nobody has written;
so the name exists and says so, and nothing half-works.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rft3d.models.fusion import FrozenFeatures
from rft3d.models.generate import Completion, Sampling
from rft3d.models.policy import Policy
from rft3d.models.prefix import Row

Sampler = Callable[
    [Policy, Sequence[Row], Sequence[FrozenFeatures], Sequence[str], int, Sampling], list[list[Completion]]
]
"""Prompts, their features, their keys, completions each, settings -> completions of every prompt.

A sampler must give completions whose log-probabilities are those of the policy at ``sampling.temperature``
over the whole vocabulary, and the same ones whenever keys and seed are the same.
"""


def own(
    policy: Policy,
    rows: Sequence[Row],
    features: Sequence[FrozenFeatures],
    keys: Sequence[str],
    per: int,
    sampling: Sampling,
) -> list[list[Completion]]:
    """Our decoding loop: every prompt is run once, all groups decode together."""
    return policy.sample(rows, features, keys, per, sampling)


SAMPLERS: dict[str, Sampler] = {"own": own}


def sampler(name: str, policy: Policy) -> Sampler:
    """The sampler called ``name`` for this policy.

    Raises:
        ValueError: it does not exist, or not for the policy's backbone.
    """
    if name == "vllm":
        raise ValueError(
            f"sampler 'vllm' is not supported for this backbone ({type(policy.model).__name__}): its "
            "geometry encoder attends across the frames of a clip, which needs a vLLM model class that "
            "doesn't exist; use 'own'"
        )
    if name not in SAMPLERS:
        raise ValueError(f"sampler {name!r} is none of {', '.join(SAMPLERS)}")
    return SAMPLERS[name]
