"""``rft3d estimate``: the price of a recipe file, and how it is shown.

Where the recipe's ``plan`` leaves something open it is read from the model folder's ``config.json`` and the
first sample of each task, and the estimate says what it guessed.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from rft3d.cost.estimate import QuestionSize, StageCost, feature_bytes, stage_cost
from rft3d.cost.sizes import Sizes, released, sizes_of
from rft3d.files import blaming, read_json
from rft3d.models import PUBLIC_WEIGHTS
from rft3d.models.images import GEOMETRY_PATCH
from rft3d.models.loading import OFF
from rft3d.models.policy import META
from rft3d.tasks import make_task, read_samples
from rft3d.training.config import Plan, RFTConfig, SFTConfig
from rft3d.training.recipes import Recipe, apply_overrides, check_recipe, load_recipe

FRAME_SIZE = (504, 392)
"""What the vision tower sees of any 4:3 frame in VG-LLM's preparation: 252 tokens."""
LETTERS_PER_TOKEN = 3.5
MARKUP_TOKENS = 24
"""System turn and chat markup around a question."""


@dataclass(frozen=True)
class Estimate:
    """A recipe's price; ``assumed`` names what was guessed and may be set in the recipe's ``plan``."""

    backbone: str
    plan: Plan
    parameters: Mapping[str, int]
    feature_bytes: Mapping[str, float]
    stages: tuple[StageCost, ...]
    assumed: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """Plain JSON values."""
        record = asdict(self)
        for made, stage in zip(record["stages"], self.stages, strict=True):
            made |= {"peak": stage.peak, "step_flops": stage.step_flops}
            for task, q in stage.questions.items():
                made["questions"][task] |= {"visual": q.visual, "prompt": q.prompt}
        return record


