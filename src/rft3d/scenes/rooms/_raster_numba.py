"""The compiled renderer: z-buffer over part rectangles, then one shading pass.

Imported when the first room is drawn. Every kernel releases the interpreter lock, so threads scale. The same in
readable numpy is ``tests/scenes/raster_reference.py``, function by function; a test compares the pictures.

Array layouts are described in :mod:`rft3d.scenes.rooms._render`. One file, though long: numba's cache on disk only
watches the file of the function it stored, so helpers elsewhere could go stale.
"""

import math

import numpy as np

from rft3d.geometry.compiling import compiled as numba_compiled

# No sub-array views inside pixel loops: each would cost two atomic reference counts.
compiled = numba_compiled(fastmath=True)
inlined = numba_compiled(fastmath=True, inline="always")

FAR = 1e9
NEAR = 0.05


@inlined
def _guard(x):
    return x if abs(x) > 1e-12 else 1e-12


@compiled
def _hit_cylinder(ox, oy, oz, dx, dy, dz, bottom, top):
    """Smallest t > NEAR at which the ray meets the unit cone stump, or FAR."""
    best = FAR
    r0, k = 0.5 * (bottom + top), 0.5 * (top - bottom)
    slope, radius = k * dz, r0 + k * oz
    a = _guard(dx * dx + dy * dy - slope * slope)
    b = ox * dx + oy * dy - radius * slope
    c = ox * ox + oy * oy - radius * radius
    disc = b * b - a * c
    if disc >= 0.0:
        root = math.sqrt(disc)
        for sign in (-1.0, 1.0):
            t = (-b + sign * root) / a
            if NEAR < t < best and abs(oz + t * dz) <= 1.0:
                best = t
    iz = 1.0 / _guard(dz)
    for end, limit in ((-1.0, bottom), (1.0, top)):
        t = (end - oz) * iz
        if NEAR < t < best:
            x, y = ox + t * dx, oy + t * dy
            if x * x + y * y <= limit * limit:
                best = t
    return best


@compiled
def _hit_ellipsoid(ox, oy, oz, dx, dy, dz):
    a = _guard(dx * dx + dy * dy + dz * dz)
    b = ox * dx + oy * dy + oz * dz
    c = ox * ox + oy * oy + oz * oz - 1.0
    disc = b * b - a * c
    if disc < 0.0:
        return FAR
    t = (-b - math.sqrt(disc)) / a
    return t if t > NEAR else FAR


@compiled
def _raster(rays, rects, view, solids, owner, z, ident, stamp, alone, row):
    """Draw all parts of one view into ``z`` and ``ident``; ``alone[row, k]`` counts object k's pixels as if
    nothing else were there."""
    for p in range(rays.shape[1]):
        u0, u1, v0, v1 = rects[view, p, 0], rects[view, p, 1], rects[view, p, 2], rects[view, p, 3]
        if u0 >= u1 or v0 >= v1:
            continue
        ox, oy, oz = rays[view, p, 0], rays[view, p, 1], rays[view, p, 2]
        bx, by, bz = rays[view, p, 6], rays[view, p, 7], rays[view, p, 8]
        shape, bottom, top = solids[p, 15], solids[p, 16], solids[p, 17]
        who = owner[p]
        count = 0
        for v in range(v0, v1):
            w = v + 0.5
            ax = rays[view, p, 3] + rays[view, p, 9] * w
            ay = rays[view, p, 4] + rays[view, p, 10] * w
            az = rays[view, p, 5] + rays[view, p, 11] * w
            for u in range(u0, u1):
                s = u + 0.5
                dx, dy, dz = ax + bx * s, ay + by * s, az + bz * s
                t = FAR
                if shape == 0.0:
                    ix, iy, iz = 1.0 / _guard(dx), 1.0 / _guard(dy), 1.0 / _guard(dz)
                    cx, cy, cz = -ox * ix, -oy * iy, -oz * iz
                    kx, ky, kz = abs(ix), abs(iy), abs(iz)
                    enter = max(cx - kx, max(cy - ky, cz - kz))
                    leave = min(cx + kx, min(cy + ky, cz + kz))
                    if enter <= leave and enter > NEAR:
                        t = enter
                elif shape == 1.0:
                    t = _hit_cylinder(ox, oy, oz, dx, dy, dz, bottom, top)
                else:
                    t = _hit_ellipsoid(ox, oy, oz, dx, dy, dz)
                if t < FAR:
                    if stamp[v, u] != who:
                        stamp[v, u] = who
                        count += 1
                    if t < z[v, u]:
                        z[v, u] = t
                        ident[v, u] = p
        alone[row, who] += count


