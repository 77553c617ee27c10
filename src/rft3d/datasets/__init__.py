"""Floor 4'' (above evaluation): from raw annotations on disk to samples files, and what is wrong there.

``prepare`` makes a benchmark's samples, ``check`` says what is missing, damaged, stale or leaking. Needs no torch.
"""

from rft3d.datasets.detection import DetectionSettings
from rft3d.datasets.extract import extract_recordings
from rft3d.datasets.grounding import GroundingSettings
from rft3d.datasets.leaks import leaking
from rft3d.datasets.prepare import Scan2cap, ScannetDetection, Scanrefer, Vgllm, Vsi
from rft3d.datasets.vsi import VsiSettings
from rft3d.datasets.work import Output, Prepared, read_meta

__all__ = [
    "DetectionSettings", "GroundingSettings", "Output", "Prepared", "Scan2cap",
    "ScannetDetection", "Scanrefer", "Vgllm", "Vsi", "VsiSettings", "extract_recordings", "leaking",
    "read_meta",
]  # fmt: skip
