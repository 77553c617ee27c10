"""verl's interface: columns, pictures and rewards. With RFT3D_VERL, against verl's own code.

verl pins other versions of transformers and needs Ray, so that it can't be installed beside this project.
``RFT3D_VERL=<folder of the unpacked wheel, verl 0.9>`` loads its data set and reward manager from there.
"""

from __future__ import annotations

import asyncio
import importlib.util
import io
import json
import os
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rft3d.evaluation.export_verl import compute_score, export_verl
from rft3d.scenes.rooms import RoomConfig
from rft3d.scenes.sources import load_frame_ref
from rft3d.tasks import TASKS, Sample, read_samples, write_samples

KEYS = {"score", "content", "format", "parse_failure", "parts"}


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two samples of each task about one room; the pictures are named as room references."""
    from rft3d.scenes import make_room
    from rft3d.scenes.sources import frame_refs

    scene = make_room(3, RoomConfig(frames=2))
    refs = frame_refs(scene)
    rows = [s for task in TASKS.values() for s in task().samples(scene, refs, 0)[:2]]
    path = tmp_path_factory.mktemp("verl") / "samples.jsonl"
    write_samples(path, rows)
    return path


@pytest.fixture(scope="module")
def exported(samples: Path) -> Path:
    assert export_verl(samples, samples.parent / "out") == len(list(read_samples(samples)))
    return samples.parent / "out"


def rows_of(exported: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    return pq.read_table(exported / "train.parquet").to_pylist()


def test_columns_are_what_verl_reads(samples: Path, exported: Path) -> None:
    wanted = list(read_samples(samples))
    rows = rows_of(exported)
    assert {sample.task for sample in wanted} == set(TASKS)
    for index, (row, sample) in enumerate(zip(rows, wanted, strict=True)):
        assert set(row) == {
            "data_source", "prompt", "images", "ability", "reward_model", "extra_info"
        }  # fmt: skip
        assert [turn["role"] for turn in row["prompt"]] == ["system", "user"]
        text = "".join(turn["content"] for turn in row["prompt"])
        assert text.count("<image>") == len(row["images"]) == len(sample.frames)
        assert row["prompt"][1]["content"] == sample.prompt
        assert row["reward_model"]["style"] == "rule" and isinstance(row["reward_model"]["ground_truth"], str)
        assert row["extra_info"]["index"] == index and row["extra_info"]["id"] == sample.id
        assert row["data_source"] == f"rft3d/{sample.task}"
        for picture, ref in zip(row["images"], sample.frames, strict=True):
            found = np.asarray(Image.open(io.BytesIO(picture["bytes"])))
            np.testing.assert_array_equal(found, load_frame_ref(ref))


def texts_for(sample: Sample) -> Sequence[str]:
    return TASKS[sample.task]().gold(sample), "", "nonsense <image>", '[{"label": "chair"'


def test_rewards_are_our_tasks(samples: Path, exported: Path) -> None:
    """By keyword, as verl calls it; every task and text with the same keys, or verl's batch would break."""
    for row, sample in zip(rows_of(exported), read_samples(samples), strict=True):
        task = TASKS[sample.task]()
        for text in texts_for(sample):
            found = compute_score(
                data_source=row["data_source"],
                solution_str=text,
                ground_truth=row["reward_model"]["ground_truth"],
                extra_info=row["extra_info"] | {"num_turns": None, "rollout_reward_scores": {}},
            )
            ours = task.score(text, sample)
            assert set(found) == KEYS and all(isinstance(value, float) for value in found.values())
            assert found["score"] == pytest.approx(ours.total)
            assert found["parse_failure"] == float(ours.failure is not None)
        assert compute_score("", texts_for(sample)[0], row["reward_model"]["ground_truth"])["score"] > 0.9


def test_task_options_travel_with_the_rows(samples: Path, tmp_path: Path) -> None:
    export_verl(samples, tmp_path, {"detection": {"decimals": 1}})
    for row in rows_of(tmp_path):
        options = json.loads(row["reward_model"]["ground_truth"])["options"]
        assert options == ({"decimals": 1} if row["ability"] == "detection" else {})
    with pytest.raises(ValueError, match="no options"):
        export_verl(samples, tmp_path, {"detection": {"decimal": 1}})


