"""Group size, KL, temperature, clip-higher, curriculum: one change at a time.

A group shares its prompt, so larger groups of fewer prompts cost little more. Completions a step stay the same
over group sizes. Clipping needs a second update on the same rollout to do anything, so both arms have two.

Command::

    rft3d matrix run --only knobs

Hardware: two CPU cores, 4 GiB.
Time: not measured yet.
Expected: not known beforehand; the rule that decides is in docs/results.md.
"""

from __future__ import annotations

from rft3d.matrix.settings import BUDGET, COLUMNS, SEEDS, THREE, base_sft, rewarded, rft, world
from rft3d.matrix.types import Arm, Claim, Experiment
from rft3d.training.config import RFTConfig

PROMPTS = rft().prompts_per_step
PAID = rewarded("matched", "metric")


def _group(size: int) -> RFTConfig:
    smallest = rft().group_size
    prompts = {view: max(1, count * smallest // size) for view, count in PROMPTS.items()}
    return rft(prompts, group_size=size)


def config() -> Experiment:
    def arm(name: str, title: str, stage: RFTConfig) -> Arm:
        return Arm(name, title, stage, "sft", options=PAID)

    easy = Arm("rooms_easy", "RL on rooms of at most 4 objects, half the tokens", rft(), "sft",
               budget=0.5, options=PAID, most_objects=4)  # fmt: skip
    return Experiment(
        name="knobs",
        question="Which knob of GRPO matters at this size?",
        world=world(),
        arms=(
            base_sft(),
            arm("rft_matched", "SFT → RL, matched rewards", rft()),
            *(arm(f"group_{size}", f"G = {size}", _group(size)) for size in (16, 32, 64)),
            *(arm(f"kl_{beta:g}", f"KL {beta:g}", rft(beta=beta)) for beta in (0.01, 0.04)),
            *(arm(f"warm_{t:g}", f"temperature {t:g}", rft(temperature=t)) for t in (0.4, 0.8, 1.0)),
            arm("clip_same", "two updates, clip 0.2", rft(updates_per_rollout=2)),
            arm("clip_higher", "two updates, clip 0.2 / 0.28", rft(updates_per_rollout=2, epsilon_high=0.28)),
            easy,
            Arm("curriculum", "then all rooms, the other half", rft(seed=1000), "rooms_easy",
                budget=0.5, options=PAID),
        ),
        claims=(
            *(Claim(f"G = {g} beats G = 8", f"group_{g}", "rft_matched", THREE) for g in (16, 32, 64)),
            *(Claim(f"KL {b:g} helps", f"kl_{b:g}", "rft_matched", THREE) for b in (0.01, 0.04)),
            Claim("temperature 0.6 beats 1", "rft_matched", "warm_1", THREE),
            Claim("clip-higher helps", "clip_higher", "clip_same", THREE),
            Claim("easy rooms first helps", "curriculum", "rft_matched", THREE),
        ),
        budget=BUDGET,
        seeds=SEEDS,
        columns=COLUMNS,
        dynamics=("rft_matched", "warm_0.4", "warm_1", "kl_0.04"),
    )  # fmt: skip
