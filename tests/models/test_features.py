"""Frozen features on disk: exact keys, safe under races, kills and full disks, and within their limit."""

from __future__ import annotations

import multiprocessing
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.tiny import make_policy

from rft3d.cli import main
from rft3d.files import HOST, CacheFolder
from rft3d.models import Policy
from rft3d.models.features import FeatureCache
from rft3d.models.geometry import FrozenFeatures


def features(index: int, scale: float = 1.0) -> FrozenFeatures:
    generator = torch.Generator().manual_seed(index)
    cells = scale * torch.randn(12, 4, 6, generator=generator)
    return FrozenFeatures(torch.randn(12, 8, generator=generator), cells, torch.tensor([[1, 4, 6]] * 2))


def same(a: FrozenFeatures, b: FrozenFeatures) -> bool:
    assert a.geometry is not None and b.geometry is not None
    pairs = ((a.vision, b.vision), (a.geometry, b.geometry), (a.grid, b.grid))
    return all(torch.equal(x, y) for x, y in pairs)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_what_is_put_is_what_is_got(tmp_path: Path, dtype: str) -> None:
    cache = FeatureCache(tmp_path, dtype, keep=0)  # type: ignore[arg-type]
    assert cache.get("a") is None
    put = cache.put("a", features(0))
    got = cache.get("a")
    assert got is not None and same(put, got) and got.vision.dtype == getattr(torch, dtype)
    assert torch.equal(got.vision, features(0).vision.to(getattr(torch, dtype)))
    assert cache.get("b") is None
    assert FeatureCache(tmp_path, "bfloat16" if dtype != "bfloat16" else "float32").get("a") is None
    without = FrozenFeatures(features(1).vision, None, features(1).grid)
    assert cache.put("n", without).geometry is None
    again = cache.get("n")
    assert again is not None and again.geometry is None


def test_numbers_out_of_range_are_refused(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, "float16")
    with pytest.raises(ValueError, match=r"geometry features reach .*beyond float16; use bfloat16"):
        cache.put("a", features(0, 1e6))
    with pytest.raises(ValueError, match="NaN"):
        cache.put("a", features(0, float("nan")))
    assert FeatureCache(tmp_path, "bfloat16").put("a", features(0, 1e6)).vision.isfinite().all()
    assert not list(tmp_path.rglob("*.tmp"))
    with pytest.raises(ValueError, match="dtype 'int8'"):
        FeatureCache(tmp_path, "int8")  # type: ignore[arg-type]


def keyed(policy: Policy, clip: list[np.ndarray]) -> str:
    return replace(policy, features=FeatureCache(Path("never-written"))).clip_key(clip)


def test_the_key_follows_frames_encoder_and_preparation() -> None:
    rng = np.random.default_rng(0)
    clip = [rng.integers(0, 255, (56, 84, 3), dtype=np.uint8) for _ in range(2)]
    other = [clip[0], clip[1].copy()]
    other[1][3, 4, 1] ^= 1
    policy = make_policy()
    key = keyed(policy, clip)
    assert keyed(make_policy(), clip) == key
    assert keyed(policy, other) != key
    assert keyed(policy, clip[::-1]) != key
    sized = make_policy(frame_size=(112, 56))
    assert keyed(sized, clip) != key
    changed = make_policy()
    with torch.no_grad():
        changed.model.model.language_model.layers[0].mlp.up_proj.weight.add_(1)
    assert keyed(changed, clip) == key, "what is trained does not matter"
    blind = make_policy()
    with torch.no_grad():
        next(blind.model.geometry_encoder.parameters()).view(-1)[0].add_(1e-3)
    assert keyed(blind, clip) != key


def test_a_warm_and_a_cold_cache_give_the_same_features(tmp_path: Path, clips: list) -> None:
    policy = replace(make_policy(), features=FeatureCache(tmp_path))
    cold = policy.encode(clips)
    warm_policy = replace(make_policy(), features=FeatureCache(tmp_path))
    called: list[int] = []
    encode = warm_policy.model.encode
    warm_policy.model.encode = lambda images: called.append(1) or encode(images)  # type: ignore[method-assign]
    assert all(same(a, b) for a, b in zip(cold, warm_policy.encode(clips), strict=True))
    assert not called, "nothing is encoded twice"
    plain = make_policy().encode(clips)
    assert torch.equal(plain[0].vision.bfloat16(), cold[0].vision)


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text"])
def test_a_damaged_file_counts_as_absent_and_is_made_again(tmp_path: Path, damage: str) -> None:
    cache = FeatureCache(tmp_path, keep=0)
    put = cache.put("a", features(0))
    path = cache.path_of("a")
    data = bytearray(path.read_bytes())
    if damage == "flipped":
        data[-3] ^= 1
    path.write_bytes({"cut": data[:-9], "flipped": data, "empty": b"", "text": b"x" * 400}[damage])
    assert cache.get("a") is None and not path.exists()
    assert same(cache.put("a", features(0)), put)


