"""Read your own scans: one generator that yields ``Scene`` records; questions, scoring and reports follow.

A line ``"mine": my_scans`` in ``SOURCES`` (``src/rft3d/scenes/sources.py``) makes it a source; or
write scene folders once, as here, and give those to ``rft3d samples``, ``questions``, ``export`` and ``detect``.

Run: python examples/05_read_my_scans.py
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from rft3d.evaluation import ClipConfig, check_gold, clip_questions, write_dataset
from rft3d.scenes import Frame, Scene, SceneObject, open_scenes, validate_scene, write_scene
from rft3d.tasks import make_task, read_samples

K = np.array([[200.0, 0.0, 160.0], [0.0, 200.0, 120.0], [0.0, 0.0, 1.0]])  # pixels


def my_scans(root: Path) -> Iterator[Scene]:
    """Put in what your files hold. World: metres, z up; camera: x right, y down, z forward."""
    for name in ("kitchen", "hall"):
        frames = []
        for index in range(6):
            pose = np.eye(4)  # T_world_camera: here a camera at eye height that looks along the world's +y
            pose[:3, :3] = [[1, 0, 0], [0, 0, 1], [0, -1, 0]]
            pose[:3, 3] = [0.1 * index, -3.0, 1.5]
            rgb = np.full((240, 320, 3), 60 + 20 * index, np.uint8)  # or the Path of a picture
            frames.append(Frame(f"{index:03d}", K, pose, 320, 240, rgb, visible={0: 1.0, 1: 0.8}))
        things = (
            SceneObject(
                0, "table", np.array([0.0, 1.0, 0.4, 1.2, 0.8, 0.8, 0.0, 0.0, 0.0])
            ),  # x y z dx dy dz yaw
            SceneObject(1, "chair", np.array([1.0, 0.5, 0.45, 0.5, 0.5, 0.9, 0.3, 0.0, 0.0])),
        )
        yield validate_scene(Scene(name, "mine", tuple(frames), things))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for scene in my_scans(root / "raw"):
            write_scene(scene, root / "scans" / scene.id)
        questions = clip_questions(ClipConfig(frames=4))
        counts = write_dataset(open_scenes(root / "scans"), root / "out", tasks=questions)
        print("samples:", counts)
        gold = check_gold(
            make_task("detection"), list(read_samples(root / "out" / "samples.detection.jsonl"))
        )
        print(f"gold answers with full marks: {gold.full} of {gold.samples}, least IoU {gold.least_iou:.3f}")


if __name__ == "__main__":
    main()