@compiled
def _shell(room, cameras, view, z, ident):
    """Fill ``z`` with the distance to the room's faces and ``ident`` with ``-1 - face``."""
    hx, hy, height = room[0], room[1], room[2]
    ex, ey, ez = cameras[view, 0], cameras[view, 1], cameras[view, 2]
    fx, fy, cx, cy = cameras[view, 12], cameras[view, 13], cameras[view, 14], cameras[view, 15]
    for v in range(z.shape[0]):
        y = (v + 0.5 - cy) / fy
        for u in range(z.shape[1]):
            x = (u + 0.5 - cx) / fx
            dx = _guard(cameras[view, 3] * x + cameras[view, 4] * y + cameras[view, 5])
            dy = _guard(cameras[view, 6] * x + cameras[view, 7] * y + cameras[view, 8])
            dz = _guard(cameras[view, 9] * x + cameras[view, 10] * y + cameras[view, 11])
            tx = ((hx if dx > 0 else -hx) - ex) / dx
            ty = ((hy if dy > 0 else -hy) - ey) / dy
            tz = ((height if dz > 0 else 0.0) - ez) / dz
            if tx <= ty and tx <= tz:
                z[v, u] = tx
                ident[v, u] = -2 if dx > 0 else -1
            elif ty <= tz:
                z[v, u] = ty
                ident[v, u] = -4 if dy > 0 else -3
            else:
                z[v, u] = tz
                ident[v, u] = -6 if dz > 0 else -5


@compiled
def _contact(room, grid, solids):
    """Darken the floor near everything that stands on it."""
    n = grid.shape[0]
    sx, sy = 2 * room[0] / n, 2 * room[1] / n
    for p in range(solids.shape[0]):
        low = solids[p, 2] - solids[p, 14]
        if low > 0.5:
            continue
        strength = 0.42 / (1.0 + 12.0 * low)
        c, s = solids[p, 3], solids[p, 6]
        norm = math.sqrt(c * c + s * s)
        c, s = c / norm, s / norm
        ex = abs(c) * solids[p, 12] + abs(s) * solids[p, 13] + 0.4
        ey = abs(s) * solids[p, 12] + abs(c) * solids[p, 13] + 0.4
        i0 = max(0, int((solids[p, 0] - ex + room[0]) / sx))
        i1 = min(n, int((solids[p, 0] + ex + room[0]) / sx) + 1)
        j0 = max(0, int((solids[p, 1] - ey + room[1]) / sy))
        j1 = min(n, int((solids[p, 1] + ey + room[1]) / sy) + 1)
        for j in range(j0, j1):
            y = (j + 0.5) * sy - room[1] - solids[p, 1]
            for i in range(i0, i1):
                x = (i + 0.5) * sx - room[0] - solids[p, 0]
                du = max(abs(c * x + s * y) - solids[p, 12], 0.0)
                dv = max(abs(c * y - s * x) - solids[p, 13], 0.0)
                f = 1.0 - strength / (1.0 + 90.0 * (du * du + dv * dv))
                grid[j, i] = min(grid[j, i], f) * 0.35 + grid[j, i] * f * 0.65


@inlined
def _tri(x):
    return abs(x - math.floor(x) - 0.5) * 4.0 - 1.0


@inlined
def _hash(i, j):
    k = i * 374761 + j * 668265
    k = (k ^ (k >> 7)) * 12741
    return ((k >> 5) & 1023) / 1023.0


