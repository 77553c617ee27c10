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
