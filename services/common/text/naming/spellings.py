"""The ways to write a given name, and what of names that are written alike is told apart."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from services.common.text.naming import letters, scripts, words
from services.common.text.naming.folding import APOSTROPHES, accented, folded, written_out
from services.common.text.naming.forms import close, words_of
from services.common.text.normal import normalize

TOGETHER = "its words are written together"
APOSTROPHE = "its apostrophe is written otherwise"
LETTER = "a letter of it is written otherwise"
_APOSTROPHES = str.maketrans(dict.fromkeys(APOSTROPHES, "'"))
_LEAST_JOINED = 4  # letters
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")  # "NinaRay"
_HEADED = re.compile(r"\b([ODLdl])'?(?=[A-Z])")  # "ONeil"

# "St. John" and "Saint John", "McDonald" and "MacDonald", "Ōta" and "Oota"; Irish names when they are called or owned
# ("Máire": "a Mháire"; "Seán": "teach Sheáin").
_IRISH = r"(?=\w*[áéíóú])(?!\w*[àèìòùâêîôûäëïöüãõñç])"
_WRITTEN_TWO_WAYS = tuple(
    (re.compile(pattern), instead)
    for pattern, instead in (
        (r"\bSt\.? ", "Saint "),
        (r"\bSaint ", "St "),
        (r"\bSte\.? ", "Sainte "),
        (r"\bMc(?=[A-Z])", "Mac"),
        (r"\bMac(?=[A-Z])", "Mc"),
        ("[ōŌ]", "oo"),
        ("[ōŌ]", "ou"),
        ("[ōŌ]", "oh"),
        ("[ūŪ]", "uu"),
        (rf"^{_IRISH}([BCDFGMPST])(?!h)", r"\1h"),
        (rf"^{_IRISH}([BCDFGMPST])(?!h)(\w*[áóú])([^\Wáéíóúaeiou])$", r"\1h\2i\3"),
        (rf"^{_IRISH}(\w*[áóú])([^\Wáéíóúaeiou])$", r"\1i\2"),
    )
)
_MOST_DIVIDED = 16  # letters of a name that is looked for in two words, too
_SURNAMES = scripts.SURNAMES | {"남궁", "황보", "선우", "독고", "제갈", "사공"}
_HIRAGANA = str.maketrans({chr(c): chr(c - 0x60) for c in range(0x30A1, 0x30F7)})
_KATAKANA = str.maketrans({chr(c): chr(c + 0x60) for c in range(0x3041, 0x3097)})
_LEAST_HIRAGANA = 3  # of a name in Katakana: fewer stand in many a word, but before what is written onto persons alone
_ONTO_PERSONS = ("さん", "ちゃん", "くん", "さま", "先生")
_SERVANT = "عبدال"  # "servant of the ...": a name in one word or in two


@dataclass(frozen=True, slots=True)
class Spelling:
    """One way to write a given name, and those that differ from it in their accents alone."""

    words: tuple[str, ...]  # folded
    form: str  # what is looked for, closed: the folded name, or a stem of it
    declines: bool = False  # ``form`` is a stem, and an ending of the name's kind must follow
    written_out: bool = False  # ``form`` is what an umlaut folds to, for a name given with it written out
    apart: bool = False  # a space stands where it was given without
    may_be_words: bool = False
    declared: bool = False  # by the product: small letters are no doubt where no lexicon makes them one
    as_given: bool = False  # declared in small letters: meant so
    doubt: str = ""  # why what is so written may be another name
    is_joined: bool = False  # ``form`` is the name's words without what stood between them


class Form:
    """The spellings of one form, each with its names as given, by their accents ("" where they have none)."""

    def __init__(self, form: str) -> None:
        self.letters = len(form)
        self.shorter: Form | None = None  # the longest other that it begins with
        self.declines: frozenset[bool] = frozenset()  # of those that are the name, or a stem of it
        self.written_out: dict[str, tuple[Spelling, dict[str, str]]] = {}  # by the name
        self._spellings: dict[Spelling, dict[str, str]] = {}

    def add(self, spelling: Spelling, name: str) -> None:
        if spelling.written_out:
            _, names = self.written_out.setdefault(spelling.words[0], (spelling, {}))
        else:
            names = self._spellings.setdefault(spelling, {})
            self.declines |= {spelling.declines}
        names.setdefault(accents_of(spelling, name), name)

    def as_given(self) -> Iterator[tuple[Spelling, Mapping[str, str]]]:
        """Those that are the name, or a stem of it."""
        yield from self._spellings.items()

    def as_written(self, written: str) -> Iterator[tuple[Spelling, Mapping[str, str]]]:
        """That of the name which is so written where its umlauts are none."""
        if (found := self.written_out.get(close(written_out(written)))) is not None:
            yield found


def spellings(name: str, declared: bool) -> Iterator[Spelling]:
    """The ways to write a name; none for one without a letter or digit. ``declared``: by the product."""
    parts = words_of(folded(name))
    form = close(" ".join(parts))
    if not any(map(scripts.script, form)):
        return
    as_given = declared and name == name.lower()
    may_be_words = scripts.script(form[0]) in ("LATIN", "CYRILLIC") and words.may_be_words(parts)
    told = _told_apart(parts)
    yield Spelling(told, form, may_be_words=may_be_words, declared=declared, as_given=as_given)
    for stem in scripts.stems(parts[-1]):
        yield Spelling(told, close(" ".join((*parts[:-1], stem))), declines=True, declared=declared)
    for each in _divided(parts, form):
        yield Spelling(told, each, apart=" " in each and each[:3] + each[4:6] != _SERVANT, declared=declared)
    out = parts if name.isascii() else words_of(written_out(name))
    if (written := close(" ".join(out))) != form:
        yield Spelling(_told_apart(out), written, declared=declared)
    for other, doubt in _otherwise(name):
        rewritten = words_of(folded(other))
        if close(" ".join(rewritten)) != form:
            yield Spelling(_told_apart(rewritten), close(" ".join(rewritten)), declared=declared, doubt=doubt)
    for each in dict.fromkeys((form, written)):
        joined = each.replace(" ", "").replace("'", "")
        if " " in each and len(joined) >= _LEAST_JOINED and all(scripts.script(c) == "LATIN" for c in joined):
            yield Spelling(told, joined, declared=declared, doubt=TOGETHER, is_joined=True)
    for kana in _other_kana(form):
        yield Spelling((kana,), kana, declared=declared)
    if len(parts) == 1 and (umlaut := _folded_back(form)) != form:
        yield Spelling(told, umlaut, written_out=True, declared=declared)


def _otherwise(name: str) -> Iterator[tuple[str, str]]:
    """A name in Latin letters as those write it who leave out its apostrophe or have no "đ", and why it may be another
    then."""
    plain = normalize("NFC", name)
    if scripts.script(plain.strip()[:1] or " ") != "LATIN":
        return
    if "đ" in plain.lower():
        yield plain.replace("đ", "dj").replace("Đ", "Dj"), ""
    elif "dj" in plain.lower():
        yield plain.replace("dj", "d").replace("Dj", "D").replace("DJ", "D"), LETTER
    for pattern, instead in _WRITTEN_TWO_WAYS:
        if (other := pattern.sub(instead, plain)) != plain:
            yield other, LETTER
    plain = plain.translate(_APOSTROPHES)
    if "'" in plain:
        yield plain.replace("'", ""), APOSTROPHE
        yield plain.replace("'", " "), APOSTROPHE
    if (apart := _CAMEL.sub(" ", plain)) != plain:
        yield apart, TOGETHER
    if (headed := _HEADED.sub(r"\1'", plain)) != plain:
        yield headed, APOSTROPHE


def _divided(parts: Sequence[str], form: str) -> Iterator[str]:
    """The forms of a name whose words are written together, or apart, where its script leaves that to the writer."""
    written = {scripts.script(c) for c in form if c != " "}
    if not written <= scripts.UNSPACED | {"HANGUL", "ARABIC"}:
        return
    if len(parts) > 1:
        yield "".join(parts)
    elif " " in form or not 1 < len(form) <= _MOST_DIVIDED:
        return
    elif written == {"ARABIC"}:
        if form.startswith(_SERVANT):
            yield f"{form[:3]} {form[3:]}"
    elif written == {"HANGUL"}:
        yield from (f"{form[:n]} {form[n:]}" for n in (1, 2) if form[:n] in _SURNAMES and n < len(form))
    else:
        cuts = (n for n in range(1, len(form)) if not scripts.inside_cluster(form, n))
        yield from (f"{form[:n]} {form[n:]}" for n in cuts)


def _other_kana(form: str) -> Iterator[str]:
    """The forms of a name in the other of the two kinds of kana."""
    if (katakana := form.translate(_KATAKANA)) != form:
        yield katakana
    if (hiragana := form.translate(_HIRAGANA)) != form:
        yield from [hiragana] if len(form) >= _LEAST_HIRAGANA else [hiragana + onto for onto in _ONTO_PERSONS]


def _folded_back(form: str) -> str:
    """What a name with its umlauts written out looks like where they are not: "mueller" as "muller"."""
    return re.sub(r"ae|oe|ue|aa", lambda m: m.group()[0], form)


def parts_of(name: str) -> Iterator[list[str]]:
    """A name's folded words, those that a hyphen joins apart; and, of several, without their apostrophes."""
    parts = [part for word in words_of(folded(name)) for part in close(word).split() if part]
    yield parts
    if len(parts) > 1 and any("'" in part for part in parts):
        yield [part.replace("'", "") for part in parts]


def _told_apart(parts: Sequence[str]) -> tuple[str, ...]:
    """The words of a name, those that a hyphen joins apart unless it is one: equal for names of one form."""
    return (close(parts[0]),) if len(parts) == 1 else tuple(close(" ".join(parts)).split())


def accents_of(spelling: Spelling, name: str) -> str:
    """What another name of one spelling must not differ in: "Hùng" is not "Hưng", and either may be "Hung"."""
    if letters.tells(spelling.form):
        return letters.written(name)
    if scripts.script(spelling.form[0]) != "LATIN" or name.isascii():
        return ""
    accents = close(" ".join(words_of(accented(name))))
    bare = written_out if spelling.written_out else folded
    given = spelling.words[0] if spelling.written_out else spelling.form
    return accents if bare(accents) == given and folded(accents) != accents else ""