@compiled
def _texture(kind, a, b, qx, qy, qz, lx, ly, lz, front):
    """(factor on the colour, glow factor) at a point of a part: unit coordinates q, metres l."""
    if kind == 1:
        grain = _tri(9.0 * lx + 0.35 * _tri(1.3 * ly + a) + 5.0 * lz)
        return 1.0 + 0.07 * grain, 1.0
    if kind == 2:
        return 1.0 + 0.05 * a * _tri(16.0 * ly + 3.0 * lz) * _tri(16.0 * lx + 3.0 * lz), 1.0
    if kind == 3:
        stripe = ly * a if abs(qx) < 1.5 else lz * a
        return (0.74 if stripe - math.floor(stripe) < 0.5 else 1.08), 1.0
    if kind == 4:
        if not front:
            return 0.92, 1.0
        rows, cols = math.floor(a + 0.5), math.floor(b + 0.5)
        fy, fz = (qy + 1.0) * 0.5 * cols, (qz + 1.0) * 0.5 * rows
        fy, fz = fy - math.floor(fy), fz - math.floor(fz)
        if abs(fy - 0.5) > 0.47 or abs(fz - 0.5) > 0.5 - 0.02 * rows:
            return 0.5, 1.0
        if rows < 1.5 and cols > 1.5:
            knob = 0.06 < abs(qy) < 0.12 and abs(qz) < 0.12
        else:
            knob = abs(fy - 0.5) < 0.11 and abs(fz - 0.5) < 0.08
        return (0.32 if knob else 1.0), 1.0
    if kind == 5:
        if not front:
            return 0.2, 0.0
        pane = abs(qy - 0.3 + 0.1 * a) < 0.42 and abs(qz + 0.1) < 0.5
        return (1.35 if pane else 0.75 + 0.2 * qz), 1.0
    if kind == 6:
        fa, fb = ly * a, lx * b
        one = 0.78 if fa - math.floor(fa) < 0.4 else 1.06
        two = 0.82 if fb - math.floor(fb) < 0.4 else 1.04
        return one * two, 1.0
    return 1.0, 1.0


@compiled
def _floor_colour(kind, x, y):
    """Factor on the floor's colour at a point of it."""
    if kind == 0:
        i = math.floor(x / 0.16)
        length = y / 1.3 + _hash(i, 17)
        j = math.floor(length)
        factor = 0.86 + 0.26 * _hash(i, j) + 0.03 * _tri(7.0 * x + 0.4 * _tri(0.9 * y))
        fx = x / 0.16 - i
        if fx < 0.06 or length - j < 0.012:
            factor *= 0.72
        return factor
    if kind == 1:
        i, j = math.floor(x / 0.4), math.floor(y / 0.4)
        fx, fy = x / 0.4 - i, y / 0.4 - j
        if fx < 0.035 or fy < 0.035:
            return 0.74
        return 0.95 + 0.09 * _hash(i, j)
    return 0.96 + 0.07 * _hash(math.floor(x / 0.03), math.floor(y / 0.03))


@compiled
def _decal(decals, k, a, b):
    """(r, g, b, glow) of decal ``k`` at (a, b) metres."""
    a0, a1, b0, b1 = decals[k, 1], decals[k, 2], decals[k, 3], decals[k, 4]
    red, green, blue, vary = decals[k, 6], decals[k, 7], decals[k, 8], decals[k, 9]
    u, v = (a - a0) / (a1 - a0), (b - b0) / (b1 - b0)
    edge = min(min(a - a0, a1 - a), min(b - b0, b1 - b))
    kind = int(decals[k, 5])
    f = 1.0
    if kind == 0:
        bar = edge < 0.06 or abs(u - 0.5) * (a1 - a0) < 0.025 or abs(v - 0.55) * (b1 - b0) < 0.02
        if not bar:
            hill = 0.32 + 0.1 * _tri(u * 0.7 + vary) + 0.03 * _tri(u * 2.3 + vary)
            if v < hill:
                return 0.45, 0.62, 0.42, 1.0
            return 0.95 - 0.3 * v, 1.0 - 0.14 * v, 1.02, 1.0
    elif kind == 1:
        if min(min(a - a0, a1 - a), b1 - b) < 0.07:
            f = 1.12
        elif abs(u - 0.5) < 0.3 and (0.1 < v < 0.42 or 0.5 < v < 0.92):
            f = 0.9
        if abs(u - 0.84) < 0.03 and abs(v - 0.48) < 0.015:
            f = 0.35
    elif kind == 2:
        if edge >= 0.12:
            f = 1.0 + 0.08 * _tri(a * 2.2 + vary) * _tri(b * 2.2)
        elif edge > 0.05:
            f = 0.8
    else:
        if edge < 0.03:
            return 0.16, 0.13, 0.11, 0.0
        if edge < 0.07:
            return 0.92, 0.92, 0.90, 0.0
        f = 0.75 + 0.4 * v if v > 0.4 + 0.2 * _tri(u * 1.1 + vary) else 0.55
    return red * f, green * f, blue * f, 0.0


