"""Names that are modal verbs in another sentence: "Will rang", "On Friday May ate with us".

The verb behind tells: no modal stands before a past. Where its past is its present ("Will hit his head"), nothing does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from services.common.text import irregular
from services.common.text.tagger import Token

# Past forms that ``irregular`` leaves out.
_MORE = """
    was were had did rose spat sped stank strode strove trod wrung slew forsook mistook misheard overslept oversaw
    overheard overtook withheld upheld outgrew undid redid retold rewrote rebuilt resold repaid foresaw foretold spelt
    smelt shat slung slunk beheld withstood misunderstood unwound agreed disagreed freed died lied tied
"""
PAST = frozenset(form for forms in irregular.OTHERS.values() for form in forms) | frozenset(_MORE.split())
"""Past forms of English verbs that rules do not make; beside them are plurals of nouns, which no verb is like."""

_PRESENT_OF_ANOTHER = frozenset("lay bore wound ground dove found saw felt fell bound rose".split())

# Past and present alike: who says them of a day without an auxiliary tells ("we quit on Friday").
ALIKE = frozenset(
    """put quit read hit let cut set shut cost hurt split spread bet beat burst cast shed bid rid thrust knit slit wed
    upset reset recast broadcast forecast offset""".split()
)
_REGULAR = re.compile(r"[a-z]+(?<!e)ed")  # not "need", "feed"
_NOT_PAST = frozenset({"shed", "wed", "bed", "embed", "shred", "sled", "imbed"})
_NAMES = ("Will", "May")
_FINITE = ("MD", "VBZ", "VBD")


def told(tokens: Sequence[Token]) -> list[Token]:
    """The tokens with "Will" (in small letters too, before a sure past) as a name, and the verb behind it as a past."""
    made = list(tokens)
    for at, token in enumerate(tokens):
        is_capital = _may_be_name(token)
        verb = _verb_behind(tokens, at) if is_capital or token.text.lower() == "will" else None
        if verb is None:
            continue
        if is_past(tokens[verb].text.lower(), alone=not is_capital):
            made[verb] = replace(tokens[verb], tag="VBD")
        elif not (is_capital and verb == at + 1 and tokens[verb].tag in (*_FINITE, "POS")):
            continue
        made[at] = replace(token, tag="NNP")
    return made


def may_be_past(tokens: Sequence[Token], verb: int) -> bool:
    """Whether the verb there is one that "Will", a name as likely as a modal, has before it: "Will hit his head"."""
    if tokens[-1].text == "?":
        return False
    for at in range(max(0, verb - 4), verb + 1):
        if tokens[at].tag == "MD" and _may_be_name(tokens[at]):
            behind = _verb_behind(tokens, at)
            return behind is not None and tokens[behind].text.lower() in ALIKE and verb in (at, behind)
    return False


def is_past(word: str, alone: bool = False) -> bool:
    """Of a verb in small letters. ``alone``: and no other verb's present, as "saw" and "lay" are."""
    if word in _PRESENT_OF_ANOTHER:
        return not alone
    return word in PAST or (_REGULAR.fullmatch(word) is not None and word not in _NOT_PAST)


def _may_be_name(token: Token) -> bool:
    return token.text in _NAMES and token.tag in ("MD", "NNP", "NN")


def _verb_behind(tokens: Sequence[Token], at: int) -> int | None:
    """The first word behind a name that is no adverb and no surname."""
    for place in range(at + 1, min(at + 4, len(tokens))):
        word = tokens[place]
        if word.tag not in ("RB", "NNP", "RBR", "RBS") or is_past(word.text):
            return place
    return None
