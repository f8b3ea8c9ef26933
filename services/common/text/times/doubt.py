"""Whether words in the form of a time are one here: a number, a noun or a name may have the same form.

What is doubtful is left out. A time that is missed costs little, for a text is found by its words too; a false one
puts the right text behind every text of that day.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from services.common.text.times import names, titles
from services.common.text.times.words import AGAIN, WEEKDAY

_Match = re.Match[str]


def is_time(form: str, words: _Match, before: str, after: str) -> bool:
    """Whether ``words``, a match of ``form`` alone, surely mean a time between these two stretches of text."""
    if titles.is_name(form, words, before, after) or is_counted_from(words, before):
        return False
    rule = _RULES.get(form)
    return rule is None or rule(words, before, after)


def is_counted_from(words: _Match, before: str) -> bool:
    """ "Three days before Christmas" and "the Friday after Easter" are other days."""
    preposition = _BEFORE_OR_AFTER.match(words.group())
    return _COUNTED.search(before[-40:] + (preposition.group() if preposition else "")) is not None


_BEFORE_OR_AFTER = re.compile(r"(?i)(?:before|after) (?:the )?")
_COUNTED = re.compile(
    r"(?i)\b(?:(?:hour|day|night|weekend|week|fortnight|month|year)s?"
    r"|the (?:mon|tues|wednes|thurs|fri|satur|sun)day) (?:before|after) (?:the )?$"
)


# --- what may stand around --------------------------------------------------------------------------------------

# Words of the closed classes: none is a noun that a number before it could count.
_CLOSED = (
    r"and|or|but|nor|to|until|till|through|the|an?|this|that|these|those|my|our|your|his|her|its|their|I|we|you|he|she"
    r"|it|they|there|here|who|whom|which|what|when|where|while|why|how|if|as|because|since|so|than|then|for|from|by"
    r"|with|without|at|on|in|into|off|over|under|about|after|before|during|between|was|were|is|are|been|am|has|have"
    r"|had|did|do|does|will|would|shall|should|could|can|may|might|must|not|never|also|already|again|still|yet|only"
    r"|just|too|either|both|all|every|everyone|nobody|somebody|someone|no|some|any|though|although|whether"
)
FREE = re.compile(
    rf"(?:['’]s\b|\s*(?:$|[!?;:)\]\"”’'–—(]|[.,](?!\d)|-(?!\w))|\s+(?:(?:{_CLOSED})\b(?![’'-])|[a-z]+ly\b|[A-Z]))"
)
_IDENTIFIER = re.compile(
    r"(?i)(?:\b(?:number|no|nr|part|parts|model|serial|code|id|ids|ref|reference|ticket|order|invoice|item|sku|case"
    r"|file|version|release|build|phone|tel|fax|account|policy|licen[cs]e|plate|tracking|batch|lot|article|isbn"
    r"|room|flight|gate|booking|docket|catalogue|catalog|form|section|extension|ext|pin|passcode|password|key|ip"
    r"|module|device|component|product|firmware|patent|page|pages|chapter|act|scene|verse|figure|table|volume|step|level|line|platform|bus|track|seat|row)\b"
    r"[.:#]?(?: (?:number|no|nr|code|id|ref)\b[.:#]?)?(?: (?:is|was|reads|of))?|#|№)[ :#]*$"
)
CAPITAL_AFTER = re.compile(r" (?!I\b)[A-Z][\w’'-]*")
_CAPITAL_BEFORE = re.compile(r"\b(?!I )[A-Z][\w’'-]* $")
OPENS = re.compile(r"(?:^|[.!?:;\n\"“(]\s*)$")


def is_number_of_something(before: str) -> bool:
    return _IDENTIFIER.search(before[-40:]) is not None


def are_digits(words: _Match, before: str, after: str) -> bool:
    return not is_number_of_something(before) and re.match(r"[-/.]\w", after) is None


def _numeric(words: _Match, before: str, after: str) -> bool:
    """Days and months in figures: with stops the day comes first; else only where just one of them can be the month."""
    a, b = int(words["a"]), int(words["b"])
    if len(words["year"]) == 2 and (words["dash"] == "-" or not DATED.search(before)):
        return False
    known = words["dash"] == "." or a > 12 or b > 12 or a == b
    return known and min(a, b) <= 12 and are_digits(words, before, after)


def _year_month(words: _Match, before: str, after: str) -> bool:
    """Not "2010-12", which may be years, unless a preposition leads to it."""
    led = re.search(r"(?i)\b(?:in|since|until|till|by|before|after|from|to|during) $", before) is not None
    return are_digits(words, before, after) and (led or int(words["month"]) <= int(words["year"]) % 100)


# --- months and days --------------------------------------------------------------------------------------------

NAMES = ("april", "may", "june", "august", "jun", "jan")  # months that people are called
WORDS = ("may", "march", "mar")  # that are words in small letters
DATED = re.compile(r"(?i)\b(?:on|since|until|till|by|before|after|from|for|dated|due|sent|is|was)(?: the)? $")
_PART = re.compile(
    r"(?i)\b(?:end|start|beginning|middle|rest|month|months|week|weekend|whole|most|days?|all|part|half|evening"
    r"|morning|night|as|monday|tuesday|wednesday|thursday|friday|saturday|sunday) $"
)


def _date(words: _Match, before: str, after: str) -> bool:
    groups = words.groupdict()
    if is_number_of_something(before) and words.group()[0].isdigit():
        return False
    if groups.get("year") is None and re.match(r"[-/.]\d", after):
        return False
    is_small = (groups["month"] or groups["month2"]) in WORDS
    led = DATED.search(before) or re.match(r"(?i)(?:on|since|until|till|by|before|after|from|to|for) ", words.group())
    return not is_small or groups.get("year") is not None or led is not None


def _month(words: _Match, before: str, after: str) -> bool:
    which, name = words["which"].lower(), words["month"]
    if name == "march" and which in ("in", "since", "until", "till", "during"):
        near = f"{before} {re.split(r'[.!?;]', after)[0]}".lower()
        told = which == "since" or any(names.is_past(word) for word in re.findall(r"[a-z]+", near))
        return told and FREE.match(after) is not None
    if name in ("march", "may") and which in ("last", "next"):  # not "our last march", "who comes last may go"
        return _HAS_OWNER.search(before) is None and _CLAUSE_ENDS[name].match(after) is not None
    if name in WORDS or re.match(r"['’]s\b", after):
        return False
    if which == "of":
        return _PART.search(before) is not None and not CAPITAL_AFTER.match(after)
    if name.lower().rstrip(".") not in NAMES:
        return True
    if which in ("to", "for", "from", "on", "after", "before", "since", "until", "till", "by"):
        is_surely_a_month = which in ("since", "until", "till", "before", "after", "by") or MOVED.search(before)
        return bool(is_surely_a_month) and not (
            CAPITAL_AFTER.match(after)
            or re.match(r" (?:\w+ed|said|left|came|went|is|was|has|had)\b", after)
            or _MADE.search(before)
        )
    return which in ("in", "during") or not CAPITAL_AFTER.match(after)


_HAS_OWNER = re.compile(r"(?i)\b(?:the|an?|my|our|your|his|her|its|their|at|['’]s) $")
_CLAUSE_ENDS = {"march": FREE, "may": re.compile(r"\s*(?:$|[.,;:!?)])")}
_AGAIN = re.compile(AGAIN)
MOVED = re.compile(r"(?i)\b(?:mov|shift|postpon|push|reschedul|chang|delay|bring|brought|put|defer|carr)\w*\b[^.!?;]*$")
# "painted by June", "a poem by April"
_MADE = re.compile(
    r"(?i)\b(?:\w+(?:ed|en|wn)|made|sung|sent|told|bought|caught|led|met|run|poem|poems|song|songs|book|books|novel|play"
    r"|picture|painting|photo|letter|note|story|piece|drawing|recipe) $"
)


_WEEKDAY_BEFORE = re.compile(rf"\b{WEEKDAY}\.?,? \(?$")
_ANOTHER_NTH = re.compile(r"(?i)(?: (?:and|or|to) |, |[-–])(?:the )?\d{1,2}(?:st|nd|rd|th)\b")


def _nth(words: _Match, before: str, after: str) -> bool:
    which, number = (words["which"] or "").lower(), int(re.sub(r"\D", "", words["day"]))
    if not which and _WEEKDAY_BEFORE.search(before):
        return False  # the two together were in doubt
    other = _ANOTHER_NTH.match(after)
    if other and not FREE.match(after, other.end()):
        return False  # "the 18th and 19th centuries"
    if not FREE.match(after) or re.match(r" (?:to|in|of|or)\b", after) or CAPITAL_AFTER.match(after):
        # "the 2nd to last", "the 1st in line", "the 4th Duke"; after "on the 8th" a name may follow.
        return which in ("on", "since") and FREE.match(after) is not None and not re.match(r" (?:of|or)\b", after)
    if not which and _CAPITAL_BEFORE.search(before) and not re.search(r"day $", before):
        return False  # "Henry the 8th"
    return which in _POINTS or (not which and (number >= 4 or before.endswith("due ")))


# --- weekdays and holidays --------------------------------------------------------------------------------------

_EVERY = re.compile(
    r"(?i)\b(?:every(?: other| second| third)?|one|each|any|most|some|alternate|weekly|girl|man|black|cyber|ash"
    r"|bloody|palm|freaky|super|maundy|shrove|fat|whit|holy|giving|tgi|t\.g\.i\.|(?-i:Good)) $"
)
_APPOSED = re.compile(r"(?:, (?:(?i:our|my|the|his|her|their|your|an?|who|whose|which)) |,? (?:the|who) )")
_NAMED = re.compile(
    r"(?i)\b(?:named|(?:an?|the|our|my|his|her|their) (?:\w+ )?called|name(?: is| was|d)|hello|hi|dear) $"
)
# "Friday bit the postman"; but "Friday was fine", "Friday works for me".
_ACTS = re.compile(
    r" (?!(?:was|is|were|will|would|has|had|works?|suits?|came|went|looks?|seems?|feels?|felt|began|begins|starts?"
    r"|started|ends?|ended|turned|brought|saw|marks?|marked|morning|afternoon|evening|night|noon|at|and|or|to)\b)"
    r"(?:\w+ed|bit|ate|sat|ran|flew|fell|sang|slept|barked|got|took|gave|said|says|likes?|loves?|wants?|eats|sleeps"
    r"|knows|has|had|can)\b"
)


_KIND = re.compile(
    rf" (?!(?:{_CLOSED}|morning|afternoon|evening|night|noon|midnight|last|next|past|ahead)\b|[a-z]+(?:ly|ed)\b)"
    r"[a-z]{3,}\b"
)
_POINTS = ("on", "since", "until", "till", "by", "before", "after")
_SHORT = ("mon", "tue", "tues", "wed", "thu", "thur", "thurs", "fri", "sat", "sun")


# "The 3rd Sunday crossword", "their first Monday": which one, no month says.
_NUMBERED = re.compile(
    r"(?i)\b(?:the|an?|our|my|your|his|her|its|their) (?:\d{1,2}(?:st|nd|rd|th)|first|second|third|fourth|fifth|sixth"
    r"|seventh|eighth|ninth|tenth) $"
)


def _is_numbered(which: str, before: str) -> bool:
    return not which and _NUMBERED.search(before) is not None


def _weekday(words: _Match, before: str, after: str) -> bool:
    which = (words["which"] or "").lower()
    if words["day"].lower() in _SHORT and _is_another_word(words["day"], which, before, after):
        return False
    if _is_of_another_week(f"{before}{which}".rstrip(), after):
        return False
    if _EVERY.search(before) or _NAMED.search(before) or _JOINED_TO.match(after) or _is_numbered(which, before):
        return False
    if which in _POINTS or _AGAIN.fullmatch(which):
        return True
    if re.match(r"(?i) (?:schools?|papers?|roasts?|best|clubs?|class(?:es)?|markets?|choir|prayers?|groups?)\b", after):
        return False
    if re.search(r"(?i)\bthe $", before) and _KIND.match(after):
        return False  # "the Friday club", which meets on any
    follows = CAPITAL_AFTER.match(after)
    if which in ("to", "from", "for", "of"):
        return follows is None
    if words["day"][0].islower():
        return re.match(r"(?i) (?:the|my)\b", after) is None
    capital = _CAPITAL_BEFORE.search(before)
    if follows or (capital and not OPENS.search(before[: capital.start()])):
        return False
    if _DOES.search(before) and re.match(r" (?!suit|work|be\b|fit|mean|come|sound|look|feel)[a-z]+\b", after):
        return False
    if _OF_SOMEBODY.search(before) or _AND.search(before) or _IS_SOMEBODY.match(after) or _APPOSED.match(after):
        return False
    return not (OPENS.search(before) and _ACTS.match(after))


def _is_another_word(day: str, which: str, before: str, after: str) -> bool:
    """ "Sat on the sofa all day.", "Sun was shining.", "Wed at last!", "Mon frère est là."; but "Sat: dentist"."""
    if day[0].islower() and which in ("", "to", "for", "of", "from") and not _is_part_of_day(day, before, after):
        return True
    if which:
        return False
    said_of_it = _OF_THE_WORD.get(day.lower())
    if said_of_it is not None and OPENS.search(before) and said_of_it.match(after):
        return True
    return not (FREE.match(after) or _SUITS.match(after) or _ON_THE_DAY.match(after))


_OF_THE_WORD = {
    "sat": re.compile(
        r" (?:on|in|by|down|up|through|under|beside|near|around|for|with|there|here|outside|inside|next|across|behind"
        r"|between|back|together|still|alone|at(?! (?:\d|noon|midnight|about|around)))\b"
    ),
    "sun": re.compile(
        r" (?:(?:is|was|has been|came|went|comes|goes) (?:still )?(?:out|up|down|in|shining|hot|bright|low|high|warm"
        r"|strong|setting|rising|behind)|sets?|in (?:my|our|his|her|their|the) (?:eyes?|face|hair|sky))\b"
    ),
    "wed": re.compile(r" (?:at last|in|for|to|by|him|her|twice|again|young|happily)\b"),
}
_ON_THE_DAY = re.compile(r",? (?:\d|noon\b|lunch|dinner|eve\b|next\b|last\b|this\b)|[-/&–]")


def _is_part_of_day(day: str, before: str, after: str) -> bool:
    """ "tues evening was fun", "fri 8pm"; but "we sat night after night"."""
    is_word = day in ("sat", "sun", "wed") and not (OPENS.search(before) or _PARTED.search(before))
    return _PART_OF_DAY.match(after) is not None and not is_word


_PART_OF_DAY = re.compile(
    r"(?i),? (?:(?:early |late )?(?:morning|afternoon|evening|eve|night|noon|lunch)\b(?! after)"
    r"|(?:at )?\d{1,2}(?:[:.]\d\d)? ?[ap]\.?m\b)"
)
_PARTED = re.compile(r"(?i)(?:[,;(]|\b(?:and|or|but|for|until|till|from|to|was|is|free|busy|about)) $")
# "Tuesday-ish", "Monday.com"; but "Monday-Friday".
_JOINED_TO = re.compile(rf"-(?!{WEEKDAY})\w|\.(?:com|org|net|io|co|app|dev|ai)\b")


def _is_of_another_week(before: str, after: str) -> bool:
    """ "Monday week", "the Monday before Easter", "a week from Monday", "Monday of that week", "Monday the 4th"."""
    if _OF_SOME_WEEK.match(after):
        return True
    if re.match(r" (?:week|before last|after next|but one)\b", after) or _LENGTH_FROM.search(before):
        return True
    return re.search(r"(?i)\bthe$", before) is not None and re.match(r" (?:before|after)\b", after) is not None


_NTH = r"\d{1,2}(?:st|nd|rd|th)\b"
_OF_SOME_WEEK = re.compile(
    rf"(?i),? (?:the {_NTH}|\((?:the )?{_NTH}|(?:of |in )?(?:that|each|every|the (?:same|following)) week\b"
    r"|(?:of |in )?the week (?:after|before)(?=\s*(?:$|[.,;:!?)]))"
    r"|(?:of|in) (?:the|her|his|our|my|their) (?:first|second|third|fourth|last) week\b)"
    r"|\s\d{1,2}(?=\s*(?:$|[,;!?)]|\.(?!\d)))"  # "on Saturday 16."
)
_LENGTH_FROM = re.compile(
    r"(?i)\b(?<!last )(?<!this )(?<!next )(?:day|week|fortnight|month)s? from$"
    r"|\b(?:a|one|two|three) weeks? (?:on|last|next|this)$"
)
# "her Sunday dress", "a Monday thing", "I gave Friday a nut", "out with Friday"
_OF_SOMEBODY = re.compile(
    r"(?i)\b(?:an?|my|our|your|his|her|their|give|gave|fed|feed|told|asked?|bathed|petted|walked|with|like"
    r"|cat|dog|parrot|horse|pony|rabbit|hamster|bird|kitten|puppy|goat|cow|pet|son|daughter|boy|girl|robot) $"
)
_DOES = re.compile(r"(?i)\b(?:did|does|has|can) $")  # "Did Friday bite the postman?"
_IS_SOMEBODY = re.compile(
    r" (?:is|was) (?:what|the name\b|(?:my|our|his|her|their|your|an?) "
    r"(?!\w*day\b|favou?rite|turn|last|first|good|bad|anniversary|wedding|party|exam|deadline|graduation|big|long))"
)
_AND = re.compile(r"\b(?!\w*day )[A-Z]\w+ and $")  # "Robinson and Friday"


def _holiday(words: _Match, before: str, after: str) -> bool:
    if words["which"] or words["year"]:
        return True
    if re.search(r"(?i)\b(?:father|mother|merry|happy|every|each) $", before):
        return False
    if re.match(r" (?i:tree|eggs?|cards?|cakes?|puddings?|lights|stockings?|costumes?)\b", after):
        return False
    is_free = FREE.match(after) is not None and not CAPITAL_AFTER.match(after)  # not "Easter Island"
    return is_free or (_AT.search(before) is not None and not _CAPITAL_OF.match(after))


_CAPITAL_OF = re.compile(r" (?:Island|Bunny|Rising|Carol|Parade|Market|Show)\b")
_AT = re.compile(r"(?i)\b(?:at|on|over|for|during|since|until|till|by|before|after|around) $")


_PAUSE = re.compile(r"\s*(?:$|[.,;:!?)]| at \d)")
_SUITS = re.compile(r" (?:works?|suits?|sounds?|looks?|came|went|morning|afternoon|evening|night)\b")


def _weekday_nth(words: _Match, before: str, after: str) -> bool:
    """Not "Tuesday 5th graders came", "on Friday the 13th floor", nor the film "Friday the 13th"."""
    is_led = (words["which"] or "").lower() in _POINTS
    day = (words["day"] or "").lower()
    if not is_led and (_EVERY.search(before) or (day.startswith("fri") and words["nth"] == "13th")):
        return False
    if words["word"]:
        return _PAUSE.match(after) is not None  # not "on Friday the first guests came"
    is_free = (FREE.match(after) or _SUITS.match(after)) and not re.match(r" (?:of|in) ", after)
    return bool(is_free) and (CAPITAL_AFTER.match(after) is None or (is_led and " the " in words.group().lower()))


def _relative(words: _Match, before: str, after: str) -> bool:
    """Not "USA Today", "the Tomorrow People"."""
    is_title = words.group()[0].isupper() and (_CAPITAL_BEFORE.search(before) or CAPITAL_AFTER.match(after))
    return not is_title or OPENS.search(before) is not None


def _day_of_week(words: _Match, before: str, after: str) -> bool:
    """Not "we sat last week"."""
    return words["day"] not in ("sat", "sun", "wed") or OPENS.search(before) is not None


# --- seasons ----------------------------------------------------------------------------------------------------

SPRINGS = re.compile(
    r"(?i) (?:of|rolls?|water|onions?|cleaning|chicken|mattress|guys?|mechanism|coil|that broke|back)\b"
)
_NOUN_OF_SEASON = re.compile(
    r"(?i) (?:coat|coats|clothes|boots|tyres|tires|jacket|dress|dresses|sports?|squash|school|camps?|house|job|wheat)\b"
)


def _season(words: _Match, before: str, after: str) -> bool:
    if words["year"]:
        return True
    which, name = (words["which"] or "").lower(), words["season"].lower()
    if not which or which == "the" or (name != words["season"] and CAPITAL_AFTER.match(after)):
        return False
    if which == "by" and _MADE.search(before):
        return False  # "inspired by autumn"
    if SPRINGS.match(after) or (_NOUN_OF_SEASON.match(after) and not which.endswith(("last", "next", "this"))):
        return False
    if name in ("spring", "fall") and which.endswith("the") and which != "in the":
        return which in ("during the", "over the", "throughout the")
    return True


def _weekend(words: _Match, before: str, after: str) -> bool:
    return re.match(r" (?i:of|house|home|trips|edition)\b", after) is None


def _unit(words: _Match, before: str, after: str) -> bool:
    """Not "the last week of the tour", "last year's words"; "this year's" is this year."""
    return not (re.search(r"(?i)\bthe $", before) and re.match(r" of\b", after))


def _spell(words: _Match, before: str, after: str) -> bool:
    """Not "the last two weeks of the tour"."""
    return re.match(r" of\b", after) is None


# --- years ------------------------------------------------------------------------------------------------------

QUANTITY = re.compile(
    r"(?i)(?:\ban? (?:\w+ )?\w+|\b(?:sum|price|total|cost|population|capacity|crowd|value|rate|distance|weight|salary"
    r"|budget|height|altitude|average|maximum|minimum|length|depth|score|page|pages|room|bill|fee|fine|speed|power)) $"
)
_GREW = re.compile(
    r"(?i)\b(?:grew|grow|rose|rise|fell|fall|increas|decreas|rais|lower|cut|reduc|climb|drop|went up|went down|multipl"
    r"|divid|up|down|won|lost|beat|outnumber|exceed|overshot)\w*\b[^.!?;]{0,40}$"
)


def is_year_here(number: str, which: str, before: str, after: str) -> bool:
    if re.match(r"[-/:.,]?\d|[-/]\w|%|\s?(?:°|€|\$|£)", after) or re.search(r"[$€£#]\s?$", before):
        return False
    opens = OPENS.search(before) is not None
    counts = not FREE.match(after) or re.match(r" (?:of|or)\b", after) is not None
    if counts and not (
        opens and which in ("in", "since") and int(number) >= 1700 and re.match(r" [a-z]+\b(?<!s)", after)
    ):
        return False
    is_hour = number[2:] in ("00", "15", "30", "45") and number < "1900"
    if is_hour and which in ("until", "till", "by", "before", "after", "from"):
        return False  # "open until 1800"
    if which == "of":
        return QUANTITY.search(before) is None and number >= "1400"
    return not (which == "by" and _GREW.search(before))


def _year(words: _Match, before: str, after: str) -> bool:
    which = words["which"].lower()
    if not words["year"][0].isdigit():  # "in '98"
        return FREE.match(after) is not None
    if which in ("from", "after", "before", "around") and words["year"] < "1700":
        return False
    return "year" in which or is_year_here(words["year"], which, before, after)


_MEASURED = re.compile(
    r"(?i)\b(?:temperatures?|degrees?|highs?|lows?|mercury|heat|fahrenheit|humidity|scores?|grades?)\b"
)


def _decade(words: _Match, before: str, after: str) -> bool:
    """Not "temperatures in the 90s"."""
    return words["decade"] is not None or _MEASURED.search(before + after) is None


# --- counts -----------------------------------------------------------------------------------------------------


def _ago(words: _Match, before: str, after: str) -> bool:
    """Not the end of "half a year ago"."""
    return re.search(r"(?i)\b(?:half|and) $", before) is None


def _ahead(words: _Match, before: str, after: str) -> bool:
    """Not "twice in a week", "in two weeks of rain", "in ten years' work", "it can be done in two days"."""
    if re.search(r"(?i)\b(?:once|twice|thrice|times?|first|only|record|day|best|worst|\d%) $", before):
        return False
    if re.match(r" of\b|[’'] (?!time)\w|-\w| (?:or|to) \w+ (?:days|weeks|months|years)", after):
        return False
    return re.search(r"(?i)\b(?:can|could|able to|takes?|took)\b[^.!?;]*$", before) is None


_RULES: dict[str, Callable[[_Match, str, str], bool]] = {
    "interval": are_digits,
    "iso": are_digits,
    "dashed": are_digits,
    "yearmonth": _year_month,
    "numeric": _numeric,
    "date": _date,
    "month": _month,
    "nth": _nth,
    "weekdaynth": _weekday_nth,
    "dayofweek": _day_of_week,
    "relative": _relative,
    "ago": _ago,
    "ahead": _ahead,
    "unit": _unit,
    "spell": _spell,
    "weekend": _weekend,
    "season": _season,
    "holiday": _holiday,
    "weekday": _weekday,
    "decade": _decade,
    "year": _year,
}
