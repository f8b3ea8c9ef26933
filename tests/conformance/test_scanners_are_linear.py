"""Whatever scans a text takes time in proportion to its length, however nasty the text: one tenant's text may not hold
another's. A new scanner is one line of ``SCANNERS``, and ``test_scanners_are_all_there`` finds one that has none; one
that looks for names is one of ``SEEKERS`` too, for its time may grow neither with their number nor with their lengths.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mneme.v1.admin_pb2 import AliasGroup

from services.common.ids import MAX_NAME
from services.common.text import lexical, times
from services.common.text.extract import Aliases, Extractor, _whole_words, plain
from services.common.text.naming.fields import Divided
from services.common.text.naming.folding import fold, folded
from services.common.text.naming.forms import words_of
from services.common.text.naming.names import Names
from services.common.text.naming.phrases import Phrases
from services.common.text.naming.shown import readings
from services.common.text.normal import is_blank
from services.common.text.sentences import sentences
from services.episodic.erasure.person import Naming
from services.episodic.plugins import build
from services.episodic.plugins.base import Ranked
from services.episodic.plugins.exact import ExactHost
from services.episodic.plugins.inflected import as_asked, inflected
from services.episodic.plugins.states import States
from services.episodic.recall import confidence, particles
from services.episodic.state.mentions import Mentions, name_hashes
from services.episodic.state.undressed import undressed
from services.reasoning import codes, proportions, spelled
from services.reasoning.extract import Source, extract
from services.reasoning.grounding import Grounding
from services.reasoning.held import Held
from services.reasoning.models.guard import Guard
from services.reasoning.passages import excerpt
from services.reasoning.prompt import Note, support
from tests.episodic.plugins import world

BASE = 4_096  # characters
TIMES = (1, 2, 4, 8)
ABOVE_LINEAR = 16.0  # of the longest text to the shortest; linear is 8, the square 64
LEAST_S = 0.001  # below it a clock's grain is most of what is measured

UNITS = [
    "A. ", "We met. ", "Mr. ", "1.", "1. ", "7", "1,000 ", "the the ", "on on on ", "Aa ", "Aa-", "a-", "A.B.", "l'",
    "語", "語。", "ก", "가", "\"", "[[[", "!?", "… ", ". . ", "\n", " ", "é\u0301", "@a_", "12 May ", "from 1 to ",
    "\u0323\u0301", "\uff9e\u0323",
]  # fmt: skip
# For what takes a second for such a text: those that tell its parts apart.
FEW = ["A. ", "We met. ", "7", "[[[", "Aa-", "語。", " ", "\u0323\u0301"]
FEWEST = ["A. ", "7", "語。"]

# Of programs: what begins markup, escapes and entities, and what ends none.
MARKUP = [
    "\\", "\\u00e9", "\\\\u00e9", "\\x", "\\0", "\\n", "\\u{", "\\ab", "%", "%C3", "&a", "&#1", "&amp;", "=A",
    "<a", "<!-", "<b>", "[a=", "[b]", "](", "[1;", "\x1b[1", "\x1b]", "\x1b", "\x9b1", "^[[1", "a\b", "_", "a_", "*",
    "a+", "\U0001f1f5", "\U000e0050", "\u202e", "UnV0", "UnV0\n", "52 ", "r0th ",
    "Ã", "Ã¼", "ÃƒÂ", "├", "Пё", "ð", "xn--", "xn--a-", "xn--mller-kva.", "\\c ", "\\\"{", "\\'\\i", "=c3", "%u00fc",
]  # fmt: skip

# What most of a scanner's functions have something to say of.
PROSE = (
    "Ann Smith gave Rose a letter; will Mark, ann or Dr. Ann come to Jordan on 3 May 2024? "
    "I will go to Paris in two weeks, she said on Monday, but last winter we had planned to leave on Friday. "
    "In the summer of 1999, at 9:30, five of the 12 parcels cost 1.5 million euros or $20, twice as much as in the '90s"
    "; “a dozen eggs”, no. 7, mail a@b.example or www.b.example/x-1. "
    "My sister's new code is PX-88, no longer 4471: thanks, no news. Rose petals fell in the fall. "
    "I was born around May 2012; we met from 20 December 2023 to 5 January, on the 3rd, in the 1990s, at the weekend. "
    "All 12 of them, one hundred and twenty, 9:00-17:00, 3-4 km, (14) and “no one” were with rose in Jordan, Dr. No. "
    "Christian values matter. "
    "Dear rose, a rose is a rose; hi mark, I wrote to jordan. Herr Muller traf Mueller am 3. Mai. Meine Rose! "
    "הבית של אן. 철수는 집에 갔다. Я видел Анну. 王芳说。 高明的国王芳龄。 안나가 왔다. さくらさんがさくらを見た。 "
)

# What a name's own scanners have to say of in texts of other languages, and without capitals.
WORDY = ["Deniz geldi. ", "Frau Peters Hut. ", "Peters hus och ", "Peters eeee", "ho dato a müller "]

NOW = datetime(2024, 5, 1, tzinfo=UTC)
ALIASES = Aliases([AliasGroup(name="Ann Smith", aliases=["Ann", "A.", "the on"])])
NAMING = Naming(["Ann Smith", "A B", "语"])
DIVIDED = Divided(["Ann Smith", "A B", "语文"])
WORDS = Names(
    [
        "Rose",
        "rose",
        "Mark",
        "Jordan",
        "Christian",
        "Ann Smith",
        "高明",
        "王芳",
        "안나",
        "Анна",
        "Müller",
        "さくら",
        "Deniz",
        "Peter",
    ]
)
KEY = bytes(16)
HASHES = name_hashes(["Ann Smith", "语"], KEY)
GUARD = Guard(["<|im_start|>", "<|im_end|>"], ["### User:"])


@cache
def extractor() -> Extractor:
    made = Extractor()
    made.load()
    return made


@cache
def host() -> ExactHost:
    return world.host(build(["turns", "episodes", "time_plan", "lexical", "between", "contiguity", "pack"]))


def recall(text: str) -> object:
    return world.ask(host(), world.query(text))


def assess(text: str) -> object:
    found = world.ask(host(), world.query("Who plays the harmonium?"))
    long = [replace(item, record=replace(item.record, text=text)) for item in found.ranked]
    return confidence.assess(found.plan, long, host().context(world.ASKED))


def state(text: str) -> object:
    pattern = particles.stated("What are we out of?")
    assert pattern is not None
    return pattern.search(text), particles.stated(text)


def rank(text: str) -> object:
    """What was found, ordered by what it says: each the same long text, with another answer at its end."""
    found, ctx = world.ask(host(), world.query("Who plays the harmonium?")), host().context(world.ASKED)
    said = f"{text}Kay plays the harmonium at"
    items: Sequence[Ranked] = [
        replace(item, record=replace(item.record, text=f"{said} {n}.")) for n, item in enumerate(found.ranked)
    ]
    for plugin in build(["own_words", "updates", "repeats"]):
        items = plugin.rerank(found.plan, items, ctx)
    return items


def states(text: str) -> object:
    ctx = host().context(world.ASKED)
    return [States(q, (), ctx)("Ann:", text) for q in ("Which cat is sick?", "Welche Katze ist krank?", text)]


def note(text: str) -> Note:
    return Note("home", "e", text, "Ann", "2024-05-01", frozenset())


# name -> what scans, and over which texts.
SCANNERS: dict[str, tuple[Callable[[str], object], list[str]]] = {
    "terms": (lexical.terms, [*UNITS, PROSE]),
    "sentences": (sentences, [*UNITS, PROSE]),
    "the extractive answer": (lambda text: extract("Whom did Ann meet?", [Source("e", text, "Ann")], 3), FEW),
    "a long question to the extractive answer": (lambda text: extract(text, [Source("e", "We met.", "Ann")], 3), FEW),
    "people and places": (lambda text: extractor().find(text, aliases=ALIASES), ["A. ", "[[[", PROSE]),
    "aliases": (lambda text: list(ALIASES.within(text)), UNITS),
    "a name's plain form": (plain, UNITS),
    "a text's folded form": (folded, UNITS),
    "who is to be forgotten": (NAMING.within, UNITS),
    "what is shown of a text": (lambda text: list(readings(text)), MARKUP),
    "what a text may say beneath its markup": (lambda text: list(undressed(text)), MARKUP),
    "names that are words": (lambda text: list(WORDS.find(text)), [*FEW, PROSE, *WORDY]),
    "whether it states what is asked": (states, ["The cat is sick. ", "Die Katze ist krank. "]),
    "words in other forms": (
        lambda text: (inflected(text), as_asked(lexical.terms(text), inflected("Wo wohnt Eva?"))),
        [*UNITS, "wohne "],
    ),
    "order by what is said": (rank, ["7", PROSE]),
    "times": (
        lambda text: times.find(text, NOW),
        [
            *FEW,
            PROSE,
            "12 May ",
            "Friday, of the ",
            "on Tuesday last week ",
            "Sat 16th (Sat ",
            "from 1 to ",
            "1,000 ",
            "the 1990s and 80s, ",
            "in 2019/20 ",
            "from May 3 to June 5, 2021, 3 to now ",
        ],
    ),
    "whether a text can be seen": (is_blank, ["\u200b", " "]),
    "recall": (recall, FEWEST),
    "a long note's passages": (lambda text: excerpt("Whom did Ann meet?", text, lambda part: len(part) < 500), FEWEST),
    "what a wording may cite": (lambda text: Grounding("Whom?", [note(text)]).cited("Ann met 15 mayors."), FEWEST),
    "a note's own day": (
        lambda text: Grounding("Whom?", [note(text)]).cited("Ann met Ben on Monday."),
        [*FEWEST, PROSE, "It was. ", "gestern "],
    ),
    "codes of a wording and of a note": (
        lambda text: Grounding("Whom?", [note(text)]).cited("Ann met x-1-y in a_b."),
        ["x-1-", "x1", "a_"],
    ),
    "codes of a long wording": (lambda text: codes.claimed(text), ["x-1-", "x1", "a_", "1-a "]),
    "a long wording": (
        lambda text: Grounding("Whom?", [note("Ann met 15 mayors at 9.")]).cited(text),
        [*FEWEST, PROSE],
    ),
    "a name and a run in a wording": (
        lambda text: Grounding("Whom?", [note("Bob met.")]).cited(f"Zed met Ann {text}"),
        ["[", '"'],
    ),
    "numbers and days of any language": (
        lambda text: (spelled.numbers(text, frozenset()), spelled.days(text, frozenset())),
        ["vingt ", "zweiundzwanzig", "сто", "μάρτιος ", "lunedì "],
    ),
    "numbers that may be spelled": (lambda text: Held(note(text)).whole_numbers, ["7", "1,000 ", "2.4."]),
    "shares and rates": (
        lambda text: (proportions.shares(proportions.in_minutes(text)), proportions.claimed_rates(text)),
        [*FEW, "half ", "two thirds ", "5 a ", "10 times"],
    ),
    "what may still hold a name": (Mentions(HASHES, KEY).within, [*FEW, "r0th ", "UnV0"]),
    "names with figures for letters": (NAMING.doubts, ["r0th ", "l1", "0a"]),
    "names in fields": (
        lambda text: list(DIVIDED.find(text)),
        ["a", ",", " ", "a,", "Ann,", "a: ", "\na=", ",a b c", "Ann\tAnn\t", "a-", ",1"],
    ),
    "confidence": (assess, FEW),
    "what function words state": (state, ["we are ", "what is it out ", "we ", "\n"]),
    "support of a wording": (lambda text: support("Ann met the mayor.", [note(text)]), FEW),
    "a text made safe for a template": (lambda text: GUARD.show(GUARD.hide(text)), UNITS),
}
SLOW = ["a name and a run in a wording"]  # each character is a token to the tagger: measured over an eighth
CHEAP = ["terms", "sentences", "aliases", "who is to be forgotten", "a text made safe for a template"]


def aliases(names: Sequence[str]) -> Callable[[str], object]:
    declared = Aliases([AliasGroup(name=name) for name in names])
    declared.canonical("Ann")
    list(declared.within("Ann"))  # they are read at the first use
    return lambda text: list(declared.within(text))


def phrases(names: Sequence[str]) -> Callable[[str], object]:
    sought = Phrases((name, words_of(folded(name))) for name in names)
    return lambda text: list(sought.find(fold(text)))


# name -> what looks for given names.
SEEKERS: dict[str, Callable[[Sequence[str]], Callable[[str], object]]] = {
    "aliases": aliases,
    "who is to be forgotten": lambda names: Naming(names).within,
    "names declined, turned or disguised": phrases,
    "what may still hold a name": lambda names: Mentions(name_hashes(names, KEY), KEY).within,
    "a known speaker": lambda names: lambda text: list(_whole_words(text, names[:1])),
}
# What a text and its names are made of, and what the names end with. The fourth ends inside a word at every place, the
# fifth where an ending stands.
ALIKE = [
    ("z q ", "x"), ("Will ", ""), ("b", ""), ("xq ", "x"), ("xe ", "x"), ("语", "人"), ("가", ""), ("กำ", "ก"),
    ("ыы ", "ыыа"), ("Án ", "Àn"), ("üb ", "ueb"),
]  # fmt: skip
ABOVE_FEW = 8.0  # many long names to few short ones


def beside_one_another(unit: str, tail: str, count: int, longest: int) -> list[str]:
    """As many names that differ at their ends alone."""
    return [unit * ((longest - len(tail) - 6) // len(unit)) + tail + f"x{n}" for n in range(count)]


def within_one_another(unit: str, tail: str, longest: int) -> list[str]:
    """Names that begin with one another, of every length up to the longest."""
    return [unit * n + tail for n in range(1, (longest - len(tail)) // len(unit) + 1)]


@pytest.fixture(autouse=True)
def no_collection() -> Iterator[None]:
    """The collector's passes grow with all that the process holds, not with what is measured."""
    gc.disable()
    yield
    gc.enable()


