"""Whether a name ends where its letters do, in scripts that write words together or onto one another.

``scripts`` says what may stand beside a name at all; this, what of it makes the name another person's or another word.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cache

from icu4py.breakers import WordBreaker

from services.common.text.naming import scripts
from services.common.text.naming.folding import folded
from services.common.text.naming.word_lists import entries

DIVIDED = "the words of its text are divided otherwise"
GOES_ON = "what follows may belong to it, and make it another name"
PREFIXED = "with the letters before it, it is another name or word"

_RUN = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+"
)
# NFKC takes these apart, and the dictionaries hold them whole: Thai and Lao AM.
_LETTER = re.compile("\u0e4d\u0e32|\u0ecd\u0eb2|.")
_WHOLE = {"\u0e4d\u0e32": "\u0e33", "\u0ecd\u0eb2": "\u0eb3"}
_MOST_WRITTEN_ON = 24
_LONG_ENOUGH = 4  # letters of a name that hardly another word is, with letters before it

_HAN_TITLES = re.compile(
    "先生|女士|小姐|老师|老師|同学|同學|经理|經理|主任|医生|醫生|教授|阿姨|叔叔|[氏君様殿总總哥姐嬢兄姉]"
)
_KANA_ONTO = re.compile("(?:さん|ちゃん|くん|さま|たん|せんせい)")
_KANA_PARTICLES = re.compile(
    "(?:さん|ちゃん|くん|さま|せんせい)?(?:は|が|を|に|の|と|も|で|へ|や|か|から|まで|より|って|だ|です|ね|よ){0,3}"
)
_FINALS = 28  # Korean syllables with one head and vowel, the first of them without a final
_HANGUL = 0xAC00
_COPULA = ("이다", "이에", "이예", "이라", "이랑", "이나", "이야", "이고", "이네", "이었", "이여", "이든")
_HANGUL_TITLES = ("씨", "님", "군", "양", "선생", "언니", "누나", "오빠", "형")
_TANWIN = "\u064b"


@cache
def _followers() -> dict[str, tuple[str, ...]]:
    """By script: what begins behind a name, written together with it, and is none of it."""
    found: dict[str, tuple[str, ...]] = {}
    for line in entries("edges.txt"):
        kind, given = line.split(" ", 1)
        found[kind] = (*found.get(kind, ()), *map(folded, given.split()))
    return found


def breaks(source: str) -> Collection[int]:
    """Where ICU's dictionaries divide the parts of a text that no space does. Time grows with the text."""
    found = set[int]()
    for run in _RUN.finditer(source):
        letters = list(_LETTER.finditer(run.group()))
        places = [run.start() + letter.start() for letter in letters] + [run.end()]
        written = "".join(_WHOLE.get(letter.group(), letter.group()) for letter in letters)
        for start, end in WordBreaker(written, "ja").segments():
            found.update((places[start], places[end]))
    return found


def unspaced(text: str, span: tuple[int, int], place: tuple[int, int], divided: Collection[int]) -> str:
    """The doubt about a name in a script that divides no words, by what is written together with it.

    ``span``: of the folded ``text``. ``place``: in the source. ``divided``: its ``breaks``.
    """
    (start, end), (begin, finish) = span, place
    if end - start == 1:
        return ""  # ``scripts`` says it
    here, head = scripts.script(text[end - 1]), scripts.script(text[start])
    follows = _written_on(text, end, here)
    if here in ("THAI", "LAO", "KHMER", "MYANMAR"):
        return _south_east(text, start, follows, begin in divided, here)
    if start and scripts.script(text[start - 1]) == head and begin not in divided:
        return DIVIDED
    if here == "HIRAGANA":
        return _hiragana(follows, end - start, finish in divided)
    if here != "HAN":
        return ""
    if (title := _HAN_TITLES.match(text, end)) is not None:
        return "" if finish in divided or len(title.group()) > 1 else DIVIDED
    if not follows:
        kana = scripts.script(text[end : end + 1] or " ") == "HIRAGANA" and finish not in divided
        return DIVIDED if kana and not _KANA_PARTICLES.match(text, end) else ""
    if finish not in divided:
        return DIVIDED
    return GOES_ON if finish + 1 in divided and follows[0] not in _followers()["HAN"] else ""


