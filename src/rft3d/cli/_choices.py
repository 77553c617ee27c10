"""Names that several verbs let one choose from; spelled out, so that ``--help`` lists them without an import."""

from __future__ import annotations

from typing import Literal

TaskName = Literal["detection", "grounding", "spatial", "captioning"]
BenchmarkName = Literal["scannet-detection-4f", "scannet-detection-6f", "scanrefer", "scan2cap", "vsi-bench"]
FileFormat = Literal["auto", "rft3d", "plain", "lmms-eval", "vlmevalkit"]
