"""What a task hands to a model, text with frames in it, as turns; and what a model says.

A prompt's text holds ``<image>`` placeholders, one per frame, in order. Wording follows the
published data files (``docs/papers.md``); a task decides it, a policy only renders it.
"""

from dataclasses import dataclass

__all__ = ["IMAGE", "Generation", "Prompt"]

IMAGE = "<image>"
SYSTEM = "You are a helpful assistant."


@dataclass(frozen=True, slots=True)
class Prompt:
    """One user turn after a system turn.

    Attributes:
        text: the user's text with one ``<image>`` per frame.
        frames: how many ``<image>`` placeholders ``text`` has (checked).
        system: the system turn.
    """

    text: str
    frames: int
    system: str = SYSTEM

    def __post_init__(self) -> None:
        found = self.text.count(IMAGE)
        if found != self.frames:
            raise ValueError(f"Prompt.text has {found} {IMAGE} but frames={self.frames}; give one per frame")

    def segments(self) -> list[str]:
        """The text between the images: ``frames + 1`` strings; an image stands between neighbours."""
        return self.text.split(IMAGE)


@dataclass(frozen=True)
class Generation:
    """A generated text, without special tokens; ``truncated`` when it hit the token limit before it stopped.

    ``tokens``: how many were generated, the end token included.
    """

    text: str
    truncated: bool
    tokens: int