def _hiragana(follows: str, letters: int, is_divided: bool) -> str:
    if not follows:
        return ""
    if not is_divided:
        return DIVIDED
    if letters > 2 or _KANA_ONTO.match(follows) or _KANA_PARTICLES.fullmatch(follows):
        return ""
    return GOES_ON


def _south_east(text: str, start: int, follows: str, begins: bool, here: str) -> str:
    if start > 0 and scripts.script(text[start - 1]) == here:
        known = _followers()[f"{here}-BEFORE"] + (_followers()[here] if here == "THAI" else ())
        if (here == "THAI" or not begins) and not text[max(0, start - _MOST_WRITTEN_ON) : start].endswith(known):
            return DIVIDED
    return "" if not follows or follows.startswith(_followers()[here]) else GOES_ON


def korean(text: str, start: int, end: int) -> str:
    """As ``unspaced``, of particles: their form tells whether a vowel stands before them, as the name must."""
    follows = _written_on(text, end, "HANGUL")
    if not follows or not "가" <= text[end - 1] <= "힣":
        return ""
    closed = (ord(text[end - 1]) - _HANGUL) % _FINALS != 0
    first = follows[0]
    if follows.startswith(("로", "으로")) or (end - start == 1 and not follows.startswith(_HANGUL_TITLES)):
        return GOES_ON  # no particle of persons, or a name that is hardly one alone
    if first in ("은", "을", "과", "아") and not closed:
        return GOES_ON
    if (first in ("는", "를", "와") or follows in ("가", "야")) and closed:
        return GOES_ON
    if first == "이" and not closed and not follows.startswith(_COPULA):
        return GOES_ON
    is_short = end - start == 2 and text[start] in scripts.SURNAMES
    return GOES_ON if is_short and first in ("아", "나") else ""


def arabic(text: str, start: int, end: int, source: str, finish: int) -> str:
    """As ``unspaced``, of Arabic letters. ``finish``: where the name ends in the source."""
    follows, letters = _written_on(text, end, "ARABIC"), end - start
    if follows in ("ت", "م", "ش", "ها", "هاي"):
        return GOES_ON
    if follows == "ا" and letters < _LONG_ENOUGH and _TANWIN not in source[finish - 1 : finish + 3]:
        return GOES_ON
    before = _written_before(text, start, "ARABIC")
    if before.endswith("لل"):
        return scripts.AN_ARTICLE
    if not before:
        return ""
    is_another = before + text[start:end] in _followers()["ARABIC-WHOLE"]
    return PREFIXED if is_another or before[-1] in "كسا" or letters < _LONG_ENOUGH else ""


def hebrew(text: str, start: int, end: int) -> str:
    """As ``unspaced``, of Hebrew prefixes."""
    before, letters = _written_before(text, start, "HEBREW"), end - start
    if not before:
        return ""
    if before + text[start:end] in _followers()["HEBREW-WHOLE"] or "ה" in before:
        return PREFIXED
    is_certain = letters == _LONG_ENOUGH - 1 and before in ("ל", "ו", "ול", "כש", "וכש")
    return "" if letters >= _LONG_ENOUGH or is_certain else PREFIXED


def _written_on(text: str, end: int, script: str) -> str:
    """What of its script follows without a space."""
    at = end
    while at < len(text) and at - end < _MOST_WRITTEN_ON and scripts.script(text[at]) == script:
        at += 1
    return text[end:at]


def _written_before(text: str, start: int, script: str) -> str:
    at = start
    while at > 0 and start - at < _MOST_WRITTEN_ON and scripts.script(text[at - 1]) == script:
        at -= 1
    return text[at:start]
