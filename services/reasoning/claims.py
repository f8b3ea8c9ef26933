"""What can be looked up of a sentence: its numbers, names, dates and quoted strings. Pure functions of texts.

Numbers are compared by value ("4,471" is 4471, "fifteen" is 15), names word by word without case and accents, quoted
strings as spelled but for case and spaces. Where a script has no capitals, a name looks like any other word, so every
word of such a script is taken for one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from text_to_num import alpha2digit  # type: ignore[import-untyped]

from services.common.text import lexical, tagger
from services.common.text.naming.folding import folded
from services.common.text.normal import normalize
from services.common.text.stems import stem
from services.common.text.tagger import Token
from services.common.text.words import cut, normal

_SPLIT = re.compile(r"[:/)-]")
RUN = re.compile(r"\d+(?:(?:[.,:/'’\s-]|\) ?)\d+)*")
_GROUPED = re.compile(r"(\d{1,3}(?:([.,'’ ])\d{3})(?:\2\d{3})*)(?:[.,](\d+))?")
_DECIMAL = re.compile(r"(\d+)[.,](\d+)")
_CLITIC = re.compile(r"(?:n't|'(?:s|d|m|t|re|ve|ll)?)$")
_I = frozenset(("i", "i'm", "i'd", "i'll", "i've"))
_OPENS = re.compile(r"(?:^|[.!?:;]\s|[\"“”‘«»„(\[—–])[\s\W]*$")
_PAIRS = re.compile(r"“([^”]*)”|„([^“”]*)[“”]|«([^»]*)»|「([^」]*)」|『([^』]*)』|(?<!\w)[‘']([^’'\n]+)[’'](?!\w)")
_END_PUNCTUATION = " .,;:!?…。、，！？"

# What an English sentence may open with, beside stop words: a capital there makes no name of it.
_OPENERS = frozenset(
    """
according additionally although answer apparently based currently earlier every everyone everything finally first
furthermore given hello hence however indeed instead later maybe moreover nobody none note notes nothing nowhere ok
okay overall perhaps please previously probably question recently second several since someone something sorry still
thank thanks therefore thus unfortunately unknown unless whether without yes yet
""".split()
)


def figures(text: str) -> str:
    """``text`` with number words, dozens, thousands ("12k") and every script's digits as ASCII digits."""
    plain = "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in normalize("NFKC", text))
    digits = _SECOND.sub(r"\g<1>2nd", in_digits(plain))
    return _TIMES.sub(_product, _THOUSANDS.sub(r"\1 1000", _DOZEN.sub(_dozen, digits)))


def runs(text: str) -> list[str]:
    """Digits that stand together, "4,471" or "020 7946 0018"."""
    return RUN.findall(figures(text))


def in_digits(text: str) -> str:
    """``text`` with its English number words as digits."""
    made: str = alpha2digit(text, "en")
    return made


# "Second" is left alone as a number word, for it is a unit too.
_SECOND = re.compile(r"(?i)\b((?:the|my|our|your|his|her|their|came|comes|finished|ranked|placed) )second\b")
_THOUSANDS = re.compile(r"(?<![\d.,])(\d{1,4}(?:\.\d)?)[kK]\b")
_TIMES = re.compile(r"(?<![\d.,])(\d{1,4})(?:\.(\d{1,3}))? 1((?:000){1,3})\b(?![.,]\d)")  # "1.5 million"
_DOZEN = re.compile(r"(?i)\b(?P<half>half a |half-a-)?(?:(?P<many>\d{1,3}|a|an) )?dozen\b(?!s)")


def _dozen(found: re.Match[str]) -> str:
    many = found["many"] or "1"
    return "6" if found["half"] else str(12 * (int(many) if many.isdigit() else 1))


def _product(found: re.Match[str]) -> str:
    whole, fraction, zeros = found[1], found[2] or "", found[3]
    return f"{whole}{fraction}{zeros[len(fraction) :]}".lstrip("0") or "0"


def first(match: re.Match[str], *names: str) -> str:
    """The first of these groups that took part; "" where none did."""
    return next((match[name] for name in names if match[name]), "")


def readings(run: str) -> list[set[str]]:
    """For each number of a run, how it may be read: "4.471" is 4471, or 4 and a bit."""
    found = []
    for chunk in _SPLIT.split(run):
        grouped = _GROUPED.fullmatch(" ".join(chunk.split()))
        if grouped is not None and grouped[2] == " ":
            found.append({_value(*grouped.group(1, 3))})
        else:
            found += [reading for piece in chunk.split() for reading in _numbers(piece)]
    return found


def values(text: str) -> set[str]:
    """Every number of a text, in every reading; of digits with spaces between, also each alone."""
    return {number for run in runs(text) for number in values_of(run)}


def values_of(run: str) -> set[str]:
    """The same of one run."""
    alone = {n for piece in _SPLIT.sub(" ", run).split() for r in _numbers(piece) for n in r}
    return alone | {n for reading in readings(run) for n in reading}


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
        if word.written == word.written.lower() or name in _I:
            continue
        opens = _OPENS.search(text, max(0, word.start - 8), word.start) is not None
        if not (opens and _is_ordinary(name, ordinary, is_english=is_english)):
            found.append(name)
    return found


def uncapitalised(text: str) -> set[str]:
    """Words of scripts without capitals, without those that join others rather than name."""
    words = (word.folded for word in cut(normal(text)))
    return {w for w in words if len(w) > 1 and _has_no_case(w) and not lexical.is_function_word(w)}


def small(sentence: str) -> set[str]:
    """Words without a capital, as names are compared."""
    return {unowned(w.folded) for w in cut(normal(sentence)) if w.written == w.written.lower()}


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


# No singular noun and no verb: "Grace called" may have either tag.
_COMMON = ("IN", "RB", "RBR", "RBS", "CC", "DT", "PDT", "PRP", "PRP$", "WRB", "WP", "WDT", "EX", "NNS")


def common_opener(sentence: str) -> str:
    """The first word of a sentence, as names are compared, where the tagger takes it for none: "Around 20 came"."""
    first = next((token for token in tagger.tag(sentence) if token.text[:1].isalpha()), None)
    is_common = first is not None and first.tag in _COMMON and tagger.knows(first.text.lower())
    return unowned(folded(first.text)) if first is not None and is_common else ""


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
    return {stem(unowned(word.folded)) for word in cut(normal(text)) if word.written == word.written.lower()}


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
        if not _joins(text[at - 1 : at + 1] if at else "") and not _joins(text[end - 1 : end + 1]):
            return True
        at = text.find(part, at + 1)
    return False


def words(text: str) -> set[str]:
    """Every word as names are compared: folded, without possessive."""
    return {unowned(word.folded) for word in cut(normal(text))}


def unowned(word: str) -> str:
    """A folded word without "'s" or "n't"."""
    return _CLITIC.sub("", word)


def _numbers(piece: str) -> list[set[str]]:
    """The numbers of digits without white space: one with readings, or several."""
    if grouped := _GROUPED.fullmatch(piece):
        read = {_value(*grouped.group(1, 3))}
        decimal = _DECIMAL.fullmatch(piece)
        if decimal and (decimal[1] == "0" or not decimal[2].endswith("0")):  # "12,000" is no 12
            read.add(_value(*decimal.groups()))
        return [read]
    if decimal := _DECIMAL.fullmatch(piece):
        return [{_value(*decimal.groups())}]
    return [{_value(part, None)} for part in re.split(r"[.,'’]", piece) if part]


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
