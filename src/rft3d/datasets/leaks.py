"""Scans that benchmarks ask about: no training sample may show their rooms.

``benchmark_scenes.json`` holds the scan ids of VSI-Bench's 288 scenes (from its scene metadata,
github.com/vision-x-nyu/thinking-in-space ``data/meta_info``) and ScanNet's 312 validation scans
(``scannetv2_val.txt`` of github.com/ScanNet/ScanNet), from which ScanNetDetection's and ScanRefer's
validation sets come.

ScanNet scans a room several times: ``scene0011_00`` and ``scene0011_01`` are one place, so the room counts.
"""

import json
import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

_SCANNET = re.compile(r"scene\d{4}_\d{2}")


@cache
def benchmark_scenes() -> dict[str, frozenset[str]]:
    """Benchmark -> scan ids: ``vsi_bench`` and ``scannet_val``."""
    data = json.loads(files("rft3d.datasets").joinpath("benchmark_scenes.json").read_text(encoding="utf-8"))
    return {name: frozenset(ids) for name, ids in data.items()}


def place(scan: str) -> str:
    """The room of a scan: ScanNet's number of the scan of a room is dropped."""
    return scan[:9] if _SCANNET.fullmatch(scan) else scan


def leaking(scans: Iterable[str]) -> dict[str, list[str]]:
    """Benchmark -> those of ``scans`` that show one of its rooms, sorted; without benchmarks that have none."""
    scans = sorted(set(scans))
    found = {}
    for name, known in benchmark_scenes().items():
        places = {place(scan) for scan in known}
        if hits := [scan for scan in scans if place(scan) in places]:
            found[name] = hits
    return found
