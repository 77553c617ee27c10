"""What one self-contained page carries: packed data, pictures and point clouds, within a number of bytes.

Data stands in the page as base64 of gzip, in ``<script type="text/plain">`` elements that the page's own
code unpacks when a view needs them. Nothing of it is ever HTML, so no text can become an element.

Model texts are untrusted: autoescaping is on for every template, control characters are made visible, and a
script's worth of text is cut to a readable length.
"""

import base64
import gzip
import hashlib
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rft3d import __version__
from rft3d.evaluation.tables import percent
from rft3d.files import naming
from rft3d.scenes import RoomConfig
from rft3d.scenes.sources import load_frame_ref
from rft3d.tasks.types import Sample

LONGEST_TEXT = 20_000

# right-to-left overrides could show a text in another order than it has
_BIDI_CONTROLS = map(ord, "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f")
_HIDDEN = (*range(0x7F, 0xA0), *range(0xD800, 0xE000), *_BIDI_CONTROLS)
_VISIBLE = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\n\t"}
_VISIBLE |= {code: f"\\u{code:04x}" for code in _HIDDEN}

STYLE = "style.css"
LIBRARY = "three.min.js"
CODE = ("core", "charts", "geometry", "overlay", "scene", "answers", "samples", "compare", "rollouts", "main")
"""The page's own code, in this order, in one closure."""


def render_page(**context: Any) -> str:
    """The report's HTML; an undefined name in the template is an error. Scripts run only if the page's policy
    names their hash: those in ``static/`` and no other."""
    folder = Path(__file__).parent / "static"
    library = (folder / LIBRARY).read_text(encoding="utf-8")
    parts = [(folder / f"{name}.js").read_text(encoding="utf-8") for name in CODE]
    code = '(() => {\n"use strict";\n' + "\n".join(parts) + "\n})();\n"
    page = templates().get_template("page.html.j2")
    style = (folder / STYLE).read_text(encoding="utf-8")
    policy = " ".join(script_hash(text) for text in (library, code))
    return page.render(style=style, library=library, code=code, policy=policy, **context)


def script_hash(text: str) -> str:
    """The Content-Security-Policy source that allows exactly this inline script."""
    digest = base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
    return f"'sha256-{digest}'"


def templates(autoescape: bool = True) -> Any:
    """jinja2 with our templates and filters; pages of HTML are escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        clean=clean, percent=lambda value: percent(value, "–"), number=number, duration=duration
    )
    made.globals["version"] = __version__
    return made


def clean(text: object, limit: int = LONGEST_TEXT) -> str:
    """``text`` safe to write as UTF-8 and to look at: controls made visible, long texts cut and said so."""
    text = str(text)
    dropped = len(text) - limit
    shown = text[:limit].translate(_VISIBLE)
    return f"{shown} … ({dropped:,} more characters)" if dropped > 0 else shown


def one_line(text: object, limit: int = 2000) -> str:
    """:func:`clean` text on one line."""
    return " ".join(clean(text, limit).split())


def number(value: object) -> str:
    """A number in few characters; a dash for None, other things as they are."""
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return clean(value, 200)
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.1f}"


def duration(seconds: float | None) -> str:
    """431.0 -> ``7 min 11 s``."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


PICTURE_WIDTH = 480
"""Wider pictures are scaled down to this; boxes are drawn over them by the page, at any size."""

JPEG_QUALITY = 80


@dataclass
class Budget:
    """Bytes that the page may still take."""

    left: int

    def take(self, size: int, keep: int = 0) -> bool:
        """Take ``size`` bytes if ``keep`` bytes are left afterwards."""
        if self.left - size < keep:
            return False
        self.left -= size
        return True


@dataclass(frozen=True)
class Blob:
    """One data element of the page: its id, its text (base64, so it needs no escaping), a picture's size."""

    id: str
    text: str
    size: str = ""


