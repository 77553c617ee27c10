"""The benchmark of the full-size model: its tiny path runs every phase, and it refuses without a GPU."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest
import torch

from rft3d.models.sizes import SIZES, full_config

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu_model.py"


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    import sys

    spec = importlib.util.spec_from_file_location("gpu_model", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["gpu_model"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_every_phase_runs_small(
    benchmark: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "numbers.json"
    assert benchmark.main(["--tiny-cpu", "--out", str(out)]) == 0
    found = json.loads(out.read_text())
    assert [row["setting"]["frames"] for row in found["rows"]] == [1, 3]
    for row in found["rows"]:
        assert set(row["seconds"]) == set(benchmark.PHASES) and not row["failed"]
        assert row["peak_gib"] == {}, "no figure where none was measured"
    assert found["rows"][1]["prompt_tokens"] - found["rows"][0]["prompt_tokens"] == 2 * (2 * 2 + 2)
    assert "largest setting that ran whole: 3 frames" in capsys.readouterr().out


def test_it_says_when_there_is_no_gpu(
    benchmark: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert benchmark.main([]) == 2
    assert "no CUDA device" in capsys.readouterr().out


def test_what_does_not_fit_is_named(benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> float:
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(benchmark, "grpo_step", full)
    policy = benchmark.tiny_policy()
    meter = benchmark.Meter(policy.device, 0)
    row = benchmark.run_setting(policy, benchmark.Setting(1, 2, 3), meter, (60, 80))
    assert row.failed == "grpo_step" and not row.fits and "sft_step" in row.seconds
    assert "does not fit" in benchmark.table([row]) and "no setting ran whole" in benchmark.table([row])


@pytest.mark.parametrize(
    ("name", "language_and_tower", "merger"),
    [
        ("qwen2.5-vl-3b-vggt", 3_754_622_976, 41_951_232),
        ("qwen2.5-vl-7b-vggt", 8_292_166_656, 48_244_224),
        ("qwen3-vl-4b-vggt", 4_437_815_808, 44_048_896),
    ],
)
def test_the_full_sizes(name: str, language_and_tower: int, merger: int) -> None:
    """Counted on the meta device. VGGT-1B's aggregator has 909,112,320 parameters, its last round unbuilt."""
    from rft3d.models.fusion import SpatialQwen
    from rft3d.models.qwen3 import SpatialQwen3
    from rft3d.models.vggt import VGGT, VGGTConfig

    assert name in SIZES
    with torch.device("meta"):
        model = (SpatialQwen3 if "qwen3" in name else SpatialQwen)(full_config(name))  # type: ignore[arg-type]
        whole = VGGT(VGGTConfig(output_round=23))

    def count(module: torch.nn.Module) -> int:
        return sum(p.numel() for p in module.parameters())

    assert count(whole) == 909_112_320
    assert count(model.geometry_merger) == merger
    last_round = count(whole.aggregator.frame_blocks[0]) + count(whole.aggregator.global_blocks[0])
    assert count(model.geometry_encoder) == 909_112_320 - last_round
    assert count(model) - count(model.geometry_merger) - count(model.geometry_encoder) == language_and_tower
    with pytest.raises(ValueError, match="no full-size config"):
        full_config("qwen9")
