"""``rft3d headroom``: what RL can be expected to gain from a model, before any of it is run."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from rft3d.cli._choices import JsonOut, free, say, tell
from rft3d.digests import model_fingerprint
from rft3d.evaluation.headroom import HeadroomConfig, headroom_of_files, read_questions
from rft3d.evaluation.results import TaskHeadroom
from rft3d.evaluation.tables import headroom_table


@dataclass(frozen=True, kw_only=True)
class Args(JsonOut):
    """Compare a model's greedy answers with one sample, the best of k and the consensus of k, task by task.

    The gap from greedy to consensus is what RL can gain by making the model surer of what it knows. Prints a
    table with 95 % intervals over scenes and a sentence a task; --out RUN/headroom.json puts it into the report.
    """

    model: str
    """rooms or rooms-sft (shipped), or a model folder (of rft3d train or rft3d demo)"""
    samples: tuple[Path, ...]
    """samples files, or one folder of rft3d rooms (its samples of every task)"""
    limit: int = 0
    """at most so many questions of a file, evenly spaced over it; 0: all"""
    pictures: Path | None = None
    """folder besides those of the samples files in which their pictures may lie"""
    settings: tyro.conf.OmitArgPrefixes[HeadroomConfig]


def main(args: Args) -> None:
    free(args.out, args.force)
    questions = read_questions(args.samples, args.limit)  # bad files are reported before torch is loaded
    fingerprint = model_fingerprint(args.model)
    from rft3d.models import load_policy

    def measured(task: TaskHeadroom) -> None:
        say(headroom_table(task), f"{task.sentence}\n")

    policy = load_policy(args.model)
    found = headroom_of_files(
        policy, fingerprint, questions, args.settings, measured, told=tell, pictures=args.pictures
    )
    args.write(found)