@inlined
def _corner(d):
    """Darkening ``d`` metres from another face of the room."""
    k = max(0.0, 1.0 - 1.7 * d)
    return 1.0 - 0.28 * k * k


@compiled
def _surface_shell(face, px, py, pz, room, decals, grid):
    """(r, g, b, glow, darkening, nx, ny, nz) at a point of the room."""
    hx, hy, height = room[0], room[1], room[2]
    ax, ay, az = _corner(hx - abs(px)), _corner(hy - abs(py)), _corner(min(pz, height - pz))
    nx, ny, nz, glow = 0.0, 0.0, 0.0, 0.0
    if face == 5:
        return room[20], room[21], room[22], 0.0, ax * ay, 0.0, 0.0, -1.0
    if face == 4:
        f = _floor_colour(int(room[18]), px, py)
        n = grid.shape[0]
        gx = min(max((px + hx) / (2 * hx) * n - 0.5, 0.0), n - 1.001)
        gy = min(max((py + hy) / (2 * hy) * n - 0.5, 0.0), n - 1.001)
        i, j = int(gx), int(gy)
        fu, fv = gx - i, gy - j
        low = grid[j, i] * (1 - fu) + grid[j, i + 1] * fu
        high = grid[j + 1, i] * (1 - fu) + grid[j + 1, i + 1] * fu
        red, green, blue = room[15] * f, room[16] * f, room[17] * f
        dark = ax * ay * (low * (1 - fv) + high * fv)
        nz = 1.0
        a, b = px, py
    else:
        b = pz
        red, green, blue = room[3 + 3 * face], room[4 + 3 * face], room[5 + 3 * face]
        if face < 2:
            a, dark, nx = py, ay * az, 1.0 - 2.0 * face
        else:
            a, dark, ny = px, ax * az, 5.0 - 2.0 * face
        if pz < room[19]:
            f = 0.93 if pz < room[19] - 0.012 else 0.7
            red, green, blue = room[20] * f, room[21] * f, room[22] * f
    for k in range(decals.shape[0]):
        if decals[k, 0] == face and decals[k, 1] < a < decals[k, 2] and decals[k, 3] < b < decals[k, 4]:
            red, green, blue, glow = _decal(decals, k, a, b)
    return red, green, blue, glow, dark, nx, ny, nz


@compiled
def _surface_part(p, px, py, pz, solids):
    """(r, g, b, glow, darkening, nx, ny, nz) at a point of part ``p``."""
    x, y, z = px - solids[p, 0], py - solids[p, 1], pz - solids[p, 2]
    lx = solids[p, 3] * x + solids[p, 6] * y + solids[p, 9] * z
    ly = solids[p, 4] * x + solids[p, 7] * y + solids[p, 10] * z
    lz = solids[p, 5] * x + solids[p, 8] * y + solids[p, 11] * z
    hx, hy, hz = solids[p, 12], solids[p, 13], solids[p, 14]
    qx, qy, qz = lx / hx, ly / hy, lz / hz
    ux, uy, uz = 0.0, 0.0, 0.0
    front = False
    if solids[p, 15] == 0.0:
        gx, gy, gz = abs(qx), abs(qy), abs(qz)
        if gx >= gy and gx >= gz:
            ux = 1.0 if qx > 0 else -1.0
            front = qx > 0
        elif gy >= gz:
            uy = 1.0 if qy > 0 else -1.0
        else:
            uz = 1.0 if qz > 0 else -1.0
    else:
        if solids[p, 15] == 2.0:
            ux, uy, uz = qx / hx, qy / hy, qz / hz
        elif abs(qz) > 1.0 - 1e-6:
            uz = 1.0 if qz > 0 else -1.0
        else:
            k = 0.5 * (solids[p, 17] - solids[p, 16])
            radius = 0.5 * (solids[p, 16] + solids[p, 17]) + k * qz
            ux, uy, uz = qx / hx, qy / hy, -radius * k / hz
        unit = 1.0 / math.sqrt(ux * ux + uy * uy + uz * uz)
        ux, uy, uz = ux * unit, uy * unit, uz * unit
    nx = solids[p, 3] * ux + solids[p, 4] * uy + solids[p, 5] * uz
    ny = solids[p, 6] * ux + solids[p, 7] * uy + solids[p, 8] * uz
    nz = solids[p, 9] * ux + solids[p, 10] * uy + solids[p, 11] * uz
    f, g = _texture(int(solids[p, 21]), solids[p, 22], solids[p, 23], qx, qy, qz, lx, ly, lz, front)
    k = max(0.0, 1.0 - 3.0 * pz)
    dark = (1.0 - 0.25 * k * k) * (0.6 if nz < -0.5 else 1.0)
    return solids[p, 18] * f, solids[p, 19] * f, solids[p, 20] * f, solids[p, 24] * g, dark, nx, ny, nz


