"""Plans that are told in the past: whether the time of one is over, or to come, nothing may say.

"She promised to come on Sunday" looks ahead; "we planned to leave on Friday", "he would not come on Friday" and "she
promised to come on Sunday, but was ill" may be told after that day, or before it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from services.common.text.tagger import Token

# Who still wants it says so in the present.
_WISHED = re.compile(r"(?i)(?:hop|want|wish|intend|plann|expect)(?:ed|ing)|meant|meaning")
_REPORTED = re.compile(r"(?i)said|told|thought|knew|heard|wrote|answered|replied|mentioned|claimed|announced|promised")
_WOULD = frozenset({"would", "'d", "’d", "could"})
_MILD = frozenset("like love prefer be suit work mind appreciate hate rather".split())  # "I would like to go"
_SPEAKERS = frozenset({"i", "we", "you", "that", "it"})
_NOT = frozenset({"not", "n't", "n’t", "never", "nobody", "none", "nothing", "neither", "no", "hardly"})
_HAD = frozenset({"had", "'d", "’d"})
# With a past tense behind them they tell what came of it.
_TURNS = frozenset("but yet though although however and so then instead only when until till except ; — – - :".split())
_FINITE = ("VBD", "VBP", "VBZ", "MD")
_NEXT = re.compile(r"(?i)\s*(?:but|however|yet|instead|unfortunately|sadly|alas)\b")


def is_in_doubt(tokens: Sequence[Token], verb: int | None, to: int, behind: str, past: frozenset[str]) -> bool:
    """Whether a time that ends at ``to``, and is to come by the verb there, may be over.

    ``behind``: what follows the sentence. ``past``: words that are past whatever their tag is.
    """
    at = next((i for i, t in enumerate(tokens) if t.start >= to), len(tokens))
    if verb is None or verb >= at:
        return False
    before, after = tokens[:at], tokens[at:]
    if _is_wish(tokens, verb) or _had_planned(before) or _would(tokens, verb):
        return True
    finite = next((t for t in reversed(before) if t.tag in _FINITE), None)
    is_past = finite is not None and (finite.tag == "VBD" or finite.text.lower() in _WOULD)
    return is_past and (_goes_on(after, past) or _NEXT.match(behind) is not None)


def may_be_to_come(tokens: Sequence[Token], verb: int | None) -> bool:
    """Whether a time that is past by the verb there may be to come: "he wanted to go", "he said he was coming"."""
    if verb is None:
        return False
    return _is_wish(tokens, verb) or _is_reported(tokens, verb)


def _is_reported(tokens: Sequence[Token], verb: int) -> bool:
    near = [t.text.lower() for t in tokens[max(0, verb - 3) : verb]]
    is_about_to = tokens[verb].tag == "VBG" and bool({"was", "were"} & set(near))
    return is_about_to and any(_REPORTED.fullmatch(t.text) for t in tokens[max(0, verb - 9) : verb])


def _is_wish(tokens: Sequence[Token], verb: int) -> bool:
    """ "hoped to see", "was planning to leave"; not "have planned to leave"."""
    to = next((i for i in range(verb - 1, max(-1, verb - 3), -1) if tokens[i].tag == "TO"), 0)
    wished = tokens[to - 1] if to else None
    if wished is None or not _WISHED.fullmatch(wished.text):
        return False
    lead = {t.text.lower() for t in tokens[max(0, to - 4) : to - 1]}
    return wished.tag == "VBD" or bool(lead & (_HAD | {"was", "were", "been"}))


def _had_planned(before: Sequence[Token]) -> bool:
    """ "She had booked a table for Friday." """
    return any(
        one.text.lower() in _HAD and one.tag != "MD" and any(t.tag == "VBN" for t in before[i + 1 : i + 4])
        for i, one in enumerate(before)
    )


def _would(tokens: Sequence[Token], verb: int) -> bool:
    """ "He would not come"; not "would you come?", "I would go", "it would be nice to go", "he said he would come"."""
    found = [i for i, t in enumerate(tokens[:verb]) if t.text.lower() in _WOULD and t.tag == "MD"]
    if not found or tokens[-1].text == "?":
        return False
    at = found[-1]
    if _NOT & {t.text.lower() for t in tokens[max(0, at - 2) : verb]}:
        return True
    main = next((t.text.lower() for t in tokens[at + 1 :] if t.tag.startswith("VB")), "")
    who = tokens[at - 1].text.lower() if at else ""
    reported = any(_REPORTED.fullmatch(t.text) for t in tokens[:at])
    return not (main in _MILD or who in _SPEAKERS or reported or tokens[at].text.lower() == "could")


def _goes_on(after: Sequence[Token], past: frozenset[str]) -> bool:
    turn = next((i for i, t in enumerate(after) if t.text.lower() in _TURNS or _is_splice(after, i)), len(after))
    verb = next((t for t in after[turn + 1 :] if t.tag in _FINITE or t.text.lower() in past), None)
    return verb is not None and (verb.tag == "VBD" or verb.text.lower() in past | _WOULD)


def _is_splice(after: Sequence[Token], at: int) -> bool:
    """A comma before another clause: ", he stayed"."""
    return after[at].text == "," and at + 1 < len(after) and after[at + 1].tag == "PRP"
