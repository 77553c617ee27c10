"""Every verb with right and with wrong input: a table of exit codes and first lines; fails where one is unexpected.

Run: python .ci/walk_verbs.py    (about three minutes; needs the test environment, no weights, no network)
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.report.runs import make_run  # noqa: E402
from tests.scenes.videos import write_clip  # noqa: E402
from tests.tiny import make_policy  # noqa: E402

WALK = """
0 --version
0 --help
2
2 scor x
0 rooms --seed 0 --count 3 --out r3
2 rooms --seed 0 --count 3 --out r3
0 rooms --seed 0 --count 3 --out r3 --force
2 rooms --seed x --count 3 --out y
2 rooms --count 3
2 rooms --seed 0 --count 1 --out y --lke rooms
2 rooms --seed 0 --count 1 --out y --like nowhere
0 rooms --like model --seed 5 --count 2 --out like
0 try --model model --out tried
2 try --model nowhere
0 detect rooms:4 --model model --max-new-tokens 4 --out d
0 detect r3/scenes/rooms-1 --model model --max-new-tokens 4 --out d
0 detect r3 --model model --max-new-tokens 4 --out d3
0 detect --model model --max-new-tokens 4 --out d4
0 detect walk.mp4 --model model --max-new-tokens 4 --fov 65 --out d5
0 detect r3/scenes/rooms-1/rgb --model model --max-new-tokens 4 --out d6
2 detect walk.mp4 --model model --intrinsics 1 2
2 detect nowhere.mp4 --model model
2 detect rooms:4 --model nowhere
0 ground rooms:4 "the chair" --model model --max-new-tokens 4 --out g
2 ground rooms:4 --model model
0 ask rooms:4 "How many chair(s) are in this room?" --model model --max-new-tokens 2 --out a
2 ask rooms:4 "" --model model
0 samples rooms:8-9 --out s2
2 samples nowhere --out s3
2 samples walk.mp4 --out s3
2 questions r3/scenes/rooms-1/rgb --out q3.jsonl
0 questions rooms:0-3 --out q.jsonl
2 questions rooms:3-0 --out q2.jsonl
0 solve --samples q.jsonl --scenes rooms:0-3 --predictions-out solved.jsonl --out solved.json
0 solve --samples q.jsonl --blind s2/samples.spatial.jsonl
2 solve --samples q.jsonl --blind q.jsonl
2 solve --samples q.jsonl --scenes walk.mp4
2 solve --samples q.jsonl
0 score solved.jsonl --samples q.jsonl --task spatial --resamples 50 --out score.json
2 score solved.jsonl --samples q.jsonl --task spatial --resamples 50 --out score.json
2 score solved.jsonl --samples q.jsonl --task spatail
2 score q.jsonl --samples q.jsonl --task spatial
0 compare solved.jsonl solved.jsonl --samples q.jsonl --task spatial --resamples 50
2 compare solved.jsonl --samples q.jsonl --task spatial
0 leaderboard
2 leaderboard q.jsonl
0 predict --model model --samples r3/samples.spatial.jsonl --max-new-tokens 2 --out p.jsonl
2 predict --model nowhere --samples r3/samples.spatial.jsonl --out p2.jsonl
2 predict --model model --samples r3/samples.spatial.jsonl --consensus 1 --out p2.jsonl
0 headroom --model model --samples r3/samples.spatial.jsonl --limit 4 --k 2 --max-new-tokens 2 --resamples 9
2 headroom --model model --samples nowhere
0 train RECIPES/rooms_rft.py --help
0 train RECIPES/rft_4b_detection.py --dry-run
2 train nowhere.py
2 train RECIPES/rooms_rft.py --stages.0.stepz 3
0 estimate RECIPES/rft_4b_detection.py
2 estimate nowhere.py
0 cache folder
2 cache nowhere
0 watch run --once
2 watch folder --once
0 report run --resamples 20
2 report folder
0 export overlay run --limit 1 --out drawn
2 export overlay run --limit 1 --out drawn
2 export ovrlay run --out drawn2
0 export overlay rooms:4 --out room
0 export overlay r3 --limit 1 --out parent
0 export overlay r3/scenes/rooms-1/rgb --out pictures
0 export overlay walk.mp4 --out video
0 export rerun walk.mp4 --out walk.rrd
2 export overlay folder --out nothing
0 export card run --name sft --out card.md
2 export card run --name nobody --out card2.md
3 data check folder
2 data chekc folder
2 experiment
2 experimnt list
2 demo --quik
"""


def main() -> int:
    bad = 0
    with tempfile.TemporaryDirectory() as scratch:
        here = Path(scratch)
        policy = make_policy()
        policy.task_options["detection"] = {"decimals": 1}
        policy.save(here / "model")
        world = {"frames": 2, "width": 84, "height": 56, "max_objects": 3}
        (here / "model" / "world.json").write_text(json.dumps(world))
        (here / "folder").mkdir()
        make_run(here / "run")
        write_clip(here / "walk.mp4", frames=20)
        for line in WALK.strip().splitlines():
            wanted, *arguments = shlex.split(line.replace("RECIPES", str(ROOT / "recipes")))
            command = [sys.executable, "-m", "rft3d", *arguments]
            done = subprocess.run(
                command, cwd=here, capture_output=True, text=True, env=environment(), check=False
            )
            says = (done.stderr if done.returncode else done.stdout).strip().splitlines() or ["(nothing)"]
            faults = []
            if done.returncode != int(wanted):
                faults.append(f"expected {wanted}")
            if "Traceback" in done.stderr:
                faults.append("a traceback")
            if done.returncode == 2 and arguments and len(says) != 1:
                faults.append(f"{len(says)} lines")
            bad += bool(faults)
            mark = "  <-- " + ", ".join(faults) if faults else ""
            print(f"{done.returncode}  {line.partition(' ')[2][:70]:70}  {says[-1][:110]}{mark}", flush=True)
    print(f"\n{bad} unexpected" if bad else "\nall as expected")
    return int(bad > 0)


def environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}


if __name__ == "__main__":
    sys.exit(main())
