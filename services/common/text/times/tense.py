"""Whether what a sentence says of a time is past or to come, by its verbs.

The verb that governs the time is the nearest before it, or the first behind it where it opens its clause; what that
verb hangs on (an auxiliary, "to", a verb of promising) decides its tense. The parts of speech are those of the tagger
of the packaged English model: "Grace", "will" and "left" are verbs in some sentences only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from services.common.text import tagger
from services.common.text.sentences import ends
from services.common.text.tagger import Token
from services.common.text.times import names, plans
from services.common.text.times.doubt import MOVED

DOUBTFUL: Final = "doubtful"
Future = bool | Literal["doubtful"] | None  # whether it is to come; None: nothing says it

_LOOK = 200  # characters to either side in which the sentence is looked for
_BLOCK = 128  # its edges are multiples of this, so that times beside each other have one
_VERBS = frozenset({"MD", "VB", "VBD", "VBG", "VBN", "VBP", "VBZ"})
_BE = frozenset("be am is are was were been being 's 'm 're ’s ’m ’re".split())
_GET = frozenset({"get", "gets", "getting", "got"})
_HAVE = frozenset("have has had having 've 'd ’ve ’d 's ’s".split())
# Past of what looks ahead: "agreed to meet on Friday", "booked for Friday".
_LOOKS_AHEAD = re.compile(
    r"(?i)(?:decid|agre|promis|plann|offer|ask|remind|arrang|book|schedul|reserv|hop|expect|mov|shift|postpon|push"
    r"|reschedul|chang|delay|deferr|invit|intend|order|told|said|says|advis|recommend|suggest|set|put|brought|slat|fix|extend|adjourn|vow|mean|meant)\w*"
)
_REMEMBERS = re.compile(r"(?i)(?:remember|recall|regret|admit|mention)\w*")
_PLANS = re.compile(r"(?i)\b(?:due|deadline|reminder|appointment|upcoming|to-?do|plans?|agenda|ideas?|expires?|rsvp)\b")
_APPOINTED = ("weekday", "weekdaynth", "date", "days", "nth", "nths")
_TOLD = ("from", "of", "since", "after")
_SPENT = ("season", "holiday", "month")  # one goes away for them; for a day one plans
# Between a clause and a time that opens the next: "We left early, and on Friday ..."
_OPENS_CLAUSE = frozenset({",", ";", ":", "CC", "``", "''", "-LRB-", "HYPH"})


def future(text: str, start: int, end: int, form: str, tagged: dict[str, list[Token]]) -> Future:
    """Whether the time at [start, end) of ``text``, in that form, is to come; None where nothing says it.

    ``tagged``: sentences of the same text that were read before; each is tagged once.
    """
    begin, sentence = _sentence(text, start, end)
    if sentence not in tagged:
        tagged[sentence] = names.told(tagger.tag(sentence))
    tokens, at, to = tagged[sentence], start - begin, end - begin
    verb = _governing(tokens, at, to)
    told = _is_plan(tokens, at, form) if verb is None else _is_future(tokens, verb)
    if verb is not None and names.may_be_past(tokens, verb):
        return DOUBTFUL
    if _THANKS.search(sentence[:to]):
        was = any(t.tag == "VBD" for t in tokens if t.start >= to) or _IT_WAS.match(text, begin + len(sentence))
        return False if was else DOUBTFUL
    ahead = _with_its_preposition(sentence, at, to, form, told)
    if ahead and _is_as_of(sentence, at, to) and not any(t.tag == "MD" for t in tokens):
        return DOUBTFUL  # "as of March we have a new landlord"
    if ahead:
        behind = text[begin + len(sentence) : end + _LOOK]
        return DOUBTFUL if plans.is_in_doubt(tokens, verb, to, behind, names.PAST) else True
    return DOUBTFUL if ahead is False and plans.may_be_to_come(tokens, verb) else ahead


def _with_its_preposition(sentence: str, at: int, to: int, form: str, told: bool | None) -> bool | None:
    """``told``: by the verb alone."""
    before, first = sentence[:at], sentence[at:to].lower().split(" ")[0]
    edge = _EDGE.search(before) if first == "of" else None
    first = edge.group(1).lower() if edge else first  # "by the end of June"
    if first == "since":
        return False
    looks_ahead = _LOOKS_AHEAD.search(before) is not None
    if first in ("to", "until", "till") and looks_ahead:
        return True
    if first == "from" and MOVED.search(before):
        return True  # "moved from Monday to Thursday"
    leads = re.search(r"(?i)\bfor(?: the| this)? $", before) is not None or first == "for"
    if leads and (looks_ahead or form not in _SPENT or told is None):
        return True
    if first == "to" and re.search(r"(?i)\bfrom\b[^.!?;]*$", before) is None:
        return True
    if told is None and (first in ("by", "until", "till", "before") or _PLANS.search(sentence)):
        return True
    return told


# "Thanks for Saturday, it was fun": what one thanks for may be to come as well.
_THANKS = re.compile(r"(?i)\b(?:thanks|thank you|thx)(?: (?:so|very) much| a lot| again)* for\b[^.!?;,]*$")
_IT_WAS = re.compile(
    r"(?i)[\s.!]*(?:it|that|they|you|i|we(?: all)?|the \w+) (?:really )?(?:was|were|had|loved|enjoyed)\b"
)
_EDGE = re.compile(r"(?i)\b(by|before|until|till|since) (?:the )?(?:very )?(?:end|start|beginning|middle|close) $")


def _is_as_of(sentence: str, at: int, to: int) -> bool:
    return sentence[:at].lower().endswith("as ") and sentence[at:to].lower().startswith("of ")


def _sentence(text: str, start: int, end: int) -> tuple[int, str]:
    """The sentence around [start, end), as far as one looks, and where it begins."""
    low = max(0, start - _LOOK) // _BLOCK * _BLOCK
    around = text[low : -(-(end + _LOOK) // _BLOCK) * _BLOCK]
    begin, stop = 0, len(around)
    for place in ends(around):
        if place <= start - low:
            begin = place
        elif place >= end - low:
            stop = place
            break
    return low + begin, around[begin:stop]


# "Met Ann on Sunday.", as one writes of oneself; the tagger takes the first word for a name.
_WITHOUT_SUBJECT = frozenset(
    """
    met sat saw ate went had got took made came drove flew ran swam won lost bought sold found heard spoke slept woke
    wrote sang rode fell felt gave told taught threw wore
    """.split()
)


def _is_timetable(tokens: Sequence[Token], at: int) -> bool | None:
    """ "The flight departs June 3": where the sentence has no verb, what the tagger takes for a plural may be one."""
    before = [t.tag for t in tokens if t.end <= at and t.tag not in ("IN", "TO", "DT")]
    return True if before[-1:] == ["NNS"] and before[-2:-1] in (["NN"], ["NNP"]) else None


def _is_plan(tokens: Sequence[Token], at: int, form: str) -> bool | None:
    """Whether a sentence without a verb notes what is to come: "Dinner with Ann on Friday." It names the thing at
    once; "a lovely dinner on Friday" tells of it."""
    head = [t for t in tokens if t.end <= at]
    if head and head[0].text.lower() in _WITHOUT_SUBJECT and head[1:]:
        return False
    if form in _APPOINTED and head and head[0].tag in ("NN", "NNP") and head[-1].text.lower() not in _TOLD:
        return True
    return _is_timetable(tokens, at)


def _governing(tokens: Sequence[Token], at: int, to: int) -> int | None:
    """The index of the verb that the time at [at, to) belongs to."""
    before = [i for i, t in enumerate(tokens) if t.end <= at and t.tag in _VERBS]
    after = [i for i, t in enumerate(tokens) if t.start >= to and t.tag in _VERBS]
    if not before:
        return after[0] if after else None
    between = [t.tag for t in tokens[before[-1] + 1 :] if t.end <= at]
    while between and between[-1] in ("IN", "DT", "RB"):
        between.pop()
    if after and between and between[-1] in _OPENS_CLAUSE:
        return after[0]
    return before[-1]


@dataclass(frozen=True, slots=True)
class _Verb:
    """A verb and those before it in its sentence that it may hang on."""

    tokens: Sequence[Token]
    at: int

    @property
    def token(self) -> Token:
        return self.tokens[self.at]

    @property
    def word(self) -> str:
        return self.token.text.lower()

    def before(self) -> _Verb | None:
        found = next((i for i in range(self.at - 1, -1, -1) if self.tokens[i].tag in _VERBS), None)
        return None if found is None else _Verb(self.tokens, found)

    def has_to(self) -> bool:
        left = [t.tag for t in self.tokens[max(0, self.at - 2) : self.at] if t.tag not in ("RB",)]
        return bool(left) and left[-1] == "TO"


def _is_future(tokens: Sequence[Token], at: int) -> bool:
    verb = _Verb(tokens, at)
    above = verb.before()
    if verb.token.tag == "VBP" and (verb.word in names.PAST or verb.word in names.ALIKE):
        return False
    if verb.token.tag == "VB" and above is None and verb.word in names.PAST:
        return False  # "Ran 10k on Sunday"
    match verb.token.tag:
        case "VBD":
            return False
        case "VB":
            return _infinitive(verb, above)
        case "VBG":
            if above is None or _REMEMBERS.fullmatch(above.word):
                return above is None
            return _is_future(tokens, above.at)
        case "VBN":
            return _participle(verb, above)
        case _:  # present, or a modal
            return True


def _infinitive(verb: _Verb, above: _Verb | None) -> bool:
    if above is None:
        return True  # an order
    if verb.has_to() and above.token.tag in ("VBD", "VBN") and _LOOKS_AHEAD.fullmatch(above.word):
        return True
    if above.word in ("would", "could", "might", "should", "ought", "'d", "’d"):
        return verb.word not in _HAVE
    return _is_future(verb.tokens, above.at)


def _participle(verb: _Verb, above: _Verb | None) -> bool:
    """ "has paid", "is paid", "will be paid"; alone ("Closed on Friday") it is past."""
    if above is None or any(t.text == "," for t in verb.tokens[above.at : verb.at]):
        return False  # "Bill, who will be forty, called on Friday"
    if above.word in _BE and above.token.tag != "VBN":
        return _is_future(verb.tokens, above.at)
    if above.word in _GET:
        return _is_future(verb.tokens, above.at)
    if above.word in _HAVE and verb.word == "got" and above.token.tag != "VBD":
        return True  # "I have got an exam on Friday"
    modal = above.before()
    return above.word == "have" and modal is not None and modal.word in ("will", "shall", "'ll", "’ll")
