from collections.abc import Callable

from rft3d.evaluation import score_files as score_files
from rft3d.geometry import box_iou as box_iou
from rft3d.models import load_policy as load_policy
from rft3d.scenes import make_room as make_room
from rft3d.tasks import as_trl as as_trl
from rft3d.tasks import make_task as make_task

__version__: str

def lazily(package: str, *modules: str) -> Callable[[str], object]: ...
