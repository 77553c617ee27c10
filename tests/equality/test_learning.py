"""Equal gradients must also learn alike: thirty steps of a toy task, ours and TRL's, three seeds each.

The pictures hold one or two white squares; the first character of the answer must be a small letter for one,
a capital for two, and some letter is worth a little. Sampling differs between the two sides, so curves are
compared by their spread over seeds.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console
from tests.equality.stock import Sizes, StockCase, save_stock, trl_trainer, visual_ids

from rft3d.answers.types import ParseFailure
from rft3d.prompts import Prompt
from rft3d.rewards import Part, Score
from rft3d.tasks.types import Sample
from rft3d.training.config import OptimConfig, RFTConfig
from rft3d.training.data import Corpus, Item
from rft3d.training.grpo import train_rft
from rft3d.training.loop import Watch

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # TRL's own; none is ours to mend

STEPS, GROUP, SEEDS, RATE, LIMIT = 30, 8, (0, 1, 2), 3e-3, 2
COUNTS = (1, 2, 1, 2)
"""White squares in each scene's picture."""


def value_of(text: str, count: int) -> float:
    """1 for a letter of the wanted case, 0.3 for another letter, 0 for anything else."""
    first = text[:1]
    if not (first.isascii() and first.isalpha()):
        return 0.0
    return 1.0 if first.islower() == (count == 1) else 0.3


def pictures(size: tuple[int, int]) -> list[list[NDArray[np.uint8]]]:
    rng = np.random.default_rng(0)
    clips = []
    for count in COUNTS:
        frame = rng.integers(0, 60, (size[1], size[0], 3), dtype=np.uint8)
        for i in range(count):
            frame[8:36, 4 + 40 * i : 32 + 40 * i] = 255
        clips.append([frame])
    return clips


@dataclass(frozen=True)
class Squares:
    """The toy task for our side."""

    name: ClassVar[str] = "squares"

    def gold(self, sample: Sample) -> str:
        return "a" if int(sample.truth["count"]) == 1 else "A"

    def parse(self, text: str, sample: Sample, mode: str = "lenient") -> str | ParseFailure:
        return text

    def score(self, text: str, sample: Sample, truncated: bool = False) -> Score:
        return Score((Part("squares", value_of(text, int(sample.truth["count"])), ""),))


def our_curve(case: StockCase, seed: int, folder: Path) -> list[float]:
    policy = case.ours()
    policy.model.suppress(visual_ids(policy.tokenizer))  # the oracle's own checks need it off
    features = policy.encode(case.clips)
    rows = []
    for scene, (question, count) in enumerate(zip(case.questions, COUNTS, strict=True)):
        text = "<image>" + question
        prompt = policy.row(Prompt(text, 1), features[scene].grid)
        sample = Sample(str(scene), "squares", str(scene), ("0",), text, {"count": count})
        rows.append([Item(scene, sample, prompt, (), 0)])
    tasks: Mapping[str, Any] = {"squares": Squares()}
    optim = OptimConfig(lr=RATE, weight_decay=0.0, schedule="constant", warmup=0.0)
    config = RFTConfig(
        STEPS, {"squares": len(rows)}, GROUP, {"squares": LIMIT}, loss="dapo", optim=optim, seed=seed,
        save_every=STEPS, log_rollouts_every=0,
    )  # fmt: skip
    corpus = Corpus(features, {"squares": rows})
    train_rft(policy, tasks, corpus, config, folder, Watch(Console(file=io.StringIO())))
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [float(json.loads(line)["reward"]) for line in lines]


def trl_curve(case: StockCase, seed: int, folder: Path) -> list[float]:
    seen: list[float] = []

    def reward(completions: Sequence[Any], scene: Sequence[int], **_: Any) -> list[float]:
        texts = [c if isinstance(c, str) else c[-1]["content"] for c in completions]
        values = [value_of(text, COUNTS[s]) for text, s in zip(texts, scene, strict=True)]
        seen.append(float(np.mean(values)))
        return values

    trainer = trl_trainer(
        case, folder, None, reward, loss_type="dapo", beta=0.0, learning_rate=RATE, seed=seed,
        lr_scheduler_type="constant", max_steps=STEPS, num_train_epochs=STEPS, max_grad_norm=1.0,
        per_device_train_batch_size=len(COUNTS) * GROUP, gradient_accumulation_steps=1,
        max_completion_length=LIMIT,
        generation_kwargs={"suppress_tokens": visual_ids(case.ours().tokenizer)},
    )  # fmt: skip
    trainer.train()
    return seen


def test_thirty_steps_learn_like_trl(tmp_path: Path) -> None:
    sizes = Sizes(frame=(84, 56))
    save_stock(tmp_path / "model", sizes)
    questions = ["How many squares?"] * len(COUNTS)
    case = StockCase(tmp_path / "model", sizes, pictures(sizes.frame), questions, group=GROUP)
    curves = {
        "ours": np.array([our_curve(case, seed, tmp_path / f"ours{seed}") for seed in SEEDS]),
        "trl": np.array([trl_curve(case, seed, tmp_path / f"trl{seed}") for seed in SEEDS]),
    }
    ends: dict[str, NDArray[np.float64]] = {}
    for name, curve in curves.items():
        assert curve.shape == (len(SEEDS), STEPS), name
        ends[name] = curve[:, -10:].mean(1)
        print(name, "first 3:", curve[:, :3].mean(1).round(3), "last 10:", ends[name].round(3))
        assert ends[name].mean() > curve[:, :3].mean() + 0.1, f"{name} did not learn"
    noise = math.sqrt(sum(float(e.var(ddof=1)) for e in ends.values()) / len(SEEDS))
    assert abs(float(ends["ours"].mean() - ends["trl"].mean())) < 3 * noise + 0.05
