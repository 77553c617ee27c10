"""Run a policy over a samples file and save its texts: ``predictions.jsonl``.

Scoring happens elsewhere, from the saved file, so it never needs the model again. The run is
resumable: each batch is appended to ``OUT.partial``; a second call with the same model, samples
and settings (checked against ``OUT.partial.meta.json``) goes on after the last whole batch and
writes what an uninterrupted run would have written. At the end the file is renamed to ``OUT``
and its provenance to ``OUT.meta.json``.

Torch is needed only by the policy itself, which the caller loads.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rft3d import process
from rft3d.digests import file_digest
from rft3d.evaluation.consensus import consensus
from rft3d.evaluation.records import (
    Prediction,
    TextPolicy,
    prediction_line,
    read_predictions,
    write_predictions,
)
from rft3d.files import DamagedFile, excerpt, naming, publish, read_json, source_commit, write_json
from rft3d.locks import only_writer
from rft3d.prompts import Generation
from rft3d.scenes.sources import load_frame_ref, picture_folders
from rft3d.settings import Checked, Count, Natural, NotNegative
from rft3d.tasks import make_task
from rft3d.tasks.samples import read_samples
from rft3d.tasks.types import Sample, Task


@dataclass(frozen=True, slots=True)
class PredictConfig(Checked):
    """Settings of generation; all of them are part of the identity of a predictions file."""

    batch_size: Count = 16
    """prompts given to the policy at once"""
    max_new_tokens: Count = 512
    """longest answer; longer ones are cut and marked as truncated"""
    temperature: NotNegative | None = None
    """0 is greedy; when not given 0, with --consensus 0.6"""
    seed: int = 0
    """seed of sampling (no effect when greedy)"""
    consensus: Natural = 0
    """sample so many answers and write the one that they agree on (8 is a good start); 0: one answer alone"""

    def __post_init__(self) -> None:
        Checked.__post_init__(self)
        if self.consensus and (self.consensus < 2 or self.temperature == 0):
            raise ValueError(
                f"consensus={self.consensus} at temperature {self.heat:g}: a consensus needs at least 2 "
                "samples and a temperature above 0, such as 8 and 0.6"
            )

    @property
    def heat(self) -> float:
        """The temperature that answers are sampled at."""
        return (0.6 if self.consensus else 0.0) if self.temperature is None else self.temperature


def predict(
    policy: TextPolicy,
    samples_path: str | Path,
    out: str | Path,
    *,
    model: str,
    config: PredictConfig = PredictConfig(),
    progress: bool = True,
    force: bool = False,
    pictures: str | Path | None = None,
    told: Callable[[str], object] = lambda line: None,
) -> Path:
    """Write one prediction a sample to ``out`` and return it.

    Args:
        policy: what answers.
        samples_path: samples file; frame paths in it are relative to its folder.
        out: predictions file to write. A complete one of the same run is kept as it is.
        model: identity of the weights, e.g. :func:`rft3d.digests.model_fingerprint`; a resumed run must match it.
        config: generation settings.
        progress: show a progress bar with ETA on standard error.
        force: replace what is at ``out``.
        pictures: a folder besides that of the samples file in which pictures may lie.
        told: called with a line about every sample whose picture is damaged; its answer is the empty text.

    Raises:
        ValueError: a picture is missing or lies elsewhere, or the partial or finished file at ``out`` has another
            model, samples file or settings.
        FileNotFoundError: the samples file is missing.
        InUse: another process writes ``out``.
    """
    from rich.console import Console

    samples_path, out = Path(samples_path), Path(out)
    samples = list(read_samples(samples_path))
    if not samples:
        raise ValueError(f"{samples_path} holds no samples; one JSON object a line is needed")
    meta = {
        "model": model,
        "samples": samples_path.name,
        "samples_sha256": file_digest(samples_path),
        **asdict(config),
        "temperature": config.heat,
        "commit": source_commit(),
    }
    inside = picture_folders(samples_path.parent, pictures)
    with only_writer(out):
        if force:
            for name in ("", ".meta.json", ".partial", ".partial.meta.json"):
                out.with_name(out.name + name).unlink(missing_ok=True)
        if out.exists():
            _check_same_run(out, _meta_path(out), meta)
            return out
        partial, size = out.with_name(out.name + ".partial"), config.batch_size
        done = _resume(partial, meta, samples, size)
        shown = process.progress(Console(stderr=True, quiet=not progress), "predict", len(samples), done)
        with shown as advance, partial.open("ab") as stream:
            for start in range(done, len(samples), size):
                batch = samples[start : start + size]
                made = _answers(policy, batch, start, config, inside, told)
                stream.writelines(prediction_line(p).encode("ascii") for p in made)
                stream.flush()
                advance(len(batch), "")
        write_json(_meta_path(out), meta)
        publish(partial, out)
        _meta_path(partial).unlink()
    return out


def load_frames(
    sample: Sample, folder: Path, inside: Sequence[Path | str] | None = None
) -> list[NDArray[np.uint8]]:
    """The sample's pictures, ``(H, W, 3)`` uint8, in prompt order; paths are relative to ``folder``.

    References ``rooms:<seed>/<index>`` are drawn again; ``inside`` as in
    :func:`~rft3d.scenes.sources.load_frame_ref`.

    Raises:
        DamagedFile, ValueError: naming the sample whose picture is damaged, missing or outside.
    """
    with naming(f"sample {sample.id!r}"):
        return [load_frame_ref(reference, folder, inside=inside) for reference in sample.frames]


def _answers(
    policy: TextPolicy,
    batch: Sequence[Sample],
    start: int,
    config: PredictConfig,
    inside: Sequence[Path],
    told: Callable[[str], object],
) -> list[Prediction]:
    """Answers in the batch's order; the text is empty where a picture is damaged."""
    seen: dict[str, list[NDArray[np.uint8]]] = {}
    for sample in batch:
        try:
            seen[sample.id] = load_frames(sample, inside[0], inside)
        except DamagedFile as error:
            told(f"{error}; it is answered by an empty text")
    shown = [sample for sample in batch if sample.id in seen]
    if not shown:
        return [Prediction(sample.id, "", False, 0) for sample in batch]
    # a batch's draws depend on its place alone, so that a resumed run samples the same texts
    groups = policy.sample_texts(
        [sample.turns() for sample in shown], list(seen.values()), config.consensus or 1,
        max_new_tokens=config.max_new_tokens, seed=config.seed * 1_000_003 + start,
        temperature=config.heat,
    )  # fmt: skip
    if len(groups) != len(shown):
        raise ValueError(f"the policy returned {len(groups)} texts for {len(shown)} prompts")
    made = {
        sample.id: agreed(sample, group)
        if config.consensus
        else Prediction(sample.id, group[0].text, group[0].truncated, group[0].tokens)
        for sample, group in zip(shown, groups, strict=True)
    }
    return [made.get(sample.id) or Prediction(sample.id, "", False, 0) for sample in batch]


