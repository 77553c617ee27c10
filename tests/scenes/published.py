"""Small files in the layouts of published data sets, written from a procedural room.

The raw world is the room's, turned and shifted: a reader that forgets the alignment is found out.
"""

from __future__ import annotations

import io
import json
import pickle
import struct
import zlib
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from rft3d.geometry import box_corners, invert_pose, matrix_from_euler_zxy, pose_from, transform_points
from rft3d.scenes import RoomConfig, Scene, load_rgb, make_room
from rft3d.tasks.spatial.semantics import floor_area_m2

TRAIN, VAL = "scene0000_00", "scene0011_00"
T_WORLD_RAW = pose_from(matrix_from_euler_zxy([0.6, 0.0, 0.0]), [0.5, -0.3, 0.1])
STEP = 10


@cache
def room(seed: int = 3, frames: int = 13) -> Scene:
    return make_room(seed, RoomConfig(frames=frames, width=64, height=48))


def jpeg(scene: Scene, index: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(load_rgb(scene.frames[index])).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def write_media(root: Path, scan: str = VAL, scene: Scene | None = None) -> Path:
    """posed_images as EmbodiedScan's converter writes them; returns the media folder."""
    scene = scene or room()
    folder = root / "scannet" / "posed_images" / scan
    folder.mkdir(parents=True)
    K = np.eye(4)
    K[:3, :3] = scene.frames[0].intrinsics
    np.savetxt(folder / "intrinsic.txt", K, fmt="%f")
    for index, frame in enumerate(scene.frames):
        name = f"{index * STEP:05d}"
        (folder / f"{name}.jpg").write_bytes(jpeg(scene, index))
        np.savetxt(folder / f"{name}.txt", invert_pose(T_WORLD_RAW) @ frame.T_world_camera, fmt="%f")
    return root


def info_entry(scan: str = VAL, scene: Scene | None = None) -> dict[str, Any]:
    """One entry of ``data_list``; categories by :func:`categories`."""
    scene = scene or room()
    numbers = categories(scene)
    K = np.eye(4)
    K[:3, :3] = scene.frames[0].intrinsics
    return {
        "sample_idx": f"scannet/{scan}",
        "axis_align_matrix": T_WORLD_RAW,
        "cam2img": K,
        "images": [
            {
                "img_path": f"scannet/posed_images/{scan}/{index * STEP:05d}.jpg",
                "cam2global": invert_pose(T_WORLD_RAW) @ frame.T_world_camera,
                "visible_instance_ids": [k for k, share in frame.visible.items() if share > 0.05][::-1],
            }
            for index, frame in enumerate(scene.frames)
        ],
        "instances": [
            {"bbox_3d": thing.box.tolist(), "bbox_label_3d": np.int64(numbers[thing.label]), "bbox_id": k}
            for k, thing in enumerate(scene.objects)
        ],
    }


def categories(scene: Scene) -> dict[str, int]:
    return {label: k + 1 for k, label in enumerate(sorted({thing.label for thing in scene.objects}))}


def write_infos(path: Path, *entries: dict[str, Any], scene: Scene | None = None) -> Path:
    data = {
        "metainfo": {"categories": categories(scene or room())},
        "data_list": list(entries or [info_entry()]),
    }
    path.write_bytes(pickle.dumps(data))
    return path


def write_scans(root: Path, scan: str = VAL, scene: Scene | None = None) -> Path:
    """Mesh, segments, aggregation and text file of a scan; returns the ``scans`` folder."""
    scene = scene or room()
    folder = root / scan
    folder.mkdir(parents=True)
    numbers = " ".join(f"{value:.9f}" for value in T_WORLD_RAW.ravel())
    (folder / f"{scan}.txt").write_text(f"appVersionId = 6\naxisAlignment = {numbers} \nsceneType = Lounge\n")
    corners = np.concatenate([box_corners(thing.box[None])[0] for thing in scene.objects])
    raw = transform_points(invert_pose(T_WORLD_RAW), corners).astype("<f4")
    header = (
        f"ply\nformat binary_little_endian 1.0\nelement vertex {len(raw)}\nproperty float x\n"
        "property float y\nproperty float z\n"
        "property uchar red\nproperty uchar green\nproperty uchar blue\nproperty uchar alpha\n"
        "element face 0\nproperty list uchar int vertex_indices\nend_header\n"
    )
    table = np.zeros(len(raw), [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("c", "4u1")])
    for k, axis in enumerate("xyz"):
        table[axis] = raw[:, k]
    (folder / f"{scan}_vh_clean_2.ply").write_bytes(header.encode() + table.tobytes())
    segments = [100 + thing // 4 for thing in range(len(raw))]  # two segments an object
    (folder / f"{scan}_vh_clean_2.0.010000.segs.json").write_text(json.dumps({"segIndices": segments}))
    groups = [
        {"id": k, "objectId": k, "segments": [100 + 2 * k, 101 + 2 * k], "label": thing.label}
        for k, thing in enumerate(scene.objects)
    ]
    (folder / f"{scan}.aggregation.json").write_text(
        json.dumps({"sceneId": f"scannet.{scan}", "segGroups": groups})
    )
    return root


def write_descriptions(path: Path, scan: str = VAL, scene: Scene | None = None) -> Path:
    """Two ScanRefer descriptions of each object."""
    rows = [
        {"scene_id": scan, "object_id": str(k), "object_name": thing.label.replace(" ", "_"), 
         "ann_id": str(n),
         "description": f"this is the {thing.label} number {k}, said in way {n}.", "token": []}
        for k, thing in enumerate((scene or room()).objects)
        for n in range(2)
    ]  # fmt: skip
    path.write_text(json.dumps(rows))
    return path


def write_labels(path: Path) -> Path:
    rows = ["id\traw_category\tnyu40id", "1\tchair\t5", "2\tcouch\t6", "3\ttable\t7", "4\tdesk\t14"]
    path.write_text("\n".join(rows) + "\n")
    return path


def write_sens(path: Path, scene: Scene | None = None, *, lost: int | None = None) -> Path:
    """A version 4 recording with JPEG colour and zlib depth; frame ``lost`` has no pose."""
    scene = scene or room()
    frame = scene.frames[0]
    K = np.eye(4, dtype="<f4")
    K[:3, :3] = frame.intrinsics
    out = [struct.pack("<IQ", 4, 7), b"StructS"]
    out += [matrix.astype("<f4").tobytes() for matrix in (K, np.eye(4), K, np.eye(4))]
    out.append(
        struct.pack(
            "<2i4IfQ", 2, 1, frame.width, frame.height, frame.width, frame.height, 1000.0, len(scene.frames)
        )
    )
    for index, each in enumerate(scene.frames):
        pose = np.full((4, 4), -np.inf) if index == lost else invert_pose(T_WORLD_RAW) @ each.T_world_camera
        depth = zlib.compress(np.full((frame.height, frame.width), 1500 + index, "<u2").tobytes())
        colour = jpeg(scene, index)
        out += [
            pose.astype("<f4").tobytes(),
            struct.pack("<4Q", index, index, len(colour), len(depth)),
            colour,
            depth,
        ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(out))
    return path


def turned(scene: Scene) -> Scene:
    """The scene with its objects in other yaws: their two angle conventions differ in a tilted camera."""
    objects = tuple(
        replace(thing, box=np.concatenate([thing.box[:6], [0.35 * k + 0.2, 0.0, 0.0]]))
        for k, thing in enumerate(scene.objects)
    )
    return replace(scene, objects=objects)


def write_meta(path: Path, scenes: Iterable[Scene] = ()) -> Path:
    """VSI-Bench's scene metadata, by default about two rooms."""
    data = {}
    for scene in scenes or (make_room(1), make_room(2)):
        boxes: dict[str, list[dict[str, Any]]] = {}
        for thing in scene.objects:
            axes = matrix_from_euler_zxy(thing.box[6:]).T.ravel()
            boxes.setdefault(thing.label, []).append(
                {
                    "centroid": thing.box[:3].tolist(),
                    "axesLengths": thing.box[3:6].tolist(),
                    "normalizedAxes": axes.tolist(),
                }
            )
        counts = {label: len(rows) for label, rows in boxes.items()}
        area = floor_area_m2(scene)
        data[scene.id] = {"room_size": area, "object_counts": counts, "object_bbox": boxes}
    path.write_text(json.dumps(data))
    return path


def write_mmdet3d(path: Path) -> Path:
    """mmdetection3d's infos of ScanNet (version 1.1): boxes, no pictures."""
    item = {"bbox_3d": [0.0, 0.0, 0.5, 1.0, 1.0, 1.0], "bbox_label_3d": 0}
    record = {"lidar_points": {"lidar_path": f"{VAL}.bin"}, "instances": [item]}
    path.write_bytes(pickle.dumps({"metainfo": {"categories": {"chair": 0}}, "data_list": [record]}))
    return path
