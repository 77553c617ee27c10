"""The HTML page from a jinja2 template: every value is escaped, nothing is loaded from a network.

Model texts are untrusted: autoescaping is on for every template, control characters are made
visible, and a script's worth of text is cut to a readable length.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from rft3d import __version__

LONGEST_TEXT = 20_000

# right-to-left overrides could show a text in another order than it has
_BIDI_CONTROLS = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f")

STYLE = "style.css"
LIBRARY = "three.min.js"
CODE = ("core", "charts", "geometry", "overlay", "scene", "answers", "samples", "compare", "rollouts", "main")
"""The page's own code, in this order, in one closure."""


def render_page(**context: Any) -> str:
    """The report's HTML; an undefined name in the template is an error.

    Scripts run only if the page's policy names their hash: those in ``static/`` and no other.
    """
    folder = Path(__file__).parent / "static"
    library = (folder / LIBRARY).read_text(encoding="utf-8")
    parts = [(folder / f"{name}.js").read_text(encoding="utf-8") for name in CODE]
    code = '(() => {\n"use strict";\n' + "\n".join(parts) + "\n})();\n"
    return (
        environment()
        .get_template("page.html.j2")
        .render(
            style=(folder / STYLE).read_text(encoding="utf-8"),
            library=library,
            code=code,
            policy=" ".join(script_hash(text) for text in (library, code)),
            **context,
        )
    )


def script_hash(text: str) -> str:
    """The Content-Security-Policy source that allows exactly this inline script."""
    digest = base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
    return f"'sha256-{digest}'"


def environment(autoescape: bool = True) -> Any:
    """jinja2 with our templates and filters; pages of HTML are escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(clean=clean, percent=percent, number=number, duration=duration)
    made.globals["version"] = __version__
    return made


def clean(text: object, limit: int = LONGEST_TEXT) -> str:
    """``text`` safe to write as UTF-8 and to look at: controls made visible, long texts cut and said so."""
    text = str(text)
    dropped = len(text) - limit
    shown = "".join(_visible(char) for char in text[:limit])
    return f"{shown} … ({dropped:,} more characters)" if dropped > 0 else shown


def one_line(text: object, limit: int = 2000) -> str:
    """:func:`clean` text on one line."""
    return " ".join(clean(text, limit).split())


def _visible(char: str) -> str:
    code = ord(char)
    if char in "\n\t":
        return char
    if code < 0x20:
        return chr(0x2400 + code)
    if 0x7F <= code < 0xA0 or 0xD800 <= code <= 0xDFFF or char in _BIDI_CONTROLS:
        return f"\\u{code:04x}"
    return char


def percent(value: float | None) -> str:
    """0.4123 -> ``41.2``; a dash for None."""
    return "–" if value is None else f"{100.0 * value:.1f}"


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
