"""What can be looked up of a sentence: its numbers, names, addresses and quoted strings. Pure functions of texts.

Numbers are compared by value ("4,471" is 4471, "fifteen" is 15), figures in a chain ("2.4.1") as one; names word by
word without case and accents, addresses without the scheme, quoted strings as spelled but for case and spaces. Where a
script has no capitals, a name looks like any other word, so every word of such a script is taken for one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise

from services.common.text import lexical, tagger
from services.common.text.naming.folding import folded
from services.common.text.stems import stem
from services.common.text.tagger import Token
from services.common.text.words import Word, cut, normal
from services.reasoning import numerals

RUN = re.compile(r"\d+(?:(?:[.,:/'’\s-]|\) ?)\d+)*")
_GROUPED = re.compile(r"(\d{1,3}(?:([.,'’ ])\d{3})(?:\2\d{3})*)(?:[.,](\d+))?")
_DECIMAL = re.compile(r"(\d+)[.,](\d+)")
_DATE = re.compile(r"\d{1,2}([./-])\d{1,2}\1\d{4}|\d{4}([/-])\d{1,2}\2\d{1,2}")
_LONGEST_RANGE = 6  # figures on both sides of its dash, where one has more than the other: "555-0142" is none
_ADDRESS = re.compile(
    r"""(?i)(?<![\w@.+-])(?:https?://[^\s<>"]++|[\w.+-]++@[\w.-]++|@\w++"""
    r"""|[a-z\d][a-z\d-]*+(?:\.[a-z\d-]++)*+(?<=[a-z]{2})(?:/[^\s<>"]*+)?)"""
)
_CLITIC = re.compile(r"(?:n't|'(?:s|d|m|t|re|ve|ll)?)$")
_I = frozenset(("i", "i'm", "i'd", "i'll", "i've"))
_OPENS = re.compile(r"(?:^|[.!?:;]\s|[\"“”‘«»„(\[—–])[\s\W]*$")
_PAIRS = re.compile(
    r"“([^”]*)”|„([^“”]*)[“”]|«([^»]*)»|`([^`]+)`|「([^」]*)」|『([^』]*)』|(?<!\w)[‘']([^’'\n]+)[’'](?!\w)"
)
_END_PUNCTUATION = " .,;:!?…。、，！？"

# What an English sentence may open with, beside stop words: a capital there makes no name of it.
_OPENERS = frozenset(
    """
according additionally although answer apparently based currently earlier every everyone everything finally first
furthermore given hello hence however indeed instead later maybe moreover nobody none note notes nothing nowhere ok one
okay overall perhaps please previously probably question recently second see several since someone something sorry still
thank thanks therefore thus unfortunately unknown unless whether without yes yet
""".split()
)


def first(match: re.Match[str], *names: str) -> str:
    """The first of these groups that took part; "" where none did."""
    return next((match[name] for name in names if match[name]), "")


def readings(run: str) -> list[set[str]]:
    """For each number of a run, how it may be read: "4.471" is 4471, or 4 and a bit.

    Figures in a chain ("2.4.1", "3:1", "555-0142") are one, read as "2:4:1"; the ends of a range are two.
    """
    if run[-1:].isalpha():  # "12b"
        return [{run}]
    if run.startswith("-"):
        first_, *others = readings(run[1:])
        return [{f"-{number}" for number in first_}, *others]
    chunks = [" ".join(chunk.split()) for chunk in re.split(r"[)-]", run)]
    grouped = [_GROUPED.fullmatch(chunk) for chunk in chunks]
    if any(found is not None and found[2] == " " for found in grouped):
        pieces = [chunk.replace(" ", "") if found else chunk for chunk, found in zip(chunks, grouped, strict=True)]
    else:
        pieces = run.replace(")", " ").split()
    return [reading for piece in pieces for part in piece.split() for reading in _numbers(part)]


def values(text: str) -> set[str]:
    """Every number of a text, in every reading; of digits with spaces between, also each alone."""
    return {number for run in RUN.findall(numerals.figures(text)) for number in values_of(run)}


def values_of(run: str) -> set[str]:
    """The same of one run."""
    alone = () if run.startswith("-") or run[-1:].isalpha() else run.replace(")", " ").split()
    return {n for piece in alone for r in _numbers(piece) for n in r} | {n for r in readings(run) for n in r}


def joined(run: str) -> str:
    """The digits of a run without what divides them, as of telephone numbers; "" where they may be decimals."""
    return "" if re.search(r"[.,]", run) else re.sub(r"\D", "", run)


