"""Where sentences end, in any script: at UAX #29's terminators, less those of abbreviations, initials and numbers.

Unlike UAX #29, a small letter may begin a sentence: talk is often written without capitals ("lost my key. found it
later."). One pass over the text, and a bounded look around each terminator.
"""

from __future__ import annotations

from collections.abc import Iterator

import regex

from services.common.text.lexical import is_function_word

_CLAUSE = 64  # characters before a stop that may say no more than when
_LOOK = 24  # characters before a stop that may be an abbreviation
_QUOTES = "\"'\u2019\u201c\u201d\u00bb\u300d\u300f"
_STOPS = r"[\p{Sentence_Terminal}\u2026\u2025]"
_CANDIDATE = regex.compile(
    rf"(?P<line>[\n\u0085\u2028\u2029]++)|(?:(?<stops>{_STOPS}++)|(?<=\p{{Greek}});)(?P<close>[\p{{Pe}}\p{{Pf}}{_QUOTES}\u2018]*+)"
)
_NEXT = regex.compile(r"\s++[\p{Ps}\p{Pi}\"'\u00bf\u00a1\u2014\u2013-]*+(?P<word>[\p{L}\p{M}]{0,24})(?P<dot>\.?)")
_WORD_BEFORE = regex.compile(r"(?V1)[[\p{L}\p{M}\p{N}.'\u2019]--[\p{Han}\p{Hiragana}\p{Katakana}]]+$")

# Nobody's name follows the end of a sentence so often as these are followed by one.
_TITLES = frozenset(
    """
mr mrs ms mx messrs dr prof rev hon capt col gen lt sgt mt mme mlle mgr hr hrn fr frl dhr mevr drs ing sra srta dra dña
sig sigra dott avv д-р г-н г-жа
""".split()
)
# These may end a sentence: a function word with a capital says that another begins.
_ABBREVIATIONS = frozenset(
    """
st esq jr sr vol vs etc eg ie cf co ltd inc corp dept est fig approx tel max min ca resp incl excl ed eds al
jan feb mar apr jun jul aug sep sept oct nov dec
bzw usw evtl ggf str nr abs mio mrd zzgl inkl zb dh
env av bd ex chap ud uds pág pag tlf núm aprox
ul np tzn tj itd itp godz wg
ул стр тыс млн млрд см рис тел др пр
bijv enz blz
""".split()
)
# These end a sentence before somebody who does something in small letters; "until 5 p.m. she stayed" is one.
_ENDS_TALK = frozenset("pm am etc usw jr sr ltd inc corp".split())
_DOERS = frozenset("i he she we they you it nobody everybody everyone ich er wir".split())
_SAYS_WHEN = regex.compile(
    r"^\W*(?:(?:at|by|around|about|on|until|till|after|before|from|since|to|and|then|but|so|yesterday|today|tomorrow|last"
    r"|next|this|\p{L}{3,6}?day|[\d:.]++|[ap]\.?m)[\s.,-]*+)*+$",
    regex.IGNORECASE,
)
# A number follows them.
_NUMBERED = frozenset("no nr nos pp p art sec ch fig vol n núm nº стр рис bl s".split())
# "Am 3. Mai": the number is an ordinal.
_MONTHS = frozenset(
    """
januar februar märz april mai juni juli august september oktober november dezember jänner feber
""".split()
)
# Before a small letter a number of one or two figures may be an ordinal: behind these it is one ("der 2. Stock"),
_ORDINAL_BEHIND = frozenset(
    """
am im der die das den dem des zum zur vom beim bis ab seit jeder jede jedes jeden ein eine einen einem einer mein meine
meinen meinem meiner sein seine seinen seinem seiner ihr ihre ihren ihrem ihrer unser unsere det denne dette hver kl
dnia od do
""".split()
)
# and behind these, or before those, it is a number that ends its sentence ("she is 5. he is 7.").
_NUMBER_BEHIND = frozenset(
    "am m is s was are re were be been has had have got turned turns only about at by to than".split()
)
_BEGINNERS = frozenset(
    """
i you he she it we they this that these those there here my your his her its our their the nobody everybody everyone
somebody someone nothing everything all both then now but so yet why what who when where how yes no not maybe if
ich du er sie es wir ihr man das wer was wo wann warum alle niemand aber dann
je j tu il elle on nous vous ils elles mais ce c yo tú él ella nosotros ellos ellas pero io lui lei noi loro ma
eu ele ela nós eles elas mas ik hij zij ze wij het maar jag jeg han hon hun vi de men oni ona ja ale ben sen biz
я ты он она мы вы они но
""".split()
)
_LEAD = regex.compile(r"(?P<i>\bi\s+)?(?P<lead>[\p{L}\p{M}]++)\s+$")


