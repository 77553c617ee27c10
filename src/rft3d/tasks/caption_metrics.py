"""How alike a caption and its references are: BLEU-4, ROUGE-L and CIDEr-D, from their published formulas.

* BLEU: K. Papineni et al., "BLEU: a method for automatic evaluation of machine translation" (ACL 2002).
  Clipped n-gram matches and lengths are summed over the data set; the reference length nearest to the
  caption's counts (the shorter of two equally near ones).
* ROUGE-L: C.-Y. Lin, "ROUGE: a package for automatic evaluation of summaries" (2004), with beta = 1.2 and the
  best precision and the best recall over the references, as the COCO caption evaluation has it.
* CIDEr-D: R. Vedantam et al., "CIDEr: consensus-based image description evaluation" (CVPR 2015, equation 4),
  sigma = 6, factor 10. A perfect caption scores 10, and published tables print 100 times the score: 0.786 is
  "78.6". Weights are counts, not frequencies: the COCO evaluation's reading, which differs in the clipping.

METEOR is missing on purpose: its official scorer is a Java program with WordNet's synonyms and a paraphrase
table, and a Python version without these gives other numbers.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

Words = tuple[str, ...]
Gram = tuple[str, ...]
ORDERS = (1, 2, 3, 4)
BETA = 1.2
SIGMA = 6.0


def caption_words(text: str) -> Words:
    """The words of a caption as Scan2Cap's evaluation cuts them: lower case, full stops and commas apart,
    between ``sos`` and ``eos``. Nothing for a text without words.
    """
    words = text.lower().replace(".", " . ").replace(",", " , ").split()
    return ("sos", *words, "eos") if words else ()


def spaced_words(text: str) -> Words:
    """The words that upstream's ROUGE-L sees: cut at *single* spaces, so that empty words count.

    ``". "`` becomes `` .  ``, whose two spaces hold one. Its other metrics cut at any white space.
    """
    return tuple(f"sos {text.lower().replace('.', ' . ').replace(',', ' , ')} eos".split(" "))


def grams(words: Words, order: int) -> Counter[Gram]:
    """How often each run of ``order`` words occurs."""
    return Counter(words[i : i + order] for i in range(len(words) - order + 1))


def bleu_counts(words: Words, references: Sequence[Words]) -> dict[str, float]:
    """What one caption adds to the sums of :func:`bleu4`."""
    length = len(words)
    nearest = min((len(ref) for ref in references), key=lambda n: (abs(n - length), n), default=0)
    counts = {"bleu:length": float(length), "bleu:reference": float(nearest)}
    for order in ORDERS:
        most: Counter[Gram] = Counter()
        for ref in references:
            most |= grams(ref, order)
        mine = grams(words, order)
        counts[f"bleu:guessed{order}"] = float(mine.total())
        counts[f"bleu:matched{order}"] = float((mine & most).total())
    return counts


def bleu4(totals: Mapping[str, float]) -> float:
    """Geometric mean of four precisions times the brevity penalty; 0 when an order has no match."""
    logs = 0.0
    for order in ORDERS:
        matched, guessed = totals.get(f"bleu:matched{order}", 0.0), totals.get(f"bleu:guessed{order}", 0.0)
        if not matched:
            return 0.0
        logs += math.log(matched / guessed) / len(ORDERS)
    length, reference = totals["bleu:length"], totals["bleu:reference"]
    return math.exp(logs + min(0.0, 1.0 - reference / length))


def rouge_l(words: Words, references: Sequence[Words]) -> float:
    """F-measure of the longest common subsequence, in [0, 1]."""
    if not words:
        return 0.0
    shared = [(common_length(words, ref), len(ref)) for ref in references if ref]
    precision = max((n / len(words) for n, _ in shared), default=0.0)
    recall = max((n / length for n, length in shared), default=0.0)
    if not precision or not recall:
        return 0.0
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def common_length(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest common subsequence, in ``len(a) * len(b)`` steps."""
    row = [0] * (len(b) + 1)
    for word in a:
        new = [0]
        for (up_left, up), other in zip(pairwise(row), b, strict=True):
            new.append(up_left + 1 if word == other else max(up, new[-1]))
        row = new
    return row[-1]


class Cider:
    """CIDEr-D with document frequencies of one data set.

    Args:
        documents: the references of each item. With a single item every weight is log 1 = 0, and so is every
            score: the measure is about what tells items apart.
    """

    def __init__(self, documents: Iterable[Sequence[Words]]) -> None:
        self._seen: Counter[Gram] = Counter()
        count = 0
        for references in documents:
            count += 1
            self._seen.update({gram for ref in references for n in ORDERS for gram in grams(ref, n)})
        self._log_count = math.log(count) if count else 0.0
        self._vectors: dict[Words, tuple[list[dict[Gram, float]], list[float]]] = {}

    def score(self, words: Words, references: Sequence[Words]) -> float:
        """Mean over references and orders, in [0, 10]; 0 without words or references."""
        if not words or not references:
            return 0.0
        total = sum(self._alike(words, ref) for ref in references)
        return 10.0 * total / (len(references) * len(ORDERS))

    def _alike(self, words: Words, reference: Words) -> float:
        (mine, my_norms), (theirs, their_norms) = self._vector(words), self._vector(reference)
        penalty = math.exp(-((len(words) - len(reference)) ** 2) / (2 * SIGMA**2))
        total = 0.0
        for a, norm_a, b, norm_b in zip(mine, my_norms, theirs, their_norms, strict=True):
            if norm_a and norm_b:
                total += sum(min(w, b[g]) * b[g] for g, w in a.items() if g in b) / (norm_a * norm_b)
        return penalty * total

    def _vector(self, words: Words) -> tuple[list[dict[Gram, float]], list[float]]:
        if (known := self._vectors.get(words)) is None:
            vectors = [
                {g: n * (self._log_count - math.log(max(1, self._seen[g]))) for g, n in found.items()}
                for found in (grams(words, order) for order in ORDERS)
            ]
            norms = [math.sqrt(sum(w * w for w in each.values())) for each in vectors]
            known = self._vectors[words] = (vectors, norms)
        return known
