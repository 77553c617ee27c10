"""Spatial reasoning: VSI-Bench's eight kinds of questions about a room, with and without thoughts."""

from rft3d.tasks.spatial.questions import NUMERIC_TYPES, QUESTION_TYPES, ask
from rft3d.tasks.spatial.task import Spatial
from rft3d.tasks.spatial.view import Limits, Question, View

__all__ = ["NUMERIC_TYPES", "QUESTION_TYPES", "Limits", "Question", "Spatial", "View", "ask"]