def agreed(sample: Sample, group: Sequence[Generation], task: Task | None = None) -> Prediction:
    """The consensus of several answers to ``sample``; cut off when all of them are. Tokens are summed up."""
    whole = [each.text for each in group if not each.truncated]
    text = consensus(task or make_task(sample.task), sample, whole) if whole else group[0].text
    return Prediction(sample.id, text, not whole, sum(each.tokens for each in group))


def _meta_path(path: Path) -> Path:
    return path.with_name(path.name + ".meta.json")


def _check_same_run(path: Path, meta_path: Path, meta: dict[str, Any]) -> None:
    if not meta_path.is_file():
        raise ValueError(
            f"{path} exists without {meta_path.name}, so its origin is unknown; move it away first"
        )
    found = read_json(meta_path, dict)
    # another commit may well write other texts, but it is recorded rather than refused
    fields = [name for name in meta if name != "commit"]
    differing = [name for name in fields if found.get(name) != meta[name]]
    if differing:
        name = differing[0]
        raise ValueError(
            f"{path} belongs to another run: {name} was {excerpt(found.get(name))}, now it is {meta[name]!r}; "
            "move it away or choose another --out"
        )


def _resume(partial: Path, meta: dict[str, Any], samples: Sequence[Sample], batch_size: int) -> int:
    """How many predictions ``partial`` holds, cut back to whole batches."""
    if not partial.exists():
        write_json(_meta_path(partial), meta)
        return 0
    _check_same_run(partial, _meta_path(partial), meta)
    with partial.open("rb+") as stream:  # a killed run may leave half a line
        stream.truncate(stream.read().rfind(b"\n") + 1)
    done = read_predictions(partial)
    for prediction, sample in zip(done, samples, strict=False):
        if prediction.id != sample.id:
            raise ValueError(f"{partial} has {prediction.id!r} where {sample.id!r} is expected; remove it")
    if len(done) > len(samples):
        raise ValueError(f"{partial} has {len(done)} predictions for {len(samples)} samples; remove it")
    if len(done) < len(samples):
        done = done[: len(done) - len(done) % batch_size]
    write_predictions(partial, done)
    return len(done)
