"""Scan2Cap (dense captioning): describe the object at a detected place; scored where the detection is good.

Protocol
    One question for each object of ScanRefer's validation split, about the centre of the Mask3D proposal of
    highest IoU with it, in the first frame's camera. A caption counts where that IoU is at least 0.5, and is
    the empty text elsewhere. All descriptions of the object are references. CIDEr, BLEU-4, METEOR and
    ROUGE-L over all objects, each times 100; words are lower-cased, cut at spaces, with ``.`` and ``,`` apart
    and between ``sos`` and ``eos``.
Source
    Scan2Cap (arXiv 2012.02206); VG-LLM (arXiv 2505.24625), ``tasks/scan2cap/utils.py``. Formulas:
    :mod:`rft3d.tasks.caption_metrics`. The number of objects (2,068) is from memory.
Deviations of our own variant
    1. No caption earns nothing; upstream's is ``sos eos`` and matches these two words.
    2. A refusal, JSON or a single word is no caption; a truncated answer earns nothing.
    3. Inside ``<answer>`` when there are tags.
    4. CIDEr's document frequencies are not resampled.
There is **no METEOR** in either variant: its scorer is a Java program with WordNet and a paraphrase table, and
re-implementations without these give other numbers.
``--compat vg-llm`` undoes the first three, and cuts texts for ROUGE-L at single spaces, so that empty words count.
Samples that ask about true boxes (``rft3d data prepare scan2cap`` without ``--proposals``) have IoU 1 everywhere:
not comparable with published numbers, and said so.
"""

from collections import Counter

from rft3d.evaluation.benchmarks.types import Benchmark, Inputs, Variant
from rft3d.tasks.caption_metrics import caption_words
from rft3d.tasks.captioning import Captioning, pool_captions

HEADLINE = ("cider@0.5", "bleu4@0.5", "rouge_l@0.5")


def variants(inputs: Inputs) -> list[Variant]:
    """Ours, and upstream's when asked for."""
    task = Captioning()
    true_boxes = all(sample.truth["iou"] == 1.0 for sample in inputs.samples)
    about = "about true boxes: NOT the published protocol" if true_boxes else "about detected boxes"
    unreadable = Counter(score.failure.reason for score in inputs.scores if score.failure is not None)
    pools = task.pools(inputs.samples, inputs.scores)
    note = f"{about}; text that is not a caption earns nothing; no METEOR"
    found = [Variant("ours", note, pools, task.metric_from, HEADLINE, unreadable)]
    if inputs.compat == "vg-llm":
        empty = ("sos", "eos")
        words = [caption_words(prediction.text) or empty for prediction in inputs.predictions]
        found.append(
            Variant(
                "vg-llm",
                f"{about}; every text as it is, no caption is 'sos eos'; no METEOR",
                pool_captions(inputs.samples, words, empty, [p.text for p in inputs.predictions]),
                task.metric_from,
                HEADLINE,
                truncated="scored like any other",
            )
        )
    return found


SCAN2CAP = Benchmark(
    name="scan2cap",
    title="Scan2Cap (dense captioning)",
    task="captioning",
    protocol=__doc__ or "",
    variants=variants,
    official={"samples": 2068, "scenes": 141},
)