def names(sentence: str, ordinary: frozenset[str]) -> list[str]:
    """Words that a capital marks as names. ``ordinary``: stems that open a sentence without being one."""
    text, found = normal(sentence), []
    spoken = lexical.languages(sentence)
    is_english = "en" in spoken or not spoken
    for word in cut(text):
        name = unowned(word.folded)
        if not _has_capital(word) or name in _I:
            continue
        opens = _OPENS.search(text, max(0, word.start - 8), word.start) is not None
        if not (opens and _is_ordinary(name, ordinary, is_english=is_english)):
            found.append(name)
    return found


def full_names(text: str, names: Collection[str]) -> set[tuple[str, str]]:
    """Words of ``names`` that stand beside each other with capitals, two by two: of "Mary Ann Smith" these are two."""
    text = normal(text)
    return {
        (unowned(a.folded), unowned(b.folded))
        for a, b in pairwise(cut(text))
        if _has_capital(a) and _has_capital(b) and _BESIDE.fullmatch(text, a.end, b.start)
        if unowned(a.folded) in names and unowned(b.folded) in names and a.folded != b.folded
    }


class Line:
    """The words of a note in order: which of them may be of one name."""

    def __init__(self, text: str) -> None:
        self._text = normal(text)
        self._words = list(cut(self._text))
        self._at: dict[str, set[int]] = {}
        for at, word in enumerate(self._words):
            for form in titles(unowned(word.folded)):
                self._at.setdefault(form, set()).add(at)

    def holds(self, first: str, second: str) -> bool:
        """Whether they stand beside each other, or with words with capitals between; or as "Smith, John"."""
        there = self._at.get(second, set())
        near = ((i, j) for i in self._at.get(first, ()) for j in range(i - 1, i + _LONGEST_NAME) if j in there)
        return any(self._is_one_name(i, j) for i, j in near if i != j)

    def _is_one_name(self, i: int, j: int) -> bool:
        low, high = sorted((i, j))
        words = self._words[low : high + 1]
        gaps = [self._text[a.end : b.start] for a, b in pairwise(words)]
        if j < i:
            return gaps == [", "]
        return all(map(_BESIDE.fullmatch, gaps)) and all(map(_has_capital, words[1:-1]))


_BESIDE = re.compile(r"[ \-]|\. ?|' ")
_LONGEST_NAME = 5  # words


def _has_capital(word: Word) -> bool:
    return word.written != word.written.lower()


def uncapitalised(text: str) -> set[str]:
    """Words of scripts without capitals, without those that join others rather than name."""
    found = [w for w in cut(normal(text)) if _has_no_case(w.folded) and not lexical.is_function_word(w.folded)]
    alone = [w for w in found if len(w.folded) == 1]
    # No dictionary has most names: they fall into single characters.
    beside = {w.folded for a, b in pairwise(alone) if a.end == b.start for w in (a, b)}
    return {w.folded for w in found if len(w.folded) > 1} | beside


def small(sentence: str) -> set[str]:
    """Words without a capital, as names are compared."""
    return {unowned(w.folded) for w in cut(normal(sentence)) if not _has_capital(w)}


def proper(sentence: str) -> set[str]:
    """Words that are names by their place in an English sentence, whatever their case; empty for another language."""
    spoken = lexical.languages(sentence)
    if spoken and "en" not in spoken:
        return set()
    tokens = tagger.tag(sentence)
    return {
        unowned(folded(token.text))
        for at, token in enumerate(tokens)
        if token.tag in ("NNP", "NNPS") or (_is_bare(tokens, at) and not _is_word(token.text))
    }


def led(sentence: str) -> Iterator[tuple[str, str]]:
    """Nouns of a sentence that stand behind a preposition or a noun, each with that word."""
    for before, after in pairwise(tagger.tag(sentence)):
        if before.tag in _LEADS and after.tag.startswith("NN"):
            yield before.text.lower(), unowned(folded(after.text))


def before_names(text: str) -> set[str]:
    """Prepositions and nouns of a text that a name stands behind; where it has no capitals, any noun."""
    leading = [(a.text.lower(), b) for a, b in pairwise(tagger.tag(text)) if a.tag in _LEADS]
    has_capitals = any(character.isupper() for character in text)
    return {a for a, b in leading if b.text[:1].isupper() or (not has_capitals and b.tag.startswith(("NN", "JJ")))}


_LEADS = ("IN", "TO", "NN", "NNP")


def looks_back(sentence: str) -> bool:
    """Whether it may tell what has happened: it has a past tense, or no verb."""
    tags = {token.tag for token in tagger.tag(sentence)}
    return "VBD" in tags or tags.isdisjoint(("VBZ", "VBP", "MD"))