def took(scan: Callable[[str], object], unit: str, size: int) -> float:
    """Seconds of this thread's processor."""
    text = (unit * (size // len(unit) + 1))[:size]
    started = time.thread_time()
    scan(text)
    return max(LEAST_S, time.thread_time() - started)


def require_linear(scan: Callable[[str], object], unit: str, base: int = BASE) -> None:
    """First the shortest and the longest; only what looks worse than linear is measured at every length, and again."""
    if took(scan, unit, base * TIMES[-1]) <= ABOVE_LINEAR * took(scan, unit, base):
        return
    least = [min(took(scan, unit, base * n) for _ in range(3)) for n in TIMES]
    assert least[-1] <= ABOVE_LINEAR * least[0], f"{unit!r}: {[round(s, 4) for s in least]} s at {TIMES} x {base}"


@pytest.mark.parametrize("name", SCANNERS)
def test_a_scanner_takes_time_in_proportion(name: str) -> None:
    scan, units = SCANNERS[name]
    scan(units[0])  # whatever is loaded at the first call
    for unit in units:
        require_linear(scan, unit, BASE // 8 if name in SLOW else BASE)


@pytest.mark.parametrize("name", CHEAP)
@settings(max_examples=8, derandomize=True, deadline=None)
@given(unit=st.text(st.sampled_from("aA1.,'\"-_ \n([é\u0301語。กا가&|<#"), min_size=1, max_size=6))
def test_a_scanner_takes_time_in_proportion_over_any_repetition(name: str, unit: str) -> None:
    require_linear(SCANNERS[name][0], unit)


def require_unmoved(seeker: str, unit: str, few: Sequence[str], many: Sequence[str]) -> None:
    """What a text takes with many long names beside what it takes with few short ones."""
    seconds = [
        min(took(SEEKERS[seeker](names), unit, BASE) for _ in range(3 if names is few else 1)) for names in (few, many)
    ]
    assert seconds[1] <= ABOVE_FEW * max(seconds[0], 5 * LEAST_S), f"{unit!r}: {seconds} s"


@pytest.mark.parametrize("seeker", SEEKERS)
@pytest.mark.parametrize(("unit", "tail"), ALIKE)
def test_names_that_differ_at_their_ends_take_no_time(seeker: str, unit: str, tail: str) -> None:
    few, many = beside_one_another(unit, tail, 8, 24), beside_one_another(unit, tail, 200, MAX_NAME)
    require_unmoved(seeker, unit, few, many)


@pytest.mark.parametrize("seeker", SEEKERS)
@pytest.mark.parametrize(("unit", "tail"), ALIKE)
def test_names_that_begin_with_one_another_take_no_time(seeker: str, unit: str, tail: str) -> None:
    require_unmoved(seeker, unit, within_one_another(unit, tail, 24), within_one_another(unit, tail, MAX_NAME))


@pytest.mark.parametrize("seeker", SEEKERS)
@pytest.mark.parametrize("unit", ["'\"-_@|", "@a", "가@@a", "a-", "ä#a"])  # "aa" is also how an umlaut is written out
def test_names_of_punctuation_take_no_time(seeker: str, unit: str) -> None:
    require_unmoved(seeker, unit, within_one_another(unit, "a", 24), within_one_another(unit, "a", MAX_NAME))


def syllables(number: int) -> str:
    return "".join("bcdfghklmn"[number // base % 10] for base in (1, 10, 100))


def disguised(number: int) -> str:
    """One of the ways to write a word with letters of two alphabets that look alike."""
    pairs = zip("acopexyac", "асорехуас", strict=True)
    return "".join(pair[number >> at & 1] for at, pair in enumerate(pairs))


def sentences_of(words: Sequence[str]) -> Callable[[int], str]:
    return lambda number: " ".join(words[number // len(words) ** at % len(words)] for at in range(4))


# A text's unit, and names of which each word, initial or case in it may be one.
CONFUSED: list[tuple[str, Callable[[int], str]]] = [
    ("M. Smith ", lambda n: f"M{syllables(n)} Smith"),
    ("Smith, M. ", lambda n: f"M{syllables(n)} Smith"),
    ("acopeхyac ", disguised),
    ("Petra ", sentences_of(["Petr", "Petra", "Petro", "Petre"])),
    ("Петра ", sentences_of(["Петр", "Петра", "Петро", "Петров"])),
    ("Abcdefga ", lambda n: f"Abcdefg{syllables(n)} Abcdefg{syllables(n + 7)}"),
    ("A ", lambda n: f"A{syllables(n)} Smith{syllables(n)}"),
]


@pytest.mark.parametrize("seeker", SEEKERS)
@pytest.mark.parametrize(("unit", "name"), CONFUSED)
def test_names_that_one_word_may_be_take_no_time(seeker: str, unit: str, name: Callable[[int], str]) -> None:
    require_unmoved(seeker, unit, [name(n) for n in range(8)], [name(n) for n in range(200)])


@pytest.mark.parametrize("unit", ["ﷺ", "㌖", "㈞", "ﷴ"])
def test_a_character_that_stands_for_many_letters_costs_as_its_bytes(unit: str) -> None:
    seek = Mentions(name_hashes(["Ann Smith", "خالد"], KEY), KEY).within

    def of(unit: str) -> float:
        size = 12_000 // len(unit.encode()) * len(unit)
        return min(took(seek, unit, size) for _ in range(3))

    assert of(unit) <= 4 * of("قابلت خالدا أمس "), unit


def test_names_longer_than_any_door_takes_take_time_in_proportion_to_the_text() -> None:
    seek = aliases(within_one_another("xq ", "x", 5 * MAX_NAME))
    require_linear(seek, "xq ")


def test_a_scanner_that_is_not_linear_is_noticed() -> None:
    def square(text: str) -> object:
        return [text.count("ab", 0, at) for at in range(0, len(text), 8)]

    with pytest.raises(AssertionError, match=f"x {BASE}"):
        require_linear(square, "a")
