"""A text as letters alone: without case, marks and what is invisible, and with look-alike letters of another alphabet
turned into those of the word they stand in."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial

# Letters, as people who have them not on their keyboards write them; and small capitals.
OTHERWISE = str.maketrans("øłđðħŧıیېةہھکᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ", "olddhtiييهههكabcdefghijklmnoprstuvwyz")
DOTLESS = OTHERWISE | {ord("ی"): "ى"}  # where Persian has one letter Arabic has two, and tells "على" from "علي" by them
HIRAGANA = str.maketrans({chr(c): chr(c - 0x60) for c in range(0x30A1, 0x30F7)})  # for the other kana
_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "IDEOGRAPHIC")
_LATIN, _CYRILLIC, _GREEK = "abekmhopctyxijs", "авекмнорстухіјѕ", "αβεκμηορςτυχιjs"
_ALPHABETS = {"LATIN": _LATIN, "CYRILLIC": _CYRILLIC, "GREEK": _GREEK}
# Further letters for which those of other alphabets are written: what they look like besides, and how they sound.
_LOOKS = {
    "CYRILLIC": ("авгеһнкмопрстухіјѕѵԁԛԝьӏпшяҽүи", "abrehhkmonpctuxijsvdqwblnwreyu"),
    "GREEK": ("αβγεηικμνορςστυχϳϲωζ", "abyenikmnopsotuxjcwz"),
    "ARMENIAN": ("օսոհցզյլք", "ounhgqjlf"),
    "CHEROKEE": ("ᎪᏏᏴᏟᎠᎬᏀᎻᎥᎫᏦᏞᎷᎤᏢᎡᏒᏚᎢᏙᎳᎩᏃ", "abbcdeghijklmoprrstvwyz"),
    "COPTIC": ("ⲁⲃⲥⲉⲏⲓⲕⲙⲛⲟⲣⲧⲩⲭ", "abcehikmnoptyx"),
    "LISU": ("ꓮꓐꓚꓓꓰꓝꓖꓧꓲꓙꓗꓡꓟꓠꓳꓑꓣꓢꓔꓴꓦꓪꓫꓬꓜ", "abcdefghijklmnoprstuvwxyz"),
}
_SOUNDS = {
    "CYRILLIC": ("абвгдезиклмнопрстуфх", "abvgdeziklmnoprstufh"),
    "GREEK": ("αβγδεζηικλμνοπρσςτυφχω", "abgdezhiklmnoprsstufho"),
}
_TO_LATIN = [{script: str.maketrans(*pair) for script, pair in table.items()} for table in (_LOOKS, _SOUNDS)]
_FROM_LATIN = {
    script: str.maketrans(*reversed(_LOOKS[script])) | str.maketrans(latin, own)
    for script, latin, own in (("CYRILLIC", _LATIN, _CYRILLIC), ("GREEK", _LATIN + "n", _GREEK + "ν"))
}
# Ways to read a word of several alphabets: which one it is in, and what it has for the others' letters.
_Way = tuple[str, Mapping[str, Mapping[int, int]]]
_WAYS: list[_Way] = [
    *(("LATIN", table) for table in _TO_LATIN),
    *((script, {"LATIN": table}) for script, table in _FROM_LATIN.items()),
]
_SHARED = frozenset("".join(letters for table in (_LOOKS, _SOUNDS) for letters, _ in table.values()))
# Of one character: those that come to more are whole phrases and units ("ﷺ", "㌖"), no part of a name, and would cost
# many times what other text does.
_MOST_PARTS = 4
# Ignorable by Unicode, and neither of its formats (Cf) nor taken for a mark that is no letter.
_IGNORABLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]")


@dataclass(slots=True)
class Word:
    """Letters of one script with nothing between them. ``marked``: places of those that had an accent."""

    script: str
    is_capital: bool
    letters: list[str] = field(default_factory=list)
    marked: set[int] = field(default_factory=set)

    def __str__(self) -> str:
        return "".join(self.letters)


def words(text: str, way: _Way | None = None) -> list[Word]:
    """The words of a text, in order. ``way``: to read those of several alphabets."""
    found: list[Word] = []
    run: list[Word] = []
    for c in text:
        for part, script in _parts(c):
            if script is None:
                found += _one_alphabet(run, way)
                run = []
            elif script == "":
                if run and run[-1].letters:
                    run[-1].marked.add(len(run[-1].letters) - 1)
            elif run and run[-1].script != script and unicodedata.category(part)[0] == "M":
                continue  # of another script than the letter that it stands on
            else:
                if not run or run[-1].script != script:
                    run.append(Word(script, c.isupper()))
                run[-1].letters.append(part)
    return [*found, *_one_alphabet(run, way)]


@lru_cache(maxsize=65_536)
def _parts(c: str) -> tuple[tuple[str, str | None], ...]:
    """What a character comes to: letters with their script, "" for an accent, None for what ends a word."""
    parts = tuple(_sorted_out(unicodedata.normalize("NFKD", "" if _IGNORABLE.match(c) else c.casefold()).casefold()))
    return parts if len(parts) <= _MOST_PARTS else ((c, None),)


def _sorted_out(parts: str) -> Iterator[tuple[str, str | None]]:
    for part in parts:
        category = unicodedata.category(part)
        if category[0] == "L" or (category in ("Mn", "Mc") and unicodedata.combining(part) == 0):
            yield part, script_of(part)
        elif category in ("Mn", "Me"):
            yield part, ""
        elif category != "Cf":
            yield part, None


@lru_cache(maxsize=65_536)
def script_of(letter: str) -> str:
    return unicodedata.name(letter, "-").split(" ")[0]


def is_unspaced(letter: str) -> bool:
    """Whether nothing stands between the words of its script."""
    return unicodedata.name(letter or " ", "").startswith(_UNSPACED)


def disguised(text: str, read: Sequence[Word]) -> Iterator[list[Word]]:
    """The words of a text, with those that mix Latin letters with others in each way to read them. ``read``:
    its ``words``."""
    letters, of = set(text.casefold()), {word.script for word in read}
    if not text.isascii() and not _SHARED.isdisjoint(letters) and "LATIN" in of:
        of.update(map(script_of, letters))
        yield from (words(text, way) for way in _WAYS if way[0] in of and not of.isdisjoint(way[1]))


def figured(text: str) -> Iterator[list[Word]]:
    """The words of a text with figures read as the letters they look like, where no fewer letters stand beside them in
    a word ("R0th")."""
    if any(map(_has_letters, _OF_BOTH.findall(text))):
        yield from (words(_OF_BOTH.sub(partial(_lettered, table), text)) for table in _FIGURES)


def _has_letters(word: str) -> bool:
    return not word.isalpha() and 2 * sum(map(str.isalpha, word)) >= len(word)


def _lettered(table: Mapping[int, int], found: re.Match[str]) -> str:
    word = found.group()
    return word.translate(table) if _has_letters(word) else word


_FIGURES = [str.maketrans("01345789", letters) for letters in ("oleastbg", "oieastbg")]
_OF_BOTH = re.compile(r"(?<!\w)\w{3,24}(?!\w)")


def as_latin(read: Iterable[Word]) -> list[Word]:
    """The words with a capital whose letters all look like Latin ones, as these."""
    return [
        Word("LATIN", True, [letter.translate(_TO_LATIN[0][word.script]) for letter in word.letters])
        for word in read
        if word.is_capital and word.script in _LOOKS and _SHARED.issuperset(word.letters)
    ]


def _one_alphabet(run: list[Word], way: _Way | None) -> Iterable[Word]:
    """The words of a run without a gap; where alphabets mix that share their shapes, one word of that which has most
    letters of its own, or as ``way`` says."""
    scripts = {word.script for word in run}
    if way is not None and len(run) > 1 and way[0] in scripts and scripts <= way[1].keys() | {way[0]}:
        letters = [c.translate(way[1].get(word.script, {})) for word in run for c in word.letters]
        return [Word(way[0], run[0].is_capital, letters)]
    if len(run) < 2 or not scripts <= _ALPHABETS.keys():
        return run
    own = {word.script: 0 for word in run}
    for word in run:
        own[word.script] += sum(letter not in _ALPHABETS[word.script] for letter in word.letters)
    most = max(own, key=lambda script: own[script])
    whole = Word(most, run[0].is_capital)
    for word in run:
        turned = str.maketrans(_ALPHABETS[word.script], _ALPHABETS[most])
        whole.marked.update(len(whole.letters) + at for at in word.marked)
        whole.letters += [letter.translate(turned) for letter in word.letters]
    return [whole]
