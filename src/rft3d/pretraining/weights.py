"""How the weights that the package ships are made, from nothing: tokenizer, encoders, SFT twice on endless rooms.

    python recipes/weights/rooms.py --out runs/weights          # or: make weights; the same command goes on

Every step sees new rooms, a function of (seed, step), so a stopped run goes on as if it had not stopped.
"""

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from rich.console import Console
from transformers import PreTrainedTokenizerBase

from rft3d.digests import write_list
from rft3d.files import read_json, write_json, write_text
from rft3d.locks import only_writer
from rft3d.models import Policy, load_policy
from rft3d.models.tiny import TinyConfig, build_tiny
from rft3d.models.tokens import train_tokenizer
from rft3d.pretraining.encoders import EncoderConfig, pretrain_encoders
from rft3d.pretraining.endless import TASK_OPTIONS, DenseClip, RoomMix, endless, samples_a_room
from rft3d.pretraining.hints import hinted
from rft3d.scenes import CATE20, WORLDS, make_room
from rft3d.scenes.rooms import PALETTE
from rft3d.tasks import make_task
from rft3d.training.config import OptimConfig, SFTConfig
from rft3d.training.loop import Loop, Watch
from rft3d.training.optim import require_finite

TOKENIZER_FIRST_SEED = 5_000_000
WORLD_FILE = "world.json"
HINT_WEIGHT = 0.5


@dataclass(frozen=True)
class WeightsConfig:
    """Everything that makes the shipped SFT model, resolved.

    A step of both stages sees ``mix.rooms`` rooms.
    """

    tiny: TinyConfig = TinyConfig(hidden=224, layers=6, heads=7, frame_size=(252, 168))
    mix: RoomMix = field(default_factory=RoomMix)
    tokenizer_rooms: Mapping[str, int] = field(
        default_factory=lambda: {"rooms": 1200, "easy": 400, "dense": 150}
    )
    encoder: EncoderConfig = EncoderConfig(steps=3000, frames_per_clip=4, save_every=50)
    sft: SFTConfig = SFTConfig(
        steps=3000, optim=OptimConfig(name="muon", lr=4e-3, muon_lr=0.04), task_weights={}, save_every=50
    )
    """Only steps, rates, weights of the tasks and seed count here; what is asked is ``mix``."""
    question_mix: RoomMix = field(
        default_factory=lambda: RoomMix(
            per_room=samples_a_room(45),
            options=TASK_OPTIONS | {"spatial": {"max_per_type": 9}},
            hints=True,
            seed=1,
        )
    )
    questions: SFTConfig = SFTConfig(
        steps=3000,
        optim=OptimConfig(name="muon", lr=3e-3, muon_lr=0.03),
        task_weights={"spatial": 2.0},
        save_every=50,
    )
    """The second stage of SFT, mostly spatial questions, with hints: without them directions are not learned."""
    seed: int = 0
    workers: int = 1
    """Processes that draw rooms ahead."""


def rooms_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerBase:
    """A tokenizer from prompts and gold answers about procedural rooms."""
    return train_tokenizer(texts, [*CATE20, *PALETTE, "large", "small"])


def make_tokenizer(config: WeightsConfig) -> PreTrainedTokenizerBase:
    """A tokenizer from the prompts and gold answers of some rooms of each world."""
    texts: list[str] = []
    for world, count in config.tokenizer_rooms.items():
        wanted = [name for name, asked in config.mix.per_room[world].items() if asked]
        tasks = [make_task(name, options=config.mix.options[name]) for name in wanted]
        for seed in range(TOKENIZER_FIRST_SEED, TOKENIZER_FIRST_SEED + count):
            scene = make_room(seed, WORLDS[world])
            refs = [f"rooms:{seed}/{k}" for k in range(len(scene.frames))]
            for task in tasks:
                for sample in task.samples(scene, refs, seed):
                    texts += [sample.prompt, task.gold(sample)]
    return rooms_tokenizer(texts)


