"""A folder of run folders: every run gets its page, the one above them links to it; damaged tables are refused."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import pytest
from tests.report.runs_on_disk import make_run

from rft3d.cli import main
from rft3d.report.overview import runs_below, write_overview

TABLES = {
    "state": "1 of 2 arms are done.",
    "sections": [
        {
            "name": "rewards",
            "question": "Which reward?",
            "claims": {
                "head": ["claim", "measure", "difference", "n", "verdict"],
                "rows": [["a < b", "detection f1: <script>alert(1)</script>", "+1.0", "4", "**holds**"]],
            },
            "arms": {"head": ["arm", "F1"], "rows": []},
            "pictures": [
                ["sweep.svg", "F1 against <i>rooms</i>"],
                ["../../secret.svg", "no"],
                ["gone.svg", "no"],
            ],
        }
    ],
}
SVG = '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("matrix")
    for seed in (0, 1):
        make_run(root / "rooms" / f"seed{seed}", seed=3 + seed, count=2)
    (root / "thoughts" / "seed0" / "stages").mkdir(parents=True)
    (root / "tables.json").write_text(json.dumps(TABLES))
    (root / "images").mkdir()
    (root / "images" / "sweep.svg").write_text(SVG)
    (root.parent / "secret.svg").write_text(SVG)
    return root


def test_runs_are_found_but_not_inside_each_other(matrix: Path) -> None:
    names = [str(run.relative_to(matrix)) for run in runs_below(matrix)]
    assert names == ["rooms/seed0", "rooms/seed1", "thoughts/seed0"]
    assert runs_below(matrix / "rooms" / "seed0") == [], "a run is a run, whatever lies in it"
    assert runs_below(matrix / "nowhere") == []


def test_every_run_has_its_page_and_the_upper_one_links_to_it(
    matrix: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(matrix), "--gallery", "1", "--resamples", "20"]) == 0
    page = Path(capsys.readouterr().out.strip().splitlines()[-1])
    assert page == matrix / "report" / "index.html"
    html = page.read_text(encoding="utf-8")
    links = re.findall(r'href="([^"#]+)"', html)
    assert len(links) == 2 and all((page.parent / link).is_file() for link in links)
    assert "is not a run folder" in html, "the run that has not begun is named with the reason"
    assert "Which reward?" in html and "1 of 2 arms are done." in html
    assert '<td class="holds">holds</td>' in html
    assert "<script" not in html and "&lt;script&gt;" in html
    shown = re.findall(r'<img src="data:image/svg\+xml;base64,([^"]+)" alt="([^"]+)"', html)
    assert [(base64.b64decode(data).decode(), what) for data, what in shown] == [
        (SVG, "F1 against &lt;i&gt;rooms&lt;/i&gt;")
    ], "in an <img> a script does not run; nothing from outside the folder, nothing that is not there"


def test_tables_of_another_shape_are_refused(matrix: Path, tmp_path: Path) -> None:
    root = tmp_path / "runs"
    make_run(root / "a", count=1)
    for wrong in ("[1]", "{"):
        (root / "tables.json").write_text(wrong)
        with pytest.raises(ValueError, match=r"tables\.json"):
            write_overview(root, runs_below(root), resamples=5)
    assert not (root / "report").exists(), "nothing half-written"
    (root / "tables.json").write_text('{"state": 1, "sections": [{"name": "x", "claims": []}, 7]}')
    page = write_overview(root, runs_below(root), resamples=5).read_text(encoding="utf-8")
    assert "<h2>x</h2>" in page, "what can be read is shown"


def test_a_bad_number_is_not_taken_for_an_empty_run(matrix: Path) -> None:
    with pytest.raises(ValueError, match="max_mb must lie between 2 and 1000, got 0"):
        write_overview(matrix, runs_below(matrix), max_mb=0)


def test_only_runs_without_anything_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a" / "stages").mkdir(parents=True)
    with pytest.raises(ValueError, match="none of its 1 run folders has anything to report on"):
        write_overview(tmp_path, runs_below(tmp_path))