def test_what_cannot_be_exported_is_named_and_leaves_nothing(samples: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a picture file"):
        export_verl(samples, tmp_path / "paths", embed=False)
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    with pytest.raises(ValueError, match="holds no samples"):
        export_verl(empty, tmp_path / "none")
    assert not list((tmp_path / "paths").iterdir()) and not list((tmp_path / "none").iterdir())


def test_pictures_by_path(samples: Path, tmp_path: Path) -> None:
    sample = next(iter(read_samples(samples)))
    refs = []
    for i, ref in enumerate(sample.frames):
        Image.fromarray(load_frame_ref(ref)).save(tmp_path / f"{i}.png")
        refs.append(f"{i}.png")
    record = Sample(sample.id, sample.task, sample.scene, tuple(refs), sample.prompt, sample.truth)
    write_samples(tmp_path / "s.jsonl", [record])
    export_verl(tmp_path / "s.jsonl", tmp_path / "out", embed=False)
    (row,) = rows_of(tmp_path / "out")
    assert [Path(p["image"]) for p in row["images"]] == [tmp_path / ref for ref in refs]


def test_the_reward_file_holds_the_function(exported: Path) -> None:
    spec = importlib.util.spec_from_file_location("reward_file", exported / "reward.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.compute_score is compute_score


# ------------------------------------------------------------------ verl's own code, when it is there


def verl_file(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """One module of the wheel, with stand-ins for what it imports and does not need here (Ray, Hydra ...)."""
    folder = os.environ.get("RFT3D_VERL")
    if not folder:
        pytest.skip("set RFT3D_VERL to a folder with verl's unpacked wheel")

    class StandIn(types.ModuleType):
        def __getattr__(self, attribute: str) -> Any:
            if attribute.startswith("__"):
                raise AttributeError(attribute)
            return type(attribute, (), {})

    for stub in (
        "omegaconf", "verl", "verl.utils", "verl.utils.import_utils", "verl.utils.tokenizer", "verl.utils.fs",
        "verl.utils.reward_score", "verl.experimental", "verl.experimental.reward_loop",
        "verl.experimental.reward_loop.reward_manager", "verl.experimental.reward_loop.reward_manager.base",
    ):  # fmt: skip
        module: Any = StandIn(stub)
        module.__path__ = []
        monkeypatch.setitem(sys.modules, stub, module)
    sys.modules["verl.utils.fs"].copy_to_local = lambda src, **_: src  # type: ignore[attr-defined]
    for place in ("verl.experimental.reward_loop.reward_manager", "verl.experimental.reward_loop"):
        sys.modules[place].register = lambda _: lambda cls: cls  # type: ignore[attr-defined]
    spec = importlib.util.spec_from_file_location("under_test", Path(folder) / name)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.filterwarnings("ignore")
def test_verls_own_data_set_reads_it(
    samples: Path, exported: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    module = verl_file("verl/utils/dataset/rl_dataset.py", monkeypatch)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))
    config = {"filter_overlong_prompts": False, "cache_dir": str(tmp_path)}
    data = module.RLHFDataset(str(exported / "train.parquet"), None, config, processor=object())
    for index, sample in enumerate(read_samples(samples)):
        row = data[index]
        content = row["raw_prompt"][1]["content"]
        kinds = [part["type"] for part in content]
        assert kinds.count("image") == len(sample.frames)
        assert "".join(p["text"] for p in content if p["type"] == "text") == sample.prompt.replace(
            "<image>", ""
        )
        assert all(isinstance(p["image"], Image.Image) for p in content if p["type"] == "image")
        assert row["index"] == index


def test_verls_own_reward_manager_calls_it(
    samples: Path, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    module = verl_file("verl/experimental/reward_loop/reward_manager/naive.py", monkeypatch)

    class Base:
        def __init__(self, *_: Any) -> None:
            self.tokenizer = types.SimpleNamespace(
                decode=lambda ids, skip_special_tokens: bytes(ids.tolist()).decode()
            )
            self.loop = asyncio.new_event_loop()

    manager = types.new_class("Manager", (module.NaiveRewardManager,))
    for row, sample in zip(rows_of(exported), read_samples(samples), strict=True):
        text = TASKS[sample.task]().gold(sample)
        ids = torch.tensor(list(text.encode()))
        item = types.SimpleNamespace(
            batch={"responses": ids, "attention_mask": torch.ones(len(ids) + 5, dtype=torch.long)},
            non_tensor_batch={k: row[k] for k in ("data_source", "reward_model", "extra_info")},
        )
        made = object.__new__(manager)
        Base.__init__(made)  # type: ignore[arg-type]
        made.compute_score, made.is_async_reward_score = compute_score, False
        made.reward_router_address = None
        result = made.loop.run_until_complete(made.run_single([item]))
        made.loop.close()
        assert result["reward_score"] == pytest.approx(TASKS[sample.task]().score(text, sample).total)
        assert set(result["reward_extra_info"]) == KEYS
