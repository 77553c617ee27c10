"""Letters and numbers of VSI-Bench as two evaluation harnesses read them today (facts, not code).

``lmms-eval`` 0.7.2 (``tasks/vsibench/utils.py``): letters strictly (VG-LLM's rule), numbers leniently: the first
digits or number words of the text, whichever come first; no thousands separators, so "1,665 cm" is 1.

``VLMEvalKit`` 0.2rc1 (``dataset/utils/spatial_bench/matching_func.py``): a letter inside ``<answer>``; else before
a closing tag; else from the last lines, upwards: a line that is a letter, starts with one ("B. ..."), or holds one
standalone capital; else behind "answer"; else the only standalone capital. Numbers: inside ``<answer>``, else the
*last* number of the text, words up to twenty included. Its option lines in Chinese are not imitated.
"""

import re

from rft3d.answers.scalars import SCALES, TENS, UNITS

LMMS_EVAL = "lmms-eval 0.7.2"
VLMEVALKIT = "VLMEvalKit 0.2rc1"
MOST_CHARS = 16_384
"""Only the end of a longer text is read."""

_WORDS = {**UNITS, "twenty": 20}
_ALL_WORDS = {**UNITS, **TENS, **SCALES}
_SIGNED = re.compile(r"-?\d+(?:\.\d+)?")
_ANY_NUMBER = re.compile(r"[-+]?(?:\d*\.\d+|\d+)(?:[eE][-+]?\d+)?")
_SMALL_WORD = re.compile(r"\b(" + "|".join(_WORDS) + r")\b", re.IGNORECASE)
_TAGGED_NUMBER = re.compile(rf"<answer>\s*({_ANY_NUMBER.pattern})(?:[^\d<][^<]*)?</answer>", re.IGNORECASE)
_TAGGED_LETTER = re.compile(r"<answer>\s*([A-J]).*?</answer>", re.IGNORECASE | re.DOTALL)
_CLOSED_LETTER = re.compile(r"(?<![A-Za-z])([A-F])\s*[)\]}]?\s*</(?:answer|think)>", re.IGNORECASE)
_ALONE = re.compile(r"[*_`()\[\]\s]*([A-F])[*_`()\[\]\s]*", re.IGNORECASE)
_LABELLED = re.compile(r"\s*([A-F])\s*[.:)\]-]\s+", re.IGNORECASE)
_INLINE = re.compile(r"(?<![A-Za-z])([A-F])\s*[*_`)\]}]*(?=$|[\s.,:;!?)\]])")
_OPTION_LINE = re.compile(r"[*_>\-\s]*option\s+[A-J]\s*:", re.IGNORECASE)
_PHRASE = re.compile(r"answer(?:\s*is)?\s*[:>=]?\s*[(\[{]?\s*([A-F])\s*[)\]}]?(?:\b|[.)])", re.IGNORECASE)
_ANYWHERE = re.compile(r"(?<![A-Za-z])([A-F])(?![A-Za-z])")
_LAST_LINES, _TAIL_CHARS = 6, 800


def lmms_eval_number(text: str) -> float | None:
    """The first number of ``text``, in digits or words ("three hundred and two"); None without one."""
    low = text[:MOST_CHARS].strip().lower()
    digits = _SIGNED.search(low)
    run: list[int] = []
    start = None
    for word in re.finditer(r"[a-z]+", low):
        value = _ALL_WORDS.get(word[0])
        if value is not None:
            start = word.start() if start is None else start
            run.append(value)
        elif start is not None and word[0] != "and":
            break
    if digits is not None and (start is None or digits.start() < start):
        return float(digits[0])
    if start is None:
        return None
    total = current = 0
    for value in run:
        if value == 100:
            current = max(current, 1) * 100
        elif value == 1000:
            total, current = total + max(current, 1) * 1000, 0
        else:
            current += value
    return float(total + current)


def vlmevalkit_number(text: str) -> float | None:
    """The tagged number, else the last one behind the thought, else the last one of all; None without one."""
    text = _SMALL_WORD.sub(lambda found: str(_WORDS[found[1].lower()]), text[-MOST_CHARS:].strip())
    if (tagged := _TAGGED_NUMBER.search(text)) is not None:
        return float(tagged[1])
    numbers = _ANY_NUMBER.findall(_after_thought(text)) or _ANY_NUMBER.findall(text)
    return float(numbers[-1]) if numbers else None


def vlmevalkit_option(text: str) -> str | None:
    """The option letter, upper case; None when no rule finds one."""
    text = text[-MOST_CHARS:].strip()
    for pattern, where in ((_TAGGED_LETTER, text), (_CLOSED_LETTER, text[-_TAIL_CHARS:])):
        if (found := pattern.search(where)) is not None:
            return found[1].upper()
    for tail in (_after_thought(text), text[-_TAIL_CHARS:]):
        for line in reversed(tail.splitlines()[-_LAST_LINES:]):
            if letter := _of_line(line.strip()):
                return letter
    if (found := _PHRASE.search(text)) is not None:
        return found[1].upper()
    lines = (line for line in text.splitlines() if not _OPTION_LINE.match(line))
    letters = set(_ANYWHERE.findall("\n".join(lines)))
    return letters.pop() if len(letters) == 1 else None


def _of_line(line: str) -> str | None:
    if not line or _OPTION_LINE.match(line):
        return None
    if (found := _ALONE.fullmatch(line) or _LABELLED.match(line)) is not None:
        return found[1].upper()
    letters = set(_INLINE.findall(line))
    return letters.pop() if len(letters) == 1 else None


def _after_thought(text: str) -> str:
    for mark in ("</think>", "<think>"):
        place = text.lower().rfind(mark)
        if place >= 0:
            return text[place + len(mark) :].strip()
    return text
