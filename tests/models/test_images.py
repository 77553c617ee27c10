"""Frames to pixels: VG-LLM's sizes and crops, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.models.real import make_clips, make_real

from rft3d.models.images import crop_to_cells, plan, prepare_frames, qwen_patches
from rft3d.models.vggt import VGGTConfig


@pytest.mark.parametrize(
    ("width", "height", "grid", "tokens"),
    [
        (640, 480, (28, 37), 252),
        (1296, 968, (28, 37), 252),
        (256, 192, (28, 37), 252),
        (1920, 1080, (21, 37), 180),
        (480, 640, (37, 37), 324),  # portrait: 49 rows, the middle 37 stay
        (1080, 1920, (37, 37), 324),
    ],
)
def test_published_sizes(width: int, height: int, grid: tuple[int, int], tokens: int) -> None:
    found = plan(518, height, width)
    assert (found.rows, found.cols) == grid
    assert (found.rows // 2) * (found.cols // 2) == tokens


@given(st.integers(20, 3000), st.integers(20, 3000))
def test_vision_tokens_and_geometry_cells_always_match(height: int, width: int) -> None:
    """For every shape of picture and both patch sizes: the same cells, or a refusal."""
    try:
        grid = plan(518, height, width)
    except ValueError as error:
        assert "too flat" in str(error)
        return
    assert 2 <= grid.rows <= 37 and grid.cols == 37
    for patch in (14, 16):
        pixels = torch.zeros(1, 1, grid.rows * patch, grid.cols * patch)
        cropped = crop_to_cells(pixels, 2 * patch).shape[-2:]
        assert cropped == (grid.rows // 2 * 2 * patch, grid.cols // 2 * 2 * patch)


def test_pixels_of_a_landscape_frame() -> None:
    """PIL's bicubic at 518 wide; the tower's copy lacks the right 14 columns and is not resampled."""
    frame = make_clips(1, size=(480, 640))[0][0]
    prepared = prepare_frames([frame], 518)
    wanted = np.asarray(Image.fromarray(frame).resize((518, 392), Image.Resampling.BICUBIC))
    assert prepared.shape == (1, 3, 392, 518)
    assert torch.equal((prepared[0] * 255).round().byte(), torch.tensor(wanted).permute(2, 0, 1))
    tower = crop_to_cells(prepared, 28)
    assert tower.shape[-2:] == (392, 504) and torch.equal(tower, prepared[..., :504])


def test_portrait_frames_lose_top_and_bottom_alike() -> None:
    frame = np.zeros((640, 480, 3), np.uint8)
    frame[:, :, 0] = np.linspace(0, 255, 640)[:, None].astype(np.uint8)
    for patch in (14, 16):
        red = prepare_frames([frame], 518, patch)[0, 0].mean(1)
        assert len(red) == 37 * patch
        assert float(red[0]) == pytest.approx(6 / 49, abs=0.01)
        assert float(red[-1]) == pytest.approx(1 - 6 / 49, abs=0.01)


def test_transparent_pixels_are_white() -> None:
    frame = np.zeros((60, 80, 4), np.uint8)
    assert bool((prepare_frames([frame], (84, 56)) == 1).all())


def test_patch_rows_equal_transformers_processor() -> None:
    """Against the image processor of Qwen2-VL, at a size that it leaves alone."""
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    frame = make_clips(1, size=(56, 84))[0][0]
    processor = Qwen2VLImageProcessorPil(min_pixels=16 * 784, max_pixels=576 * 784)
    frame = np.asarray(Image.fromarray(frame).resize((168, 112)))
    theirs = processor(images=[Image.fromarray(frame)], return_tensors="pt")
    rows, grid = qwen_patches(prepare_frames([frame], (168, 112)))
    assert torch.equal(grid, theirs["image_grid_thw"])
    torch.testing.assert_close(rows, theirs["pixel_values"], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([], "at least one frame"),
        ([np.zeros((40, 800, 3), np.uint8)[:10]], "800x10 pixels becomes 70x0: too flat"),
        ([np.zeros((40, 60), np.uint8)], r"frame 0 is \(40, 60\) uint8, not"),
        ([np.zeros((40, 60, 3), np.float32)], "float32"),
        (
            [np.zeros((60, 80, 3), np.uint8), np.zeros((80, 60, 3), np.uint8)],
            "frame 1 .60x80 pixels.* one shape",
        ),
    ],
)
def test_frames_that_are_refused(frames: list[np.ndarray], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_real().encode([frames])


def test_token_counts_that_disagree_name_both() -> None:
    """Someone feeds the tower another crop than the geometry encoder."""
    model = make_real().model
    images = torch.rand(1, 2, 3, 56, 70)
    with pytest.raises(ValueError, match=r"2 vision tokens \(1x2\) but 4 geometry cells \(2x2\)"):
        model.encode(images, images[..., :28, :])
    with pytest.raises(ValueError, match="patches of 16 pixels; give tower_images"):
        make_real("qwen3").model.encode(images)
    with pytest.raises(ValueError, match="must be multiples of patch_size=14"):
        model.geometry_net(torch.rand(1, 1, 3, 60, 70))


@pytest.mark.parametrize(("field", "value"), [("heads", 3), ("output_round", 24), ("output_round", -1)])
def test_impossible_sizes(field: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"VGGTConfig.*{field}"):
        VGGTConfig(**{field: value})


def test_frame_sizes_of_a_policy() -> None:
    for size in (500, 14, (100, 56)):
        with pytest.raises(ValueError, match="frame_size="):
            make_real(frame_size=size)
