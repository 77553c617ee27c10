// Boxes and cameras, with three.js doing the matrices. A box is [x y z dx dy dz yaw roll pitch] in the world,
// R = Rz(yaw) Rx(roll) Ry(pitch): three's Euler order "ZXY". Cameras are OpenCV: x right, y down, z forward.

const NEAR_M = 0.05;
const EDGES = [[0, 1], [0, 2], [0, 4], [1, 3], [1, 5], [2, 3], [2, 6], [3, 7], [4, 5], [4, 6], [5, 7], [6, 7]];

/** The eight corners in the world, x slowest and z fastest; null for a box that is no solid. */
function boxCorners(box) {
  if (!box || !(box[3] > 0 && box[4] > 0 && box[5] > 0)) return null;
  const turn = new THREE.Matrix4().makeRotationFromEuler(new THREE.Euler(box[7], box[8], box[6], "ZXY"));
  const corners = [];
  for (const x of [-0.5, 0.5]) for (const y of [-0.5, 0.5]) for (const z of [-0.5, 0.5]) {
    const corner = new THREE.Vector3(x * box[3], y * box[4], z * box[5]).applyMatrix4(turn);
    corners.push(corner.add(new THREE.Vector3(box[0], box[1], box[2])));
  }
  return corners;
}

const worldFromCamera = (camera) => new THREE.Matrix4().set(...camera.T, 0, 0, 0, 1);

/** The edges of a box as the camera sees them: [[u1, v1, u2, v2], ...] in pixels of the picture file. */
function projectBox(box, camera) {
  const corners = boxCorners(box);
  if (!corners) return [];
  const toCamera = worldFromCamera(camera).invert();
  const seen = corners.map((corner) => corner.clone().applyMatrix4(toCamera));
  const [fx, fy, cx, cy] = camera.K;
  const pixel = (p) => [(fx * p.x) / p.z + cx, (fy * p.y) / p.z + cy];
  const lines = [];
  for (const [i, j] of EDGES) {
    // clipped before projection: a point behind the camera would land on the mirrored side
    let [a, b] = [seen[i], seen[j]];
    if (a.z < NEAR_M && b.z < NEAR_M) continue;
    if (a.z < NEAR_M) a = b.clone().lerp(a, (b.z - NEAR_M) / (b.z - a.z));
    else if (b.z < NEAR_M) b = a.clone().lerp(b, (a.z - NEAR_M) / (a.z - b.z));
    lines.push([...pixel(a), ...pixel(b)]);
  }
  return lines;
}

/** The part of a line inside [0, width] x [0, height], or null (Liang and Barsky 1984). */
function clipLine([x1, y1, x2, y2], width, height) {
  let low = 0, high = 1;
  for (const [towards, room] of [[x1 - x2, x1], [x2 - x1, width - x1], [y1 - y2, y1], [y2 - y1, height - y1]]) {
    if (towards === 0) {
      if (room < 0) return null;
    } else if (towards < 0) low = Math.max(low, room / towards);
    else high = Math.min(high, room / towards);
  }
  if (low > high) return null;
  return [x1 + low * (x2 - x1), y1 + low * (y2 - y1), x1 + high * (x2 - x1), y1 + high * (y2 - y1)];
}
