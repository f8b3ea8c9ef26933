"""Names that are also words ("आशा", "أمل", "高兴"), in scripts without capitals: told by what is beside them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources

from icu4py.breakers import WordBreaker

from services.common.text.naming import scripts
from services.common.text.naming.folding import Folded, folded

WORD = "it is also a word, and its script has no capitals"
_LOOK_ROUND = 24
_MOST_FROM_KANA = 128  # letters, in Japanese
_LAST = re.compile(r"[^\W_][^\s\d_.,:;!?\"()«»“”،؛।]*[\s.]+$")
_NEXT = re.compile(r"[\s.]*([^\s\d_.,:;!?\"()«»“”،؛।]+)")

_KANA = re.compile("[\u3041-\u30fa]")
_FAMILIAR = "小阿老"  # before a name, and so before none of these words
_SURNAMED = re.compile(rf"(?<![가-힣])[{''.join(sorted(scripts.SURNAMES))}]$")
_OBJECT = re.compile(r"(?<=\s)את\s+$")  # Hebrew, before an object that is definite: whom somebody met


@dataclass(frozen=True, slots=True)
class _Lexicon:
    words: frozenset[str]
    before: tuple[str, ...]
    after: tuple[str, ...]
    onto: tuple[str, ...]
    surnames: tuple[str, ...]
    names: frozenset[str]  # that the dictionaries of words hold, too


@cache
def _lexicon() -> Mapping[str, _Lexicon]:
    kinds: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for line in resources.files(__package__).joinpath("caseless.txt").read_text("utf-8").splitlines():
        if not line.startswith("#"):
            script, kind, given = line.split(" ", 2)
            kinds[script][kind] += map(folded, given.split())
    return {
        script: _Lexicon(
            *(frozenset(of["word"]), tuple(of["before"]), tuple(of["after"])),
            *(tuple(of["onto"]), tuple(of["surname"]), frozenset(of["name"])),
        )
        for script, of in kinds.items()
    }


def doubt(name: str, text: Folded, start: int, end: int) -> str:
    """Why a name may be the word and not the name; "" where it is the name. ``start``, ``end``: in the source.

    ``name``: folded.
    """
    lexicon = _lexicon().get(scripts.script(name[-1]))
    if lexicon is None or (name not in lexicon.words and not _is_chinese_word(lexicon, name, text.source, start)):
        return ""
    here = folded(text.source[max(0, start - _LOOK_ROUND) : start]), folded(text.source[end : end + _LOOK_ROUND])
    return "" if _is_person(lexicon, name, *here) else WORD


def _is_chinese_word(lexicon: _Lexicon, name: str, text: str, start: int) -> bool:
    """Whether ICU's dictionary has two Han letters for a word: what is a name in a Japanese text it has for one too."""
    if len(name) != 2 or name in lexicon.names or name[0] in _FAMILIAR or set(map(scripts.script, name)) != {"HAN"}:
        return False
    return _is_one_word(name) and _KANA.search(text, max(0, start - _MOST_FROM_KANA), start + _MOST_FROM_KANA) is None


@lru_cache(maxsize=4_096)
def _is_one_word(name: str) -> bool:
    return next(iter(WordBreaker(name, "ja").segments())) == (0, len(name))


def _is_person(lexicon: _Lexicon, name: str, head: str, tail: str) -> bool:
    script = scripts.script(name[-1])
    if lexicon.onto and tail.startswith(lexicon.onto):
        return True
    if script in scripts.UNSPACED:
        return head.endswith((*lexicon.before, *lexicon.surnames)) or tail.startswith(lexicon.after)
    if script == "HANGUL" and _SURNAMED.search(head):
        return True
    last, following = _LAST.search(_OBJECT.sub("", head)), _NEXT.match(tail)
    if last is not None and last.group().rstrip(" .\t\n\u05f4\"'") in lexicon.before:
        return True
    if following is None or not tail[:1].isspace():
        return False
    return following.group(1).startswith(lexicon.after) if script == "HANGUL" else following.group(1) in lexicon.after