def test_the_least_recently_used_clips_go_first(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, "float32", keep=0)
    for i in range(6):
        cache.put(str(i), features(i))
        os.utime(cache.path_of(str(i)), (i, i))
    assert cache.get("0") is not None  # used now, so that 1 is the oldest
    assert CacheFolder(tmp_path).evict(4 * CacheFolder(tmp_path).entries()[0].size) == 2
    assert [key for key in "012345" if cache.path_of(key).is_file()] == ["0", "3", "4", "5"]


def test_memory_stands_in_front_of_the_files_and_is_bounded(tmp_path: Path) -> None:
    for cache in (FeatureCache(tmp_path, keep=2), FeatureCache(keep=2)):
        put = [cache.put(str(i), features(i)) for i in range(3)]
        assert cache.get("2") is put[2] and cache.get("1") is put[1], "the same tensors, not read again"
        assert (cache.get("0") is None) == (cache.folder is None)
    size = features(0).nbytes()
    small = FeatureCache(keep_bytes=2 * size)
    for i in range(3):
        small.put(str(i), features(i))
    assert small.get("0") is None and small.get("1") is not None and small.get("2") is not None
    assert torch.equal(small.put("1", features(9)).vision, features(1).vision), "the first writer's stay"


def _write_many(folder: Path, first: int, barrier: object, count: int) -> None:
    cache = FeatureCache(folder, keep=0)
    barrier.wait()  # type: ignore[attr-defined]
    for i in range(count):
        key = str((first + i) % 40)
        found = cache.get(key)
        expected = features(int(key)).vision.bfloat16()
        assert found is None or torch.equal(found.vision, expected)
        assert torch.equal(cache.put(key, features(int(key))).vision, expected)
        if i % 10 == 0:
            CacheFolder(folder).evict(20_000)
        if i % 50 == 49:
            CacheFolder(folder).clear()
            CacheFolder(folder).describe()


@pytest.mark.parametrize("count", [60, pytest.param(1600, marks=pytest.mark.slow)])
def test_concurrent_writers_with_eviction_never_see_half_a_file(tmp_path: Path, count: int) -> None:
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(3)
    workers = [context.Process(target=_write_many, args=(tmp_path, i * 7, barrier, count)) for i in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(600)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert not list(tmp_path.rglob("*.tmp"))
    assert len(CacheFolder(tmp_path).entries()) <= 40  # none, where a worker cleared it last
    FeatureCache(tmp_path).put("0", features(0))
    assert CacheFolder(tmp_path).entries()


def test_what_a_kill_left_behind_is_removed(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path)
    cache.put("a", features(0))
    folder = cache.path_of("a").parent
    dead, own, far = (
        folder / f".{name}.1.{process}.tmp"
        for name, process in ((f"x.{HOST}", 999999999), (f"y.{HOST}", os.getpid()), ("z.far-away", 999999999))
    )
    for path in (dead, own, far):
        path.write_bytes(b"half")
    CacheFolder(tmp_path).evict(1 << 30)
    assert not dead.exists() and own.exists() and far.exists()


def test_a_full_disk_is_an_oserror_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rft3d.models import features as feature_cache

    def full(tensors: object, path: str, metadata: object) -> None:
        Path(path).write_bytes(b"half")
        raise feature_cache.SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(feature_cache, "save_file", full)
    with pytest.raises(OSError, match="No space left"):
        FeatureCache(tmp_path).put("a", features(0))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_the_verb_shows_and_clears(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache = FeatureCache(tmp_path)
    for i in range(3):
        cache.put(str(i), features(i))
    assert main(["cache", str(tmp_path)]) == 0
    assert "3 clips" in capsys.readouterr().out
    keep = CacheFolder(tmp_path).entries()[0].size * 1.5 / 1e9
    assert main(["cache", str(tmp_path), "--keep-gb", str(keep)]) == 0
    assert "removed 2 clips" in capsys.readouterr().out
    assert main(["cache", str(tmp_path), "--clear"]) == 0
    assert "removed 1 clips" in capsys.readouterr().out
    assert "0 clips" in CacheFolder(tmp_path).describe()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert main(["cache", str(tmp_path / "absent")]) == 2
    assert "no feature cache at" in capsys.readouterr().err
