"""Text to token ids: Qwen's chat layout, M-RoPE positions, and the demo's small tokenizer."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from rft3d.prompts import Prompt

VISUAL_SPECIALS = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", *VISUAL_SPECIALS)

# What varies from text to text: numbers (with the separator before them, so that a box is nine tokens)
# and words. Everything between them that repeats often becomes one token of its own. The 3 of
# "bbox_3d" is not a number: it follows a letter.
_NUMBER = re.compile(r"(?:, )?(?<![\w.])-?\d+(?:\.\d+)?(?![A-Za-z\d])")
_VALUE = re.compile(r"(?:, )?(-?\d+(?:\.\d+)?)")


def train_tokenizer(
    texts: Iterable[str], words: Sequence[str], phrase_count: int = 6, number_count: int = 3
) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer whose extra tokens are the phrases and numbers that ``texts`` repeat.

    Long constant passages (the wording of a prompt, the skeleton of a JSON answer) become single tokens, and so
    does every frequent number; anything else falls back to bytes, so every text has an encoding and decodes to
    itself. A quoted word takes the skeleton after it along (``chair", "bbox_3d": [``), as merges of a trained
    tokenizer would: the numbers that follow then stand right behind the word that says where to look, and a tiny
    model finds that in half the time. ``words``: what varies (labels, colours ...); each is a token with and
    without a space before. ``phrase_count``, ``number_count``: how often a passage, a number must occur.
    """
    vary = sorted(set(words), key=len, reverse=True)
    word = "|".join(re.escape(w) for w in vary)
    splitter = re.compile(rf"({_NUMBER.pattern}|(?: ?\b(?:{word})s?\b)|<image>)") if vary else _NUMBER
    phrases: Counter[str] = Counter()
    numbers: Counter[str] = Counter()
    for text in texts:
        position, word_before = 0, ""
        for match in splitter.finditer(text):
            passage, found = text[position : match.start()], match.group()
            quoted = bool(word_before) and passage.startswith('"') and not word_before.startswith(" ")
            phrases[word_before + passage if quoted else passage] += 1
            is_number = _VALUE.fullmatch(found) is not None
            if is_number:
                numbers[found] += 1
            word_before = "" if is_number else found
            position = match.end()
        phrases[text[position:]] += 1
    kept = [p for p, n in sorted(phrases.items()) if n >= phrase_count and len(p) > 1]
    kept += [p for p, n in sorted(numbers.items()) if n >= number_count and len(p) > 1]
    kept += [form for w in sorted(set(words)) for form in (w, f" {w}", f" {w}s")]
    return byte_tokenizer(list(dict.fromkeys(kept)))


def number_values(tokenizer: PreTrainedTokenizerBase) -> dict[int, float]:
    """``{token id: value}`` of every token that is a whole number as texts write it."""
    texts = (str(tokenizer.decode([index])).strip() for index in range(len(tokenizer)))
    return {index: float(match[1]) for index, text in enumerate(texts) if (match := _VALUE.fullmatch(text))}


def byte_tokenizer(tokens: Sequence[str] = ()) -> PreTrainedTokenizerFast:
    """256 bytes, Qwen's special tokens, and ``tokens``; no merges."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([AddedToken(s, normalized=False, special=True) for s in SPECIALS])
    core.add_tokens([AddedToken(t, normalized=False) for t in tokens])
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        clean_up_tokenization_spaces=False,
    )


Encode = Callable[[str], Sequence[int]]


def token_id(tokenizer: PreTrainedTokenizerBase, token: str) -> int:
    """The id of one special token; ValueError when the tokenizer lacks it."""
    found = tokenizer.convert_tokens_to_ids(token)
    if not isinstance(found, int) or found == tokenizer.unk_token_id:
        raise ValueError(f"the tokenizer has no token {token!r}; a Qwen2.5-VL tokenizer is needed")
    return found


def special_ids(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """The special tokens' ids under the names that a config has for them."""
    names = ("vision_start_token_id", "vision_end_token_id", "image_token_id", "video_token_id")
    return {name: token_id(tokenizer, token) for name, token in zip(names, VISUAL_SPECIALS, strict=True)}


def prompt_ids(
    tokenizer: PreTrainedTokenizerBase, encode: Encode, prompt: Prompt, tokens_per_frame: Sequence[int]
) -> list[int]:
    """Qwen's chat layout of a prompt, up to and including the assistant's header. ``encode`` maps text to ids
    without adding special tokens (it may cache: most pieces repeat)."""
    segments = prompt.segments()
    if len(tokens_per_frame) != prompt.frames:
        raise ValueError(f"the prompt has {prompt.frames} frames but features hold {len(tokens_per_frame)}")
    ids = [*encode(f"<|im_start|>system\n{prompt.system}<|im_end|>\n<|im_start|>user\n{segments[0]}")]
    image = token_id(tokenizer, "<|image_pad|>")
    start, end = encode("<|vision_start|>")[0], encode("<|vision_end|>")[0]
    for count, segment in zip(tokens_per_frame, segments[1:], strict=True):
        ids += [start, *[image] * count, end, *encode(segment)]
    return [*ids, *encode("<|im_end|>\n<|im_start|>assistant\n")]


def mrope_positions(ids: Sequence[int], image_id: int, grid: Tensor, merge: int = 2) -> Tensor:
    """Qwen2.5-VL's 3-D positions ``(3, len(ids))``: text counts on, an image spans its merged grid, as
    transformers' ``get_rope_index`` has it (tested); ``grid``: ``(frames, 3)`` patches."""
    tokens = np.asarray(ids)
    positions = np.empty((3, len(tokens)), dtype=np.int64)
    at, i, frame = 0, 0, 0
    while i < len(tokens):
        images = np.flatnonzero(tokens[i:] == image_id)
        text = int(images[0]) if len(images) else len(tokens) - i
        positions[:, i : i + text] = at + np.arange(text)
        at, i = at + text, i + text
        if len(images):
            if frame == len(grid):
                raise ValueError(f"more images in the token ids than the {len(grid)} of the grid")
            h, w = int(grid[frame, 1]) // merge, int(grid[frame, 2]) // merge
            positions[0, i : i + h * w] = at
            positions[1, i : i + h * w] = at + np.arange(h).repeat(w)
            positions[2, i : i + h * w] = at + np.tile(np.arange(w), h)
            at, i, frame = at + max(h, w), i + h * w, frame + 1
    if frame != len(grid):
        raise ValueError(f"{frame} images in the token ids but {len(grid)} in the grid")
    return torch.from_numpy(positions)
