"""Trackers beside ``metrics.jsonl`` (TensorBoard, W&B, trackio ...), through accelerate."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from numpy.typing import NDArray


@dataclass(frozen=True)
class Tracking:
    """Names of trackers, the folder of those that write files, and the run's name."""

    trackers: Sequence[str] = ()
    folder: Path = Path()
    run: str = ""

    def accelerator(self) -> Accelerator:
        """An accelerator that logs to them; ValueError when one is not installed."""
        if not self.trackers:
            return Accelerator()
        with warnings.catch_warnings():  # we raise instead, below
            warnings.simplefilter("ignore", UserWarning)
            made = Accelerator(log_with=list(self.trackers), project_dir=str(self.folder))
        found = {str(getattr(t, "value", t)) for t in made.log_with}
        missing = [name for name in self.trackers if name not in found]
        if missing:  # accelerate would go on without them
            raise ValueError(f"tracker {', '.join(missing)} is not installed, or accelerate does not know it")
        made.init_trackers(self.run)
        return made


def track_pictures(accelerator: Accelerator, pictures: Mapping[str, NDArray[np.uint8]], step: int) -> None:
    """Send ``(H, W, 3)`` uint8 pictures to every tracker that shows pictures; the others are left alone."""
    if not pictures or not accelerator.is_main_process:
        return
    for tracker in accelerator.trackers:
        send: Any = getattr(tracker, "log_images", None)
        if tracker.name == "trackio":  # accelerate's tracker has no pictures, the package has
            import trackio  # pyright: ignore[reportMissingImports]

            tracker.log({name: trackio.Image(picture) for name, picture in pictures.items()}, step=step)
        elif send is not None:
            # TensorBoard takes a batch and has to be told its layout, W&B takes a list
            layout = {"dataformats": "NHWC"} if tracker.name == "tensorboard" else {}
            send({name: picture[None] for name, picture in pictures.items()}, step=step, **layout)
