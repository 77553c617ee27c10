"""Stage 0, for the tiny model only: pre-train the vision tower and the geometry encoder, then freeze.

The real model starts from public weights of both; the demo makes its own in a minute. The heads used
here are thrown away.

Public weights arrive aligned (Qwen's vision tower was trained with its language model). For the tiny model
:func:`match_scales` and :func:`name_classes` do that; without them SFT spends most of its time learning that the
token ``chair`` belongs to what a chair looks like (``docs/log.md`` has the figures).
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from torch import Tensor, nn

from rft3d.files import replacing
from rft3d.models.geometry import FrozenFeatures, cells_of
from rft3d.models.images import qwen_patches
from rft3d.models.policy import Policy
from rft3d.models.spatial import SpatialModel, see
from rft3d.pretraining.endless import DenseClip
from rft3d.process import progress
from rft3d.settings import Checked, Count, Natural
from rft3d.training.config import OptimConfig
from rft3d.training.optim import lr_scale, optimizers_of, require_finite, step_all
from rft3d.training.runs import MetricsLog

OWN_SHARE = 0.3
"""How much of a class token's embedding stays its own, so that ``chair`` and `` chairs`` differ."""


@torch.no_grad()
def match_scales(policy: Policy, features: Sequence[FrozenFeatures]) -> None:
    """Scale the last layers of both mergers in place: the tower's part of a visual token becomes as large as a text
    token's embedding, the geometry's twice as large (means of norms). ``features``: of a few clips, encoded before.

    Left alone, the tower's tokens came out 60 times larger than a text embedding and the projected geometry a sixth
    of them: what the language model's layers added to a visual token was too small for later layers to notice.
    """
    model = policy.model
    text = model.lm_head.weight.norm(dim=-1).mean()
    vision = torch.cat([f.vision.float() for f in features]).norm(dim=-1).mean()
    scales = [(model.model.visual.merger, text / vision)]
    cells = [f.geometry.float() for f in features if f.geometry is not None]
    if cells:
        geometry = model.geometry_merger(torch.cat(cells)).norm(dim=-1).mean()
        scales.append((model.geometry_merger, 2 * text / geometry))
    for merger, scale in scales:
        last = merger.mlp[-1]
        last.weight.mul_(scale)
        last.bias.mul_(scale)


@torch.no_grad()
def name_classes(policy: Policy, directions: Tensor, labels: Sequence[str]) -> None:
    """Start a label's text tokens, in place, in the direction that its class has among the vision tokens.

    ``directions``: ``(len(labels) + 1, hidden)`` rows of a linear classifier of vision tokens, the last of the
    background; ``labels``: class names in the order of the rows.
    """
    weight = policy.model.lm_head.weight
    norm = weight.norm(dim=-1).mean()
    directions = directions - directions.mean(0)
    for index in range(len(policy.tokenizer)):
        label = label_of(str(policy.tokenizer.decode([index])), labels)
        if label is not None:
            row = directions[labels.index(label)]
            weight[index] = row / row.norm() * norm + OWN_SHARE * weight[index]


def label_of(token: str, labels: Sequence[str]) -> str | None:
    """The label that ``token`` says (``chair``, `` chairs``, ``chair", "bbox_3d": [``), if any."""
    text = token.strip()
    word = text.split('"', 1)[0]
    return next((label for label in labels if word in (label, f"{label}s")), None)


@dataclass(frozen=True)
class EncoderConfig(Checked):
    """Pre-training of the tiny encoders."""

    steps: Count = 400
    clips_per_step: Count = 16
    frames_per_clip: Count = 2
    """Frames of a clip seen in a step: the first and random others (VGGT trains on varying counts too)."""
    optim: OptimConfig = OptimConfig(name="muon", lr=5e-3, muon_lr=0.05, warmup=0.05)
    seed: int = 0
    save_every: Natural = 0
    """Steps between states that a stopped training goes on from; 0: none."""


Clips = Callable[[int], Iterator[DenseClip]]
"""From a step on, the clips that each step sees: a :class:`DenseClip` whose arrays have a batch dimension first."""


class DenseHeads(nn.Module):
    """Linear read-outs: classes from vision tokens, points and boxes from geometry features."""

    def __init__(self, vision_dim: int, geometry_dim: int, classes: int) -> None:
        super().__init__()
        self.classes = nn.Linear(vision_dim, classes)
        self.norm = nn.LayerNorm(geometry_dim)
        self.points = nn.Linear(geometry_dim, 3)
        self.boxes = nn.Linear(geometry_dim, 9)
        self.patch_classes = nn.Linear(geometry_dim, classes)


