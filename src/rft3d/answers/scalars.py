"""Option letters and numbers in text.

``strict`` reads as VSI-Bench's harnesses do: the text up to the first space, a
trailing ``.`` stripped. ``lenient`` reads the first option letter, number or number word of the
sentence, starting behind "answer is"/"answer:" when that is there. Units are not converted: "1,200 cm"
is 1200.
"""

import math
import re
from functools import lru_cache
from itertools import takewhile

from rft3d.answers._reading import Unreadable, answer_text, quoted
from rft3d.answers.types import ParseFailure, ParseMode
from rft3d.answers.vgllm import vgllm_first_token

_PLAIN_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_NUMBER = re.compile(
    r"(?<![\w.])"  # not inside an identifier such as frame2
    r"(?P<sign>[-+])?"
    r"(?P<whole>[0-9]{1,3}(?:,[0-9]{3})+(?!,?[0-9]{3}|[0-9])|[0-9]++|(?=\.[0-9]))"
    # No possessive groups: before Python 3.11.5 they keep half of a failed try ("0eV" gave "0e").
    r"(?P<rest>(?:\.[0-9]++)?(?:[eE][-+]?[0-9]++)?)"
)
_DIMENSION = re.compile(r"[dD]\b")  # "3D" is not a number
_ANSWER_PHRASE = re.compile(r"\b(?:answer|option|choice)(?: is| would be)?:? ?", re.IGNORECASE)
_WORD = re.compile(r"[a-z]+")
_MAX_DIGITS = 40
_MAX_NUMBER_WORDS = 16

# fmt: off
UNITS = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8,
    "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15,
    "sixteen": 16, "seventeen": 17, "eighteen": 18, "nineteen": 19,
}
TENS = {
    "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80,
    "ninety": 90,
}
# fmt: on
SCALES = {"hundred": 100, "thousand": 1000}


def parse_option(text: str, letters: str = "ABCD", mode: ParseMode = "lenient") -> str | ParseFailure:
    """The option letter in ``text``, upper case, one of ``letters`` (upper case).

    ``lenient`` takes the whole answer ("b", "(B)", "B."), else the letter behind "answer is", else
    the first stand-alone capital; an "A" before a lower-case word is an article. Never raises on
    text; ValueError when ``letters`` is empty or not capital letters.

    Examples:
        >>> parse_option("The answer is (b).", "ABC")
        'B'
    """
    if not (letters.isalpha() and letters.isupper()):
        raise ValueError(f"parse_option: letters must be capital letters such as 'ABCD', got {letters!r}")
    try:
        answer = answer_text(text, mode)
        if mode == "strict":
            letter = vgllm_first_token(answer).upper()
            if len(letter) != 1 or letter not in letters:
                raise Unreadable(f"not an option letter of {letters}")
            return letter
        return _lenient_option(" ".join(answer.split()), letters)
    except Unreadable as problem:
        return ParseFailure(str(problem), quoted(text))


def parse_number(text: str, mode: ParseMode = "lenient") -> float | ParseFailure:
    """The finite number in ``text``, as written (no unit conversion). Never raises on text.

    ``lenient`` also reads thousands commas, adjacent units ("3.5m") and English number words up to
    999,999 ("twenty-one", "one hundred and five", "two point five").

    Examples:
        >>> parse_number("<think>4 chairs and 2 more</think><answer>6</answer>")
        6.0
    """
    try:
        answer = answer_text(text, mode)
        if mode == "strict":
            token = vgllm_first_token(answer)
            if _PLAIN_NUMBER.fullmatch(token) is None:
                raise Unreadable("the text up to the first space is not a number")
            return _finite(token)
        return _lenient_number(" ".join(answer.split()))
    except Unreadable as problem:
        return ParseFailure(str(problem), quoted(text))


def render_number(x: int | float) -> str:
    """Integers plainly, floats with up to two decimals: 3 → "3", 3.0 → "3", 2.456 → "2.46".

    ValueError when ``x`` is not finite.
    """
    if not math.isfinite(x):
        raise ValueError(f"render_number: x must be finite, got {x}")
    if isinstance(x, int):
        return str(x)
    text = f"{round(x, 2) + 0.0:.2f}"
    return text.rstrip("0").rstrip(".")