@inlined
def _tone(value):
    """Display value 0..255; highlights roll off instead of clipping."""
    if value > 0.8:
        value = 0.8 + (value - 0.8) / (1.0 + 3.0 * (value - 0.8))
    return np.uint8(min(255.0, value * 255.0 + 0.5))


@compiled
def _shine(cameras, view, points, gain, fade, ceiling, out):
    """Light ``view`` on a row of points, without shadow, weaker with the square of the distance times ``fade``;
    the ceiling itself gets a constant."""
    ex, ey, ez = cameras[view, 0], cameras[view, 1], cameras[view, 2]
    for u in range(out.shape[0]):
        lx, ly, lz = ex - points[0, u], ey - points[1, u], ez - points[2, u]
        nz = points[5, u]
        d2 = lx * lx + ly * ly + lz * lz
        facing = max(0.0, points[3, u] * lx + points[4, u] * ly + nz * lz)
        direct = facing * gain / (math.sqrt(d2) * (1.0 + fade * d2))
        out[u] = direct if nz > -0.99 else ceiling


@compiled
def _shadow(cameras, view, points, texels, n, outside, out):
    """Multiply ``out`` by the share of light ``view`` that reaches each point of a row: the shadow map's four
    nearest texels, blended. Free of branches, so that the compiler vectorises it."""
    ex, ey, ez = cameras[view, 0], cameras[view, 1], cameras[view, 2]
    r0, r1, r2 = cameras[view, 3], cameras[view, 4], cameras[view, 5]
    r3, r4, r5 = cameras[view, 6], cameras[view, 7], cameras[view, 8]
    r6, r7, r8 = cameras[view, 9], cameras[view, 10], cameras[view, 11]
    fx, fy, cx, cy = cameras[view, 12], cameras[view, 13], cameras[view, 14] - 0.5, cameras[view, 15] - 0.5
    limit = n - 1.001
    for k in range(out.shape[0]):
        # A little off the surface, or it would shadow itself.
        x = points[0, k] + 0.02 * points[3, k] - ex
        y = points[1, k] + 0.02 * points[4, k] - ey
        z = points[2, k] + 0.02 * points[5, k] - ez
        depth = r2 * x + r5 * y + r8 * z
        inverse = 1.0 / max(NEAR, depth)
        u = fx * (r0 * x + r3 * y + r6 * z) * inverse + cx
        v = fy * (r1 * x + r4 * y + r7 * z) * inverse + cy
        uc, vc = min(max(u, 0.0), limit), min(max(v, 0.0), limit)
        i, j = int(uc), int(vc)
        fu, fv = uc - i, vc - j
        at = j * n + i
        # A steep ramp instead of a comparison: no branch to mispredict, and a softer edge.
        near = 40.0 * (depth - 0.03) - 1.0
        s00 = min(1.0, max(0.0, 40.0 * texels[at] - near))
        s01 = min(1.0, max(0.0, 40.0 * texels[at + 1] - near))
        s10 = min(1.0, max(0.0, 40.0 * texels[at + n] - near))
        s11 = min(1.0, max(0.0, 40.0 * texels[at + n + 1] - near))
        a, b = s00 + fu * (s01 - s00), s10 + fu * (s11 - s10)
        inside = (depth > NEAR) & (u == uc) & (v == vc)
        out[k] *= a + fv * (b - a) if inside else outside


