"""How sure recall is that one of its first items answers the question: one number, and what it is made of.

Rules, no model. Is the question near an item in meaning? Has the namespace ever seen its words? Is whom and what it
names spoken of there, and how much of it is said in one place? In a large memory a share deceives where a question has
few words ("What is the name of the Pooters' cat?" is met by every sentence with their cat), so what is said counts in
full; in a small one it is the sum that deceives ("Where is the car?" has one word to say), so the share counts too.
What the question asks of a time that was resolved ("the week after the ball") was found already and is not asked of
the items again. Where it asks for nothing else ("What happened yesterday?"), what is in the time has all that is asked.

The number means the same in a memory of one engram and of a hundred thousand. A word weighs 1 where no engram holds
it, and less the more do, on a scale that does not shrink below ``GROWN`` engrams: in a memory of two, a word that one
of them holds is not a common word. That a memory has never seen a word says little while it is small; that it says the
whole question in one place says little once it is large, for every few words meet somewhere there.

``WEIGHTS``, ``BIAS`` and the threshold below which Mneme says "not found" (``confidence_threshold`` of the episodic
defaults) are fitted by ``python -m benchmarks.fit_confidence``, on one half of LoCoMo's development set, of EpBench's
development questions and of small plain memories, at sizes from one engram to 50,000; the other half judges them.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, replace

import regex

from services.common.serving.clocks import as_shown
from services.common.text import lexical
from services.common.turns import checkpoint
from services.episodic.plugins.base import Context, Plan, Ranked, Record
from services.episodic.plugins.inflected import as_asked, form, inflected
from services.episodic.plugins.search import neighbours, shows
from services.episodic.plugins.turns import day_words, speaker
from services.episodic.plugins.turns import said as with_speaker
from services.episodic.recall import particles

LOOKED_AT = 5  # best items
SPAN, STEP = 30, 10  # terms
SAID_UNIT = 3.0  # rare words, of ``Signals.said``
GROWN = 500  # engrams, from which on a memory's own counts say alone how common a word is
LARGE = 100_000  # engrams, beyond which nothing was measured

# What a question says about its own form ("what kind of", "how many times"), and words that only join others. Evidence
# seldom repeats them, and that it does not says nothing.
_FRAME = frozenset(
    lexical.terms(
        """
        kind type sort name many much long often happen happened describe tell say said mention mentioned give gave
        first last time times day date year month week thing things person people specific according exactly
        among between during upon within without against toward towards whether either neither both each every another
        several since while although though however instead despite regarding concerning ever never yet still again
        anyone anything someone something else shall may might must ought
        """
    )
)


@dataclass(frozen=True, slots=True)
class Signals:
    """What confidence rests on: of one of the best items, for an answer stands in one place."""

    cosine: float  # of the item, 0 to 1
    unseen: float  # share of the question's words that the namespace has never seen; less where it is small
    names: float  # share of the names in the question that the item or its neighbours speak; 1 without names
    said: float  # weight of the question's words that one stretch of it says, in SAID_UNIT; no speaker's name
    whole: float  # share of that weight in the question's; less where the namespace is large, 0 from GROWN engrams on
    large: float  # 0 up to GROWN engrams, 1 at LARGE, by their logarithm: among many, more is alike by chance


def assess(plan: Plan, items: Sequence[Ranked], ctx: Context) -> float:
    """0 to 1: how likely it is that the first of ``items`` (best first, before compose) hold the answer.

    0 without items, or for a question without words. Where a question asks only what was in a time, or what a speaker
    did in it, 1 if one of these items (of theirs) was said, or speaks, in that time, else 0. Where it has function
    words alone, 1 if one of them states just that (``particles``).
    """
    own = _beside_time(plan, ctx)
    if own is not None:
        theirs = [i.record for i in items[:LOOKED_AT] if own.issubset(ctx.terms(speaker(i.record)))]
        if theirs:
            return float(any(_is_in_time(record, plan) for record in theirs))
    stated = particles.stated(plan.query.text)
    if stated is not None and any(stated.search(item.record.text) for item in items[:LOOKED_AT]):
        return 1.0
    found = signals(plan, items, ctx)
    return score(found) if found is not None else 0.0


def score(found: Signals) -> float:
    """The logistic sum of the signals."""
    total = BIAS + sum(w * x for w, x in zip(WEIGHTS, astuple(found), strict=True))
    return round(1.0 / (1.0 + math.exp(-total)), 6)


def signals(plan: Plan, items: Sequence[Ranked], ctx: Context) -> Signals | None:
    """Those of the surest item. None without items, or for a question without words."""
    return max(of_each(plan, items, ctx), key=score, default=None)


def of_each(plan: Plan, items: Sequence[Ranked], ctx: Context) -> list[Signals]:
    """Of each of the best items, in their order; empty for a question without words."""
    best = items[:LOOKED_AT]
    text = plan.text if lexical.terms(plan.text) else plan.query.text
    weights = _asked_of_items(rarity(text, plan.query.namespaces, ctx), text, plan, ctx)
    if not best or not weights:
        return []
    names = [t for t in _names(text) if t in weights]
    passages = [_passage(item, plan, ctx) for item in best]
    asked = inflected(text) & weights.keys()
    weights = _met(weights, asked, passages, plan, ctx)
    # Whatever one asks of a speaker, every turn of theirs says the name.
    speakers = {term for item in best for term in ctx.terms(speaker(item.record))}
    content = {t: w for t, w in weights.items() if t not in speakers}
    if not content:
        content = {_NOT_SAID: 1.0} if _ASKS_MORE.search(text) else dict(weights)
    never = _never(plan.query.namespaces, ctx)
    grown = min(1.0, never / _OF_GROWN)
    unseen = grown * sum(weight == 1.0 for weight in weights.values()) / len(weights)
    large = min(1.0, max(0.0, never - _OF_GROWN) / (_OF_LARGE - _OF_GROWN))
    out = []
    for item, passage in zip(best, (each.as_asked(asked) for each in passages), strict=True):
        checkpoint()
        said = max(sum(w for t, w in content.items() if t in stretch) for stretch in passage.stretches())
        out.append(
            Signals(
                cosine=max(0.0, min(1.0, _cosine(item))),
                unseen=unseen,
                names=sum(t in passage.everything for t in names) / len(names) if names else 1.0,
                said=said / SAID_UNIT,
                whole=(1.0 - grown) * said / sum(content.values()),
                large=large,
            )
        )
    return out


def rarity(text: str, namespaces: Sequence[str], ctx: Context) -> Mapping[str, float]:
    """0 to 1: how rare each word of a question is; those of its form left out unless nothing else is there.

    idf(n of N) is ln((N + 1) / (n + 1/2)), so that of a word never seen, less a word's own, is ln(2n + 1): a count that
    the size is not in. Over several namespaces, of the one that knows a word best.
    """
    merged: dict[str, float] = {}
    for namespace in namespaces:
        never = _never((namespace,), ctx)
        for term, idf in ctx.idf(text, namespace).items():
            rare = 1.0 - (never - idf) / max(never, _OF_GROWN)
            merged[term] = min(rare, merged.get(term, rare))
    told = {term: weight for term, weight in merged.items() if term not in _FRAME and not _joins(term)}
    return told or merged


def _joins(term: str) -> bool:
    """Whether it is made of Chinese function words alone ("在"), which stand in every other sentence."""
    return _HAN.fullmatch(term) is not None and all(map(lexical.is_function_word, term))


_HAN = regex.compile(r"\p{Han}{1,2}")


def _asked_of_items(weights: Mapping[str, float], text: str, plan: Plan, ctx: Context) -> Mapping[str, float]:
    """Without the words of a time that was resolved and that no key could repeat ("yesterday", "two days ago"): the
    days of keys are written as weekdays, months and numbers."""
    if plan.time is None:
        return weights
    found = (words for words, _ in ctx.dates(text, plan.query.asked_at) if not _WRITTEN_DAY.search(words))
    resolved = {term for words in found for term in ctx.terms(words)}
    return {term: weight for term, weight in weights.items() if term not in resolved} or weights


def _met(
    weights: Mapping[str, float], asked: Collection[str], passages: Sequence[_Passage], plan: Plan, ctx: Context
) -> Mapping[str, float]:
    """Each word that one of the items says in another form is as common as that form, if that is commoner."""
    said = frozenset[str]().union(*(passage.everything for passage in passages)) if asked else frozenset[str]()
    forms = {term: word for term in sorted(said - weights.keys()) if (word := form(term, asked))}
    common = rarity(" ".join(forms), plan.query.namespaces, ctx) if forms else {}
    out = dict(weights)
    for term, word in forms.items():
        out[word] = min(out[word], common.get(term, 1.0))
    return out


_WRITTEN_DAY = regex.compile(r"\d|\p{Lu}")


def _beside_time(plan: Plan, ctx: Context) -> frozenset[str] | None:
    """Of a question for whatever was in a time the words beside that, as "Ann" in "What did Ann do yesterday?"; None of
    any other question."""
    text = plan.query.text
    if plan.time is None or plan.anchor is not None:
        return None
    found = [words for words, _ in ctx.dates(text, plan.query.asked_at)]
    rest = text
    for words in found:
        rest = rest.replace(words, " ", 1)
    if not found or (_ANY_WORD.search(rest) and not _WHATEVER.fullmatch(rest)):
        return None
    return frozenset(ctx.terms(text)).difference(_HAPPENING, *map(ctx.terms, found))


_ANY_WORD = regex.compile(r"\p{L}")
# No "where" or "who": what is in a time may not say that. "What was there?" and "Is anything there?" it says.
_WHATEVER = regex.compile(
    r"(?!.*\b(?:who|whom|whose|where|when|why|how|which)\b).*\b(?:what|anything|something|everything|tell|describe)\b.*",
    regex.IGNORECASE | regex.DOTALL,
)
_HAPPENING = frozenset(
    term
    for word in """
    what anything something everything else thing happen happened happens happening go going went do doing done tell
    describe say said mention mentioned talk talked discuss discussed
    """.split()
    for term in lexical.terms(word)
)


def _is_in_time(record: Record, plan: Plan) -> bool:
    """Whether it was said in the time that the question asks for, on the clock of whoever spoke, or speaks of it."""
    asked = [t for t in (plan.time, *plan.other_times) if t is not None]
    return any(
        shows(t, record.event.start)
        or any(as_shown(t.start) <= as_shown(m.start) and as_shown(m.end) <= as_shown(t.end) for m in record.times)
        for t in asked
    )


# Of a speaker, in words of the question's form alone ("Where is Rita from?", "What is Rita's last name?"): that a turn
# is theirs is no answer. "What does Rita do?", "Who is Rita?" it may be.
_ASKS_MORE = regex.compile(
    r"\b(?:where|when|which|whose|names?|how\s+(?:old|many|much|long|far|often|tall|big))\b", regex.IGNORECASE
)
_NOT_SAID = ""  # a word that no text has


def _never(namespaces: Sequence[str], ctx: Context) -> float:
    """idf of a word that no engram holds: grows with the namespace; over several, of the largest."""
    return max(ctx.idf(_NEVER, namespace)[_NEVER] for namespace in namespaces)


_NEVER = "zzqxvjw"
_OF_GROWN, _OF_LARGE = lexical.idf(GROWN, 0), lexical.idf(LARGE, 0)

# A word with a capital that does not begin a sentence ("Mr. Abernethy" does not; "¿Dónde" does), titles left out.
_NAME = regex.compile(
    r"(?<!^)(?<![?!] )(?<!\p{Ll}{3}\. )(?<![¿¡])\b(?!(?:Mr|Mrs|Ms|Miss|Dr|St)\b)\p{Lu}\p{M}*(?:\p{Ll}\p{M}*)+"
)
# A common noun with a name in it does not speak of that name: "plaster-of-Paris", "jack-in-the-Green".
_COMPOUND = regex.compile(r"\b\p{Ll}\w*(?:-\w+){2,}")


# German writes every noun with a capital. Behind these stands a noun, behind a name's verb or preposition a name.
_GERMAN_NOUN = regex.compile(
    r"\b(?:welch|ein|kein|mein|dein|sein|ihr|unser|euer|eur|dies|jed|jen)(?:e[rsmn]?)?\b \K\p{Lu}\p{Ll}+"
    r"|\b(?:der|die|das|den|dem|des|im|am|vom|zum|zur|beim|ins|ans|viele?r?n?|wie viel) \K\p{Lu}\p{Ll}+",
    regex.IGNORECASE,
)


def _names(text: str) -> list[str]:
    """Terms of the names in a question."""
    if "de" in lexical.languages(text):
        text = _GERMAN_NOUN.sub(lambda m: m.group().lower(), text)
    return list(dict.fromkeys(t for m in _NAME.finditer(text) for t in lexical.terms(m.group())))


def _spoken(text: str, ctx: Context) -> list[str]:
    """Terms of a text, without the names inside common nouns."""
    return ctx.terms(_COMPOUND.sub(lambda m: _NAME.sub("", f" {m.group()}"), text))


@dataclass(frozen=True, slots=True)
class _Passage:
    """An item with its neighbours, as terms."""

    line: Sequence[str]
    first: int  # where the item's own terms begin in ``line``
    last: int  # and end
    always: frozenset[str]  # who said it, and when

    @property
    def everything(self) -> frozenset[str]:
        return self.always.union(self.line)

    def as_asked(self, asked: Collection[str]) -> _Passage:
        """With forms of the words of ``asked`` as they are there."""
        return replace(self, line=as_asked(self.line, asked), always=frozenset(as_asked(self.always, asked)))

    def stretches(self) -> Iterator[frozenset[str]]:
        """``SPAN`` terms each, whatever the length of the texts, all with some of the item: in a long text, words
        that lie far apart are not said together."""
        for start in range(0, max(1, len(self.line) - SPAN + STEP), STEP):
            if start + SPAN > self.first and start < self.last:
                yield self.always.union(self.line[start : start + SPAN])
        yield self.always


def _passage(item: Ranked, plan: Plan, ctx: Context) -> _Passage:
    before, after = neighbours(item.record, plan, ctx)
    own = _spoken(item.record.text, ctx)
    head = _spoken("\n".join(with_speaker(r) for r in before), ctx)[-SPAN:]
    tail = _spoken("\n".join(with_speaker(r) for r in after), ctx)[:SPAN]
    always = frozenset(ctx.terms(f"{speaker(item.record)} {day_words(item.record.event.start)}"))
    return _Passage((*head, *own, *tail), len(head), len(head) + len(own), always)


def _cosine(item: Ranked) -> float:
    return next((score for stage, _, score in item.trace if stage == "dense"), 0.0)


# Fitted: see above.
BIAS = -6.96
WEIGHTS = (5.01, -5.55, 3.17, 4.41, 3.65, -1.05)
