"""``rft3d compare``: what changed from one predictions file to another, and how sure that is."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from rft3d.cli._choices import Scoring, free, say
from rft3d.evaluation import compare_prediction_files
from rft3d.evaluation.tables import comparison_table


@dataclass(frozen=True, kw_only=True)
class Args(Scoring):
    """Compare two predictions files on the same samples: B minus A, with paired bootstrap intervals.

    Prints the overall numbers and a table by category (class, question type, unique/multiple); where some answers
    cannot be read, also what is left on samples where both can. Needs neither pictures, model nor torch.
    """

    a: tyro.conf.Positional[Path]
    """predictions of the first model (any format that rft3d score takes)"""
    b: tyro.conf.Positional[Path]
    """predictions of the second model"""


def main(args: Args) -> None:
    args.check()
    free(args.out, args.force)
    found = compare_prediction_files(
        args.samples, args.a, args.b, task=args.task, benchmark=args.benchmark, config=args
    )
    args.write(found)
    for name, rows in found.variants.items():
        say(comparison_table(f"{found.b} minus {found.a}, {name} (in %)", rows))
    turned, decided = found.turned, [row.decided for row in found.first.values()]
    say(
        f"{found.samples} samples, {found.scenes} scenes. Single answers: {turned['better']} better, "
        f"{turned['worse']} worse, {turned['same']} the same. In the first table {sum(decided)} of "
        f"{len(decided)} differences exclude 0 (*); at {100 * found.level:.0f} % about one in "
        f"{round(1 / (1 - found.level))} does by luck."
    )