@compiled
def _shade(
    z, ident, cameras, view, room, decals, light, grid, maps, solids, owner, rgb, depth, instances, seen
):
    """Turn one view's ``z`` and ``ident`` into colours, depth, instance ids and pixel counts, row by row."""
    k, width = view - 2, z.shape[1]
    fx, fy, cx, cy = cameras[view, 12], cameras[view, 13], cameras[view, 14], cameras[view, 15]
    lamp, sun, n = maps[0].ravel(), maps[1].ravel(), maps.shape[1]
    points, paint = np.empty((6, width)), np.empty((5, width))
    bulb, beam = np.empty(width), np.zeros(width)
    for v in range(z.shape[0]):
        y = (v + 0.5 - cy) / fy
        for u in range(width):
            x = (u + 0.5 - cx) / fx
            t, p = z[v, u], ident[v, u]
            px = cameras[view, 0] + t * (cameras[view, 3] * x + cameras[view, 4] * y + cameras[view, 5])
            py = cameras[view, 1] + t * (cameras[view, 6] * x + cameras[view, 7] * y + cameras[view, 8])
            pz = cameras[view, 2] + t * (cameras[view, 9] * x + cameras[view, 10] * y + cameras[view, 11])
            depth[k, v, u] = t
            if p >= 0:
                r, g, b, glow, dark, nx, ny, nz = _surface_part(p, px, py, pz, solids)
                instances[k, v, u] = owner[p] + 1
                seen[k, owner[p]] += 1
            else:
                r, g, b, glow, dark, nx, ny, nz = _surface_shell(-1 - p, px, py, pz, room, decals, grid)
                instances[k, v, u] = 0
            points[0, u], points[1, u], points[2, u] = px, py, pz
            points[3, u], points[4, u], points[5, u] = nx, ny, nz
            paint[0, u], paint[1, u], paint[2, u], paint[3, u], paint[4, u] = r, g, b, glow, dark
        _shine(cameras, 0, points, 1.9, 0.12, 0.4, bulb)
        _shadow(cameras, 0, points, lamp, n, 1.0, bulb)
        if light[9] > 0.0:
            _shine(cameras, 1, points, 1.0, 0.0, 0.0, beam)
            _shadow(cameras, 1, points, sun, n, 0.0, beam)
        for u in range(width):
            nx, ny, nz, glow, dark = points[3, u], points[4, u], points[5, u], paint[3, u], paint[4, u]
            sky = dark * (0.85 + 0.15 * nz)
            fill = dark * max(0.0, nx * light[12] + ny * light[13] + nz * light[14])
            direct = bulb[u] * (0.5 + 0.5 * dark)
            own, other = 0.98 * glow, 1.0 - 0.7 * glow
            for c in range(3):
                incoming = (
                    light[c] * sky + light[3 + c] * fill + light[6 + c] * direct + light[9 + c] * beam[u]
                )
                rgb[k, v, u, c] = _tone(paint[c, u] * (incoming * other + own))


@compiled
def draw_views(
    rays, rects, cameras, solids, owner, room, decals, light, maps, grid, rgb, depth, instances, seen, alone
):  # fmt: skip
    """Render all views of a scene: view 0 is the ceiling light, 1 the sun, the rest are frames.

    Fills ``maps``, ``grid`` and the five outputs in place; layouts in ``_render.py``.
    """
    n = maps.shape[1]
    ignored = np.zeros(alone.shape, dtype=np.int64)
    scrap = np.empty((n, n), dtype=np.int32)
    for view in range(2):
        if view == 0 or light[9] > 0.0:
            stamp = np.full((n, n), -1, dtype=np.int32)
            _raster(rays, rects, view, solids, owner, maps[view], scrap, stamp, ignored, 0)
    _contact(room, grid, solids)
    height, width = depth.shape[1], depth.shape[2]
    z = np.empty((height, width))
    ident = np.empty((height, width), dtype=np.int32)
    stamp = np.empty((height, width), dtype=np.int32)
    for view in range(2, cameras.shape[0]):
        stamp[:] = -1
        _shell(room, cameras, view, z, ident)
        _raster(rays, rects, view, solids, owner, z, ident, stamp, alone, view - 2)
        _shade(
            z, ident, cameras, view, room, decals, light, grid, maps, solids, owner,
            rgb, depth, instances, seen,
        )  # fmt: skip
