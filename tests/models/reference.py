"""VGGT's aggregator and the geometry merger, straight from the formulas: slow, float64, no shared code.

Loops over frames, blocks and heads; attention with an explicit softmax; rotary positions as 2-D rotations
of coordinate pairs; the position grid resampled with explicit bicubic weights.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import erf

Weights = dict[str, np.ndarray]


def layer_norm(x: np.ndarray, w: Weights, name: str, eps: float) -> np.ndarray:
    centred = x - x.mean(-1, keepdims=True)
    scale = np.sqrt((centred**2).mean(-1, keepdims=True) + eps)
    return centred / scale * w[f"{name}.weight"] + w[f"{name}.bias"]


def linear(x: np.ndarray, w: Weights, name: str) -> np.ndarray:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def gelu(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + erf(x / math.sqrt(2)))


def rotate(head: np.ndarray, positions: np.ndarray, base: float) -> np.ndarray:
    """``(N, D)``: pairs (j, j + D/4) of the first half turn by the row, of the second half by the column."""
    out = head.copy()
    half, quarter = head.shape[1] // 2, head.shape[1] // 4
    for axis in (0, 1):
        for j in range(quarter):
            angle = positions[:, axis] * base ** (-2 * j / half)
            a, b = axis * half + j, axis * half + j + quarter
            out[:, a] = head[:, a] * np.cos(angle) - head[:, b] * np.sin(angle)
            out[:, b] = head[:, b] * np.cos(angle) + head[:, a] * np.sin(angle)
    return out


def attention(
    x: np.ndarray, w: Weights, name: str, heads: int, positions: np.ndarray | None, base: float
) -> np.ndarray:
    dim = x.shape[1]
    size = dim // heads
    qkv = linear(x, w, f"{name}.qkv")
    out = np.zeros_like(x)
    for h in range(heads):
        q, k, v = (qkv[:, part * dim + h * size : part * dim + (h + 1) * size] for part in range(3))
        if positions is not None:
            q = rotate(layer_norm(q, w, f"{name}.q_norm", 1e-5), positions, base)
            k = rotate(layer_norm(k, w, f"{name}.k_norm", 1e-5), positions, base)
        scores = q @ k.T / math.sqrt(size)
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        out[:, h * size : (h + 1) * size] = scores / scores.sum(-1, keepdims=True) @ v
    return linear(out, w, f"{name}.proj")


def block(
    x: np.ndarray, w: Weights, name: str, heads: int, eps: float, positions: np.ndarray | None, base: float
) -> np.ndarray:
    y = attention(layer_norm(x, w, f"{name}.norm1", eps), w, f"{name}.attn", heads, positions, base)
    x = x + w[f"{name}.ls1.gamma"] * y
    y = linear(
        gelu(linear(layer_norm(x, w, f"{name}.norm2", eps), w, f"{name}.mlp.fc1")), w, f"{name}.mlp.fc2"
    )
    return x + w[f"{name}.ls2.gamma"] * y


def resampling(source: int, target: int) -> np.ndarray:
    """``(target, source)`` weights of the anti-aliased bicubic kernel (a = -0.5), pixel centres at halves."""
    scale = source / target
    wide = max(scale, 1.0)
    out = np.zeros((target, source))
    for i in range(target):
        centre = (i + 0.5) * scale
        for j in range(source):
            t = abs((j + 0.5 - centre) / wide)
            if t < 1:
                out[i, j] = 1.5 * t**3 - 2.5 * t**2 + 1
            elif t < 2:
                out[i, j] = -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
        out[i] /= out[i].sum()
    return out


def patch_tokens(image: np.ndarray, w: Weights, depth: int, heads: int, patch: int) -> np.ndarray:
    """One frame ``(3, H, W)`` in [0, 1] -> ``(h * w, C)``."""
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    image = (image - mean[:, None, None]) / std[:, None, None]
    rows, cols = image.shape[1] // patch, image.shape[2] // patch
    kernel = w["patch_embed.patch_embed.proj.weight"].reshape(-1, 3 * patch * patch)
    x = np.stack(
        [
            kernel @ image[:, r * patch : (r + 1) * patch, c * patch : (c + 1) * patch].ravel()
            for r in range(rows)
            for c in range(cols)
        ]
    )
    x = x + w["patch_embed.patch_embed.proj.bias"]
    learned = w["patch_embed.pos_embed"][0]
    side = round(math.sqrt(len(learned) - 1))
    grid = learned[1:].reshape(side, side, -1)
    if (rows, cols) != (side, side):
        grid = np.einsum("ri,cj,ijd->rcd", resampling(side, rows), resampling(side, cols), grid)
    x = x + grid.reshape(rows * cols, -1)
    cls = w["patch_embed.cls_token"][0] + learned[:1]
    registers = w["patch_embed.register_tokens"][0]
    x = np.concatenate([cls, registers, x])
    for i in range(depth):
        x = block(x, w, f"patch_embed.blocks.{i}", heads, 1e-6, None, 0.0)
    return layer_norm(x, w, "patch_embed.norm", 1e-6)[1 + len(registers) :]


def aggregate(
    images: np.ndarray, w: Weights, *, depth: int, rounds: int, heads: int, patch: int, base: float
) -> np.ndarray:
    """``(S, 3, H, W)`` -> ``(S, h, w, 2C)`` after ``rounds`` rounds; names without ``aggregator.``."""
    rows, cols = images.shape[2] // patch, images.shape[3] // patch
    frames = []
    for s, image in enumerate(images):
        own = 0 if s == 0 else 1
        special = np.concatenate([w["camera_token"][0, own], w["register_token"][0, own]])
        frames.append(np.concatenate([special, patch_tokens(image, w, depth, heads, patch)]))
    specials = len(frames[0]) - rows * cols
    positions = np.array(
        [[0, 0]] * specials + [[r + 1, c + 1] for r in range(rows) for c in range(cols)], dtype=np.float64
    )
    within: list[np.ndarray] = []
    for i in range(rounds):
        within = [block(x, w, f"frame_blocks.{i}", heads, 1e-5, positions, base) for x in frames]
        everything = np.concatenate(within)
        everywhere = np.concatenate([positions] * len(frames))
        everything = block(everything, w, f"global_blocks.{i}", heads, 1e-5, everywhere, base)
        frames = np.split(everything, len(frames))
    out = [np.concatenate([a, b], axis=1)[specials:] for a, b in zip(within, frames, strict=True)]
    return np.stack(out).reshape(len(images), rows, cols, -1)


def merge(patches: np.ndarray, w: Weights) -> np.ndarray:
    """``(S, h, w, D)`` -> ``(S * h//2 * w//2, out)``: norm every patch, lay 2×2 side by side, two layers."""
    out = []
    for frame in patches:
        for r in range(frame.shape[0] // 2):
            for c in range(frame.shape[1] // 2):
                cell = [frame[2 * r + i, 2 * c + j] for i in (0, 1) for j in (0, 1)]
                normed = [p / np.sqrt((p**2).mean() + 1e-6) * w["ln_q.weight"] for p in cell]
                hidden = gelu(linear(np.concatenate(normed), w, "mlp.0"))
                out.append(linear(hidden, w, "mlp.2"))
    return np.stack(out)


def tokens_of(image: np.ndarray, w: Weights, name: str, patch: int, weights_of_grid: object) -> np.ndarray:
    """A normalised frame ``(3, H, W)`` -> ``(1 + h * w, C)``; ``weights_of_grid(source, target)`` resamples."""
    rows, cols = image.shape[1] // patch, image.shape[2] // patch
    kernel = w[f"{name}patch_embed.proj.weight"].reshape(-1, 3 * patch * patch)
    x = np.stack(
        [
            kernel @ image[:, r * patch : (r + 1) * patch, c * patch : (c + 1) * patch].ravel()
            for r in range(rows)
            for c in range(cols)
        ]
    )
    learned = w[f"{name}pos_embed"][0]
    side = round(math.sqrt(len(learned) - 1))
    grid = learned[1:].reshape(side, side, -1)
    if (rows, cols) != (side, side):
        assert callable(weights_of_grid)
        grid = np.einsum("ri,cj,ijd->rcd", weights_of_grid(side, rows), weights_of_grid(side, cols), grid)
    x = x + w[f"{name}patch_embed.proj.bias"] + grid.reshape(rows * cols, -1)
    return np.concatenate([w[f"{name}cls_token"][0] + learned[:1], x])


def sharp_resampling(source: int, target: int) -> np.ndarray:
    """``(target, source)`` bicubic weights (a = -0.75) without anti-aliasing, scale ``(target + 0.1) / source``."""
    out = np.zeros((target, source))
    for i in range(target):
        centre = (i + 0.5) * source / (target + 0.1) - 0.5
        for j in range(math.floor(centre) - 1, math.floor(centre) + 3):
            t = abs(centre - j)
            near = 1.25 * t**3 - 2.25 * t**2 + 1
            far = -0.75 * (t**3 - 5 * t**2 + 8 * t - 4)
            out[i, min(max(j, 0), source - 1)] += near if t <= 1 else far
    return out


def depth_anything(
    images: np.ndarray, w: Weights, *, depth: int, heads: int, start: int, patch: int
) -> np.ndarray:
    """DA3's backbone: ``(S, 3, H, W)`` in [0, 1] -> ``(S, h, w, 2C)``, or ``C`` when ``start`` is -1."""
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    rows, cols = images.shape[2] // patch, images.shape[3] // patch
    frames = [
        tokens_of((image - mean[:, None, None]) / std[:, None, None], w, "", patch, sharp_resampling)
        for image in images
    ]
    own = np.array([[0, 0]] + [[r + 1, c + 1] for r in range(rows) for c in range(cols)], dtype=np.float64)
    flat = np.array(([[0, 0]] + [[1, 1]] * (rows * cols)) * len(frames), dtype=np.float64)
    inside = frames
    for i in range(depth):
        mixed = 0 <= start <= i
        if i == start:
            frames = [
                np.concatenate([w["camera_token"][0, [min(s, 1)]], x[1:]]) for s, x in enumerate(frames)
            ]
        if mixed and i % 2:
            everything = block(np.concatenate(frames), w, f"blocks.{i}", heads, 1e-6, flat, 100.0)
            frames = np.split(everything, len(frames))
        else:
            positions = own if mixed else None
            frames = [block(x, w, f"blocks.{i}", heads, 1e-6, positions, 100.0) for x in frames]
            inside = frames
    normed = [layer_norm(x, w, "norm", 1e-5) for x in frames]
    both = normed if start < 0 else [np.concatenate([a, b], 1) for a, b in zip(inside, normed, strict=True)]
    return np.stack([x[1:] for x in both]).reshape(len(images), rows, cols, -1)


def permutation_equivariant(
    images: np.ndarray, w: Weights, *, depth: int, heads: int, patch: int
) -> np.ndarray:
    """Pi3's encoder and decoder: ``(S, 3, H, W)`` in [0, 1] -> ``(S, h, w, 2C)``; ``depth`` of the encoder."""
    rows, cols = images.shape[2] // patch, images.shape[3] // patch
    renamed = {n.replace("encoder.", "patch_embed.", 1): t for n, t in w.items()}
    special = w["register_token"][0, 0]
    frames = [np.concatenate([special, patch_tokens(x, renamed, depth, heads, patch)]) for x in images]
    own = np.array(
        [[0, 0]] * len(special) + [[r + 1, c + 1] for r in range(rows) for c in range(cols)], dtype=np.float64
    )
    everywhere, outputs = np.concatenate([own] * len(frames)), []
    for i in range(len({n.split(".")[1] for n in w if n.startswith("decoder.")})):
        if i % 2:
            everything = block(np.concatenate(frames), w, f"decoder.{i}", heads, 1e-6, everywhere, 100.0)
            frames = np.split(everything, len(frames))
        else:
            frames = [block(x, w, f"decoder.{i}", heads, 1e-6, own, 100.0) for x in frames]
        outputs.append(np.stack(frames)[:, len(special) :])
    return np.concatenate(outputs[-2:], axis=-1).reshape(len(images), rows, cols, -1)
