"""The models that the package ships: found by name everywhere, and missed in plain words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rft3d import files
from rft3d.digests import model_fingerprint
from rft3d.evaluation.dataset import world_of_model
from rft3d.models import load_policy

from ..tiny import make_policy


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for the shipped model ``rooms``, with its world, where the package would hold it."""
    monkeypatch.setattr(files, "__file__", str(tmp_path / "files.py"))
    folder = tmp_path / "models" / "weights" / "rooms"
    folder.parent.mkdir(parents=True)
    policy = make_policy()
    policy.task_options["detection"] = {"decimals": 1, "order": "azimuth", "classes": ["chair", "table"]}
    policy.save(folder)
    (folder / "world.json").write_text(
        json.dumps({"labels": ["chair", "table"], "max_objects": 4, "frames": 2})
    )
    return folder


def test_a_shipped_name_loads_and_has_an_identity(shipped: Path) -> None:
    assert load_policy("rooms").backbone == "tiny"
    assert model_fingerprint("rooms").startswith("rooms@")


def test_the_world_of_a_model_is_read_without_its_weights(shipped: Path) -> None:
    config, tasks = world_of_model("rooms")
    assert (config.labels, config.max_objects, config.frames) == (("chair", "table"), 4, 2)
    assert list(tasks) == ["detection"]
    assert tasks["detection"].decimals == 1  # type: ignore[attr-defined]


def test_a_world_with_an_unknown_field_is_refused(shipped: Path) -> None:
    (shipped / "world.json").write_text('{"ceiling": 3}')
    with pytest.raises(ValueError, match=r"world\.json has no field .ceiling."):
        world_of_model("rooms")


@pytest.mark.parametrize("name", files.SHIPPED_MODELS)
def test_missing_weights_are_said_to_be_missing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "__file__", str(tmp_path / "files.py"))
    with pytest.raises(FileNotFoundError, match=f"the model '{name}' is not in this installation"):
        load_policy(name)
    with pytest.raises(FileNotFoundError, match=f"write ./{name} for a folder of your own"):
        model_fingerprint(name)


def test_other_names_are_told_what_there_is() -> None:
    with pytest.raises(FileNotFoundError, match=r"neither a shipped model \(rooms, rooms-sft\) nor a folder"):
        load_policy("roms")
