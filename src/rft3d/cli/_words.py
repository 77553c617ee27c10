"""The words of the command line: two examples a verb, and tyro's complaints in one form.

A complaint is one line: what was given, what is wrong with it, what is allowed, an example.
"""

import re
from difflib import get_close_matches

_LINES = """
rft3d try
rft3d try --room 12 --model rooms-sft
rft3d demo --quick
rft3d demo --out runs/mine --seed 1
rft3d experiment list
rft3d experiment run --hours 12 --at-once 2
rft3d rooms --seed 0 --count 8 --out rooms8
rft3d rooms --like rooms --seed 500 --count 100 --out fresh
rft3d samples my/clip --out runs/clip
rft3d samples rooms:0-7 --out runs/rooms
rft3d data check data/scannet
rft3d data prepare vsi --help
rft3d train recipes/rooms_rft.py --stages.0.steps 50
rft3d train recipes/rft_4b_detection.py --dry-run
rft3d predict --model rooms --samples rooms8/samples.detection.jsonl --out p.jsonl
rft3d predict --model rooms --samples fresh/samples.spatial.jsonl --consensus 8 --out c.jsonl
rft3d headroom --model rooms-sft --samples fresh
rft3d headroom --model rooms-sft --samples fresh --temperatures 0.5 --out runs/mine/headroom.json
rft3d score p.jsonl --samples rooms8/samples.detection.jsonl --task detection
rft3d score mine.jsonl --samples vsi.jsonl --benchmark vsi-bench --out mine.json
rft3d compare sft.jsonl rft.jsonl --samples rooms8/samples.detection.jsonl --task detection
rft3d compare a.jsonl b.jsonl --samples vsi.jsonl --benchmark vsi-bench
rft3d solve --samples rooms8/samples.spatial.jsonl --scenes rooms8
rft3d solve --samples test.jsonl --blind train.jsonl --predictions mine.jsonl
rft3d questions rooms:0-31 --out spatial.jsonl
rft3d questions embodiedscan_infos_train.pkl --source embodiedscan --answers think --out spatial.jsonl
rft3d leaderboard
rft3d leaderboard mine.json --benchmark vsi-bench --full
rft3d detect rooms:12
rft3d detect kitchen.mp4 --model my/model --fov 65 --frames 6
rft3d ground rooms:12 "the large bed"
rft3d ground walk.mp4 "the red chair" --model my/model
rft3d ask rooms:12 "How many chair(s) are in this room?"
rft3d ask walk.mp4 "Which is closer to the door?" --options sofa table --model my/model
rft3d estimate recipes/rft_4b_detection.py
rft3d estimate recipes/rft_4b_detection.py --plan.gpus 2 --json
rft3d cache features
rft3d cache features --keep-gb 20
rft3d report runs/mine
rft3d report runs/a runs/b --out runs/a-and-b
rft3d watch runs/mine
rft3d watch runs/mine --once
rft3d export overlay runs/mine --out figures
rft3d export verl samples.jsonl --out verl
"""
EXAMPLES: dict[str, list[str]] = {}
"""Two of each verb."""
for _line in _LINES.split("\n")[1:-1]:
    EXAMPLES.setdefault(_line.split()[1], []).append(_line)


def with_examples(verb: str, text: str) -> str:
    """A verb's help text with its examples below."""
    lines = [line.strip() for line in text.strip().splitlines()]
    return "\n".join([*lines, "", "examples:", *(f"  {each}" for each in EXAMPLES[verb])])


def did_you_mean(word: str, known: list[str]) -> str:
    """``; did you mean X?`` when something known begins with ``word`` or looks like it, else nothing."""
    near = [each for each in known if each.startswith(word)] or get_close_matches(
        word, known, n=1, cutoff=0.6
    )
    return f"; did you mean {near[0]}?" if near else ""


def usage_error(verb: str, boxed: str) -> str:
    """tyro's framed complaint as one line in our form."""
    text = " ".join(re.sub(r"[│╭╮╰╯─]|-{3,}", " ", boxed).split())
    text = re.sub(r" ?For full helptext,.*$", "", text)
    return f"{_said(text) or 'bad arguments'} (e.g. {EXAMPLES[verb][0]}; rft3d {verb} --help explains all)"


def _said(text: str) -> str:
    text, _, help_text = text.partition(" Argument helptext: ")
    if choice := re.search(r"invalid choice '(.*)' for argument '(.*?)'\. Expected one of \((.*)\)", text):
        value, option, listed = choice.groups()
        allowed = sorted(set(re.findall(r"'([^']*)'", listed)) - {"None"})
        return f"{option} {value}: must be one of {', '.join(allowed)}{did_you_mean(value, allowed)}"
    if number := re.search(r"Error parsing (\S+): (.*?): '(.*)'$", text):
        kind = "a whole number" if "int()" in number[2] else "a number"
        return f"{number[1]} {number[3]}: must be {kind}"
    if several := re.search(r"Error parsing (\S+): .*?(?:arguments:? |instantiated from )\[(.*?)\]", text):
        shape = re.search(r"(?: (?:N|[\[A-Z.\]]{2,}))+", help_text)
        usual = re.search(r"\(default: ([^)]*[^) ])\)$", help_text)
        like = usual[1] if usual and usual[1] != "None" else shape[0].strip() if shape else "--help says"
        return f"{several[1]} {several[2].replace(chr(39), '').replace(',', '')}: must be numbers, as {like}"
    if value := re.search(r"Missing value for argument '(\S+)'\. Expected (\d+) values", text):
        return f"{value[1]}: needs {value[2]} value{'' if value[2] == '1' else 's'}"
    if missing := re.search(r"^Required options Missing from .*?: (.*?)( Unrecognized|$)", text):
        parts = [part.split() for part in missing[1].split("(required)") if part.strip()]
        return "needs " + ", ".join(
            " ".join(p[:2] if p[0].startswith("--") else p[:1]).replace("[", "") for p in parts
        )
    if unknown := re.search(r"Unrecognized(?: or misplaced)? options: (\S+)", text):
        word = unknown[1].rstrip(",")
        below = re.search(r"Available subcommands: ([\w, -]+?)(?: Perhaps|$)", text)
        if below and not word.startswith("-"):
            names = below[1].split(", ")
            return f"{word}: must be one of {', '.join(names)}{did_you_mean(word, names)}"
        near = re.search(r"Perhaps you meant: (--[\w.-]+)", text)
        what = "no such option" if word.startswith("-") else "one argument too many"
        return f"{word}: {what}" + (f"; did you mean {near[1]}?" if near else "")
    if sub := re.search(r"Missing subcommand Expected one of \{(.*?)\}", text):
        return f"say which: {sub[1]}"
    return re.sub(r"^Value error Error parsing \w+: ", "", text)  # our own words, of a config's field
