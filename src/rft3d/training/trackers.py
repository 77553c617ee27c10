"""Pictures for trackers (TensorBoard, W&B, trackio ...); scalars go through ``Accelerator.log``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from accelerate import Accelerator
from numpy.typing import NDArray


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
