"""Exhibits in a browser, live, by viser (the ``[viser]`` extra): orbit, switch questions, models and layers.

``rft3d view RUN|SCENE``. Unlike the report this is a server; it listens on this machine only unless told
otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rft3d.geometry import box_corners, boxes_valid, quaternion_from_matrix
from rft3d.geometry.boxes import BOX_EDGES
from rft3d.report.draw import TRUE_COLOUR
from rft3d.report.exhibit import Exhibit, ShownBox
from rft3d.report.rerun_export import MODEL_COLOURS
from rft3d.report.strokes import plain, rgb

FRUSTUM_M = 0.25


@dataclass
class Viewer:
    """A running server; ``handles`` are the scene's nodes by name. Close it with :meth:`stop`."""

    server: Any
    exhibits: Sequence[Exhibit]
    models: Sequence[str]
    handles: dict[str, Any] = field(default_factory=dict)
    current: int = -1

    @property
    def url(self) -> str:
        return f"http://{self.server.get_host()}:{self.server.get_port()}"

    def show(self, index: int) -> None:
        """Replace what is shown by question ``index``."""
        for handle in self.handles.values():
            handle.remove()
        self.handles.clear()
        self.current = index
        exhibit = self.exhibits[index]
        scene = self.server.scene
        self._boxes("true", exhibit.true or (), TRUE_COLOUR)
        for model, boxes in exhibit.predicted.items():
            place = self.models.index(model)
            self._boxes(f"predicted/{place}", boxes, MODEL_COLOURS[place % len(MODEL_COLOURS)])
        points, colours = exhibit.points()
        if len(points):
            self.handles["points"] = scene.add_point_cloud(
                "/points", points=points.astype(np.float32), colors=colours, point_size=0.012
            )
        for frame, picture in enumerate(exhibit.pictures):
            self._camera(exhibit, frame, picture)

    def set_visible(self, prefix: str, visible: bool) -> None:
        """Show or hide every node whose name starts with ``prefix``."""
        for name, handle in self.handles.items():
            if name.startswith(prefix):
                handle.visible = visible

    def stop(self) -> None:
        self.server.stop()

    def _boxes(self, name: str, boxes: Sequence[ShownBox], colour: str) -> None:
        valid = [box for box in boxes if boxes_valid(box.box[None])[0]]
        if not valid:
            return
        corners = box_corners(np.array([box.box for box in valid]))
        lines = corners[:, BOX_EDGES].reshape(-1, 2, 3).astype(np.float32)
        self.handles[f"{name}/edges"] = self.server.scene.add_line_segments(
            f"/{name}/edges", points=lines, colors=rgb(colour), thickness=3.0, thickness_units="screen"
        )
        for number, (box, places) in enumerate(zip(valid, corners, strict=True)):
            top = places[places[:, 2].argmax()]
            self.handles[f"{name}/label{number}"] = self.server.scene.add_label(
                f"/{name}/label{number}", plain(box.tag, 40), position=top
            )

    def _camera(self, exhibit: Exhibit, frame: int, picture: Any) -> None:
        height, width = picture.shape[:2]
        T, K = exhibit.T_world_camera[frame], exhibit.K[frame]
        frustum = self.server.scene.add_camera_frustum(
            f"/cameras/{frame}",
            fov=float(2 * np.arctan(height / (2 * K[1, 1]))),
            aspect=width / height,
            scale=FRUSTUM_M,
            image=picture,
            wxyz=quaternion_from_matrix(T[:3, :3]),
            position=T[:3, 3],
        )

        @frustum.on_click
        def _(event: Any) -> None:  # look through this camera
            event.client.camera.wxyz = frustum.wxyz
            event.client.camera.position = frustum.position

        self.handles[f"cameras/{frame}"] = frustum


def start_viewer(exhibits: Sequence[Exhibit], host: str = "127.0.0.1", port: int = 8080) -> Viewer:
    """Serve ``exhibits`` at ``http://host:port`` (the next free port when taken) until :meth:`Viewer.stop`.

    Raises:
        ValueError: no exhibits.
    """
    if not exhibits:
        raise ValueError("there is nothing to show")
    import viser  # pyright: ignore[reportMissingImports]  (an extra of its own)

    server = viser.ViserServer(host=host, port=port, verbose=False)
    models = list(dict.fromkeys(model for e in exhibits for model in e.predicted))
    viewer = Viewer(server, exhibits, models)
    server.scene.set_up_direction("+z")
    names = [f"{i}: {plain(e.id, 60)}" for i, e in enumerate(exhibits)]
    chooser = server.gui.add_dropdown("question", names)
    layers = [("truth", "true/"), ("cameras", "cameras/"), ("points", "points")]
    layers += [(plain(model, 40), f"predicted/{place}/") for place, model in enumerate(models)]
    boxes = [(server.gui.add_checkbox(title, True), prefix) for title, prefix in layers]
    text = server.gui.add_markdown("")

    def apply(_: Any = None) -> None:
        for box, prefix in boxes:
            viewer.set_visible(prefix, box.value)

    def choose(_: Any = None) -> None:
        viewer.show(names.index(chooser.value))
        text.content = _facts(exhibits[viewer.current])
        apply()

    chooser.on_update(choose)
    for box, _ in boxes:
        box.on_update(apply)
    _face_the_scene(server, exhibits, lambda: viewer.current)
    choose()
    return viewer


def _face_the_scene(server: Any, exhibits: Sequence[Exhibit], current: Callable[[], int]) -> None:
    """A new visitor starts above and behind the first camera, looking where it looks."""

    @server.on_client_connect
    def _(client: Any) -> None:
        T = exhibits[max(0, current())].T_world_camera[0]
        client.camera.up_direction = (0.0, 0.0, 1.0)
        client.camera.position = T[:3, 3] - 1.5 * T[:3, 2] + np.array([0.0, 0.0, 1.0])
        client.camera.look_at = T[:3, 3] + 2.0 * T[:3, 2]


def _facts(exhibit: Exhibit) -> str:
    """What stands beside the scene; code blocks, because model text is not Markdown to be rendered."""
    blocks = [exhibit.prompt.replace("<image>", ""), *(f"{m}:\n{t}" for m, t in exhibit.texts.items())]
    return "\n\n".join("    " + plain(b, 4000).strip().replace("\n", "\n    ") for b in blocks if b.strip())