def estimate_recipe(path: Path, overrides: list[str]) -> Estimate:
    """The price of the recipe in file ``path`` with command-line ``overrides``.

    Raises:
        ValueError: a wrong recipe or override, or neither ``plan.backbone`` nor a model folder to read.
    """
    recipe = apply_overrides(load_recipe(path), overrides)
    check_recipe(recipe, path)
    plan = recipe.plan
    assumed: list[str] = []
    backbone, sizes = _sizes(recipe, plan, path)
    size = plan.frame_size or _frame_size(recipe)
    if size is None:
        size = FRAME_SIZE
        assumed.append(f"frames of {size[0]} x {size[1]} pixels (plan.frame_size)")
    patches = (size[0] // GEOMETRY_PATCH) * (size[1] // GEOMETRY_PATCH)
    costs = []
    features: dict[str, float] = {}
    for name, stage in recipe.named_stages().items():
        questions = {task: _question(task, stage, recipe, plan, patches, assumed) for task in stage.asked}
        costs.append(stage_cost(name, stage, questions, sizes, plan))
        features |= {task: feature_bytes(sizes, q, plan.precision) for task, q in questions.items()}
    parameters = {
        "language model": sizes.text.parameters,
        "geometry merger": sizes.geometry.merger_parameters if sizes.geometry else 0,
        "vision tower": sizes.vision.parameters,
        "geometry encoder": sizes.geometry.parameters if sizes.geometry else 0,
    }
    return Estimate(backbone, plan, parameters, features, tuple(costs), tuple(dict.fromkeys(assumed)))


def show(found: Estimate) -> str:
    """The estimate as text for a terminal."""
    plan, total = found.plan, sum(found.parameters.values())
    parts = ", ".join(f"{name} {count / 1e6:,.1f} M" for name, count in found.parameters.items() if count)
    lines = [
        f"{found.backbone}: {total / 1e6:,.1f} M parameters ({parts})",
        f"planned for {plan.gpus} x {plan.parallel}, {plan.precision}",
        *(f"assumed: {text}" for text in found.assumed),
    ]
    for stage in found.stages:
        frozen = total - stage.trained if stage.trained <= total else 0
        lines += [
            "",
            f"stage {stage.name}: {stage.steps:,} steps; trained {stage.trained / 1e6:,.1f} M, "
            f"frozen {frozen / 1e6:,.1f} M",
            _columns(("question", "frames", "visual", "prompt", "answer", "limit", "features")),
            *(
                _columns((task, q.frames, q.visual, q.prompt, q.answer, q.limit, _size(found.feature_bytes[task])))
                for task, q in stage.questions.items()
            ),
            "memory of one GPU:",
            *(f"  {name:<24}{_size(value):>12}" for name, value in stage.memory.items()),
        ]  # fmt: skip
        for phase, parts_of in stage.phases.items():
            lines += [
                f"  in {phase}: {name:<{20 - len(phase)}}{_size(v):>12}" for name, v in parts_of.items()
            ]
        lines += [
            f"  {'peak':<24}{_size(stage.peak):>12}",
            "compute of one step, all GPUs:",
            *(f"  {name:<24}{_flops(value):>12}" for name, value in stage.flops.items() if value),
            f"  {'step, features cached':<24}{_flops(stage.step_flops):>12}",
            f"  {'all steps':<24}{_flops(stage.step_flops * stage.steps):>12}",
        ]
    return "\n".join(lines)


def _sizes(recipe: Recipe, plan: Plan, path: Path) -> tuple[str, Sizes]:
    config = None if recipe.model is None else Path(recipe.model) / "config.json"
    if config is not None and config.is_file():
        saved = read_json(config)
        return config.parent.name, sizes_of(saved, str(config))
    if plan.backbone:
        if plan.backbone not in PUBLIC_WEIGHTS:
            raise ValueError(
                f"{path}: plan.backbone is {plan.backbone!r}; it must be one of {', '.join(PUBLIC_WEIGHTS)}; "
                "costs of others are not known"
            )
        sizes = released(plan.backbone)
        return plan.backbone, replace(sizes, geometry=None) if recipe.load.geometry == OFF else sizes
    raise ValueError(
        f"{path}: no config.json in model {recipe.model} and no plan.backbone; give --model FOLDER or "
        f"--plan.backbone NAME ({', '.join(PUBLIC_WEIGHTS)})"
    )


def _frame_size(recipe: Recipe) -> tuple[int, int] | None:
    file = Path(recipe.model or "") / META
    if recipe.model is None or not file.is_file():
        return None
    with blaming(file, LookupError, TypeError, OverflowError):
        size = read_json(file, dict).get("frame_size")
        return (int(size[0]), int(size[1])) if isinstance(size, list) else None


def _question(
    task: str, stage: SFTConfig | RFTConfig, recipe: Recipe, plan: Plan, patches: int, assumed: list[str]
) -> QuestionSize:
    frames = plan.frames.get(task)
    text, answer = plan.question_tokens.get(task), plan.answer_tokens.get(task)
    if frames is None or text is None or answer is None:
        file = Path(recipe.samples[task])
        first = next(iter(read_samples(file)), None) if file.is_file() else None
        if first is None:
            raise ValueError(
                f"no samples of {task} at {file} to measure; make them, or set plan.frames, "
                f"plan.question_tokens and plan.answer_tokens of {task}"
            )
        frames = frames or len(first.frames)
        if text is None:
            letters = len(first.prompt) - first.prompt.count("<image>") * len("<image>")
            text = MARKUP_TOKENS + round(letters / LETTERS_PER_TOKEN)
            assumed.append(f"{task}: {text} tokens of text in a prompt (plan.question_tokens.{task})")
        if answer is None:
            answer = max(1, round(len(make_task(task).gold(first)) / LETTERS_PER_TOKEN))
            assumed.append(f"{task}: answers of {answer} tokens (plan.answer_tokens.{task})")
    limit = stage.max_new_tokens[task] if isinstance(stage, RFTConfig) else answer
    return QuestionSize(frames, patches, text, min(answer, limit), limit)


def _columns(cells: tuple[object, ...]) -> str:
    return "  " + f"{cells[0]!s:<12}" + "".join(f"{cell!s:>10}" for cell in cells[1:])


def _scaled(unit: str, count: float) -> str:
    for prefix, scale in (("E", 1e18), ("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= scale:
            return f"{count / scale:,.2f} {prefix}{unit}"
    return f"{count:.0f} {unit}"


_size, _flops = partial(_scaled, "B"), partial(_scaled, "F")
