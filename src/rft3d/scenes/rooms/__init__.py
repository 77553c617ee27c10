"""Procedural rooms: a seed becomes a furnished room and a short posed clip of it.

Read in this order: ``_parts`` (coloured solids), ``_furniture`` and ``_appliances`` (what they build),
``_layout`` (where things stand), ``_shell`` (walls, windows, light), ``_path`` (the camera's walk),
``_render`` and ``_raster_numba`` (pictures, depth, ids), ``_referring`` (sentences that mean one object), and
``_room``, which calls them all.

    scene = make_room(7)
    scene.frames[0].rgb          # (112, 168, 3) uint8
    scene.objects[0].label       # "refrigerator"
"""

from rft3d.scenes.rooms._parts import PALETTE
from rft3d.scenes.rooms._room import WORLDS, RoomConfig, iter_rooms, make_room, read_room_config

__all__ = ["PALETTE", "WORLDS", "RoomConfig", "iter_rooms", "make_room", "read_room_config"]
