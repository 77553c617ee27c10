"""Exhibits as a rerun recording (``.rrd``): cameras and pictures along a time line, boxes in the world.

Two time lines: ``sample`` steps through the questions, ``frame`` through the pictures of each. The entities:

    world/camera                 pose and pinhole of the current frame
    world/camera/image           its picture
    world/path                   the whole camera path
    world/true                   true boxes
    world/predicted/<model>      a model's boxes; switch models on and off in the viewer
    world/points                 coloured points where depth is known
    prompt, answer/<model>       texts

Needs the ``[rerun]`` extra. Open the file with ``rerun FILE.rrd``.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rft3d.files import replacing
from rft3d.geometry import boxes_valid, matrix_from_euler_zxy
from rft3d.report.draw import PALETTE, PREDICTED_COLOUR, TRUE_COLOUR, rgb
from rft3d.report.embed import clean
from rft3d.report.exhibit import Exhibit, file_stem
from rft3d.report.samples import SeenBox

MODEL_COLOURS = (PREDICTED_COLOUR, PALETTE[0], *PALETTE[3:7])


def write_rerun(exhibits: Iterable[Exhibit], path: str | Path) -> int:
    """Write ``exhibits`` to the recording ``path``, which appears complete or not at all; returns how many."""
    import rerun as rr

    recording = rr.RecordingStream("rft3d")
    count = 0
    with replacing(path) as unfinished:
        recording.save(str(unfinished), default_blueprint=_blueprint())
        recording.log("world", rr.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
        for count, exhibit in enumerate(exhibits, 1):
            _log(recording, exhibit, count - 1)
        recording.flush()
        recording.disconnect()
        if not count:
            raise ValueError("there is nothing to export")
    return count


def _blueprint() -> Any:
    import rerun.blueprint as rrb

    return rrb.Blueprint(
        rrb.Horizontal(
            rrb.Spatial3DView(origin="world", name="scene"),
            rrb.Vertical(
                rrb.Spatial2DView(origin="world/camera/image", contents=["world/**"], name="picture"),
                rrb.TextDocumentView(origin="texts", name="texts"),
            ),
            column_shares=[2, 1],
        )
    )


def _log(recording: Any, exhibit: Exhibit, index: int) -> None:
    import rerun as rr

    recording.reset_time()
    recording.set_time("sample", sequence=index)
    recording.set_time("frame", sequence=0)
    recording.log("world", rr.Clear(recursive=True))
    cameras = exhibit.cameras
    if cameras is not None:
        path = cameras.T_world_camera[:, :3, 3]
        recording.log("world/path", rr.LineStrips3D([path], colors=[rgb("#94a3b8")]))
    _log_boxes(recording, "world/true", exhibit.true or (), TRUE_COLOUR)
    for place, (model, boxes) in enumerate(exhibit.predicted.items()):
        _log_boxes(recording, f"world/predicted/{file_stem(model)}", boxes, MODEL_COLOURS[place % 6])
    if exhibit.cloud is not None:
        points, colours = exhibit.cloud
        recording.log("world/points", rr.Points3D(points, colors=colours, radii=0.01))
    recording.log("texts", rr.TextDocument(_texts(exhibit)))
    for frame, picture in enumerate(exhibit.pictures):
        recording.set_time("frame", sequence=frame)
        if cameras is not None:
            T = cameras.T_world_camera[frame]
            pinhole = rr.Pinhole(
                image_from_camera=cameras.K[frame],
                resolution=[*picture.shape[1::-1]],
                camera_xyz=rr.ViewCoordinates.RDF,
                image_plane_distance=0.4,
            )
            recording.log("world/camera", rr.Transform3D(translation=T[:3, 3], mat3x3=T[:3, :3]))
            recording.log("world/camera/image", pinhole)
        recording.log("world/camera/image", rr.Image(picture).compress(jpeg_quality=90))


def box_arrays(boxes: Sequence[SeenBox]) -> dict[str, Any]:
    """Centres and half sizes ``(N, 3)`` in metres, quaternions ``(N, 4)`` xyzw."""
    from scipy.spatial.transform import Rotation

    rows = np.array([box.box for box in boxes], dtype=np.float64).reshape(-1, 9)
    turned = Rotation.from_matrix(matrix_from_euler_zxy(rows[:, 6:])).as_quat() if boxes else np.zeros((0, 4))
    return {"centers": rows[:, :3], "half_sizes": rows[:, 3:6] / 2, "quaternions": turned}


def _log_boxes(recording: Any, entity: str, boxes: Sequence[SeenBox], colour: str) -> None:
    import rerun as rr

    valid = [box for box in boxes if boxes_valid(np.array([box.box]))[0]]
    labels, colours = [clean(box.tag, 200) for box in valid], [rgb(colour)] * len(valid)
    recording.log(entity, rr.Boxes3D(**box_arrays(valid), labels=labels, colors=colours))


def _texts(exhibit: Exhibit) -> str:
    parts = [f"{exhibit.task}: {exhibit.id}", exhibit.prompt.replace("<image>", "")]
    parts += [f"--- {model}\n{text}" for model, text in exhibit.texts.items()]
    return "\n\n".join(clean(part) for part in parts if part)
