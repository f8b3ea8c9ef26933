"""Whether what stands at a place of a text is a name that was given, and what of it may be something else."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from services.common.text.naming import caseless, edges, letters, phrases, scripts, words
from services.common.text.naming.folding import UMLAUT, accented, fold, folded, with_plain_signs
from services.common.text.naming.forms import Closed, close
from services.common.text.naming.latin import Latin
from services.common.text.naming.phrases import Found
from services.common.text.naming.spellings import APOSTROPHE, Form, Spelling

OTHER_ACCENTS = "its accents are others"
DOUBLE = "it is part of a double name"
APART = "a space stands within it"
INSIDE = "it stands inside a longer word"
STOPPED = "a sentence may end between its words"
_HANDLE = re.compile(r"[\w.@+-]*")
_LOOK_ROUND = 64
_LEAST_KEPT = 3  # letters of a name that a case keeps, where the text's language does not tell that it is one
_LEAST_JOINED = 6  # letters of a name written together that hardly another word has
# A word that is hardly an abbreviation: of three letters, and not of consonants alone.
_FULL_STOP = re.compile(
    r"(?<![^\W\d_])(?!(?:capt|col|gen|gov|hon|prof|rep|rev|sen)\.)(?=[b-df-hj-np-tv-xz]*+[^\W\d_])[^\W\d_]{3,}\.\s",
    re.IGNORECASE,
)
_HYPHENS = "-\u2010\u2011"


@dataclass(frozen=True, slots=True)
class Mention:
    """A name in a text: ``text[start:end]``. ``doubt``: why it may be something else, "" where it is the name."""

    start: int
    end: int
    name: str
    doubt: str = ""


class Text:
    """A text that is looked through, and what is known of it. Places are those of the folded text."""

    def __init__(self, source: str, is_name: bool) -> None:
        self.folded = fold(source)
        self.closed = Closed(self.folded.text)
        self.has_umlauts = UMLAUT.search(source) is not None
        self._source = source
        self._alone = source.strip()
        self._is_name = is_name
        self._language: str | None = None
        self._latin = Latin(source)
        # Places of the closed text where no name ends that begins small or not, and is whole, a stem or either.
        self.no_ends: set[tuple[int, bool, frozenset[bool]]] = set()
        self._accents: dict[str, str] = {}  # by word

    def spelled(self, form: Form, start: int, end: int) -> Iterator[tuple[Spelling, Mapping[str, str]]]:
        """Those of a form's spellings that may be meant by what stands there."""
        yield from form.as_given()
        if form.written_out and (scripts.after(self.folded.text, start, end) is not None or self._is_camel_end(end)):
            begin, finish = self.folded.span(start, end)
            if UMLAUT.search(written := self._source[begin:finish]):
                yield from form.as_written(written)

    def is_small_latin(self, at: int) -> bool:
        start, _ = self.folded.span(at, at + 1)
        return scripts.script(self.folded.text[at]) == "LATIN" and not self._source[start].isupper()

    def is_camel(self, at: int) -> bool:
        """Whether a capital begins a word inside a word there, as in "tomBaker"."""
        source = self._source
        start, _ = self.folded.span(at, at + 1)
        return start > 0 and source[start].isupper() and source[start - 1].islower()

    def judged(
        self, spelling: Spelling, names: Mapping[str, str], start: int, end: int, before: str | None
    ) -> Mention | None:
        """What of a name as it was given is a mention. ``before``: what ``scripts`` says of its head."""
        folded = self.folded.text
        after = scripts.declined(folded, end) if spelling.declines else scripts.after(folded, start, end)
        inside = before is None or after is None
        if inside and not self._in_camel(start, end, before, after):
            return None
        begin, finish = self.folded.span(start, end)
        doubt = before or after or ("" if inside else self._edge(start, end, begin, finish))
        if not inside and doubt == scripts.GOES_ON and (spelling.doubt or self.is_small_latin(start)):
            return None  # a common word that begins like the name
        is_genitive = doubt == scripts.GOES_ON and self._latin.is_genitive(spelling.words, begin, finish)
        doubt = "" if is_genitive else doubt
        accents = "" if names.keys() == {""} else self._accents_of(spelling, begin, finish)
        name = names.get(accents) or names.get("") or next(iter(names.values()))
        tells = letters.tells(spelling.form)
        other = letters.other(name, accents, self._source[finish : finish + 1]) if tells else ""
        if other is None:
            return None
        doubt = doubt or other or (APART if spelling.apart else self._stop(name, begin, finish))
        handle = self._is_handle(begin, finish)
        if spelling.doubt == APOSTROPHE and not handle and self.is_small_latin(start) and self._latin.writes_capitals:
            return None  # a word: "said" of "Sa'id"
        if inside:
            return Mention(begin, finish, name, "" if handle else INSIDE)
        others = not tells and accents != "" and accents not in names and "" not in names
        spoken = words.GERMAN if is_genitive else self._spoken(spelling.words[0])
        doubt = doubt or self._doubt(spelling, begin, finish, handle, others, spoken)
        if doubt == words.SMALL_HERE and self._alone == self._source[begin:finish]:
            doubt = ""  # "priya", of a metadata field
        return Mention(begin, finish, name, doubt)

    def _edge(self, start: int, end: int, begin: int, finish: int) -> str:
        """The doubt about where a name ends, in scripts that write words together."""
        text, here = self.folded.text, scripts.script(self.folded.text[end - 1])
        if here in scripts.UNSPACED:
            return edges.unspaced(text, (start, end), (begin, finish), self._breaks)
        match here:
            case "HANGUL":
                return edges.korean(text, start, end)
            case "ARABIC":
                return edges.arabic(text, start, end, self._source, finish)
            case "HEBREW":
                return edges.hebrew(text, start, end)
        return ""

    @cached_property
    def _breaks(self) -> Collection[int]:
        return edges.breaks(self._source)

    def read(self, found: Found) -> Mention | None:
        """What of a name in other words' forms or order is a mention."""
        start, end = self.folded.span(found.start, found.end)
        handle = self._is_handle(start, end)
        is_one_handle = handle and not any(c.isspace() for c in self._source[start:end])
        doubt = "" if is_one_handle and found.doubt in (phrases.JOINED, phrases.TURNED) else found.doubt
        if (
            found.is_small
            and not handle
            and (doubt not in ("", phrases.JOINED) or found.declined)
            and not self._may_be_small(found)
        ):
            return None
        if found.languages is not None:
            declined = self._declined(found, found.languages)
            if declined is None:
                return None
            doubt = doubt or declined
        if not doubt and found.is_turned and not handle and phrases.is_listed(self._source, start, end):
            doubt = phrases.LISTED
        doubt = doubt or self._stop(found.name, start, end)
        if not doubt and not handle:
            doubt = self._doubt_of(found, start, end)
        return Mention(start, end, found.name, doubt)

    def _stop(self, name: str, start: int, end: int) -> str:
        """The doubt about a name that was given without a stop and is written with one: "I met Ruth. Fenwick left"."""
        return STOPPED if "." not in name and _FULL_STOP.search(self._source, start, end) else ""

    def _may_be_small(self, found: Found) -> bool:
        """Whether a small letter may begin a declined name: where the text's language declines so."""
        if found.languages is None:
            return False
        return scripts.script(self.folded.text[found.start]) != "LATIN" or bool(
            found.languages & self._latin.tongues.declining
        )

    def _declined(self, found: Found, languages: frozenset[str]) -> str | None:
        """Whether what looks like a case of a name is one in this text: "" (surely), a doubt, or None (no)."""
        if scripts.script(self.folded.text[found.start]) != "LATIN":
            return phrases.ANOTHER_NAME if found.is_another else ""
        tongues = self._latin.tongues
        if languages & tongues.declining:
            return phrases.ANOTHER_NAME if found.is_another else ""
        if tongues.is_other:
            return phrases.DECLINED if found.is_plain else None
        if found.is_plain or found.declined > 1:
            return ""
        return phrases.DECLINED if found.kept >= _LEAST_KEPT and not found.is_another else None

    def _doubt_of(self, found: Found, start: int, end: int) -> str:
        source = self._source
        if self._is_alone(start, end):
            return ""
        if self._is_double(start, end):
            return DOUBLE
        if found.is_small and (found.languages is not None or len(found.words) == 1):
            return words.SMALL_HERE
        if words.names_a_place(source, start):
            return words.PLACE
        return words.doubt(found.words, source, start, end, self._spoken(found.words[0]))

    def _is_alone(self, start: int, end: int) -> bool:
        """Whether it is all of the text, and not in small letters, as words are ("bill", of a metadata field)."""
        return self._alone == self._source[start:end] and not self._source[start].islower()

    def _spoken(self, word: str) -> str:
        """The language whose words a name is to be told from."""
        if scripts.script(word[0]) == "CYRILLIC":
            return words.RUSSIAN
        if self._language is None:
            self._language = words.language(self._source)
        return self._language

    def _in_camel(self, start: int, end: int, before: str | None, after: str | None) -> bool:
        """Whether capitals bound it where the script does not."""
        return (before is not None or self.is_camel(start)) and (after is not None or self._is_camel_end(end))

    def _is_camel_end(self, end: int) -> bool:
        return end < len(self.folded.text) and self.is_camel(end)

    def _doubt(self, spelling: Spelling, start: int, end: int, handle: bool, other_accents: bool, spoken: str) -> str:
        source = self._source
        if spelling.is_joined and end - start < _LEAST_JOINED:
            return spelling.doubt
        if handle:
            return ""
        if spelling.doubt and not spelling.is_joined:
            return spelling.doubt  # another person's name may be spelled so
        if self._is_alone(start, end):
            return ""
        if self._is_double(start, end):
            return DOUBLE
        if other_accents:
            return OTHER_ACCENTS
        if self._is_name or spelling.as_given:
            return ""
        if spelling.doubt:
            return spelling.doubt
        if len(spelling.words) == 1 and not source[start].isupper() and self._is_small_script(spelling, start, end):
            return words.SMALL_HERE
        if words.names_a_place(source, start):
            return words.PLACE
        if scripts.script(spelling.form[-1]) not in scripts.CASED:
            return caseless.doubt(spelling.form, self.folded, start, end)
        said = words.doubt(spelling.words, source, start, end, spoken) if spelling.may_be_words else ""
        return said or self._latin.doubt(spelling, start, end)

    def _is_small_script(self, spelling: Spelling, start: int, end: int) -> bool:
        """Whether a small letter tells a word from a name, and no lexicon says of which words."""
        script = scripts.script(spelling.form[0])
        if spelling.declared or script not in scripts.CASED or "_" in self._source[max(0, start - 1) : end + 1]:
            return False
        return script != "LATIN"  # of which ``latin`` says more

    def _is_handle(self, start: int, end: int) -> bool:
        """Whether it stands in what people are addressed by: "@tom_b", "tom.b@mail.example"."""
        head = self._source[max(0, start - _LOOK_ROUND) : start][::-1]
        before, after = _HANDLE.match(head), _HANDLE.match(self._source, end, end + _LOOK_ROUND)
        return "@" in (before.group() if before else "") + (after.group() if after else "")

    def _is_double(self, start: int, end: int) -> bool:
        """Whether a hyphen joins it to another capitalised word ("Anne-Marie")."""
        source = self._source
        if end + 1 < len(source) and source[end] in _HYPHENS and source[end + 1].isupper():
            return True
        if start < 2 or source[start - 1] not in _HYPHENS or not source[start].isupper():
            return False
        head = re.search(r"[^\W\d_]+$", source[max(0, start - _LOOK_ROUND) : start - 1])
        return head is not None and head.group()[0].isupper()

    def _accents_of(self, spelling: Spelling, start: int, end: int) -> str:
        """As ``accents_of``, of what is written; each word of a text is looked at once."""
        if letters.tells(spelling.form):
            return letters.written(self._source[start:end])
        words = close(with_plain_signs(self._source[start:end])).split(" ")
        for word in words:
            if word not in self._accents:
                self._accents[word] = accented(word)
        accents = " ".join(self._accents[word] for word in words)
        return accents if folded(accents) != accents else ""
