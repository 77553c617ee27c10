"""What a run changed from its defaults, and depth that is made when the report asks for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tests.report.runs_on_disk import Page, make_run

from rft3d.evaluation import Prediction, write_dataset, write_predictions
from rft3d.files import write_json
from rft3d.report import ReportConfig, write_report
from rft3d.report.scene_facts import drawn_again, point_cloud
from rft3d.scenes import RoomConfig, iter_rooms
from rft3d.scenes.folder import read_scene
from rft3d.scenes.images import load_depth
from rft3d.tasks import TASKS, read_samples

ROOMS = RoomConfig(frames=2, min_objects=3, max_objects=3)


def test_one_run_shows_what_differs_from_its_defaults(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", count=2)
    html = write_report(run, config=ReportConfig(resamples=5)).read_text()
    assert "so what was changed is not known" in html and 'id="changed"' not in html
    write_json(run / "defaults.json", {"seed": 3, "steps": 4321, "gone": [1]})
    html = write_report(run, config=ReportConfig(resamples=5)).read_text()
    table = html.split('id="changed"')[1].split("</table>")[0]
    assert "<td>steps</td><td>30</td>" in table and "4321" in table and "gone.0" in table
    assert "seed" not in table
    write_json(run / "defaults.json", {"seed": 3, "steps": 30})
    assert "All settings are the defaults." in write_report(run, config=ReportConfig(resamples=5)).read_text()


def test_rooms_of_the_gallery_are_drawn_again_for_their_depth(tmp_path: Path) -> None:
    tasks = {"grounding": TASKS["grounding"]()}
    write_dataset(iter_rooms(range(8), ROOMS), tmp_path, tasks=tasks, with_depth=False)
    assert Page(write_report(tmp_path, config=ReportConfig(resamples=5))).index["clouds"] == {}, (
        "other rooms without a config"
    )
    write_json(tmp_path / "config.json", {"rooms": ROOMS})
    answers = tmp_path / "mine" / "grounding.predictions.jsonl"
    samples = list(read_samples(tmp_path / "samples.grounding.jsonl"))
    write_predictions(answers, [Prediction(s.id, "[]") for s in samples])
    page = Page(write_report(tmp_path, config=ReportConfig(resamples=5, gallery=6)))
    assert 1 <= len(page.index["clouds"]) <= 6
    folder = sorted((tmp_path / "scenes").iterdir())[0]
    room, kept = next(iter_rooms([int(folder.name.removeprefix("rooms-"))], ROOMS)), read_scene(folder)
    again = drawn_again(kept, ROOMS)
    assert again is not None and point_cloud(kept) is None
    assert np.array_equal(load_depth(again.frames[0]), load_depth(room.frames[0]))
    assert drawn_again(kept, RoomConfig()) is None
