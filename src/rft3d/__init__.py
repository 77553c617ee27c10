"""rft3d: reinforcement fine-tuning for video-based 3D scene understanding.

A stack of floors; imports go down only (``docs/floors.md``). Importing this package loads
nothing heavy: torch begins with :mod:`rft3d.models`.
"""

__version__ = "0.1.0"
