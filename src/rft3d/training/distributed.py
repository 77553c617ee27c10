"""Many processes: who owns which group, and what crosses between them.

A rank owns whole groups (one prompt, G completions), so rewards and advantages need no exchange. What
does cross ranks: the completions of a step (a few kilobytes), from which every rank computes the same
token weights and the same number of forwards; and the gradients, which DDP and FSDP2 average, so that a
rank's loss is multiplied by the number of ranks. How the model lies among the ranks is told by
:mod:`rft3d.training.placement`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """This process (``rank``) among ``world``; with one process nothing here communicates."""

    rank: int = 0
    world: int = 1

    def mine(self, items: Sequence[T]) -> list[T]:
        """Every ``world``-th item from ``rank`` on: this rank's share of a list that all ranks know."""
        return list(items[self.rank :: self.world])

    def gather(self, own: Sequence[T]) -> list[T]:
        """The whole list again from every rank's share, in the order that :meth:`mine` cut."""
        shares = self._of_all(list(own))
        return [shares[i % self.world][i // self.world] for i in range(sum(map(len, shares)))]

    def total(self, values: Mapping[str, float]) -> dict[str, float]:
        """Each value summed over the ranks."""
        shares = self._of_all(dict(values))
        return {name: sum(share[name] for share in shares) for name in values}

    def _of_all(self, own: T) -> list[T]:
        """What each rank gives."""
        if self.world == 1:
            return [own]
        import torch.distributed as dist

        shares: list[Any] = [None] * self.world
        dist.all_gather_object(shares, own)
        return shares

    def barrier(self) -> None:
        """Wait for all ranks."""
        if self.world > 1:
            import torch.distributed as dist

            dist.barrier()


ALONE = Ranks()