def _finite(digits: str) -> float:
    if len(digits) > _MAX_DIGITS:
        raise Unreadable(f"a number of {len(digits)} characters, the limit is {_MAX_DIGITS}")
    value = float(digits)
    if not math.isfinite(value):
        raise Unreadable("the number is not finite")
    return value


@lru_cache(maxsize=32)
def _option_patterns(letters: str) -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """Patterns for a letter that is the whole answer, behind "answer is", and anywhere in a sentence."""
    end = r"(?![\w'\u2019])"  # neither a word's first letter nor a possessive
    whole = re.compile(rf"\W{{0,4}}([{letters}])\W{{0,4}}", re.IGNORECASE)
    after_phrase = re.compile(rf"\W{{0,4}}([{letters}]{end}|[{letters.lower()}](?=\W{{0,4}}\Z))")
    article = r"(?!(?<=A) [a-z])"  # "A chair"
    alone = re.compile(rf"(?<![\w'\u2019])([{letters}]){end}{article}")
    return whole, after_phrase, alone


def _lenient_option(answer: str, letters: str) -> str:
    whole, after_phrase, alone = _option_patterns(letters)
    match = whole.fullmatch(answer)
    if match is not None:
        return match.group(1).upper()
    for phrase in _ANSWER_PHRASE.finditer(answer):
        match = after_phrase.match(answer, phrase.end())
        if match is not None:
            return match.group(1).upper()
    match = alone.search(answer)
    if match is None:
        raise Unreadable(f"no option letter of {letters}")
    return match.group(1)


def _lenient_number(answer: str) -> float:
    answer = answer.replace("\u2212", "-")  # the typographic minus
    phrase = re.search(r"\banswer(?: is|:) ?", answer, re.IGNORECASE)
    value = None if phrase is None else _first_number(answer[phrase.end() :])
    if value is None:
        value = _first_number(answer)
    if value is None:
        raise Unreadable("no number")
    return value


def _first_number(answer: str) -> float | None:
    found = _NUMBER.finditer(answer)
    match = next((m for m in found if _DIMENSION.match(answer, m.end()) is None), None)
    before = answer if match is None else answer[: match.start()]
    lowered = before.lower()
    for word in _WORD.finditer(lowered):
        if word.group() in UNITS or word.group() in TENS or word.group() in SCALES:
            return _words_value(lowered[word.start() :])
    if match is None:
        return None
    return _finite((match["sign"] or "") + match["whole"].replace(",", "") + match["rest"])


def _words_value(lowered: str) -> float:
    """The number that the words at the start of ``lowered`` spell; stops where the spelling ends."""
    words = _adjacent_words(lowered)
    total, current, previous = 0, 0, ""
    for index, word in enumerate(words):
        following = words[index + 1] if index + 1 < len(words) else ""
        if word in UNITS and (
            not previous or previous in SCALES or (previous in TENS and 0 < UNITS[word] < 10)
        ):
            current += UNITS[word]
        elif word in TENS and (not previous or previous in SCALES):
            current += TENS[word]
        elif word == "hundred" and current < 10 and previous not in SCALES:
            current = 100 * max(current, 1)
        elif word == "thousand" and total == 0 and previous != "thousand":
            total, current = 1000 * max(current, 1), 0
        elif word == "and" and previous in SCALES and (following in UNITS or following in TENS):
            continue  # "one hundred and five"; keep ``previous``
        elif word == "point" and following in UNITS and UNITS[following] < 10:
            spoken = takewhile(lambda each: UNITS.get(each, 10) < 10, words[index + 1 :])
            return float(total + current) + float(f"0.{''.join(str(UNITS[each]) for each in spoken)}")
        else:
            break
        previous = word
    return float(total + current)


def _adjacent_words(lowered: str) -> list[str]:
    """The leading words that only a space or hyphen separates."""
    words: list[str] = []
    end = 0
    for match in _WORD.finditer(lowered):
        if lowered[end : match.start()] not in ("", " ", "-") or len(words) == _MAX_NUMBER_WORDS:
            break
        words.append(match.group())
        end = match.end()
    return words