_NUMBERED_DAY = re.compile(
    r"(?i)\b(?:first|second|1st|2nd) (?:(?:mon|tues|wednes|thurs|fri|satur|sun)day|(?:working |business )?day|week)\b"
)


def numbered_days(text: str) -> list[str]:
    """What is "first monday" and the like, as quoted strings are compared; a third one is a number like others."""
    return [spelled(found) for found in _NUMBERED_DAY.findall(text)]


# No singular noun and no verb: "Grace called" may have either tag.
_COMMON = ("IN", "RB", "RBR", "RBS", "CC", "DT", "PDT", "PRP", "PRP$", "WRB", "WP", "WDT", "EX", "NNS")


def common_opener(sentence: str) -> str:
    """The first word of a sentence, as names are compared, where the tagger takes it for none: "Around 20 came"."""
    first = next((token for token in tagger.tag(_without_shouting(sentence)) if token.text[:1].isalpha()), None)
    is_common = first is not None and first.tag in _COMMON and tagger.knows(first.text.lower())
    return unowned(folded(first.text)) if first is not None and is_common else ""


def _without_shouting(sentence: str) -> str:
    """With one capital for an opener in capitals alone, of which the tagger makes a plural ("KARL has it")."""
    return _SHOUTED.sub(lambda m: m.group().capitalize(), sentence, count=1)


_SHOUTED = re.compile(r"^\W*[^\W\d_]{2,}\b")


def _is_bare(tokens: Sequence[Token], at: int) -> bool:
    """Whether it stands without a determiner where a common noun has one: "in lyon", "is ravi"."""
    before, after = (tokens[i] if 0 <= i < len(tokens) else None for i in (at - 1, at + 1))
    is_led = before is not None and (before.tag in ("IN", "TO") or before.text.lower() in ("is", "was", "'s", "’s"))
    opens = before is None and after is not None and after.tag in ("VBZ", "VBD", "MD")
    is_single = after is None or not after.tag.startswith(("NN", "JJ", "VBN"))
    return tokens[at].tag in ("NN", "NNS", "VB", "JJ") and is_single and (is_led or opens)


def _is_word(token: str) -> bool:
    return any(tagger.knows(form) for form in (token, token.lower(), token.lower().removesuffix("s")))


def uncapital_stems(text: str) -> set[str]:
    """The stems of words that stand there without a capital, so that they are no names."""
    return {stem(unowned(word.folded)) for word in cut(normal(text)) if not _has_capital(word)}


# Titles and what else stands beside names, each with its abbreviations, folded.
_TITLES = """
dr doctor|prof professor|mr mister|mrs missus|st saint|st street|ste sainte|rev reverend|hon honourable honorable
capt captain|col colonel|gen general|lt lieutenant|sgt sergeant|maj major|sen senator|gov governor|pres president
jr junior|sr senior|mt mount|ave avenue|rd road|mme madame|mlle mademoiselle|hr herr|fr frau|fr father
""".replace("\n", "|")


def titles(name: str) -> frozenset[str]:
    """The forms of a folded name: "dr" is "doctor"."""
    return _FORMS.get(name, frozenset((name,)))


_GROUPS = [frozenset(group.split()) for group in _TITLES.split("|")]
_FORMS = {
    form: frozenset[str]().union(*(group for group in _GROUPS if form in group)) for group in _GROUPS for form in group
}


def addresses(text: str) -> list[tuple[str, int, int]]:
    """E-mail addresses, web addresses and handles, as they are compared, and where each stands."""
    found = [m for m in _ADDRESS.finditer(text) if "@" in m[0] or _IN_DOMAIN.search(m[0])]
    return [(_bare_address(m[0]), *m.span()) for m in found]


_IN_DOMAIN = re.compile(r"\w\.[^\W\d_]{2}")


def _bare_address(written: str) -> str:
    plain = re.sub(r"^(?:https?://)?(?:www\.)?", "", written.casefold())
    return plain.rstrip(_END_PUNCTUATION + "/)]'\"")


def quotes(sentence: str) -> list[str]:
    """Quoted strings; one that begins or ends outside the sentence counts as far as it stands in it."""
    found = [part for match in _PAIRS.finditer(sentence) for part in match.groups() if part]
    parts = sentence.split('"')
    if len(parts) % 2 == 0:  # one is left over: it opens after white space, and closes after a word
        opens = not parts[-2] or parts[-2][-1:].isspace()
        found.append(parts[-1] if opens else parts[0])
        parts = parts[:-2] if opens else parts[1:]
    found += parts[1::2]
    return [quote for part in found if (quote := spelled(part).strip(_END_PUNCTUATION))]