def pack_json(value: Any) -> str:
    """JSON, gzipped, in base64."""
    return _packed(json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii"), 9)


def _packed(data: bytes, level: int) -> str:
    # without a time stamp, so that equal data give equal pages
    return base64.b64encode(gzip.compress(data, level, mtime=0)).decode("ascii")


def shown(value: Any, limit: int = 8000) -> Any:
    """JSON of records and values, every text made visible and cut (:func:`clean`), numbers finite."""
    if isinstance(value, str):
        return clean(value, limit)
    if is_dataclass(value):
        return {each.name: shown(getattr(value, each.name), limit) for each in fields(value)}
    if isinstance(value, dict):
        return {clean(key, 200): shown(item, limit) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [shown(item, limit) for item in value]
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value


def chunks(
    prefix: str, rows: Iterable[Any], size: int, budget: Budget, keep: int = 0
) -> tuple[list[Blob], int]:
    """``rows`` packed ``size`` at a time into blobs ``<prefix>-<k>`` while they fit, and how many went in."""
    made: list[Blob] = []
    count, waiting = 0, iter(rows)
    while part := list(islice(waiting, size)):
        text = pack_json(part)
        if not budget.take(len(text) + 80, keep):
            break
        made.append(Blob(f"{prefix}-{len(made)}", text))
        count += len(part)
    return made, count


@dataclass
class Pictures:
    """Pictures of the page, each once: :meth:`numbered` names some, :meth:`fill` reads as many as fit."""

    numbers: dict[str, int] = field(default_factory=dict)
    loaders: list[Callable[[], NDArray[np.uint8]]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    dropped: int = 0

    def numbered(
        self, sample: Sample, folder: Path, inside: Sequence[Path], rooms: RoomConfig | None = None
    ) -> tuple[int, ...]:
        """The numbers of a sample's frames, which are read when needed; arguments as :func:`load_frame_ref`."""

        def load(ref: str) -> NDArray[np.uint8]:
            with naming(f"sample {sample.id!r}"):
                return load_frame_ref(ref, folder, rooms, inside)

        keys = [f"{folder.resolve()}|{ref}" for ref in sample.frames]
        for key, ref in zip(keys, sample.frames, strict=True):
            if key not in self.numbers:
                self.numbers[key] = len(self.loaders)
                self.loaders.append(partial(load, ref))
        return tuple(self.numbers[key] for key in keys)

    def fill(self, order: Iterable[int], budget: Budget) -> list[Blob]:
        """Blobs ``p-<number>`` (base64 JPEG) in this order, until the budget is spent."""
        made: list[Blob] = []
        wanted = list(dict.fromkeys(order))
        for place, number in enumerate(wanted):
            try:
                pixels = self.loaders[number]()
                text = base64.b64encode(jpeg(pixels)).decode("ascii")
            except (OSError, ValueError) as error:  # a damaged picture is an OSError
                self.problems.append(str(error))
                continue
            if not budget.take(len(text) + 80):
                self.dropped = len(wanted) - place
                break
            made.append(Blob(f"p-{number}", text, f"{pixels.shape[1]}x{pixels.shape[0]}"))
        return made


def jpeg(picture: NDArray[np.uint8], width: int = PICTURE_WIDTH) -> bytes:
    """``(H, W, 3)`` uint8 as JPEG, at most ``width`` pixels wide."""
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(picture[..., :3]))
    image.thumbnail((width, image.height), Image.Resampling.LANCZOS, reducing_gap=None)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return buffer.getvalue()


def pack_cloud(points: NDArray[np.float64], colours: NDArray[np.uint8]) -> str:
    """``(N, 3)`` world points in metres and ``(N, 3)`` RGB as base64 of gzip. Layout, little endian: float32
    origin x y z and step (metres), then N x 3 uint16 multiples of the step, then N x 3 uint8."""
    origin = points.min(axis=0)
    step = max(float((points - origin).max()) / 65535.0, 1e-6)
    grid = np.round((points - origin) / step).astype("<u2")
    head = np.array([*origin, step], dtype="<f4").tobytes()
    return _packed(head + grid.tobytes() + colours.astype(np.uint8).tobytes(), 6)
