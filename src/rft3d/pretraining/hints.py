"""Hints for spatial questions, while the shipped model learns them: the numbers that an answer follows from.

An option's letter carries one bit or two. The turn behind "to my left" also says by how much the policy was wrong,
so linear read-outs of the hidden state at a question's last token learn such numbers beside the answer. They are
removed at the end of the stage; neither prompts nor answers nor the shipped model contain them (``docs/log.md`` has
the figures).
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rft3d.models.prefix import Packed
from rft3d.models.spatial import SpatialModel
from rft3d.tasks.spatial.semantics import closest_distance_m, turn_rad, walk
from rft3d.tasks.spatial.view import View
from rft3d.tasks.types import Sample

QUANTITIES = 7
"""Cosine and sine of the turn; distances of four options to the thing asked about; distance of two things (both in
units of two metres)."""
UNIT_M = 2.0


def quantities_of(sample: Sample, view: View) -> list[float]:
    """The ``QUANTITIES`` behind the answer of a spatial question; NaN for those that it does not need."""
    kind, names = sample.truth["question_type"], sample.meta["labels"]
    found = [math.nan] * QUANTITIES

    def distance(a: str, b: str) -> float:
        return closest_distance_m(view.boxes[a], view.boxes[b]) / UNIT_M

    def heading(turn: float) -> None:
        found[:2] = math.cos(turn), math.sin(turn)

    if kind.startswith("object_rel_direction"):
        heading(turn_rad(*(view.one(name) for name in names)))
    elif kind == "route_planning" and len(names) == 3:
        start, corner, goal = names
        ((*_, turn),) = walk(start, view.one(corner), (corner, None, goal), view.one)
        heading(turn)
    elif kind == "object_rel_distance":
        found[2:6] = [distance(option, names[0]) for option in names[1:]]
    elif kind == "object_abs_distance":
        found[6] = distance(*names)
    return found


def hints_of(packed: Packed, asked: Sequence[tuple[Sample, View]]) -> tuple[Tensor, Tensor]:
    """Where the questions of ``packed`` end, ``(M,)`` flat indices, and their ``(M, QUANTITIES)``. ``asked``: the
    questions in the order in which they were packed, each with its room."""
    owner = packed.owner
    first = torch.ones(len(owner), dtype=torch.bool)
    first[1:] = (owner[1:] != owner[:-1]).any(-1)
    wanted = [quantities_of(sample, view) for sample, view in asked]
    at = packed.predict_at[first]
    assert len(at) == len(wanted), "every answer has a token"
    return at, torch.tensor(wanted)


class HintHeads(nn.Module):
    """A linear read-out of the quantities after each of some layers, of states scaled to a mean square of 1."""

    def __init__(self, layers: int, hidden: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(hidden, QUANTITIES) for _ in range(layers))
        for parameter in self.parameters():
            nn.init.zeros_(parameter)
        self.states: dict[int, Tensor] = {}

    def listen(self, index: int, _layer: nn.Module, _inputs: Any, output: Any) -> None:
        self.states[index] = output if isinstance(output, Tensor) else output[0]

    def loss(self, hints: tuple[Tensor, Tensor]) -> Tensor:
        """Mean smooth L1 error of the last forward pass's states, over layers and known quantities."""
        at, wanted = (hint.to(self.states[0].device) for hint in hints)
        known = wanted.isfinite()
        losses: list[Tensor] = []
        for index, head in enumerate(self.heads):
            state = self.states.pop(index).flatten(0, 1)[at].float()
            read = head(F.rms_norm(state, state.shape[-1:], eps=1e-6))
            error = torch.where(known, read - wanted.nan_to_num(), 0.0)
            total = F.smooth_l1_loss(error, torch.zeros_like(error), beta=0.1, reduction="sum")
            losses.append(total / known.sum().clamp(min=1))
        return torch.stack(losses).mean()


@contextmanager
def hinted(model: SpatialModel) -> Iterator[HintHeads]:
    """``model`` with heads after the two layers before its last; they train, and are saved, as a part of it."""
    layers = model.model.language_model.layers[-3:-1]
    heads = HintHeads(len(layers), model.lm_head.in_features).to(model.lm_head.weight.device)
    hooks = [layer.register_forward_hook(partial(heads.listen, k)) for k, layer in enumerate(layers)]
    model.add_module("hints", heads)
    try:
        yield heads
    finally:
        del model.hints
        for hook in hooks:
            hook.remove()
