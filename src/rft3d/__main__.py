"""``python -m rft3d VERB``: the same as ``rft3d VERB``, for launchers that start a module."""

from rft3d.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
