"""The closed vocabularies of video detection: class names, in the published order.

``CATE8`` are the per-class columns of the published tables, ``CATE20`` the published mean and the
classes of the procedural rooms. ``CATE31`` is the wider list of VG-LLM's evaluation, corrected: there,
"lamp" is listed twice and "towel" is misspelt "towl" (so that class always scores 0). Corrected, the list
has 30 names; the official name is kept so that the two can be compared.
"""

from __future__ import annotations

CATE8: tuple[str, ...] = ("chair", "cabinet", "table", "bin", "couch", "bed", "bathtub", "toilet")

CATE20: tuple[str, ...] = (
    "chair", "pillow", "cabinet", "table", "lamp", "couch", "desk", "stand", "bed", "backpack", "bathtub",
    "ottoman", "dresser", "bin", "toilet", "refrigerator", "stove", "microwave", "monitor", "computer",
)  # fmt: skip

CATE31: tuple[str, ...] = (
    *CATE20, "window", "shelf", "curtain", "plant", "stairs", "picture", "book", "bottle", "towel", "sink",
)  # fmt: skip
