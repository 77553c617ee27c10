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
    """One credit per token; zeros where values are missing or the text's braces are not its boxes'.

    ``score.details["credit"]`` holds one value in [0, 1] per predicted box, in output order. A box owns
    the tokens from its ``{`` up to and including its ``}``; a token that closes one box and opens the
    next (``},\\n\\t{``) belongs to the one it closes.
    """
    values = score.details.get("credit")
    out = [0.0] * len(tokens)
    if not isinstance(values, (list, tuple)) or len(values) < 2:
        return out
    centre = sum(values) / len(values)
    owners: list[int | None] = []
    box, inside = -1, False
    for token in tokens:
        owner = box if inside else None
        for character in str(tokenizer.decode([token], skip_special_tokens=True)):
            if character == "{":
                box, inside = box + 1, True
                owner = box if owner is None else owner
            elif character == "}":
                inside = False
        owners.append(owner)
    if box + 1 != len(values):  # braces in a thought or a label: whose tokens are whose is not known
        return out
    return [0.0 if owner is None else values[owner] - centre for owner in owners]
