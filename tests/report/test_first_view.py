"""What the report says first: the verdict, the red line over unreadable answers, the headroom."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tests.report.runs_on_disk import make_run

from rft3d.digests import file_digest
from rft3d.evaluation import read_predictions, write_predictions
from rft3d.evaluation.records import Prediction
from rft3d.evaluation.results import AtTemperature, Headroom, TaskHeadroom
from rft3d.evaluation.stats import Difference
from rft3d.files import write_json
from rft3d.report import ReportConfig, write_report
from rft3d.report.run_folder import read_run_folder
from rft3d.report.runs import Joined, join_runs
from rft3d.report.tables import alarms_of_reading, difference_view, headroom_view, verdicts


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("first") / "run")


def joined(run: Path) -> Joined:
    return join_runs([read_run_folder(run, 20)], 20)


def test_the_verdict_counts_and_says_whether_it_is_a_difference(run: Path) -> None:
    made = joined(run)
    said = verdicts(made)
    assert len(said) == 3 == len(made.tasks)
    fewer = replace(made, tasks=made.tasks[:2])
    *_, before = verdicts(fewer)
    assert before.startswith("SFT found ") and " objects and found " in before, "from where both came"
    assert " objects, " in said[0] and said[0].endswith(
        ("beyond chance.", "within chance.", "the same f1@0.25.")
    )


def test_unreadable_answers_are_said_in_red_and_readable_ones_are_not(run: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(run, broken)
    file = next((broken / "eval").glob("*/detection.predictions.jsonl"))
    for scores in broken.rglob("*.scores.json"):
        scores.unlink()
    write_predictions(file, [Prediction(each.id, "no idea") for each in read_predictions(file)])
    before, after = alarms_of_reading(joined(run)), alarms_of_reading(joined(broken))
    assert len(after) == len(before) + 1
    assert any("100.0 % of its detection answers cannot be read" in text for text in after)
    told: list[str] = []
    page = write_report(broken, config=ReportConfig(gallery=0, resamples=2), warn=told.append).read_text()
    [card] = re.findall(r'<div class="card alarm".*?</div></div>', page)
    assert told == after and all(text in card for text in after), "one card, however many models it is about"


def test_headroom_says_how_much_of_the_gap_is_closed(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    made = joined(copy)
    assert headroom_view(made) == []
    task = made.tasks[0]
    ids = [sample.id for sample in task.samples]
    value = [*task.answered.values()][-1].run.summary.metrics["f1@0.25"]
    spread = {"level": 0.95, "scenes": 2, "samples": 4, "resamples": 9, "share_b_above_a": 1.0}
    gap = Difference(a=value - 0.1, b=value + 0.1, difference=0.2, low=0.1, high=0.3, **spread)

    def view(gap: Difference, digest: str) -> tuple[str, list[str]]:
        row = AtTemperature(0.5, 0.0, {}, {"consensus": {"f1@0.25": gap}})
        found = TaskHeadroom("detection", 4, 4, 2, ("f1@0.25",), (row,), "A gap.", "", digest, tuple(ids))
        write_json(copy / "headroom.json", Headroom("m", None, (found,)))
        return headroom_view(joined(copy))[0]

    digest, title = (
        file_digest(copy / "eval" / "detection.samples.jsonl"),
        [*task.answered.values()][-1].run.title,
    )
    sentence, closed = view(gap, digest)
    assert sentence == "A gap."
    assert f"{title} has closed 50 % of the gap of 20.0 points" in closed
    lost = replace(gap, a=value + 0.1, b=value + 0.3)  # what lost has closed nothing, not less than nothing
    assert f"{title} has closed 0 % of the gap of 20.0 points" in view(lost, digest)[1]
    assert view(lost, "others")[1] == []


def test_what_reads_zero_is_a_tie_and_has_no_interval_of_zeros(run: Path) -> None:
    found = joined(run).tasks[0].between(0, 0)[0]["f1@0.25"]
    same = difference_view(replace(found, difference=1e-17, low=0.0, high=0.0), 5)
    assert same["tied"] and same["still"] and same["direction"] == ""
    wide = difference_view(replace(found, difference=4e-4, low=-0.01, high=0.02), 5)
    assert wide["tied"] and not wide["still"] and wide["direction"] == ""
    clear = difference_view(replace(found, difference=0.02, low=0.01, high=0.03), 5)
    assert not clear["tied"] and clear["direction"] == "up"
