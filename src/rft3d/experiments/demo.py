"""``rft3d demo``: a few arms from the shipped SFT policy (or from nothing), run as any other experiment."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path

from rich.console import Console

from rft3d.experiments.lab import settings_of
from rft3d.experiments.page import print_demo
from rft3d.experiments.places import WorldSeed, quick_arm
from rft3d.experiments.run import name_arms, work
from rft3d.experiments.settings import (
    COLUMNS,
    CREDIT,
    DETECTION,
    OURS,
    PAPER,
    PEAK_RATE,
    START,
    eight_rooms_arms,
    eight_rooms_world,
    rft,
    sft,
)
from rft3d.experiments.types import Arm, Claim, Experiment, Scratch, World
from rft3d.files import write_json
from rft3d.locks import only_writer
from rft3d.models.tiny import TinyConfig
from rft3d.pretraining.encoders import EncoderConfig
from rft3d.pretraining.endless import TASK_OPTIONS
from rft3d.report import ReportConfig, write_report
from rft3d.report.draw import save
from rft3d.report.exhibit import OverlayStyle, Wanted, draw_sheet, exhibits
from rft3d.scenes import CATE8, WORLDS, RoomConfig
from rft3d.training.config import OptimConfig, RFTConfig, SFTConfig


def run_demo(
    out: Path,
    quick: bool = False,
    from_scratch: bool = False,
    seed: int = 0,
    trackers: Sequence[str] = (),
    model: str = START,
    console: Console | None = None,
) -> Path:
    """Run the demo in ``out``, from ``model`` or from nothing, and return the report's page; resumes.

    Raises:
        ValueError: ``out`` holds a run with other settings.
        InUse: another process runs there.
    """
    console = console or Console(stderr=True)
    experiment = scratch_experiment(quick) if from_scratch else demo_experiment(quick, model)
    full = scratch_experiment() if from_scratch else demo_experiment()
    with only_writer(out):
        place = WorldSeed(experiment.world, seed, out, experiment.arms)
        name_arms(out, [experiment])
        write_json(out / "defaults.json", settings_of(full.world, 0))  # for the report: what was changed
        work([place], console, at_once=2, trackers=trackers)
        warn = partial(console.print, style="bold red", markup=False, soft_wrap=True)
        config = ReportConfig(gallery=3 if quick else 12, resamples=experiment.world.resamples // 3)
        page = write_report(out, config=config, warn=warn)
        print_demo(experiment, {seed: out}, console)
        answered = exhibits(out, Wanted(tasks=("detection",), limit=12))
        first = next(answered)
        first = next((each for each in chain([first], answered) if all(each.predicted.values())), first)
        picture = save(out / "picture.png", draw_sheet(first, OverlayStyle()))
        colours = "green true, orange found, dashed not there"
        console.print(f"picture: {picture} (a room where all answers can be read; {colours})", soft_wrap=True)
        console.print(f"report: {page}", highlight=False, soft_wrap=True)
        return page


def demo_experiment(quick: bool = False, model: str = START) -> Experiment:
    """More SFT and RFT side by side from ``model``, the shipped SFT policy.

    Eight labelled rooms through a lens that it does not know: it has far to go, and little to learn by heart.
    ``quick``: a few steps at a low rate in rooms of the kind that it knows, where it finds most boxes.
    """
    rooms, arms = replace(eight_rooms_world(), start=model, resamples=1000, headroom=16), eight_rooms_arms()
    if quick:
        views = {"detection": {}, "grounding": {"max_per_scene": 1}}
        rooms = replace(rooms, name="quick", rooms=WORLDS["rooms"], train_rooms=16, held_out_rooms=24)
        rooms = replace(rooms, views=views, held_out=views, resamples=200, headroom=8)
        start, more, rl = (replace(arm, judge=tuple(views)) for arm in arms)
        assert isinstance(more.stage, SFTConfig) and isinstance(rl.stage, RFTConfig)
        low = OptimConfig(lr=3e-5, weight_decay=0.0)
        rl = replace(rl, stage=replace(rl.stage, steps=4, prompts_per_step={"detection": 8}, optim=low))
        arms = (start, replace(more, stage=replace(more.stage, steps=4)), rl)
    return Experiment(
        name="demo",
        question="What does RFT add to an SFT policy, beside as many minutes of more SFT on the same rooms?",
        world=rooms,
        arms=arms,
        claims=(Claim("RFT beats more SFT", "rft", "more_sft", tuple(c[:2] for c in DETECTION)),),
        columns=DETECTION,
        baseline="more_sft",
    )


def scratch_experiment(quick: bool = False) -> Experiment:
    """The whole story, small: encoders, SFT, then more SFT and RFT with two rewards."""
    per_scene = {"detection": 1, "grounding": 4, "spatial": 6}
    shares = {"grounding": 0.5, "spatial": 0.5}
    taught = sft(per_scene, steps=230, scenes_per_step=16, scene_share=shares, optim=PEAK_RATE)
    more = sft(per_scene, steps=80, scenes_per_step=16, scene_share=shares, seed=1000)
    limits = {"detection": 160, "grounding": 32, "spatial": 8}
    reinforced = rft(
        {"detection": 24, "grounding": 40, "spatial": 32}, steps=13, temperature=0.35, max_new_tokens=limits,
        optim=OptimConfig(name="adamw", lr=2e-4, weight_decay=0.0, schedule="linear", final=0.1, warmup=0.1),
    )  # fmt: skip
    arms = (
        Arm("sft", "SFT", taught),
        Arm("rft_matched", "SFT → RFT, matched reward", replace(reinforced, **CREDIT), "sft", options=OURS),
        Arm("rft_paper", "SFT → RFT, paper's reward", reinforced, "sft", options=PAPER),
        Arm("sft_sft", "SFT → SFT", more, "sft"),
    )
    rooms = World(
        name="scratch",
        start=Scratch(
            TinyConfig(layers=3, geometry_dim=96, geometry_rounds=2, geometry_heads=3, vision_hidden=64),
            EncoderConfig(steps=420, clips_per_step=16),
        ),
        rooms=RoomConfig(
            min_objects=3, max_objects=5, labels=CATE8, pan_deg=25.0, jitter=0.0, camera_variation=0.0
        ),
        train_rooms=2200,
        held_out_rooms=320,
        views={**TASK_OPTIONS, "detection": {**TASK_OPTIONS["detection"], "classes": CATE8}},
        held_out={"detection": {}, "grounding": {"max_per_scene": 3}, "spatial": {"max_per_type": 1}},
        max_new_tokens=limits,
        resamples=1000,
    )
    if quick:
        rooms = replace(
            rooms, train_rooms=48, held_out_rooms=12, resamples=100,
            start=Scratch(TinyConfig(hidden=96, layers=1, heads=4, intermediate=128, vision_hidden=32,
                                     geometry_dim=32, geometry_heads=2, geometry_rounds=1, merger_hidden=64),
                          EncoderConfig(steps=6, clips_per_step=4)),
        )  # fmt: skip
        arms = tuple(map(quick_arm, arms))
    return Experiment("scratch", "The whole story, small", rooms, arms, columns=COLUMNS, baseline="sft_sft")
