"""``python -m rft3d`` is ``rft3d``."""

import sys

from rft3d.cli import main

if __name__ == "__main__":
    sys.exit(main())
