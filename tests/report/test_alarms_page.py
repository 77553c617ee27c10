"""Alarms: spans from events, what the page says of them, nothing that could act."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.report.runs import make_run, write_lines
from tests.report.runs_on_disk import Page

from rft3d.report import ReportConfig, write_report
from rft3d.report.curves import StageMetrics, read_metrics, spans_of
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


def watched(run: Path) -> list[StageMetrics]:
    return [each for each in map(read_metrics, sorted(run.glob("stages/*/metrics.jsonl"))) if each.watched]


def test_the_watched_stage_is_read_and_the_damage_is_said(run: Path) -> None:
    (stage,) = watched(run)
    assert (stage.stage, stage.last, len(stage.spans)) == ("rft", 30, 2)
    assert [span.alarm.alarm for span in stage.active] == ["length"]
    assert "1 unreadable lines" in stage.problems[0]


@pytest.fixture(scope="module")
def page(run: Path) -> str:
    return write_report(run, config=ReportConfig(gallery=0, resamples=5)).read_text(encoding="utf-8")


def test_the_page_says_what_was_seen_and_since_when(page: str) -> None:
    assert "2 raised, 1 still on at step 30" in page and "Match one to one." in page
    assert "since step 10, over at step 17" in page and "since step 20, still on" in page
    assert page.count('class="span active"') == 1 and page.count('class="span"') == 1
    card = page.split("Alarms: what may be reward hacking")[1].split('id="curves"')[0]
    assert "&lt;script&gt;" in card and "<script" not in card and "<img" not in card
    assert not set("\x00\u202e") & set(card) and "alarms.jsonl: 1 unreadable lines" in page


def test_watched_signals_have_a_heading_and_the_place_of_an_honest_policy(run: Path) -> None:
    made = write_report(run, config=ReportConfig(gallery=0, resamples=5))
    (rft,) = [stage for stage in Page(made).index["curves"] if stage["stage"] == "rft"]
    panels = {panel["title"]: panel for panel in rft["panels"]}
    boxes = panels["watch/boxes_per_truth"]
    assert (boxes["heading"], boxes["level"]) == ("boxes per true one", 1.0)
    assert panels["watch/same_answer"]["level"] is None and "heading" not in panels["watch/same_truth"]
    assert "heading" not in panels["reward"]
    spans = Page(made).index["alarms"]
    assert [(span["stage"], span["since"], span["until"]) for span in spans] == [
        ("rft", 10, 17),
        ("rft", 20, None),
    ]
    assert spans[0]["keys"] == ["watch/boxes_per_truth/detection"]


def test_nothing_watched_is_nothing_said(tmp_path: Path) -> None:
    write_lines(tmp_path / "stages" / "sft" / "metrics.jsonl", [{"step": 1, "loss": 2.0}])
    assert watched(tmp_path) == []
    write_lines(tmp_path / "stages" / "rft" / "metrics.jsonl", [{"step": 1, "watch/recall/detection": 0.5}])
    assert "No alarm in 1 steps" in write_report(tmp_path).read_text(encoding="utf-8")
