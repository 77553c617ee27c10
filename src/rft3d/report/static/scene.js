// A scene that can be orbited: boxes, camera path, frame thumbnails, floor, point cloud. Drawn on demand only.

let sharedRenderer = null;

/** One WebGL context for the whole page (browsers allow few), or null where there is none. */
function renderer() {
  if (sharedRenderer !== null) return sharedRenderer || null;
  try {
    sharedRenderer = new THREE.WebGLRenderer({ antialias: true, alpha: true });
    sharedRenderer.setPixelRatio(Math.min(devicePixelRatio, 2));
  } catch {
    sharedRenderer = false; // no WebGL here: the caller draws pictures instead
  }
  return sharedRenderer || null;
}

const cssColour = (colour) => {
  const name = /^var\((--[\w-]+)\)$/.exec(colour);
  return new THREE.Color(name ? getComputedStyle(document.documentElement).getPropertyValue(name[1]).trim() : colour);
};

class SceneView {
  constructor(holder, detail, boxes) {
    Object.assign(this, { holder, detail, boxes, items: [], hot: -1 });
    this.gl = renderer();
    this.scene = new THREE.Scene();
    this.camera = new THREE.PerspectiveCamera(50, 1, 0.02, 200);
    this.camera.up.set(0, 0, 1);
    this.canvas = this.gl.domElement;
    this.canvas.view = this; // for a console, and for tests
    this.canvas.setAttribute("aria-label", "3D scene: drag to turn, wheel to zoom, right drag to move");
    this.tags = boxes.map((box) => el("span", { class: "name", style: { color: box.colour } }, box.kind === "object" ? "" : box.label));
    holder.replaceChildren(this.canvas, ...this.tags);
    this.controls = new THREE.OrbitControls(this.camera, this.canvas);
    this.controls.addEventListener("change", () => this.draw());
    this.build();
    this.home();
    this.abort = new AbortController();
    const signal = { signal: this.abort.signal };
    this.canvas.addEventListener("pointermove", (event) => this.point(event), signal);
    this.canvas.addEventListener("pointerleave", () => { this.heat(-1); tip(null, ""); }, signal);
    this.resizer = new ResizeObserver(() => this.resize());
    this.resizer.observe(holder);
    this.resize();
  }

  close() {
    this.abort.abort();
    this.resizer.disconnect();
    this.controls.dispose();
    this.scene.traverse((node) => { node.geometry?.dispose(); node.material?.map?.dispose(); node.material?.dispose?.(); });
    tip(null, "");
  }

  build() {
    this.extent = new THREE.Box3();
    this.boxes.forEach((box, index) => this.addBox(box, index));
    this.addCameras();
    if (this.detail.floor) this.addFloor(this.detail.floor);
    this.addGrid();
    if (this.extent.isEmpty()) this.extent.expandByPoint(new THREE.Vector3()).expandByScalar(2);
  }

  addBox(box, index) {
    const corners = boxCorners(box.box);
    if (!corners) return;
    corners.forEach((corner) => this.extent.expandByPoint(corner));
    const colour = cssColour(box.colour);
    const lines = new THREE.LineSegmentsGeometry();
    lines.setPositions(EDGES.flatMap(([i, j]) => [...corners[i].toArray(), ...corners[j].toArray()]));
    const material = new THREE.LineMaterial({ color: colour, linewidth: box.kind === "object" ? 1.2 : 2.4,
      dashed: Boolean(box.dashed), dashSize: 0.09, gapSize: 0.06 });
    const edges = new THREE.LineSegments2(lines, material);
    edges.computeLineDistances();
    const solid = new THREE.Mesh(new THREE.BoxGeometry(box.box[3], box.box[4], box.box[5]),
      new THREE.MeshBasicMaterial({ color: colour, transparent: true, opacity: box.kind === "object" ? 0 : 0.07, depthWrite: false }));
    solid.rotation.set(box.box[7], box.box[8], box.box[6], "ZXY");
    solid.position.set(box.box[0], box.box[1], box.box[2]);
    solid.userData.index = index;
    this.scene.add(edges, solid);
    this.items[index] = { edges, solid, corners };
  }

  addCameras() {
    const cameras = this.detail.cameras || [];
    const centres = cameras.map((camera) => new THREE.Vector3(camera.T[3], camera.T[7], camera.T[11]));
    centres.forEach((centre) => this.extent.expandByPoint(centre));
    const colour = cssColour("var(--accent)");
    if (centres.length > 1) {
      this.scene.add(new THREE.Line(new THREE.BufferGeometry().setFromPoints(centres), new THREE.LineBasicMaterial({ color: colour })));
    }
    this.thumbs = cameras.map((camera, frame) => this.addThumb(camera, frame, colour));
  }

