"""``rft3d cache``: what the feature cache holds, and making it smaller."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from rft3d.files import CacheFolder


@dataclass(frozen=True)
class Args:
    """Show what a folder of cached features holds; clear it or cut it to a size.

    The cache is filled by rft3d train when its recipe has cache.folder (or --cache.folder FOLDER). It may
    be deleted at any time: what is missing is computed again.
    """

    folder: tyro.conf.Positional[Path]
    """folder of the cache"""
    clear: bool = False
    """remove everything in it"""
    keep_gb: float | None = None
    """remove the least recently used clips until at most so many gigabytes (1e9 bytes) are left"""


def main(args: Args) -> None:
    if not args.folder.is_dir():
        raise FileNotFoundError(f"no feature cache at {args.folder}")
    cache = CacheFolder(args.folder)
    if args.clear:
        print(f"removed {cache.clear()} clips")
    elif args.keep_gb is not None:
        print(f"removed {cache.evict(int(args.keep_gb * 1e9))} clips")
    print(cache.describe())
