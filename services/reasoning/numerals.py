"""English number words as figures, where they are numbers: "two children", but not "one of them" or "the two met"."""

from __future__ import annotations

import re
import unicodedata

from text_to_num import alpha2digit  # type: ignore[import-untyped]

from services.common.text import lexical
from services.common.text.normal import normalize

LABELS = (
    "platform|room|gate|floor|page|line|number|no|flight|seat|row|bus|tram|track|level|chapter|part|version|exit"
    "|route|step|table|house|flat|apartment|unit|lot|section|stage|terminal|bay|desk|locker|building|block|bed|ward"
    "|channel|lane|pier|hall|team|group|class|grade|question|item"
)
_SHORT = "two|three|four|five|six|seven|eight|nine|ten|eleven|twelve"


def figures(text: str) -> str:
    """``text`` with number words, dozens, thousands ("12k") and every script's digits as ASCII digits."""
    plain = "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in normalize("NFKC", text))
    digits = _ORDINAL.sub(_nth, _OFTEN.sub(_often, in_digits(plain.replace("\u2212", "-"))))
    counted = _TIMES.sub(_product, _THOUSANDS.sub(r"\1 1000", _DOZEN.sub(_dozen, digits)))
    apart = _CLOCKS.sub(" - ", _SCORE.sub(r"\1\2:\3", counted))
    return _MINUS.sub("-", _BELOW.sub(r"-\1", _AND_A_HALF.sub(r"\1.5", apart)))


def in_digits(text: str) -> str:
    """``text`` with its English number words as digits."""
    made: str = alpha2digit(_COMPOUND.sub(r"\1 ", text), "en")  # which leaves a lone "one", "two" or "zero"
    return _LONE.sub(_alone, made)


def loosely(text: str) -> str:
    """``text`` with what comes to two as the figure ("both sons", "a pair of shoes"), and to once ("daily")."""
    return _REGULARLY.sub(r"1 time \g<0>", _PAIR.sub("2", text))


_COMPOUND = re.compile(  # "three-bedroom"; not "twenty-two", "two-thirds", "seven-thirty"
    rf"(?i)(?<![\w-])({_SHORT})-(?=[a-z])(?!faced|way|fold|time|hundred|thousand|teen|ten\b|fifteen|twent|thirt|fort|fift"
    r"|o\b|half|halves|quarter|thirds|fourths|fifths|sixths|sevenths|eighths|ninths|tenths)"
)
_LONE = re.compile(r"(?i)(?<![\w'’-])(?:zero|one|two)\b(?!['’-])")
_PAIR = re.compile(r"(?i)\bboth\b|(?:(?<=\bthe )|(?<=\bthese )|(?<=\bthose ))two\b(?!['’-])|\ba (?:couple|pair) of\b")
_OFTEN = re.compile(r"(?i)\b(?:(?P<twice>twice)|(?P<thrice>thrice)|once(?= (?:an?|per|each|every) ))\b")
_REGULARLY = re.compile(
    r"(?i)(?<!times )(?<!twice )\b(?:daily|nightly|weekly|monthly|yearly|annually"
    r"|(?:every|each) (?:day|night|week|month|year))\b"
)
_PLACED = "floor|place|prize|grade|row|class|street|avenue|edition|division"
# "Second" is left alone as a number word, for it is a unit too.
_ORDINAL = re.compile(
    r"(?i)\b(?:(?P<lead>(?:the|my|our|your|his|her|their|came|comes|finished|ranked|placed) )second"
    rf"|(?P<came>(?:came|comes|finished|ranked|placed) )first|(?P<word>first|second)(?= (?:{_PLACED})\b))\b"
)
_THOUSANDS = re.compile(r"(?<![\d.,])(\d{1,4}(?:\.\d)?)[kK]\b")
_TIMES = re.compile(r"(?<![\d.,])(\d{1,4})(?:\.(\d{1,3}))? 1((?:000){1,3})\b(?![.,]\d)")  # "1.5 million"
_DOZEN = re.compile(r"(?i)\b(?P<half>half a |half-a-)?(?:(?P<many>\d{1,3}|a|an) )?dozen\b(?!s)")
_SCORE = re.compile(
    r"(?i)\b((?:won|lost|led|tied|ended|finished|score|ratio|odds|lead)(?: (?:by|at|is|was|are|of|with|game))? )"
    r"(\d{1,3}) to (\d{1,3})\b(?![.,:]\d)"
)
_CLOCKS = re.compile(r"(?i)(?:(?<=:\d\d)|(?<=[ap]m))-(?=\d)")  # "9:00-17:00"
_AND_A_HALF = re.compile(r"(?i)(?<![\d.,:/-])(\d{1,4}) and a half\b")
_MINUS = re.compile(r"(?i)\bminus (?=\d)")
_BELOW = re.compile(
    r"(?i)(?<![\d.,-])(\d{1,4}(?:[.,]\d{1,2})?(?: ?(?:degrees?|°[CF]?)(?: celsius| fahrenheit)?)?)"
    r" below (?:0|zero|freezing)\b"
)


