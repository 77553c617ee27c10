"""Floor 5: a run as pages that a person can look at. Imports the floors below, never training."""

from rft3d.report.draw import draw_boxes
from rft3d.report.run_report import ReportConfig, write_report

__all__ = ["ReportConfig", "draw_boxes", "write_report"]