  /** A frame as a small picture in front of its camera; {plane, distance} or null without the picture. */
  addThumb(camera, frame, colour) {
    const number = this.detail.frames[frame] ?? -1, address = pictureOf(number);
    const [width, height] = address ? sizeOf(number) : [2 * camera.K[2], 2 * camera.K[3]];
    const [fx, fy, cx, cy] = camera.K, depth = 0.36;
    const group = new THREE.Group();
    group.matrixAutoUpdate = false;
    group.matrix.copy(worldFromCamera(camera));
    const corner = (u, v) => new THREE.Vector3(((u - cx) / fx) * depth, ((v - cy) / fy) * depth, depth);
    const rim = [corner(0, 0), corner(width, 0), corner(width, height), corner(0, height)];
    const eye = new THREE.Vector3();
    const rays = rim.flatMap((p, k) => [eye, p, p, rim[(k + 1) % 4]]);
    group.add(new THREE.LineSegments(new THREE.BufferGeometry().setFromPoints(rays), new THREE.LineBasicMaterial({ color: colour })));
    if (address) {
      const plane = new THREE.Mesh(new THREE.PlaneGeometry(width / fx, height / fy), new THREE.MeshBasicMaterial({ side: THREE.DoubleSide }));
      plane.rotation.x = Math.PI; // a plane's y points up, a picture's down
      plane.scale.setScalar(depth);
      plane.position.set(((width / 2 - cx) / fx) * depth, ((height / 2 - cy) / fy) * depth, depth);
      const image = new Image();
      image.onload = () => {
        plane.material.map = new THREE.Texture(image);
        plane.material.map.colorSpace = THREE.SRGBColorSpace;
        plane.material.map.needsUpdate = plane.material.needsUpdate = true;
        this.draw();
      };
      image.src = address;
      plane.userData.centre = [(width / 2 - cx) / fx, (height / 2 - cy) / fy];
      plane.userData.depth = depth;
      group.add(plane);
      group.userData.plane = plane;
    }
    this.scene.add(group);
    return group;
  }

  addFloor(polygon) {
    const points = [...polygon, polygon[0]].map(([x, y]) => new THREE.Vector3(x, y, 0));
    this.scene.add(new THREE.Line(new THREE.BufferGeometry().setFromPoints(points), new THREE.LineBasicMaterial({ color: cssColour("var(--grey)") })));
  }

  /** A metre grid at the height of the floor. */
  addGrid() {
    if (this.extent.isEmpty()) return;
    const { min, max } = this.extent;
    const size = 2 * Math.ceil(0.5 * Math.max(max.x - min.x, max.y - min.y));
    const grid = new THREE.GridHelper(size, size, cssColour("var(--line)"), cssColour("var(--line)"));
    grid.rotation.x = Math.PI / 2;
    grid.position.set((min.x + max.x) / 2, (min.y + max.y) / 2, this.detail.floor ? 0 : min.z);
    grid.renderOrder = -1;
    this.scene.add(grid);
    this.grid = grid;
  }

  setCloud(cloud) {
    const geometry = new THREE.BufferGeometry();
    geometry.setAttribute("position", new THREE.BufferAttribute(cloud.points, 3));
    geometry.setAttribute("color", new THREE.BufferAttribute(Float32Array.from(cloud.colours, (v) => (v / 255) ** 2.2), 3));
    this.cloud = new THREE.Points(geometry, new THREE.PointsMaterial({ size: 2.2, sizeAttenuation: false, vertexColors: true }));
    this.scene.add(this.cloud);
    this.draw();
  }

  /** The whole scene, from above and behind the first camera. */
  home() {
    this.setBackdrop(-1);
    this.frame = -1;
    const centre = this.extent.getCenter(new THREE.Vector3());
    const radius = Math.max(1, 0.5 * this.extent.getSize(new THREE.Vector3()).length());
    const first = this.detail.cameras?.[0];
    const back = first ? new THREE.Vector3(-first.T[2], -first.T[6], 0) : new THREE.Vector3(0, -1, 0);
    if (back.length() < 1e-3) back.set(0, -1, 0);
    const away = back.normalize().applyAxisAngle(new THREE.Vector3(0, 0, 1), 0.55).setZ(0.85).normalize();
    this.camera.fov = 42;
    this.camera.position.copy(centre).addScaledVector(away, radius * 2.45);
    this.controls.enabled = true;
    this.controls.target.copy(centre);
    this.resize();
    this.controls.update();
  }