def make_weights(config: WeightsConfig, out: Path, console: Console) -> Path:
    """Make the SFT model in ``out``, or go on with it; returns its folder, ready for :func:`ship`.

    Raises:
        ValueError: ``out`` holds a run with other settings.
        InUse: another process works there.
    """
    with only_writer(out):
        settings = json.loads(json.dumps(asdict(config), default=str))
        known = out / "config.json"
        if known.is_file() and read_json(known) != settings:
            raise ValueError(f"{known} has other settings; give another --out, or remove that folder")
        write_json(known, settings)
        names = ("start", "encoders", "sft", "rooms-sft")
        start, encoders, sft, final = (out / "models" / name for name in names)
        if not start.is_dir():
            options = {k: dict(v) for k, v in TASK_OPTIONS.items()}
            build_tiny(config.tiny, make_tokenizer(config), config.seed, options).save(start)
        if not encoders.is_dir():

            def clips(step: int) -> Iterator[DenseClip]:
                return (b.clips for b in endless(start, config.mix, (), step, config.workers))

            policy = load_policy(start)
            pretrain_encoders(policy, clips, CATE20, config.encoder, out / "stages" / "encoders", console)
            policy.save(encoders)
        stages = (
            ("sft", encoders, sft, config.mix, config.sft),
            ("questions", sft, final, config.question_mix, config.questions),
        )
        for name, before, after, mix, stage in stages:
            if not after.is_dir():
                policy = load_policy(before)
                train_on_rooms(policy, before, mix, stage, out / "stages" / name, console, config.workers)
                policy.save(after)
        return final


def train_on_rooms(
    policy: Policy, saved: Path, mix: RoomMix, sft: SFTConfig, stage: Path, console: Console, workers: int = 1
) -> None:
    """SFT of everything but the encoders on gold answers of all tasks, new rooms in every step.

    ``saved``: ``policy``'s folder, for the ``workers`` processes that tokenize.
    """
    with hinted(policy.model) if mix.hints else nullcontext() as heads:
        loop = Loop(policy, stage, Watch(console, "SFT"), sft)
        engine = loop.engine
        batches = endless(saved, mix, tuple(TASK_OPTIONS), loop.start, workers)
        engine.network.train()
        with loop:
            for step in range(loop.start, loop.steps):
                began = time.perf_counter()
                batch = next(batches)
                pictures = torch.stack([policy.prepare(list(clip)) for clip in batch.clips.rgb])
                features = policy.model.encode(pictures.to(policy.device))
                metrics: dict[str, float] = {}
                with loop.guarded(step, [f"rooms:{seed}" for seed in mix.seeds(step)]):
                    for index, (task, (packed, rows)) in enumerate(batch.packed.items()):
                        with engine.accumulating(last=index + 1 == len(batch.packed)):
                            mine = [features[room] for room in rows]
                            loss = -engine.network(packed.to(policy.device), mine).logps.mean()
                            metrics[f"loss/{batch.world}/{task}"] = float(loss.detach())
                            loss = sft.task_weights.get(task, 1.0) * loss
                            if heads is not None and batch.hints is not None and task == "spatial":
                                hint = heads.loss(batch.hints)
                                metrics["hints"] = float(hint.detach())
                                loss = loss + HINT_WEIGHT * hint
                            engine.backward(loss)
                    require_finite(step, metrics)
                    metrics["grad_norm"] = engine.step(step)
                metrics["seconds"] = time.perf_counter() - began
                note = ", ".join(f"{k[5:]} {v:.2f}" for k, v in metrics.items() if "/" in k)
                loop.end_step(step, metrics, note)
        loop.finish()


def ship(model: Path, out: Path, world: str, card: str) -> Path:
    """Write ``model`` to ``out`` as the package ships it: half precision, its world, a card.

    Raises:
        ValueError: half precision cannot hold a weight.
    """
    policy = load_policy(model)
    for name, tensor in policy.model.state_dict().items():
        if not tensor.half().isfinite().all():
            raise ValueError(f"{model}: {name} reaches {float(tensor.abs().max()):.3g}, beyond float16")
    policy.model.half()
    policy.save(out)
    write_json(out / WORLD_FILE, asdict(WORLDS[world]))
    write_text(out / "README.md", card)
    (out / "generation_config.json").unlink(missing_ok=True)
    # what it runs in; the file is half of that
    write_json(out / "config.json", read_json(out / "config.json") | {"dtype": "float32"})
    write_list(out)
    return out
