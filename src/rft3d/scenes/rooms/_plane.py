"""Oriented rectangles in the floor plane, in plain Python: placement asks thousands of tiny questions,
and for one pair at a time floats are faster than arrays."""

import math
from typing import NamedTuple


class Rect(NamedTuple):
    """A rectangle: centre, half sizes along its own axes, cosine and sine of its yaw (metres)."""

    x: float
    y: float
    hx: float
    hy: float
    c: float
    s: float

    @property
    def reach(self) -> tuple[float, float]:
        """Half extents along the world's x and y."""
        c, s = abs(self.c), abs(self.s)
        return c * self.hx + s * self.hy, s * self.hx + c * self.hy

    def corners(self) -> list[tuple[float, float]]:
        """The four corners, counter-clockwise."""
        ax, ay, bx, by = self.c * self.hx, self.s * self.hx, -self.s * self.hy, self.c * self.hy
        return [
            (self.x + ax + bx, self.y + ay + by),
            (self.x - ax + bx, self.y - ay + by),
            (self.x - ax - bx, self.y - ay - by),
            (self.x + ax - bx, self.y + ay - by),
        ]

    def distance(self, x: float, y: float) -> float:
        """Metres from a point to the solid rectangle; 0 inside."""
        dx, dy = x - self.x, y - self.y
        u = abs(self.c * dx + self.s * dy) - self.hx
        v = abs(self.c * dy - self.s * dx) - self.hy
        return math.hypot(max(u, 0.0), max(v, 0.0))


def rect(x: float, y: float, hx: float, hy: float, yaw: float) -> Rect:
    """A rectangle turned by ``yaw`` radians."""
    return Rect(x, y, hx, hy, math.cos(yaw), math.sin(yaw))


def apart(a: Rect, b: Rect, margin: float) -> bool:
    """Whether a separating axis leaves at least ``margin`` metres between the rectangles."""
    dx, dy = b.x - a.x, b.y - a.y
    far = math.hypot(a.hx, a.hy) + math.hypot(b.hx, b.hy) + margin
    if dx * dx + dy * dy > far * far:
        return True
    cc = abs(a.c * b.c + a.s * b.s)
    ss = abs(a.c * b.s - a.s * b.c)
    return (
        abs(a.c * dx + a.s * dy) > a.hx + b.hx * cc + b.hy * ss + margin
        or abs(a.c * dy - a.s * dx) > a.hy + b.hx * ss + b.hy * cc + margin
        or abs(b.c * dx + b.s * dy) > b.hx + a.hx * cc + a.hy * ss + margin
        or abs(b.c * dy - b.s * dx) > b.hy + a.hx * ss + a.hy * cc + margin
    )


def gap(a: Rect, b: Rect) -> float:
    """Smallest distance between two rectangles, metres; 0 when they overlap."""
    if not apart(a, b, 0.0):
        return 0.0
    # The closest pair of two disjoint convex polygons always includes a vertex of one of them.
    return min(min(b.distance(x, y) for x, y in a.corners()), min(a.distance(x, y) for x, y in b.corners()))