  /** Through camera `frame`: its picture behind the boxes, in the same perspective. */
  look(frame) {
    this.frame = frame;
    this.controls.enabled = false;
    this.setBackdrop(frame);
    this.resize();
  }

  setBackdrop(chosen) {
    (this.thumbs || []).forEach((group, frame) => {
      group.visible = chosen < 0 || frame === chosen;
      const plane = group.userData.plane;
      if (!plane) return;
      const depth = frame === chosen ? 60 : plane.userData.depth;
      plane.scale.setScalar(depth);
      plane.position.set(plane.userData.centre[0] * depth, plane.userData.centre[1] * depth, depth);
      group.children[0].visible = frame !== chosen;
    });
    for (const part of [this.cloud, this.grid]) if (part) part.visible = chosen < 0;
  }

  /** The view's projection: a free one, or that of the camera looked through, letterboxed into the canvas. */
  project() {
    const camera = this.detail.cameras?.[this.frame];
    this.camera.aspect = this.width / this.height;
    this.camera.updateProjectionMatrix();
    if (!camera) return;
    const [fx, fy, cx, cy] = camera.K;
    const number = this.detail.frames[this.frame];
    const [w, h] = pictureOf(number) ? sizeOf(number) : [2 * cx, 2 * cy];
    const zoom = Math.min(this.width / w, this.height / h); // canvas pixels a picture pixel
    const [padX, padY] = [(this.width / zoom - w) / 2, (this.height / zoom - h) / 2];
    const near = 0.02;
    this.camera.projectionMatrix.makePerspective((near * (-cx - padX)) / fx, (near * (w + padX - cx)) / fx,
      (near * (cy + padY)) / fy, (near * (cy - h - padY)) / fy, near, 200);
    this.camera.projectionMatrixInverse.copy(this.camera.projectionMatrix).invert();
    // OpenCV looks along +z with y down, three.js along -z with y up
    const flip = new THREE.Matrix4().makeRotationX(Math.PI);
    worldFromCamera(camera).multiply(flip).decompose(this.camera.position, this.camera.quaternion, new THREE.Vector3());
    this.camera.updateMatrixWorld();
  }

  resize() {
    this.width = Math.max(1, this.holder.clientWidth);
    this.height = Math.max(1, this.holder.clientHeight);
    this.gl.setSize(this.width, this.height, false);
    this.project();
    this.draw();
  }

  draw() {
    if (this.canvas.view !== this) return;
    cancelAnimationFrame(this.pending);
    this.pending = requestAnimationFrame(() => { this.gl.render(this.scene, this.camera); this.placeTags(); });
  }

  /** A box's label above its highest corner, where that is in front of the camera and no earlier label stands. */
  placeTags() {
    const placed = [];
    this.tags.forEach((tag, index) => {
      const item = this.items[index], top = item && item.corners.reduce((a, b) => (b.z > a.z ? b : a)).clone().project(this.camera);
      tag.hidden = !item || !item.edges.visible || Math.abs(top.z) > 1 || Math.abs(top.x) > 1 || Math.abs(top.y) > 1;
      if (tag.hidden) return;
      const [x, y, half] = [(this.width * (top.x + 1)) / 2, (this.height * (1 - top.y)) / 2, 3.2 * tag.textContent.length];
      tag.hidden = placed.some(([u, v, other]) => Math.abs(u - x) < half + other && Math.abs(v - y) < 11);
      if (tag.hidden) return;
      placed.push([x, y, half]);
      Object.assign(tag.style, { left: `${x.toFixed(1)}px`, top: `${y.toFixed(1)}px` });
    });
  }

  point(event) {
    const { left, top } = this.canvas.getBoundingClientRect();
    const place = new THREE.Vector2(((event.clientX - left) / this.width) * 2 - 1, 1 - ((event.clientY - top) / this.height) * 2);
    const ray = new THREE.Raycaster();
    ray.setFromCamera(place, this.camera);
    const hits = ray.intersectObjects(this.items.filter((item) => item?.solid.visible).map((item) => item.solid), false);
    // the smallest solid under the pointer: a pillow on a bed can be pointed at too
    const size = ({ object }) => object.geometry.parameters.width * object.geometry.parameters.height * object.geometry.parameters.depth;
    const hit = hits.sort((a, b) => size(a) - size(b))[0];
    const index = hit ? hit.object.userData.index : -1;
    this.heat(index);
    tip(event, index < 0 ? "" : boxText(this.boxes[index]));
    this.onpoint?.(index);
  }