def dense_losses(
    model: SpatialModel, heads: DenseHeads, images: Tensor, labels: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Losses of one batch; ``labels``: arrays of :class:`DenseClip` by name, with a batch dimension first."""
    vision = see(model.model.visual, *qwen_patches(images.flatten(0, 1))).pooler_output
    geometry = heads.norm(cells_of(model.geometry_net(images)).flatten(0, 2))
    points, boxes = (cells_of(labels[name]).flatten(0, 2) for name in ("points", "boxes"))
    classes = labels["classes"].flatten(0, -2)
    point_error = (heads.points(geometry) - points)[points.isfinite().all(-1)]
    on_object = boxes.isfinite().all(-1)
    box_error = (heads.boxes(geometry) - boxes)[on_object]
    return {
        "class": -(classes * heads.classes(vision).log_softmax(-1)).sum(-1).mean(),
        "point": F.smooth_l1_loss(point_error, torch.zeros_like(point_error), beta=0.3),
        "box": F.smooth_l1_loss(box_error, torch.zeros_like(box_error), beta=0.2),
        "patch_class": -(classes[:, None] * heads.patch_classes(geometry).log_softmax(-1)).sum(-1).mean(),
        "point_m": point_error.detach().norm(dim=-1).median(),
        "centre_m": box_error.detach()[:, :3].norm(dim=-1).median(),
    }


def pretrain_encoders(
    policy: Policy, clips: Clips, labels: Sequence[str], config: EncoderConfig, folder: Path, console: Console
) -> None:
    """Train both encoders in place on ``clips``, align them with the text embeddings, freeze them.

    ``labels``: the class names that the clips' class shares go over. A stopped training goes on from its last
    state in ``folder`` (``config.save_every``).
    """
    model = policy.model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        heads = DenseHeads(model.lm_head.in_features, model.geometry_net.config.width, len(labels) + 1)
    trained = nn.ModuleList([model.model.visual, model.geometry_net, heads.to(policy.device)])
    for name, parameter in trained.named_parameters():
        parameter.requires_grad_(not name.endswith("mask_token"))
    named = {name: p for name, p in trained.named_parameters() if p.requires_grad}
    optim = replace(config.optim, weight_decay=0.0)
    optimizers = optimizers_of(named, optim, lambda name: "blocks." in name)
    muon = {id(p) for o in optimizers[1:] for g in o.param_groups for p in g["params"]}
    # the order in which norms are added up is part of a seed's numbers
    parameters = sorted(named.values(), key=lambda p: id(p) in muon)
    state = _State(folder / "state.pt", trained, optimizers)
    log = MetricsLog(folder / "metrics.jsonl", state.step, config.steps)
    batches = clips(state.step)
    with progress(console, "encoders", config.steps, state.step) as advance:
        for step in range(state.step, config.steps):
            began = time.perf_counter()
            batch = next(batches)
            frames = _frames_of_step(config, step, batch.rgb.shape[1])
            losses = dense_losses(model, heads, *_tensors(policy, batch, frames))
            loss = losses["class"] + losses["point"] + losses["box"] + 0.5 * losses["patch_class"]
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(parameters, config.optim.max_grad_norm)
            require_finite(step, {"loss": float(loss.detach()), "grad_norm": float(norm)})
            step_all(optimizers, lr_scale(config.optim, step, config.steps))
            values = {k: float(v.detach()) for k, v in losses.items()}
            seconds = time.perf_counter() - began
            log.write(step + 1, {"loss": float(loss.detach()), **values, "seconds": seconds})
            if config.save_every and (step + 1) % config.save_every == 0:
                state.save(step + 1)
            note = "point {point_m:.2f} m, box centre {centre_m:.2f} m, class {class:.2f}"
            advance(1, note.format(**values))
    model.freeze_encoders()
    batch = next(clips(0))
    with torch.no_grad():
        images, _ = _tensors(policy, batch, range(batch.rgb.shape[1]))
        match_scales(policy, policy.model.encode(images))
        name_classes(policy, heads.classes.weight, labels)


class _State:
    """The state to resume training from; ``step`` steps are done."""

    def __init__(self, path: Path, modules: nn.Module, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        self.path, self.modules, self.optimizers, self.step = path, modules, optimizers, 0
        if path.is_file():
            found = torch.load(path, map_location="cpu", weights_only=True)
            modules.load_state_dict(found["modules"])
            for optimizer, kept in zip(optimizers, found["optimizers"], strict=True):
                optimizer.load_state_dict(kept)
            self.step = int(found["step"])

    def save(self, step: int) -> None:
        optimizers = [o.state_dict() for o in self.optimizers]
        state = {"modules": self.modules.state_dict(), "optimizers": optimizers, "step": step}
        with replacing(self.path) as temporary:
            torch.save(state, temporary)


def _tensors(policy: Policy, batch: DenseClip, frames: Sequence[int]) -> tuple[Tensor, dict[str, Tensor]]:
    device, chosen = policy.device, list(frames)
    images = torch.stack([policy.prepare(list(rgb[chosen])) for rgb in batch.rgb]).to(device)
    labels = {
        name: torch.from_numpy(getattr(batch, name)[:, chosen]).float().to(device)
        for name in ("points", "boxes", "classes")
    }
    return images, labels


def _frames_of_step(config: EncoderConfig, step: int, available: int) -> list[int]:
    """The first frame (it defines the coordinates) and some of the others, in order."""
    count = min(config.frames_per_clip, available)
    generator = np.random.Generator(np.random.Philox(key=[config.seed, step]))
    others = generator.choice(np.arange(1, available), size=count - 1, replace=False) if count > 1 else []
    return [0, *sorted(int(i) for i in others)]
