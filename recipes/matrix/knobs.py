"""Group size, KL, temperature, clip-higher, curriculum: one change at a time.

A group shares its prompt, so larger groups of fewer prompts cost little more. Completions a step stay the same
over group sizes. Clipping needs a second update on the same rollout to do anything, so both arms have two.

Command::

    rft3d matrix run --only knobs

Hardware: two CPU cores, 4 GiB.
Time: 4 to 6 minutes an arm and seed where three seeds run at once; 20 more for a seed's rooms, encoders and SFT.
Expected: not known beforehand; the rule that decides is in docs/results.md.
"""

from __future__ import annotations

from rft3d.matrix.settings import (
    BUDGET,
    COLUMNS,
    SEEDS,
    THREE,
    base_sft,
    headline_arm,
    our_arm,
    our_rft,
    world,
)
from rft3d.matrix.types import Arm, Claim, Experiment, Sweep
from rft3d.training.config import RFTConfig

PROMPTS = our_rft().prompts_per_step

READING = """\
**The temperature matters, hardly anything else does.** Of 0.2, 0.35, 0.6 and 1, the demo's 0.35 is best on F1
(30.4, 31.0, 30.2, 29.6 %), mean IoU (13.9, 14.9, 13.7, 12.5) and spatial questions (58.8, 60.3, 59.0, 57.5):
colder, groups do not differ; hotter, a tiny policy learns from answers that it would not give. (It had been
chosen among three of these values on the same rooms.)

With as many completions a step, groups of 16, 32 and 64 are no better than groups of 8 on any task: the shared
prompt makes them cheap, but different prompts teach as much as more answers to the same ones. A KL term of 0.01
or 0.04 changes nothing that can be measured in 14 steps. Clip-higher, of two updates on the same rollout, gains
0.7 points of the spatial questions and nothing elsewhere. Easy rooms first costs 1.1 points there.
"""


def _group(size: int) -> RFTConfig:
    smallest = our_rft().group_size
    prompts = {view: max(1, count * smallest // size) for view, count in PROMPTS.items()}
    return our_rft(prompts, group_size=size)


def config() -> Experiment:
    def arm(name: str, title: str, stage: RFTConfig) -> Arm:
        return our_arm(name=name, title=title, stage=stage)

    easy = our_arm(
        name="rooms_easy",
        title="RL on rooms of at most 4 objects, half the tokens",
        budget=0.5,
        most_objects=4,
    )
    return Experiment(
        name="knobs",
        rank=9,
        question="Which knob of GRPO matters at this size?",
        world=world(),
        arms=(
            base_sft(),
            headline_arm(),
            *(arm(f"group_{size}", f"G = {size}", _group(size)) for size in (16, 32, 64)),
            *(arm(f"kl_{beta:g}", f"KL {beta:g}", our_rft(beta=beta)) for beta in (0.01, 0.04)),
            *(arm(f"warm_{t:g}", f"temperature {t:g}", our_rft(temperature=t)) for t in (0.2, 0.6, 1.0)),
            arm("clip_same", "two updates, clip 0.2", our_rft(updates_per_rollout=2)),
            arm("clip_higher", "two updates, clip 0.2 / 0.28", our_rft(updates_per_rollout=2, epsilon_high=0.28)),
            easy,
            our_arm(name="curriculum", title="then all rooms, the other half", stage=our_rft(seed=1000),
                    base="rooms_easy", budget=0.5),
        ),
        claims=(
            *(Claim(f"G = {g} beats G = 8", f"group_{g}", "rft_ours", THREE) for g in (16, 32, 64)),
            *(Claim(f"KL {b:g} helps", f"kl_{b:g}", "rft_ours", THREE) for b in (0.01, 0.04)),
            *(Claim(f"the demo's temperature beats {t:g}", "rft_ours", f"warm_{t:g}", THREE) for t in (0.6, 1.0)),
            Claim("clip-higher helps", "clip_higher", "clip_same", THREE),
            Claim("easy rooms first helps", "curriculum", "rft_ours", THREE),
        ),
        reading=READING,
        budget=BUDGET,
        seeds=SEEDS,
        columns=COLUMNS,
        dynamics=("rft_ours", "warm_0.2", "warm_1", "kl_0.04"),
        sweeps=(
            Sweep("group", "completions a group, as many in all",
                  {"SFT → RL, ours": ((8, "knobs/rft_ours"), *((g, f"knobs/group_{g}") for g in (16, 32, 64)))},
                  THREE),
            Sweep("temperature", "temperature of the samples",
                  {"SFT → RL, ours": ((our_rft().temperature, "knobs/rft_ours"),
                                      *((t, f"knobs/warm_{t:g}") for t in (0.2, 0.6, 1.0)))},
                  THREE),
        ),
    )  # fmt: skip
