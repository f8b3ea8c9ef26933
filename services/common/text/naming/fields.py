"""Names whose words stand in fields of their own: in a table, a list, or a record ("first": "Ruth", "last": "Fenwick").

Time grows with the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from services.common.text.naming.folding import folded
from services.common.text.naming.forms import words_of
from services.common.text.naming.judging import APART, Mention
from services.common.text.naming.names import Names
from services.common.text.naming.phrases import TURNED
from services.common.text.naming.scripts import CASED, script
from services.common.turns import checkpoint

DIVIDED = "its words are divided, as in a table or a list"

_BREAK = "\x1f"  # a space to whoever reads, and Unicode's sign between units
# Punctuation of Chinese and Japanese is none of these: any two letters beside it may be a name's there.
_MARKS = r"!-/:-@\[-`{-~\xa1-\xa9\xab-\xb4\xb6-\xb9\xbb-\xbf\u2010-\u205e\u2190-\u23ff\u2500-\u27bf\u060c\u061b\u0964"
_DIVIDES = rf"[\s\d{_MARKS}]"
_LABEL = r"[^\W\d_]\w{0,23}(?:[ .-]\w{1,16}){0,2}[\"'»”]?\s?[:=]"  # of at most three words
_DIVIDER = re.compile(rf"{_DIVIDES}++")
_LABELLED = re.compile(rf"(?<!{_DIVIDES})({_DIVIDES}++)(?:{_LABEL}{_DIVIDES}*+){{1,3}}")
_JOINS = re.compile(r"\.?\s+|[.\-_'’‐-―]|\d+")  # stand between the words of a name as it is, or within one
_ENDS_A_FIELD = re.compile(r"[\n\t,;|&?\"'“«{(\[<،؛]")
_WIDE = str.maketrans("：＝，；、\u3000", ":=,;,\t")  # where a label stands, these divide fields, too
_LONGEST_WORD = 40


class Divided:
    """Given names of several words, or of one in a script that leaves to the writer whether it is two. Immutable."""

    def __init__(self, given: Iterable[str]) -> None:
        names = [name for each in given for name in (each, *_turned(each))]
        self._matcher = Names(names)
        words = [form.split() for form in self._matcher.forms if " " in form]
        one = f"[{re.escape(''.join(sorted({word[0] for form in words for word in form})))}\x80-\U0010ffff]"
        divided = (
            rf"(?<!\w){one}\S{{0,{_LONGEST_WORD}}}{_BREAK}++{one}"  # the heads of two of their words, or other letters
        )
        self._may_stand = re.compile(divided if words else r"(?!)", re.IGNORECASE)

    def find(self, text: str) -> Iterator[Mention]:
        """Those that would be sure if their words stood beside one another, in either order."""
        for reading in _readings(text):
            checkpoint()
            if self._may_stand.search(reading) is not None:
                for mention in self._matcher.find(reading):
                    if _BREAK in reading[mention.start : mention.end] and mention.doubt in ("", APART, TURNED):
                        yield replace(mention, doubt=DIVIDED)


def _turned(name: str) -> Iterator[str]:
    """A name of letters without case, its last word first: others are found so, too."""
    words = words_of(name)
    if len(words) > 1 and script(folded(name)[:1] or " ") not in CASED:
        yield " ".join((words[-1], *words[:-1]))


def _readings(text: str) -> Iterator[str]:
    """The text with a break for each character that divides fields; and for those of labels, too."""
    text = text.translate(_WIDE) if "：" in text else text
    yield _DIVIDER.sub(_broken, text)
    if (unlabelled := _LABELLED.sub(_unlabelled, text)) != text:
        yield _DIVIDER.sub(_broken, unlabelled)


def _broken(run: re.Match[str]) -> str:
    return run.group() if _JOINS.fullmatch(run.group()) else _BREAK * len(run.group())


def _unlabelled(labels: re.Match[str]) -> str:
    """Breaks, but where no field begins: "Ruth said: Fenwick is late"."""
    return _BREAK * len(labels.group()) if _ENDS_A_FIELD.search(labels[1]) else labels.group()
