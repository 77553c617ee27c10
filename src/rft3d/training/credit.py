"""Per-object credit: which tokens of a detection answer belong to which box.

One scalar for a long answer is a noisy signal. The reward knows each predicted box's own matched
IoU; this module hands it to the tokens that wrote the box, centred over the answer's boxes so that
it moves credit between objects without changing the answer's total.
"""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from rft3d.rewards.types import Score


def object_credit(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int], score: Score) -> list[float]:
    """One credit per token; zeros where the score has no per-box values or the text no braces.

    ``score.details["credit"]`` holds one value in [0, 1] per predicted box, in output order. A box owns
    the tokens from its ``{`` up to and including its ``}``.
    """
    values = score.details.get("credit")
    out = [0.0] * len(tokens)
    if not isinstance(values, (list, tuple)) or len(values) < 2:
        return out
    centre = sum(values) / len(values)
    box, inside = -1, False
    for i, token in enumerate(tokens):
        piece = str(tokenizer.decode([token], skip_special_tokens=True))
        opens, closes = "{" in piece, "}" in piece
        # A token may close one box and open the next ("},\n\t{"): it belongs to the one it closes.
        if closes and inside:
            if box < len(values):
                out[i] = values[box] - centre
            inside = False
            if opens:
                box, inside = box + 1, True
            continue
        if opens:
            box, inside = box + 1, True
        if inside and box < len(values):
            out[i] = values[box] - centre
    return out
