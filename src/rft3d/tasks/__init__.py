"""Floor 3: a task owns prompt, gold text, parse, score and metric.

To add one: copy ``forkme.py`` and add a line to ``TASKS``. A literal dict: greppable, ordered,
nothing registers itself at import.
"""

from rft3d.tasks.captioning import Captioning
from rft3d.tasks.detection import Detection, detection_truth
from rft3d.tasks.grounding import Grounding
from rft3d.tasks.registry import TASKS, as_trl, make_task, task_of
from rft3d.tasks.samples import read_samples, write_samples
from rft3d.tasks.spatial import Spatial
from rft3d.tasks.types import Sample, Task

__all__ = [
    "TASKS", "Captioning", "Detection", "Grounding", "Sample", "Spatial", "Task", "as_trl", "detection_truth",
    "make_task", "read_samples", "task_of", "write_samples",
]  # fmt: skip
