"""A model evaluated by lmms-eval, scored by us: its sample log is read as it is, protocol by protocol.

    lmms-eval --tasks vsibench --log_samples --output_path logs ...
    rft3d score logs/.../samples_vsibench.jsonl --samples vsi.jsonl --benchmark vsi-bench

Run: python examples/06_lmms_eval.py    # the same from Python, on a log that it writes itself
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from rft3d.evaluation import ScoreConfig, score_benchmark
from rft3d.scenes import frame_refs, make_room
from rft3d.tasks import TASKS, write_samples


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        samples, log = Path(folder) / "vsi.jsonl", Path(folder) / "samples_vsibench.jsonl"
        task = TASKS["spatial"]()
        rooms = [make_room(seed) for seed in range(4)]
        asked = [sample for room in rooms for sample in task.samples(room, frame_refs(room), seed=0)]
        write_samples(samples, asked)
        with log.open("w") as file:  # what --log_samples writes: the text before any filter is resps[0][0]
            for number, sample in enumerate(asked):
                text = task.gold(sample) if number % 2 else f"The answer is {task.gold(sample)}."
                row = {
                    "doc_id": number,
                    "doc": {"id": sample.id},
                    "resps": [[text]],
                    "target": task.gold(sample),
                }
                file.write(json.dumps(row) + "\n")
        found = score_benchmark("vsi-bench", samples, log, ScoreConfig(resamples=100))
    for variant, numbers in found.variants.items():  # prose is right for one, wrong for another
        head = {name: round(each.value, 3) for name, each in numbers.headline.items()}
        print(f"{variant:28} {head}")


if __name__ == "__main__":
    main()
