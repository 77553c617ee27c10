// What the report needs of three.js, and nothing else. Built into three.min.js by build_three.sh.
import {
  BufferAttribute, BufferGeometry, Box3, Color, DoubleSide, Euler, Group,
  GridHelper, Line, LineBasicMaterial, LineSegments, Matrix4, Mesh, MeshBasicMaterial, PerspectiveCamera, PlaneGeometry,
  BoxGeometry, Points, PointsMaterial, Raycaster, SRGBColorSpace, Scene, Texture, Vector2, Vector3, WebGLRenderer,
} from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";
import { LineMaterial } from "three/addons/lines/LineMaterial.js";
import { LineSegments2 } from "three/addons/lines/LineSegments2.js";
import { LineSegmentsGeometry } from "three/addons/lines/LineSegmentsGeometry.js";

globalThis.THREE = {
  BufferAttribute, BufferGeometry, Box3, Color, DoubleSide, Euler, Group,
  GridHelper, Line, LineBasicMaterial, LineSegments, Matrix4, Mesh, MeshBasicMaterial, PerspectiveCamera, PlaneGeometry,
  BoxGeometry, Points, PointsMaterial, Raycaster, SRGBColorSpace, Scene, Texture, Vector2, Vector3, WebGLRenderer,
  OrbitControls, LineMaterial, LineSegments2, LineSegmentsGeometry,
};
