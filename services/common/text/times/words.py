"""The words in which English speaks of times: one pattern for each form, with named groups for its parts.

Months, weekdays and relative words are read in any case; what their case says of them ("in may") is ``doubt``'s.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime

_MONTHS = "january february march april may june july august september october november december".split()
MONTH_NUMBER = {name: n for n, name in enumerate(_MONTHS, 1)} | {name[:3]: n for n, name in enumerate(_MONTHS, 1)}
MONTH_NUMBER["sept"] = 9
_DAYS = "monday tuesday wednesday thursday friday saturday sunday".split()
WEEKDAY_NUMBER = {name[:3]: n for n, name in enumerate(_DAYS)}
_ONES = "one two three four five six seven eight nine".split()
_TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_NUMBER = {word: n for n, word in enumerate([*_ONES, *_TEENS], 1)} | {word: 20 + 10 * n for n, word in enumerate(_TENS)}
_NUMBER |= {"a": 1, "an": 1}
_SCALE = {"hundred": 100, "thousand": 1000}
_ORDINALS = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth"
    " sixteenth seventeenth eighteenth nineteenth twentieth"
).split()
_ORDINAL = {word: n for n, word in enumerate(_ORDINALS, 1)} | {"thirtieth": 30}

MONTH = rf"(?i:(?:{'|'.join(_MONTHS)})\b|(?:jan|feb|mar|apr|jun|jul|aug|sept|sep|oct|nov|dec)\b\.?)"
WEEKDAY = rf"(?i:(?:{'|'.join(_DAYS)})\b|(?:mon|tues|tue|wed|thurs|thur|thu|fri|sat|sun)\b)"
YEAR = r"(?:1\d{3}|20\d{2})"
ANY_YEAR = rf"(?:{YEAR}|[’'‘]\d\d(?!\w)|(?i:(?:last|this|next) year)(?![’'\w]))"  # "'98", "May last year"
_NTH = r"(?:0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)"
_NTH_WORD = rf"(?i:(?:twenty|thirty)[- ](?:{'|'.join(_ORDINALS[:9])})|{'|'.join(_ORDINAL)})"
_DAY = rf"(?:{_NTH}|0?[1-9]|[12]\d|3[01])"
_BELOW_HUNDRED = rf"(?:(?:{'|'.join(_TENS)})(?:[- ](?:{'|'.join(_ONES)}))?|{'|'.join(_TEENS)}|{'|'.join(_ONES)})"
_COUNT = (
    rf"(?i:\d{{1,3}}|(?:a|{'|'.join(_ONES)}) thousand"
    rf"|(?:a|{'|'.join(_ONES)}) hundred(?:(?: and)? {_BELOW_HUNDRED})?|(?:a|two|three|four) dozen|an?"
    rf"|{_BELOW_HUNDRED}|(?:a )?couple(?: of)?|(?:a )?few)"
)
_OR = r"(?: ?[-–—] ?|(?i: (?:to|or) ))"
COUNT = rf"(?:{_COUNT}(?:{_OR}{_COUNT})?)"
_ONE_COUNT, _EITHER_COUNT = re.compile(_COUNT), re.compile(rf"({_COUNT}){_OR}({_COUNT})")
_UNIT = r"(?i:(?:day|week|fortnight|month|year|decade)s?)"
# "this past Tuesday" is last Tuesday.
AGAIN = r"(?i:(?:this |the )?(?:past|coming)|previous|last|next|this)"
_TO = r"(?: ?[-–—] ?|(?i: (?:to|through|thru|until|till) ))"
_AND = r"(?i: (?:and|or|&) )"
# Between two of the same: "3 to 5", "the 3rd or the 5th"; and before the last of a list, "2, 9 and 16".
_LINK = rf"(?:{_TO}|{_AND})(?i:(?:in |on )?(?:the )?)"
_HOLIDAY = (
    r"(?i:Christmas Eve|Christmas Day|Christmas|Xmas|Boxing Day|New Year[’']?s Eve|New Year[’']?s Day|New Year[’']?s"
    r"|Hallowe[’']?en|Valentine[’']?s Day|Good Friday|Easter Sunday|Easter Monday|Easter)"
)
_CLOCK = r"(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?: ?(?P<zone>[Zz]|[+-]\d{2}:?\d{2}))?)?"
_OPEN = r"(?i:on|since|until|till|by|before|after|from|to|for|of)"

_DATE = (
    rf"(?:(?:{_OPEN} )?{WEEKDAY}\.?,? )?"
    rf"(?:(?:(?i:the) )?(?:(?P<day>{_DAY})\.? (?i:of )?|(?i:the )(?P<word>{_NTH_WORD}) (?i:of )?)"
    rf"(?P<month>{MONTH})|(?P<month2>{MONTH}) (?i:the )?(?P<day2>{_DAY})(?!\d|[:.]\d))"
    rf"(?:,? (?P<year>{ANY_YEAR})\b(?!:))?"
)


# A month that counts from the one in which it is said.
_MONTH_BACK = (
    r"(?i:(?:last|this|next|previous|the (?:past|coming)) month|the month (?:before last|after next))(?![’'\w])"
)
_ISO_DAY = rf"{YEAR}[-/.](?:0?[1-9]|1[0-2])[-/.](?:0?[1-9]|[12]\d|3[01])"
_DAY_FIRST = rf"(?:0?[1-9]|[12]\d|3[01])[-/.](?:0?[1-9]|[12]\d|3[01])[-/.]{YEAR}"
DECADES = {"thirties": 30, "forties": 40, "fifties": 50, "sixties": 60, "seventies": 70, "eighties": 80, "nineties": 90}
_DECADE = rf"(?:(?:1\d{{2}}|20\d)0[’']?s|[’']?[3-9]0[’']?s|(?i:{'|'.join(DECADES)}))"
_IN_PART = r"(?:(?:in|during|by|since|until|till|before|after|of) )?(?:the )?"


def unnamed(pattern: str) -> str:
    """The pattern without the names of its groups, which may stand in an expression only once."""
    return re.sub(r"\(\?P<\w+>", "(?:", pattern)


_PRE = r"(?i:(?:from|between|in|during|on|of|since|for) )?"
_PART_OF = r"(?i:(?:early|mid|late)[- ])?"
_OF_YEAR = rf"(?:,? (?i:of )?{ANY_YEAR}(?!\w|:))"
_SEASON = r"(?i:spring|summer|autumn|fall|winter)"
QUARTER = r"(?:Q[1-4]|H[12])"
_SLASH = r"(?:/|(?i:\bto\b))"


def _several(item: str, name: str = "items") -> str:
    """A range or a list of such items, six at most."""
    return rf"(?P<{name}>{item}(?:(?:, (?i:the )?{item}){{1,4}},?{_AND}(?i:the )?|{_LINK}){item})"


DAY_OF_LIST = rf"(?:{_NTH_WORD}|{_DAY}\.?)(?![\w:]|\.\d)"
MONTH_OF_LIST = rf"{_PART_OF}{MONTH}{_OF_YEAR}?"
SEASON_OF_LIST = rf"{_PART_OF}{_SEASON}(?:,?(?i: of)? {ANY_YEAR}(?!\w|:))?"
HOLIDAY_OF_LIST = rf"{_HOLIDAY}(?:,? (?i:of )?{YEAR}(?!\w))?"
DECADE_OF_LIST = rf"{_PART_OF}{_DECADE}"
YEAR_OF_LIST = rf"{YEAR}(?!\w|[/-]\d)"
_DM = r"(?:0?[1-9]|[12]\d|3[01])"

_NAMED_DAY = rf"(?:{unnamed(_DATE)}|{_HOLIDAY}(?:,? (?i:of )?{YEAR})?)"

# Name -> pattern; earlier ones win where two begin at the same place.
PATTERNS = {
    "interval": (
        rf"(?P<start>{_ISO_DAY}|{_DAY_FIRST}){unnamed(_CLOCK)}(?:/|--?)(?P<end>{_ISO_DAY}|{_DAY_FIRST}){unnamed(_CLOCK)}"
    ),
    "stamp": (
        rf"(?P<year>{YEAR})(?P<month>0[1-9]|1[0-2])(?P<day>0[1-9]|[12]\d|3[01])"
        r"T(?:[01]\d|2[0-3])[0-5]\d(?:\d\d)?(?:Z|[+-]\d{2}:?(?:\d{2})?)?"
    ),
    "numerics": (
        rf"{_PRE}(?i:the )?(?:(?P<day>{_DM})(?P<month>[./]{_DM})?\.?{_LINK}"
        rf"(?P<last>{_DM}(?P<dash>[./]){_DM}(?P=dash)(?:{YEAR}|\d\d)))"
    ),
    "isos": (
        rf"{_PRE}(?P<first>{_ISO_DAY})(?:/|–|(?i: (?:to|through|until|till|and|or) ))(?P<month>{_DM}-)?(?P<day>{_DM})"
    ),
    "iso": rf"(?P<year>{YEAR})(?P<dash>[-/.])(?P<month>0?[1-9]|1[0-2])(?P=dash)(?P<day>0?[1-9]|[12]\d|3[01]){_CLOCK}",
    "dashed": rf"(?P<day>0?[1-9]|[12]\d|3[01])(?P<dash>[-/.])(?P<month>{MONTH})(?P=dash)(?P<year>{YEAR})",
    "yearmonth": rf"(?P<year>{YEAR})-(?P<month>0[1-9]|1[0-2])",
    "numeric": rf"(?P<a>0?[1-9]|[12]\d|3[01])(?P<dash>[-/.])(?P<b>0?[1-9]|[12]\d|3[01])(?P=dash)(?P<year>{YEAR}|\d\d)",
    "around": (
        rf"(?:(?i:(?:on |over |in |during )?the |last ))?"
        rf"(?P<unit>(?i:week|day|weekend|night|fortnight|month|year)|{WEEKDAY})"
        rf" (?P<side>(?i:before|after|of)) (?P<date>{_NAMED_DAY})"
    ),
    "offset": (
        rf"(?P<the>(?i:the ))?(?P<count>{COUNT}|(?i:several)) (?P<unit>(?i:weekends?)|{_UNIT})"
        rf" (?P<side>(?i:before|after)) (?P<date>{_NAMED_DAY})"
    ),
    "days": (
        rf"{_PRE}(?i:the )?(?:{_several(DAY_OF_LIST)} (?:(?P<of>(?i:of ))?(?P<month>{MONTH})"
        rf"|(?i:of )(?P<back>{_MONTH_BACK}))"
        rf"|(?P<month2>{MONTH}) (?i:the )?{_several(DAY_OF_LIST, 'items2')})(?P<year>{_OF_YEAR})?"
    ),
    "date": _DATE,
    "months": (rf"{_PRE}(?:{_several(MONTH_OF_LIST)}|(?P<items2>{MONTH}/{MONTH}{_OF_YEAR}))(?!,? ?[’'‘]?\d)"),
    "seasons": rf"{_PRE}(?i:the )?{_several(SEASON_OF_LIST)}",
    "holidays": rf"{_PRE}{_several(HOLIDAY_OF_LIST)}",
    "decades": (
        rf"(?i:(?:from|between|in|during|of|since|for|by|throughout) )?(?i:the )"
        rf"{_several(DECADE_OF_LIST).replace(_LINK, f'(?:{_LINK}|/)')}"
    ),
    "sameof": (
        rf"{_PRE}(?i:the )?{_PART_OF}(?:(?P<season>{_SEASON})(?i:s)?|(?P<month>{MONTH}))(?i: of)?"
        rf" (?P<items>{YEAR_OF_LIST}(?:(?:, {YEAR_OF_LIST}){{1,4}},?{_AND}|{_AND}){YEAR_OF_LIST})"
    ),
    "parts": rf"{_PRE}{_several(QUARTER)}(?P<year>(?:,? |-|(?i: of )){YEAR})",
    "yearlist": (
        rf"(?P<which>(?i:in|during|of|since|from|by|before|after|around)) (?i:the years )?"
        rf"(?P<items>{YEAR}(?:(?:, {YEAR}){{1,4}},?{_AND}|{_AND}){YEAR})"
    ),
    "monthyear": (rf"(?:(?i:{_OPEN}|in|during) )?{_PART_OF}(?P<month>{MONTH}),? (?i:of )?(?P<year>{ANY_YEAR})"),
    "month": (
        rf"(?P<which>(?i:{AGAIN}|in|{_OPEN}|during|(?:in )?(?:early|late|mid)))[- ](?:(?i:early|late|mid)[- ])?"
        rf"(?P<month>{MONTH})(?! ?\d)"
    ),
    "nths": rf"(?i:from|between) (?i:the )(?P<first>{_NTH})(?:{_TO}|(?i: and ))(?i:the )?(?P<last>{_NTH})",
    "dayofmonth": (
        rf"(?:(?i:on) )?(?i:the )(?P<nth>{_NTH_WORD}|{_NTH}|(?i:last)) (?P<day>{WEEKDAY}) (?i:of|in)"
        rf" (?:(?P<month>{MONTH})(?:,? (?P<year>{YEAR})\b)?|(?P<back>{_MONTH_BACK}))"
    ),
    "nthof": (
        rf"(?:(?:{_OPEN} )?(?P<weekday>{WEEKDAY})\.?,? |{_OPEN} )?(?i:the )"
        rf"(?:(?P<day>{_NTH}|{_NTH_WORD})(?i: of)|(?<=(?i:on the ))(?P<day2>{_NTH}),?) (?P<back>{_MONTH_BACK})"
    ),
    "weekdaynth": (
        rf"(?:(?P<which>{_OPEN}) )?"
        rf"(?:(?P<day>{WEEKDAY})\.?(?:,? (?:(?i:the )?(?P<nth>{_NTH})|(?i:the )(?P<word>{_NTH_WORD}))"
        rf"| \((?i:the )?(?P<nth3>{_NTH})\))"
        rf"|(?i:the )(?P<nth2>{_NTH})(?:, (?i:an? )(?P<day2>{WEEKDAY})| \((?i:an? )?(?P<day3>{WEEKDAY})\)))"
    ),
    "nth": rf"(?:(?P<which>{_OPEN}) )?(?i:the )(?P<day>{_NTH})",
    "now": r"(?i:(?:(?:to|until|till|through|and) )?(?:now|the present(?: day)?|present|date))",
    "relative": (
        r"(?i:(?:the )?day (?:before yesterday|after to-?morrow)|yesterday|to-?day|to-?morrow|to-?night|last night"
        r"|this (?:morning|afternoon|evening))"
    ),
    "ago": (
        rf"(?P<count>{COUNT}) (?P<unit>{_UNIT}|(?i:(?:hour|minute)s?))(?: (?i:or) (?P<more>{COUNT}))?"
        r" (?i:ago|before now|back)"
        r"(?: (?P<on>(?i:to-?day|yesterday)))?"
    ),
    "beforelast": (
        rf"(?i:the )(?:(?P<unit>(?i:night|week|weekend|fortnight|month|year))|(?P<day>{WEEKDAY}))"
        r"(?: (?P<side>(?i:before)) (?i:last)| (?i:after next))"
    ),
    "ahead": rf"(?i:in) (?P<count>{COUNT}) (?P<unit>{_UNIT})(?:[’'](?i:s)? (?i:time))?",
    "fromnow": rf"(?P<count>{COUNT}) (?P<unit>{_UNIT}) (?i:from (?:now|today)|hence)",
    "spell": rf"(?i:the )(?P<which>(?i:last|past|next|coming)) (?P<count>{COUNT}) (?P<unit>{_UNIT})",
    "dayofweek": (
        rf"(?:(?P<day>{WEEKDAY})(?i: of)? (?P<which>(?i:last|this|next)) (?i:week)"
        rf"|(?P<which2>(?i:last|this|next)) (?i:week) (?i:on )?(?P<day2>{WEEKDAY}))"
    ),
    "unit": rf"(?P<which>{AGAIN}) (?P<unit>(?i:week|fortnight|month|year))",
    "weekend": rf"(?P<which>{AGAIN}|(?i:(?:(?:at|on|over|for|during|by) )?the)) (?i:weekend)",
    "season": (
        rf"(?:(?P<which>{AGAIN}|(?i:in|during|over|since|until|till|by|before|after|for|through|throughout)(?i: the)?"
        rf"|(?i:the)) )?"
        rf"(?i:early |late |mid-?)?(?P<season>(?i:spring|summer|autumn|fall|winter))"
        rf"(?:(?i: of)? (?P<year>{ANY_YEAR})\b)?"
    ),
    "holiday": rf"(?:(?P<which>{AGAIN}) )?(?P<name>{_HOLIDAY})(?:,? (?i:of )?(?P<year>{YEAR}))?",
    "weekday": (
        rf"(?:(?P<which>{AGAIN}|{_OPEN}) )?(?P<day>{WEEKDAY})(?: (?P<then>(?i:last|next))(?=\s*(?:$|[.,;:!?])))?"
    ),
    "decade": (
        r"(?i:(?:(?:in|during|of|since|from|by) )?the (?:(?:early|late|mid)[- ])?"
        rf"(?:(?P<decade>(?:1\d{{2}}|20\d)0)[’']?s|[’']?(?P<short>[3-9]0)[’']?s|(?P<word>{'|'.join(DECADES)})))"
    ),
    "part": (
        rf"(?i:{_IN_PART}(?:(?P<part>Q[1-4]|H[12])|(?P<nth>first|second|third|fourth|last|1st|2nd|3rd|4th)"
        rf" (?P<unit>quarter|half))(?:,? |-| of )(?P<year>{YEAR})|(?P<year2>{YEAR})[- ]?(?P<part2>Q[1-4]|H[12]))"
    ),
    "overyears": (
        rf"(?P<which>(?i:in|since|during|of|for|over|until|till|by|before|after|from|between|throughout) )?"
        rf"(?P<named>(?i:(?:the )?(?:(?:season|year)s?|(?:school|academic|fiscal|financial|tax) years?)(?: of)? ))?"
        rf"(?P<first>{YEAR})(?P<dash>/|[–-](?=\d\d(?!\d)))(?P<last>{YEAR}|\d\d)(?![\w/–-])"
    ),
    "years": (
        rf"(?:(?P<which>(?i:from|between|in|during|of|for)) )?(?P<named>(?i:the years? ))?"
        rf"(?P<first>{YEAR})(?:{_TO}|(?i: and ))(?P<last>{YEAR}|(?i:(?:the )?present(?: day)?|now|today))"
    ),
    "year": (
        r"(?P<which>(?i:in|since|during|of|until|till|by|before|after|from|around|mid)"
        r"|(?i:(?:(?:in|since|during|of|until|till|by|before|after|from) )?(?:early|mid|late)"
        r"|(?:the )?year(?: of)?))[- ]"
        rf"(?P<year>{ANY_YEAR})"
    ),
}
# Several times that share a month or a year: ``shared`` takes them apart.
SHARED = ("numerics", "isos", "days", "months", "seasons", "holidays", "decades", "sameof", "parts", "yearlist")
FORMS = {name: re.compile(pattern) for name, pattern in PATTERNS.items()}


def _any_of(names: Iterable[str]) -> str:
    return "|".join(rf"(?P<{name}>{unnamed(PATTERNS[name]).replace('(?P=dash)', '[-/.]')}(?!\w))" for name in names)


WEEKDAY_ALONE = re.compile(_any_of(["weekday"]))
EXPRESSION = re.compile(rf"(?<![\w.\-/])(?=\w)(?:{_any_of(PATTERNS)})")
ONE = re.compile(rf"(?=\w)(?:{_any_of(name for name in PATTERNS if name not in SHARED)})")  # shares nothing


def month(words: str) -> int:
    """1 to 12."""
    return MONTH_NUMBER[words.lower().rstrip(".")]


def month_name(number: int) -> str:
    return _MONTHS[number - 1]


def year(words: str, now: datetime) -> int:
    """Of "1998", "98", "'98" or "last year": two figures are of the century that has come to them, ten years ahead at
    most."""
    if words[-1] in "rR":
        return now.year + {"l": -1, "t": 0, "n": 1}[words[0].lower()]
    number = int(words[-4:].strip("’'‘"))
    if number >= 100:
        return number
    return number + (2000 if 2000 + number <= now.year + 10 else 1900)


def weekday(words: str) -> int:
    """0 for Monday."""
    return WEEKDAY_NUMBER[words[:3].lower()]


def day(words: str) -> int:
    """Of "7", "7th" or "twenty-first"."""
    digits = re.match(r"\d+", words)
    if digits:
        return int(digits.group())
    tens, _, ones = words.lower().replace(" ", "-").rpartition("-")
    return (20 if tens == "twenty" else 30 if tens else 0) + _ORDINAL[ones]


def count(words: str) -> tuple[int, int]:
    """The least and the most that a count means: "a few" is two to four, and so is "two to four"."""
    either = None if _ONE_COUNT.fullmatch(words) else _EITHER_COUNT.fullmatch(words)
    if either is not None:  # "twenty-one" is one
        return count(either[1])[0], count(either[2])[1]
    plain = words.lower().replace("-", " ")
    if "few" in plain or plain == "several":
        return (2, 4) if "few" in plain else (3, 6)
    if "couple" in plain:
        return 2, 2
    if plain.isdigit():
        return int(plain), int(plain)
    if plain.endswith(" dozen"):
        return (12 * _NUMBER[plain.split()[0]],) * 2
    number = 0
    for word in plain.replace(" and ", " ").split():
        number = number * _SCALE[word] if word in _SCALE else number + _NUMBER[word]
    return number, number


def which(match: re.Match[str]) -> str:
    """ "last", "next" or "this", whatever word says so; the preposition, or "", where none does."""
    word = (match["which"] or "").lower()
    last = word.rpartition(" ")[2]
    return {"past": "last", "previous": "last", "coming": "next"}.get(last, word)


def group(match: re.Match[str], *names: str) -> str:
    """The first of these groups that took part; "" where none did."""
    return next((match[name] for name in names if match.groupdict().get(name)), "")
