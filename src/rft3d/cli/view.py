"""``rft3d view``: a run's questions or a scene in the browser, live."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Args:
    """Orbit a scene with true and predicted boxes, cameras and points in a browser (Ctrl-C ends it).

    Needs pip install 'rft3d[viser]'. Over SSH: ssh -L 8080:localhost:8080 HOST. rft3d report needs no server.
    """

    source: Annotated[str, tyro.conf.Positional]
    """run folder, scene folder or rooms:SEED"""
    tasks: tuple[str, ...] = ()
    """only these tasks"""
    models: tuple[str, ...] = ()
    """only these models (folders of RUN/eval)"""
    ids: tuple[str, ...] = ()
    """only the questions with these ids"""
    limit: int = 24
    """questions of each task, evenly spaced over the file"""
    host: str = "127.0.0.1"
    """address to listen on; 0.0.0.0 shows it to the network"""
    port: int = 8080
    """port; the next free one when it is taken"""


def main(args: Args) -> None:
    import time

    from rft3d.report.exhibit import exhibits
    from rft3d.report.viser_view import start_viewer

    shown = exhibits(args.source, tasks=args.tasks, models=args.models, ids=args.ids, limit=args.limit)
    viewer = start_viewer(list(shown), args.host, args.port)
    print(f"{viewer.url}  (Ctrl-C ends it)", flush=True)
    try:
        while True:
            time.sleep(3600)
    finally:
        viewer.stop()
