"""FLOOR 0: pure maths on numpy arrays. Imports numpy only; scipy and numba load when a function needs them.

Conventions: metres, radians, right-handed frames; a box is ``[x y z dx dy dz yaw roll pitch]`` with
``R = Rz(yaw) @ Rx(roll) @ Ry(pitch)``; cameras are OpenCV (x right, y down, z forward).
"""

from rft3d.geometry.boxes import (
    BOX_EDGES,
    BOX_FACES,
    box_corners,
    boxes_from_extrinsic,
    boxes_valid,
    canonical_boxes,
    transform_boxes,
)
from rft3d.geometry.camera import backproject, camera_rays, invert_pose, pose_from, project, transform_points
from rft3d.geometry.distance import box_distance
from rft3d.geometry.iou import box_iou, box_iou_pairs
from rft3d.geometry.matching import greedy_match, optimal_match
from rft3d.geometry.rotations import (
    euler_zxy_from_matrix,
    matrix_from_euler_zxy,
    matrix_from_euler_zxy_extrinsic,
)

__all__ = [
    "BOX_EDGES", "BOX_FACES", "backproject", "box_corners", "box_distance",
    "box_iou", "box_iou_pairs", "boxes_from_extrinsic", "boxes_valid", "camera_rays",
    "canonical_boxes", "euler_zxy_from_matrix", "greedy_match", "invert_pose", "matrix_from_euler_zxy",
    "matrix_from_euler_zxy_extrinsic", "optimal_match", "pose_from", "project", "transform_boxes",
    "transform_points",
]  # fmt: skip
