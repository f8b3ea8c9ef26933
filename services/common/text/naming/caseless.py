"""Names that are also words ("आशा", "أمل", "高兴"), in scripts without capitals: told by what is beside them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache

from icu4py.breakers import WordBreaker

from services.common.text.naming import scripts
from services.common.text.naming.folding import Folded, folded
from services.common.text.naming.word_lists import entries

WORD = "it is also a word, and its script has no capitals"
UNTOLD = "it may be a word, and nothing beside it says that it is a person"
_LOOK_ROUND = 24
_LAST = re.compile(r"[^\W_][^\s\d_.,:;!?\"()«»“”،؛।]*[\s.]+$")
_NEXT = re.compile(r"[\s.]*([^\s\d_.,:;!?\"()«»“”،؛।]+)")
_SENTENCE = re.compile(r"[^.!?。！？؟\n]*")

_KANA = re.compile("[\u3041-\u30fa]")
_FAMILIAR = "小阿老"  # before a name in Chinese
_SURNAMED = re.compile(rf"(?<![가-힣])[{''.join(sorted(scripts.SURNAMES))}]$")
_WITH = {"ARABIC": re.compile(r"(\w+)\s+مع\s+$"), "HEBREW": re.compile(r"(\w+)\s+עם\s+$")}
# Arabic nouns of doing ("ابتهاج", "انتصار", "إشراق"), of six letters and more.
_NOUN_OF_DOING = re.compile("ا(?:ست|ن)?.{2,3}ا.|ت..ي.")
_OBJECT = re.compile(r"(?<=\s)את\s+$")  # Hebrew, before an object that is definite: whom somebody met
# Written onto a name, behind what says that it is one: "قلت لأمل", "אמרתי לטל".
_PREFIXED = {"ARABIC": re.compile(r"(?<=\s)(?:[وف]?[لب])$"), "HEBREW": re.compile(r"(?<=\s)ו?ל$")}
_KOREAN_SUBJECT, _KOREAN_OBJECT = (
    re.compile(rf"(?:{particles})\s") for particles in ("이가|이는|이도|[이가은는도]", "이?[와랑를]|[을과]")
)
_JAPANESE_SUBJECT, _JAPANESE_OBJECT = (
    re.compile(rf"(?:{particles})") for particles in ("は|が|も|って", "と|に|を|から")
)
# Letters of a name in one word that is hardly another, where no dictionary says it.
_LEAST_SURE = {"HANGUL": 3, "ARABIC": 6, "HEBREW": 6, "HIRAGANA": 4}
_BY_DICTIONARY = frozenset({"HAN", "HIRAGANA", "THAI", "LAO"})  # those of Khmer and Burmese hold most names, too
_TO_HIRAGANA = str.maketrans({chr(c): chr(c - 0x60) for c in range(0x30A1, 0x30F7)})


@dataclass(frozen=True, slots=True)
class _Lexicon:
    words: frozenset[str]
    before: tuple[str, ...]
    after: tuple[str, ...]
    onto: tuple[str, ...]
    surnames: tuple[str, ...]
    names: frozenset[str]  # that are none, whatever their length and the dictionaries say
    does: tuple[str, ...]  # what persons do, behind such as may be words; ``meets``: what is done with them
    meets: tuple[str, ...]
    goes_with: tuple[str, ...]


@cache
def _lexicon() -> Mapping[str, _Lexicon]:
    kinds: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for line in entries("caseless.txt"):
        script, kind, given = line.split(" ", 2)
        kinds[script][kind] += map(folded, given.split())
    return {
        script: _Lexicon(
            *(frozenset(of["word"]), tuple(of["before"]), tuple(of["after"])),
            *(tuple(of["onto"]), tuple(of["surname"]), frozenset(of["name"])),
            *(tuple(of["does"]), tuple(of["meets"]), tuple(of["with"])),
        )
        for script, of in kinds.items()
    }


def doubt(name: str, text: Folded, start: int, end: int) -> str:
    """Why a name may be a word and not the name; "" where it is the name. ``start``, ``end``: in the source.

    ``name``: folded.
    """
    script = scripts.script(name[-1])
    lexicon = _lexicon().get("HIRAGANA" if script == "KATAKANA" else script)
    if lexicon is None:
        return ""
    is_word = name.translate(_TO_HIRAGANA) in lexicon.words
    if not is_word and (name in lexicon.names or not _may_be_word(name, script)):
        return ""
    head, tail = folded(text.source[max(0, start - _LOOK_ROUND) : start]), folded(text.source[end : end + _LOOK_ROUND])
    if not is_word and name[0] in _FAMILIAR and not _KANA.search(head + tail):
        return ""
    if _is_person(lexicon, name, head, tail):
        return ""
    if (not is_word or script == "KATAKANA") and _acts(name, head, tail):
        return ""
    return WORD if is_word else UNTOLD


def _may_be_word(name: str, script: str) -> bool:
    """Whether nothing in a name that no list knows tells it from a word: its length, or ICU's dictionary."""
    if " " in name or len(set(map(scripts.script, name)) - {""}) > 1:
        return False
    if len(name) < _LEAST_SURE.get(script, 0) or (script == "ARABIC" and _NOUN_OF_DOING.fullmatch(name)):
        return True
    return script in _BY_DICTIONARY and len(name) > 1 and _is_one_word(name)