def sentences(text: str) -> list[str]:
    """The sentences of a text, each a slice of it without the white space around.

    A stop after a title ("Mr."), an abbreviation, an initial ("P. B. Shelley") or inside a number ends none; the end of
    a line ends one.
    """
    begin, found = 0, []
    for end in ends(text):
        found.append(text[begin:end].strip())
        begin = end
    return [sentence for sentence in found if sentence]


def ends(text: str) -> Iterator[int]:
    """Places behind which a sentence ends, that of the whole text the last."""
    last = 0
    for match in _CANDIDATE.finditer(text):
        if match["line"] or _ends_here(text, match, last):
            last = match.end()
            yield last
    yield len(text)


def _ends_here(text: str, match: regex.Match[str], last: int) -> bool:
    """Whether a sentence that begins at ``last`` ends with the stops of ``match``."""
    stops, close = match["stops"] or ";", match["close"]
    following = _NEXT.match(text, match.end())
    if following is None:
        return match.end() == len(text) or _ends_without_space(stops, close, text[match.end()])
    word = following["word"]
    if not word and following["dot"]:
        return False  # ". . ."
    if stops == "." and _abbreviates(text, match.start(), following, last):
        return False
    if word[:1].islower():
        is_quoted = any(character in _QUOTES for character in close)
        return not is_quoted and (stops == "." or stops.strip(".\u2026\u2025") != "")
    return True


def _ends_without_space(stops: str, close: str, beside: str) -> bool:
    """A full stop of ASCII is then part of a word or number, and a quotation goes on."""
    if stops.isascii():
        return stops[-1] in "!?" and beside.isupper()
    return not close and stops.strip(".\u2026\u2025") != ""


def _abbreviates(text: str, stop: int, following: regex.Match[str], last: int) -> bool:
    """Whether the full stop at ``stop`` belongs to the word before it."""
    before = _WORD_BEFORE.search(text, max(0, stop - _LOOK), stop)
    if before is None:
        return False
    word, at = before.group().casefold(), before.start()
    is_number_next = not following["word"] and text[following.end() : following.end() + 1].isdigit()
    if word.isdigit():
        # An item of a list, or an ordinal.
        starts = at - last < _LOOK and not text[last:at].strip()
        may_be_ordinal = len(word) <= 2 and following["word"][:1].islower()
        return (
            starts
            or following["word"].casefold() in _MONTHS
            or (may_be_ordinal and _is_ordinal(text[max(0, at - _LOOK) : at], following["word"]))
        )
    plain = word.replace(".", "")
    if plain in _TITLES or (is_number_next and plain in _NUMBERED):
        return True
    initial = word.rsplit(".", 1)[-1]
    is_initial = len(initial) == 1 and initial.upper() != initial.lower() and before.group() != "I"
    if plain in _ENDS_TALK and following["word"] in _DOERS:
        return _SAYS_WHEN.match(text[max(last, stop - _CLAUSE) : stop]) is not None
    return (is_initial or plain in _ABBREVIATIONS) and not _begins(following)


def _is_ordinal(before: str, word: str) -> bool:
    """Whether a number between ``before`` and a small ``word`` counts that word."""
    found = _LEAD.search(before)
    lead = found["lead"].casefold() if found else ""
    if lead in _ORDINAL_BEHIND and not (lead == "am" and found and found["i"]):
        return True
    return not (lead in _NUMBER_BEHIND or word in _BEGINNERS)


def _begins(following: regex.Match[str]) -> bool:
    """Whether what follows a stop can be nothing but the first word of a sentence: a function word with a capital."""
    word = following["word"]
    return word[:1].isupper() and is_function_word(word) and not following["dot"]