def spelled(text: str) -> str:
    """What a quoted string is looked for in, and as."""
    return " ".join(folded(text).split())


def stands(part: str, text: str) -> bool:
    """Whether ``spelled`` text holds the part, in whole words where a script has spaces."""
    at = text.find(part)
    while at >= 0:
        end = at + len(part)
        if not _is_within(text, at) and not _is_within(text, end):
            return True
        at = text.find(part, at + 1)
    return False


_CHAINED = re.compile(r"\w[@.,:/-]\w")
_SIGNED = re.compile(r"(?<!\w)[-\u2212]\d")


def _is_within(text: str, at: int) -> bool:
    """Whether a place lies within a word, a chain of figures or an address, or behind the sign of a number."""
    is_chained = at > 0 and (_CHAINED.match(text, at - 1) or (at > 1 and _CHAINED.match(text, at - 2)))
    is_signed = at > 0 and _SIGNED.match(text, at - 1)
    return bool(is_chained or is_signed) or _joins(text[at - 1 : at + 1] if at else "")


def words(text: str) -> set[str]:
    """Every word as names are compared: folded, without possessive."""
    return {unowned(word.folded) for word in cut(normal(text))}


def unowned(word: str) -> str:
    """A folded word without "'s" or "n't"."""
    return _CLITIC.sub("", word)


def _numbers(piece: str) -> list[set[str]]:
    """The numbers of digits without white space: one with readings, or several."""
    if plain := _plain(piece):
        return [plain]
    if _DATE.fullmatch(piece):
        return [{_value(part, None)} for part in re.split(r"[./-]", piece)]
    if ends := _range(piece):
        return ends
    if re.search(r"[.:/'’-]", piece) is None:
        return [{_value(part, None)} for part in piece.split(",")]
    return [{":".join(_value(part, None) for part in re.findall(r"\d+", piece))}]


def _plain(piece: str) -> set[str]:
    """The readings of one number; empty where it is none."""
    if grouped := _GROUPED.fullmatch(piece):
        read = {_value(*grouped.group(1, 3))}
        decimal = _DECIMAL.fullmatch(piece)
        if decimal and (decimal[1] == "0" or not decimal[2].endswith("0")):  # "12,000" is no 12
            read.add(_value(*decimal.groups()))
        return read
    decimal = _DECIMAL.fullmatch(piece)
    return {_value(*decimal.groups())} if decimal else {_value(piece, None)} if piece.isdigit() else set()


def _whole(digits: str) -> int:
    return int(re.sub(r"\D", "", digits))


def _range(piece: str) -> list[set[str]]:
    """The two ends of "5-7", which rises; empty where it may be a telephone number or a score."""
    ends = piece.split("-")
    if len(ends) != 2:
        return []
    read = [_plain(end) for end in ends]
    if not all(read) or any(re.match(r"0\d", end) for end in ends):
        return []
    low, high = (
        float(end.replace(",", ".")) if _DECIMAL.fullmatch(end) else int(re.sub(r"\D", "", end)) for end in ends
    )
    is_short = len(ends[0]) == len(ends[1]) or len(piece) - 1 <= _LONGEST_RANGE
    return read if low < high and is_short else []


def _value(whole: str, fraction: str | None) -> str:
    """Of dates and times "05" is 5; a longer number keeps its zeros, as telephone numbers have them."""
    digits = re.sub(r"\D", "", whole)
    digits = digits if len(digits) > 2 else str(int(digits))
    rest = (fraction or "").rstrip("0")
    return f"{digits}.{rest}" if rest else digits


def _is_ordinary(word: str, ordinary: frozenset[str], *, is_english: bool) -> bool:
    if word == "will":  # a function word that is a name just as often
        return word in ordinary
    # A function word of another language is none in English: "Ben" is Turkish for I.
    joins = word in lexical.STOP_WORDS if is_english else lexical.is_function_word(word)
    return joins or word in _OPENERS or stem(word) in ordinary


def _has_no_case(term: str) -> bool:
    letters = [c for c in term if c.isalpha()]
    return bool(letters) and all(c.lower() == c.upper() for c in letters)


def _joins(two: str) -> bool:
    """Whether two characters belong to one word."""
    return len(two) == 2 and two.isalnum() and not (_is_han(two[0]) or _is_han(two[1]))


def _is_han(term: str) -> bool:
    return any("\u3040" <= c <= "\u30ff" or "\u3400" <= c <= "\u9fff" for c in term)