def _often(found: re.Match[str]) -> str:
    return "2 times" if found["twice"] else "3 times" if found["thrice"] else "1 time"


def _nth(found: re.Match[str]) -> str:
    if found["word"]:
        return "1st" if found["word"].lower() == "first" else "2nd"
    return f"{found['came']}1st" if found["came"] else f"{found['lead']}2nd"


def _dozen(found: re.Match[str]) -> str:
    many = found["many"] or "1"
    return "6" if found["half"] else str(12 * (int(many) if many.isdigit() else 1))


def _product(found: re.Match[str]) -> str:
    whole, fraction, zeros = found[1], found[2] or "", found[3]
    return f"{whole}{fraction}{zeros[len(fraction) :]}".lstrip("0") or "0"


# --- a lone "one" or "two" ---------------------------------------------------------------------------------------

_NEAR = 24  # characters to either side
_POINTS_AT_TWO = re.compile(r"(?i)\b(?:the|these|those|you|us|or|in|by) $")
_PLURAL = re.compile(r" (?:[a-z]+ )?(?:[a-z]+[^\Ws]s|people|children|men|women|mice|geese|feet|teeth|sheep|fish)\b")
_LABELLED = re.compile(rf"(?i)\b(?:{LABELS})[.:]? $")
_EXACT = re.compile(r"(?i)\b(?:only|just|exactly|least|most|than|nearly|almost) $")
_HOUR_BEFORE = re.compile(r"(?i)\b(?:at|by|until|till|past|quarter to|before|after|since) $")
_HOUR_AFTER = re.compile(r"(?i)\s*(?:$|[.,;:!?)]|o['’]clock\b|(?:in the|on|sharp|tomorrow|today)\b)")
_POINTS_AT_ONE = re.compile(r"(?i)\b(?:no|any|every|some|each|this|that|the|which|another|not|on) $")
_COUNTS_ON = re.compile(r"(?i) (?:or|to|in|and) (?:\d|a half|two\b|three\b)")
_LASTS = re.compile(r"(?i)\b(?:for|takes?|took|lasts?|lasted|within|in|stayed) $")
# Of an unnamed one: "one day he rang".
_SOME = re.compile(
    r"(?i) (?:day|morning|afternoon|evening|night|time|summer|winter|spring|autumn|weekend|thing|hand|side|way|more"
    r"|another|(?:mon|tues|wednes|thurs|fri|satur|sun)day)\b"
)
_COUNTED = re.compile(r" ([a-z]{2,})")
_SINGULAR_S = ("bus", "gas", "lens", "ss", "us", "is")


def _alone(found: re.Match[str]) -> str:
    word, text = found.group().lower(), found.string
    before, after = text[max(0, found.start() - _NEAR) : found.start()], text[found.end() : found.end() + _NEAR]
    if word == "one":
        return "1" if _is_one(before, after) else found.group()
    if word == "two" and _POINTS_AT_TWO.search(before) and not _PLURAL.match(after):
        return found.group()  # "the two met", "a day or two"
    return "2" if word == "two" else "0"


def _is_one(before: str, after: str) -> bool:
    if _POINTS_AT_ONE.search(before):
        return False
    if _LABELLED.search(before) or _EXACT.search(before) or _COUNTS_ON.match(after):
        return True
    if _HOUR_BEFORE.search(before) and _HOUR_AFTER.match(after):
        return True
    if _SOME.match(after):
        return _LASTS.search(before) is not None and not after.startswith(" more")
    noun = _COUNTED.match(after)
    if noun is None or lexical.is_function_word(noun[1]) or noun[1].endswith("ly"):
        return False  # "one of them", "one can see"
    return not noun[1].endswith("s") or noun[1].endswith(_SINGULAR_S)  # "one never knows", "one eats well there"
