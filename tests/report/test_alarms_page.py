"""The alarms' fragment: spans from events, right places in the drawing, nothing that could act."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tests.report.runs import make_run, write_lines

from rft3d.report.alarms import alarms_fragment, read_alarms, spans_of
from rft3d.runfolder import Alarm


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("alarms"))


def test_events_become_spans() -> None:
    events = [
        Alarm(12, "many_boxes", "detection", True, 10),
        Alarm(15, "length", "detection", True, 13),
        Alarm(17, "many_boxes", "detection", False, 10),
        Alarm(30, "many_boxes", "detection", True, 28),
        Alarm(40, "never raised", "detection", False, 3),
    ]
    assert [(s.alarm.alarm, s.alarm.since, s.until) for s in spans_of(events)] == [
        ("many_boxes", 10, 17),
        ("length", 13, None),
        ("many_boxes", 28, None),
    ]


def test_the_watched_stage_is_read_and_the_damage_is_said(run: Path) -> None:
    (stage,) = read_alarms(run)
    assert (stage.stage, stage.last, len(stage.spans)) == ("rft", 30, 2)
    assert [span.alarm.alarm for span in stage.active] == ["length"]
    assert "1 unreadable lines" in stage.problems[0]


class Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.opened: list[tuple[str, dict[str, str | None]]] = []
        self.depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.opened.append((tag, dict(attrs)))
        self.depth += tag not in ("rect", "line", "polyline")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.opened.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        self.depth -= 1


def test_the_fragment_shows_alarms_and_cannot_act(run: Path) -> None:
    text = alarms_fragment(run)
    page = Elements()
    page.feed(text)
    tags = {tag for tag, _ in page.opened}
    assert page.depth == 0 and tags <= {
        "div", "p", "b", "i", "span", "svg", "rect", "line", "polyline", "figure", "figcaption"
    }  # fmt: skip
    assert not any(name.startswith("on") or name in ("src", "href") for _, a in page.opened for name in a)
    assert "&lt;script&gt;" in text and "\x00" not in text and "\u202e" not in text
    assert "since step 10, over at step 17" in text and "since step 20, still on" in text
    assert "Match one to one." in text and "2 raised, 1 still on at step 30" in text


def test_the_red_span_and_the_line_are_where_the_steps_are(run: Path) -> None:
    chart = next(c for c in alarms_fragment(run).split("<figure")[1:] if "boxes per true one" in c)
    x, width = (float(v) for v in re.search(r'rect x="([\d.]+)" width="([\d.]+)"', chart).groups())  # type: ignore[union-attr]
    assert x == pytest.approx(250 * 9 / 29, abs=0.1) and width == pytest.approx(250 * 7 / 29, abs=0.1)
    points = re.findall(r"([\d.]+),([\d.]+)", chart.split("polyline")[1])
    assert len(points) == 30 and float(points[0][0]) == 0 and float(points[-1][0]) == 250
    heights = [float(y) for _, y in points]
    assert heights == sorted(heights, reverse=True), "the signal rises, so y falls"


def test_nothing_watched_is_nothing_said(tmp_path: Path) -> None:
    write_lines(tmp_path / "stages" / "sft" / "metrics.jsonl", [{"step": 1, "loss": 2.0}])
    assert alarms_fragment(tmp_path) == ""
    write_lines(tmp_path / "stages" / "rft" / "metrics.jsonl", [{"step": 1, "watch/recall/detection": 0.5}])
    assert "No alarm in 1 steps" in alarms_fragment(tmp_path)
