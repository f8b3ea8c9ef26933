"""English questions of function words alone ("What are we out of?"), and the texts that state what they ask ("We are
still out of milk."): the same person, a form of "to be" and the same particles, and then something."""

from __future__ import annotations

import re

_ONE = (
    r"(?:about|above|after|against|around|at|away|before|behind|below|beside|by|down|for|from|in|into|near|of|off|on|out"
    r"|over|through|to|under|up|with|without)"
)
_ASKED = re.compile(
    rf"\s*(?:what|who|whom|where|which)(?:\s+(?:is|are|am|was|were)|['’](?:s|re))\s+"
    rf"(?P<person>i|you|he|she|it|we|they|this|that|these|those)\s+(?:still\s+)?(?P<particles>{_ONE}(?:\s+{_ONE}){{0,2}})"
    r"[\s?!.]*",
    re.IGNORECASE,
)
_SPEAKING = {"you": "(?:you|i|we)"}  # who is asked speaks of "I"


def stated(question: str) -> re.Pattern[str] | None:
    """What a text says that states what is asked; None of any other question."""
    asked = _ASKED.fullmatch(question)
    if asked is None:
        return None
    person, particles = asked["person"].lower(), r"\s+".join(asked["particles"].lower().split())
    said = _SPEAKING.get(person, person)
    return re.compile(rf"(?i)\b{said}(?:['’](?:s|re|m)|\s+(?:is|are|am|was|were))\s+(?:\w{{1,20}}\s+)?{particles}\s+\w")
