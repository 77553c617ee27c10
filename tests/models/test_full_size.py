"""The benchmark of the full-size model: its tiny path runs every stage and goes on where it was; the sizes."""

from __future__ import annotations

import base64
import importlib
import json
from pathlib import Path
from types import ModuleType

import pytest
import torch

from rft3d.cost.sizes import SIZES, full_config

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
TINY = ["--tiny", "--frames", "1", "2", "--group", "2", "--completion", "4"]


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    module = importlib.import_module("full_size")
    return module


def rows_of(out: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def test_every_stage_runs_small_and_once(
    benchmark: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stages = ["--stages", "write", "load", *benchmark.PHASES, "save"]
    assert benchmark.main(["--out", str(tmp_path), *TINY, *stages]) == 0
    rows = rows_of(tmp_path)
    assert not [row for row in rows if "failed" in row]
    names = [str(row["stage"]) for row in rows]
    assert names[:2] == ["write", "load"] and names[-1] == "save"
    assert names[2:-1] == [f"{p} {f} frames G=2 C=4" for f in (1, 2) for p in benchmark.PHASES]
    assert all(float(str(row["seconds"])) > 0 for row in rows)
    # thousands of weights fit into what the allocator has lying around: the meter has a test of its own
    assert all(0 <= float(str(row["peak_gib"])) < 8 for row in rows)
    tokens = [row["prompt_tokens"] for row in rows if "prompt_tokens" in row]
    assert tokens == [tokens[0], int(str(tokens[0])) + 2 * 2 + 2]
    saved = rows[-1]
    assert saved["equal"] is True and not (tmp_path / "saved" / "config.json").exists()
    capsys.readouterr()
    assert benchmark.main(["--out", str(tmp_path), *TINY, *stages]) == 0
    assert capsys.readouterr().out.count("(done before)") == len(rows) and rows_of(tmp_path) == rows


def test_qwens_tokenizer_is_made_of_its_ranks(benchmark: ModuleType, tmp_path: Path) -> None:
    """A vocabulary in the layout of ``qwen.tiktoken``; the real one gives "Hello world" its 9707 and 1879."""
    tokens = [bytes([byte]) for byte in range(256)] + [b"he", b"ll", b"hell", b"hello", b" w"]
    lines = [f"{base64.b64encode(token).decode()} {rank}" for rank, token in enumerate(tokens)]
    (tmp_path / "qwen.tiktoken").write_text("\n".join(lines))
    tokenizer = importlib.import_module("full_model.files").qwen_tokenizer(tmp_path / "qwen.tiktoken")
    assert tokenizer.encode("hello w1") == [259, 260, ord("1")]
    assert tokenizer.encode("hell<|im_end|>") == [258, len(tokens) + 2]
    assert tokenizer.convert_tokens_to_ids("<|image_pad|>") == len(tokens) + 12
    text = '[{"label": "chair", "bbox_3d": [0.12, -1.5]}] äß你好'
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_a_stage_that_fails_is_a_line_and_is_tried_again(
    benchmark: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("full")

    stages = ["--stages", "write", "prefill", "grpo"]
    with monkeypatch.context() as patched:
        patched.setattr(benchmark, "update_policy", full)
        assert benchmark.main(["--out", str(tmp_path), *TINY, *stages]) == 1
    failed = [row["stage"] for row in rows_of(tmp_path) if "failed" in row]
    assert failed == ["grpo 1 frames G=2 C=4"], "a larger one is not tried"
    assert benchmark.main(["--out", str(tmp_path), *TINY, *stages]) == 0


def test_the_meter_counts_what_is_allocated_and_nothing_below_nought(benchmark: ModuleType) -> None:
    """Memory that was taken before the meter and freed after it made peaks negative."""
    before = [bytearray(2**20) for _ in range(64)]
    meter = benchmark.Meter(torch.device("cpu"), 0)
    before.clear()
    _, small = meter.measure(lambda: None)
    assert 0 <= small["peak_gib"] < 0.01, "64 MiB were freed; other threads may take a few pages"
    fresh = benchmark.Meter(torch.device("cpu"), 0)
    kept, large = fresh.measure(lambda: torch.ones(2**26))
    assert 0.9 * kept.nbytes / 2**30 < large["peak_gib"] < 2


def test_it_says_when_there_is_no_gpu(
    benchmark: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert benchmark.main(["--out", str(tmp_path), "--device", "cuda"]) == 2
    assert "no CUDA device" in capsys.readouterr().out


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
    from rft3d.models.fusion import SpatialQwen, SpatialQwen3
    from rft3d.models.vggt import VGGT, VGGTConfig

    assert name.removesuffix("-vggt") in SIZES
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
