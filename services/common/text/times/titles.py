"""Words of time in the title of a work, or in the name of a band or an animal: "Friday's Child", "Ruby Tuesday"."""

from __future__ import annotations

import re

_Match = re.Match[str]

_OF_NAMES = ("weekday", "holiday", "relative", "season", "month")
_QUOTED_BEFORE = re.compile(r"(?<![,:] )(?:^|(?<=[\s(]))[\"“”„«‘'*_]$")
_QUOTED_AFTER = re.compile(r"[.,!?]?[\"“”»’'*_](?!\w)")
_SAYS = re.compile(r"(?i)\b(?:sa(?:id|ys?)|asked|answered|replied|told|wrote|writes|put|reads?)\b[^.!?]{0,20}$")
_OWNS = re.compile(r"['’]s (?:[a-z]{1,3} )?(?!I\b)[A-Z]")
# A capital in the first place, and what the two together do: "Ruby Tuesday is a song".
_TITLE = re.compile(
    r"(?:^|[.!?:;\n\"“(]\s*)(?!(?:Yes|No|Ok|Okay|Only|Also|And|But|Or|So|Then|Maybe|Perhaps|Is|Was|Does"
    r"|Did|Will|Would)\b)[A-Z][\w’'-]+ $"
)
_IS = re.compile(r" (?:is|was|are|were|has|had|sings?|sang|plays?|played|releases?d?)\b")
_ANIMAL = re.compile(
    r"(?i)\b(?:cat|dog|parrot|horse|pony|rabbit|hamster|bird|kitten|puppy|goat|cow|pet|son|daughter|boy|girl|robot"
    r"|donkey|tortoise|turtle|sheep|hen|duck|fish|boat|ship|yacht|baby|sister|brother|aunt|niece) $"
)


def is_name(form: str, words: _Match, before: str, after: str) -> bool:
    """Whether ``words``, in a form that names have too, are more likely a part of one."""
    if form not in _OF_NAMES or not words.group()[:1].isupper():
        return False
    quoted = _QUOTED_BEFORE.search(before) and _QUOTED_AFTER.match(after) and not _SAYS.search(before)
    if quoted or _ANIMAL.search(before):
        return True
    if form == "weekday" and _OWNS.match(after):
        return True
    return form == "weekday" and _TITLE.search(before) is not None and _IS.match(after) is not None