@lru_cache(maxsize=4_096)
def _is_one_word(name: str) -> bool:
    written = name.replace("\u0e4d\u0e32", "\u0e33")  # as the dictionary has it
    return next(iter(WordBreaker(written, "ja").segments())) == (0, len(written))


def _first_word(text: str) -> str:
    written = text.replace("\u0e4d\u0e32", "\u0e33")
    _, end = next(iter(WordBreaker(written, "ja").segments()), (0, 0))
    return folded(written[:end])


def _acts(name: str, head: str, tail: str) -> bool:
    """Whether something is said of it, in a script without spaces or in Korean, that is said of persons."""
    script = scripts.script(name[-1])
    rest = (_SENTENCE.match(tail) or tail)[0] if tail else ""
    if script == "HANGUL":
        lexicon, (subject, object_) = _lexicon()["HANGUL"], (_KOREAN_SUBJECT, _KOREAN_OBJECT)
    elif script in ("HAN", "HIRAGANA", "KATAKANA"):
        lexicon, (subject, object_) = _lexicon()["HAN"], (_JAPANESE_SUBJECT, _JAPANESE_OBJECT)
    elif script == "THAI":
        lexicon = _lexicon()["THAI"]
        return head.endswith(lexicon.meets) or _first_word(tail) in lexicon.does
    else:
        return False
    verbs = (*lexicon.does, "来") if script == "KATAKANA" else lexicon.does  # few words are written so
    does = subject.match(rest) is not None and any(verb in rest for verb in verbs)
    return does or (object_.match(rest) is not None and any(verb in rest for verb in lexicon.meets))


def _is_person(lexicon: _Lexicon, name: str, head: str, tail: str) -> bool:
    script = scripts.script(name[-1])
    if lexicon.onto and tail.startswith(lexicon.onto):
        return True
    if script in scripts.UNSPACED:
        return head.endswith((*lexicon.before, *lexicon.surnames)) or tail.startswith(lexicon.after)
    if script == "HANGUL" and _SURNAMED.search(head):
        return True
    if script in _PREFIXED:
        head = _PREFIXED[script].sub("", head)
    if script in _WITH and (verb := _WITH[script].search(head)) and verb.group(1).startswith(lexicon.goes_with):
        return True
    last, following = _LAST.search(_OBJECT.sub("", head)), _NEXT.match(tail)
    if last is not None and last.group().rstrip(" .\t\n\u05f4\"'") in lexicon.before:
        return True
    if following is None or not tail[:1].isspace():
        return False
    return following.group(1).startswith(lexicon.after) if script == "HANGUL" else following.group(1) in lexicon.after
