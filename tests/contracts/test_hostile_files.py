"""What strangers' files say of their own size and place is checked first; one line names the file."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from tests.report.runs import make_run

from rft3d.cli import main
from rft3d.datasets.extract import read_sens
from rft3d.evaluation.outside import READERS
from rft3d.evaluation.tables import comparison_table
from rft3d.files import excerpt, read_json
from rft3d.models import load_policy
from rft3d.report.live import read_stages, render_run
from rft3d.report.run_folder import read_run_folder
from rft3d.scenes.clips import read_clip
from rft3d.scenes.images import read_image
from rft3d.scenes.readers.records import iter_objects, parquet_rows, picture_size


def _png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("size", [(50_000, 50_000), (12_000, 9_000)])
@pytest.mark.parametrize("read", [read_image, picture_size, read_clip])
def test_a_picture_that_says_it_is_huge(tmp_path: Path, read, size: tuple[int, int]) -> None:
    (tmp_path / "big.png").write_bytes(_png(*size))
    with pytest.raises(ValueError, match=r"big\.png cannot be read .*pixels"):
        read(tmp_path / "big.png")


@pytest.mark.parametrize("cut", [0, 7, 20, 40, 60, 200])
def test_a_damaged_picture_is_named(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "cut.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ValueError, match=r"cut\.png cannot be read"):
        read_image(path)


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 200_000, '{"a": 1', "\x00", ""])
def test_json_that_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    for read in (read_json, lambda file: list(iter_objects(file)) or read_json(file)):
        with pytest.raises(ValueError, match=r"x\.json"):
            read(path)


def _sheet(path: Path, cells: str, padding: int = 0) -> Path:
    main_part = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    relations = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006/"
    office = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{package}content-types">'
        f'<Override PartName="/xl/workbook.xml" ContentType="{office}.sheet.main+xml"/>'
        f'<Override PartName="/xl/s.xml" ContentType="{office}.worksheet+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{package}relationships"><Relationship Id="a" '
        f'Type="{relations}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main_part}" xmlns:r="{relations}"><sheets>'
        '<sheet name="s" sheetId="1" r:id="b"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}relationships"><Relationship Id="b" '
        f'Type="{relations}/worksheet" Target="s.xml"/></Relationships>',
        "xl/s.xml": f'<worksheet xmlns="{main_part}"><sheetData>{cells}</sheetData></worksheet>',
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
        archive.writestr("padding", b"\0" * padding)
    return path


def _row(number: int, **cells: str) -> str:
    inside = "".join(
        f'<c r="{col}{number}" t="inlineStr"><is><t>{text}</t></is></c>' for col, text in cells.items()
    )
    return f'<row r="{number}">{inside}</row>'


HEAD = _row(1, A="id", B="prediction")


def test_a_sheet_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openpyxl")
    read = READERS["vlmevalkit"]
    good = _sheet(tmp_path / "good.xlsx", HEAD + _row(2, A="q1", B="yes"))
    assert [row.text for row in read(good)] == ["yes"]
    monkeypatch.setattr("rft3d.evaluation.outside.MAX_SHEET_ROWS", 1000)
    with pytest.raises(ValueError, match=r"far\.xlsx.*row 1001 lies beyond MAX_SHEET_ROWS=1000"):
        list(read(_sheet(tmp_path / "far.xlsx", HEAD + _row(1_048_576, XFD="x"))))
    with pytest.raises(ValueError, match=r"wide\.xlsx.*row 2 lies beyond .*MAX_SHEET_COLUMNS=256"):
        list(read(_sheet(tmp_path / "wide.xlsx", HEAD + _row(2, IW="x"))))
    monkeypatch.setattr("rft3d.evaluation.outside.MAX_SHEET_BYTES", 1_000_000)
    with pytest.raises(ValueError, match=r"bomb\.xlsx.*more than MAX_SHEET_BYTES=1000000"):
        list(read(_sheet(tmp_path / "bomb.xlsx", HEAD, padding=2_000_000)))


def test_damaged_sheets_are_named(tmp_path: Path) -> None:
    pytest.importorskip("openpyxl")
    whole = _sheet(tmp_path / "whole.xlsx", HEAD + _row(2, A="q1", B="yes")).read_bytes()
    random, path, refused = np.random.default_rng(0), tmp_path / "damaged.xlsx", 0
    for _ in range(60):
        data = bytearray(whole)
        for place in random.integers(0, len(data), 4):
            data[place] = random.integers(0, 256)
        path.write_bytes(data[: random.integers(1, len(data) + 1)])
        try:
            list(READERS["vlmevalkit"](path))
        except ValueError as error:
            refused += 1
            assert str(path) in str(error)
    assert refused > 40


def test_a_recording_that_says_it_is_huge(tmp_path: Path) -> None:
    head = struct.pack("<IQ", 4, 0) + np.eye(4, dtype="<f4").tobytes() * 4 + struct.pack("<2i", 2, 1)
    (tmp_path / "a.sens").write_bytes(head + struct.pack("<4IfQ", 2**31, 2**31, 640, 480, 1000.0, 2**60))
    with pytest.raises(ValueError, match=r"a\.sens: frames of 2147483648x2147483648 .*MAX_PIXELS"):
        read_sens(tmp_path / "a.sens")
    (tmp_path / "b.sens").write_bytes(head + struct.pack("<4IfQ", 640, 480, 640, 480, 1000.0, 2**60))
    assert read_sens(tmp_path / "b.sens").truncated  # 2**60 declared frames cost nothing


def test_a_list_of_other_files_is_no_video(tmp_path: Path) -> None:
    pytest.importorskip("av")
    from rft3d.scenes.clips import write_video

    frames = [np.full((32, 32, 3), value, np.uint8) for value in (0, 90, 180)]
    write_video(tmp_path / "secret.mp4", frames, fps=5)
    assert len(read_clip(tmp_path / "secret.mp4").frames) > 1
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile 'secret.mp4'\n")
    with pytest.raises(ValueError, match=r"list\.mp4 cannot be read as a video"):
        read_clip(tmp_path / "list.mp4")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.safetensors", b"\xff" * 7 + b"\x7f{}"),
        ("model.safetensors", b""),
        ("tokenizer.json", b'{"version": 7}'),
        ("tokenizer.json", b"["),
        ("config.json", b'{"model_type": "rft3d_qwen2_5_vl", "text_config": 7}'),
        ("config.json", b"[" * 100_000),
        ("rft3d_policy.json", b"[]"),
        ("rft3d_policy.json", b'{"backbone": "tiny", "frame_size": "x"}'),
    ],
)
def test_odd_model_folders_are_named(tmp_path: Path, name: str, content: bytes) -> None:
    from rft3d.files import model_folder

    folder = tmp_path / "model"
    folder.mkdir()
    for file in model_folder("rooms").iterdir():
        (folder / file.name).symlink_to(file)
    load_policy(folder)
    (folder / name).unlink()
    (folder / name).write_bytes(content)
    with pytest.raises(ValueError) as caught:
        load_policy(folder)
    assert str(folder) in str(caught.value)


def test_excerpts_are_short_whatever_they_quote() -> None:
    shared: list = []
    for _ in range(200):
        shared = [shared, shared]
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    for value in (
        shared,
        deep,
        "x" * 10**6,
        {"k" * 999: shared},
        10**5000,
        np.zeros(10**6),
        ValueError("a\n" * 999),
    ):
        assert len(excerpt(value)) <= 80


def test_the_last_resort_is_one_line(monkeypatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)

    def broken(*_: object) -> int:
        raise RuntimeError("a bug\nof two lines")

    monkeypatch.setattr("rft3d.cli._run", broken)
    assert main(["score"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "RuntimeError: a bug of two lines" in said
    (trace,) = tmp_path.glob("rft3d-*.trace.txt")
    assert str(trace) in said and "in broken" in trace.read_text()


@pytest.mark.parametrize("name", ["MAX_ROWS", "MAX_COLUMNS", "MAX_UNPACKED"])
def test_what_parquet_says_of_itself_is_bounded(monkeypatch, tmp_path: Path, name: str) -> None:
    pyarrow, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "s.parquet"
    pq.write_table(pyarrow.table({"a": [1, 2]}), path)

    def rows() -> list[object]:
        return [row for _, row in parquet_rows(path)]

    assert rows() == [{"a": 1}, {"a": 2}]
    monkeypatch.setattr(f"rft3d.scenes.readers.records.{name}", 0)
    with pytest.raises(ValueError, match=rf"s\.parquet.*it says it has \d+, more than {name} = 0"):
        rows()
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"s\.parquet cannot be read"):
        rows()


def test_one_endless_record_is_refused(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr("rft3d.scenes.readers.records.CHUNK", 1000)
    monkeypatch.setattr("rft3d.scenes.readers.records.MAX_RECORD", 10_000)
    (tmp_path / "a.json").write_text('[{"a": "' + "x" * 100_000)
    with pytest.raises(ValueError, match=r"a\.json: record 0 is longer than MAX_RECORD=10000 characters"):
        list(iter_objects(tmp_path / "a.json"))


def test_times_without_end_are_watched(tmp_path: Path) -> None:
    stage = tmp_path / "stages" / "sft"
    stage.mkdir(parents=True)
    (stage / "stage.json").write_text('{"steps": 1e999}')
    rows = (
        '{"step": 1, "time": 1e999, "loss": 1e999}',
        '{"step": 2, "time": -1e308}',
        '{"step": 3, "time": 1e308}',
    )
    rows += (
        '{"step": 4, "time": 5}',
        '{"step": 4, "time": 6, "loss": 1}',
        f'{{"step": {10**400}, "time": 7}}',
    )
    rows += ('{"step": true, "time": 8}', '{"step": 5, "time": "9"}')
    (stage / "metrics.jsonl").write_text("\n".join(rows))
    (state,) = read_stages(tmp_path, now=0.0)
    assert (state.step, state.steps, state.seconds_a_step, state.left_s) == (4, None, None, None)
    Console(file=io.StringIO()).print(render_run(tmp_path))


def test_damaged_scores_are_made_again(tmp_path: Path) -> None:
    make_run(tmp_path, samples=2, steps=5)
    file = tmp_path / "eval" / "sft" / "detection.scores.json"
    scores = json.loads(file.read_text())
    for change in ({"headline": {"f1": 7}}, {"samples": "two"}, {"reward": None}, {"metrics": {"a": [1]}}):
        file.write_text(json.dumps({**scores, **change}))
        notes = " ".join(read_run_folder(tmp_path, resamples=2).notes)
        assert (
            f"eval/sft/detection.scores.json is damaged (eval/sft/detection.scores.json.{next(iter(change))}"
            in notes
        )


def test_a_killed_worker_is_one_line(monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(*_: object) -> int:
        raise BrokenProcessPool("a process in the pool was terminated abruptly")

    monkeypatch.setattr("rft3d.cli._run", broken)
    assert main(["data"]) == 2
    assert capsys.readouterr().err == (
        "rft3d data: a worker process was killed (for want of memory?); start again, with fewer --workers\n"
    )


def test_names_with_brackets_are_printed_as_they_are() -> None:
    page = io.StringIO()
    Console(file=page, width=200).print(comparison_table("[/red]a[bold].jsonl minus [b]", {}))
    assert "[/red]a[bold].jsonl minus [b]" in page.getvalue()
