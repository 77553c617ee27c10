"""The whole story on a small machine: rooms, encoders, SFT, RFT, scores, report.

Stands between the roof and everything else: it may use all floors, only ``cli`` uses it.
"""

from rft3d.demo.story import run_demo

__all__ = ["run_demo"]