  heat(index) {
    if (index === this.hot) return;
    for (const [i, factor] of [[this.hot, 1], [index, 2]]) {
      const item = this.items[i];
      if (!item) continue;
      item.edges.material.linewidth = (this.boxes[i].kind === "object" ? 1.2 : 2.4) * factor;
      item.solid.material.opacity = factor === 2 ? 0.25 : this.boxes[i].kind === "object" ? 0 : 0.07;
    }
    this.hot = index;
    this.draw();
  }

  show(kind, on) {
    this.items.forEach((item, index) => {
      if (item && this.boxes[index].kind === kind) item.edges.visible = item.solid.visible = on;
    });
    this.draw();
  }
}

let openScene = null;

/** A panel with the 3D view (or drawn images) and its list of boxes. Only one is alive at a time. */
function scenePanel(detail, boxes, legend) {
  openScene?.close();
  openScene = null;
  const stage = el("div", { class: "stage" });
  const firstTrue = boxes.findIndex((box) => box.kind === "truth"); // a match is a place among the true boxes
  const predicting = boxes.some((box) => box.kind === "predicted");
  const metBy = new Set(boxes.filter((box) => box.kind === "predicted").map((box) => box.match));
  const rows = boxes.map((box, index) => el("tr", { tabindex: 0, "data-row": index, on: {
    pointerenter: () => openScene?.heat(index), focus: () => openScene?.heat(index), pointerleave: () => openScene?.heat(-1) } },
    el("td", {}, swatch(box.colour), box.label), el("td", {}, box.kind === "predicted" ? fixed(box.iou) : "–"),
    el("td", { class: "reason" }, box.kind === "predicted" ? (box.dashed ? (box.other ? `is a ${box.other[0]}?` : "no match") : `matches ${detail.truth[box.match]?.label ?? "?"}`) : box.kind === "truth" ? `true${predicting ? (metBy.has(index - firstTrue) ? ", found" : ", missed") : ""}` : "in the scene")));
  const list = el("div", { class: "boxes" }, el("table", {}, el("thead", {}, el("tr", {}, el("th", {}, "box"), el("th", {}, "IoU"), el("th", { class: "left" }, "match"))), el("tbody", {}, rows)));
  const controls = el("div", { class: "controls" });
  const panel = el("div", {}, controls, el("div", { class: "look" }, stage, list));
  if (!renderer()) {
    stage.append(el("div", { class: "failed" }, el("p", { class: "soft" }, "This browser has no WebGL, so the scene is drawn from above; the frames below show the same boxes."), planView(detail, boxes)));
    return panel;
  }
  const view = openScene = new SceneView(stage, detail, boxes);
  view.onpoint = (index) => rows.forEach((row, i) => row.classList.toggle("hot", i === index));
  stage.append(el("div", { class: "legend" }, legend.map(([colour, text]) => [swatch(colour), text]), " · drag turns, wheel zooms"));
  const looks = (detail.cameras || []).map((_, frame) => [frame, `frame ${frame}`]);
  if (looks.length) controls.append(choice("Look", [[-1, "freely"], ...looks.map(([f, name]) => [f, `through ${name}`])], -1, (f) => (Number(f) < 0 ? view.home() : view.look(Number(f))), { id: "look-through" }));
  for (const [kind, name] of [["truth", "true boxes"], ["predicted", "predicted boxes"], ["object", "all objects"]]) {
    if (boxes.some((box) => box.kind === kind)) controls.append(toggle(name, true, (on) => view.show(kind, on)));
  }
  if (detail.place !== null && detail.place !== undefined && data.clouds[detail.place] !== undefined) {
    cloudOf(detail.place).then((cloud) => openScene === view && view.setCloud(cloud));
    controls.append(toggle("point cloud", true, (on) => { if (view.cloud) view.cloud.visible = on; view.draw(); }));
  }
  controls.append(el("button", { type: "button", on: { click: () => { panel.querySelector("#look-through") && (panel.querySelector("#look-through").value = "-1"); view.home(); } } }, "reset view"));
  return panel;
}
