"""Confidence is a number about the first items, and tells what is there from what is not."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from examples import demo
from services.common import config
from services.episodic.config import EpisodicConfig
from services.episodic.plugins import build
from services.episodic.plugins.base import Interval, Plan, Ranked
from services.episodic.plugins.exact import ExactHost
from services.episodic.recall import confidence
from tests.episodic.plugins import world


@pytest.fixture(scope="module")
def home() -> ExactHost:
    return world.host(build(world.SHIPPED))


def sure(host: ExactHost, text: str, limit: int = 5) -> float:
    found = world.ask(host, world.query(text, limit))
    return confidence.assess(found.plan, found.ranked, host.context(world.ASKED))


ANSWERABLE = [
    "Who plays the harmonium?",
    "What does the tailor want for the coat?",
    "Whose cat digs among the radishes?",
]
UNANSWERABLE = [
    "Who plays the trombone?",
    "What does the plumber want for the boiler?",
    "Which ship did Wilhelmina board?",
]


@pytest.mark.parametrize("there", ANSWERABLE)
@pytest.mark.parametrize("absent", UNANSWERABLE)
def test_what_is_there_is_surer_than_what_is_not(home: ExactHost, there: str, absent: str) -> None:
    assert sure(home, there) > sure(home, absent) + 0.2


def test_a_name_that_nobody_said_lowers_it(home: ExactHost) -> None:
    assert sure(home, "What does Mrs. Crane play?") > sure(home, "What does Mrs. Ferraby play?")


@pytest.mark.parametrize("text", [*ANSWERABLE, *UNANSWERABLE, "?", "the", ""])
def test_it_lies_between_0_and_1_and_does_not_depend_on_the_limit(home: ExactHost, text: str) -> None:
    values = {sure(home, text, limit) for limit in (1, 3, 5)}
    assert len(values) == 1
    assert 0.0 <= values.pop() <= 1.0


def test_nothing_recalled_is_0() -> None:
    assert sure(ExactHost(build(world.SHIPPED), world.embedder().embed), "Who plays the harmonium?") == 0.0


def test_words_count_by_stem(home: ExactHost) -> None:
    one, other = (world.ask(home, world.query(t)) for t in ("Who plays the harmonium?", "Who was playing harmoniums?"))
    ctx = home.context(world.ASKED)
    first, second = (confidence.signals(f.plan, f.ranked, ctx) for f in (one, other))
    assert first is not None
    assert second is not None
    assert (first.said, first.unseen) == (second.said, second.unseen)
    assert first.said > 0.2


def test_a_common_noun_with_a_name_in_it_does_not_speak_of_that_name() -> None:
    host = ExactHost(build(world.SHIPPED), world.embedder().embed)
    said = ("She bought plaster-of-Paris for the ceiling.", "We stayed in an hotel at Rhyl.", "It rained.")
    world.fold(host, [world.turn(n, "trip", "Ada", text, world.START) for n, text in enumerate(said)])
    ctx = host.context(world.ASKED)
    names = []
    for text in ("Which hotel was it in Paris?", "Which hotel was it at Rhyl?", "Which hotel was it?"):
        found = world.ask(host, world.query(text))
        told = confidence.signals(found.plan, found.ranked, ctx)
        assert told is not None
        names.append(told.names)
    assert names == [0.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("said", "of_it", "of_another"),
    [
        ("Øystein called about the boat.", "When did Øystein call?", "When did Åsmund call?"),
        ("Мы видели Ольгу.", "Кто видел Ольгу?", "Кто видел Ирину?"),
        ("Ángela vive en Lugo.", "¿Dónde vive Ángela?", "¿Dónde vive Óscar?"),
    ],
)
def test_a_capital_of_any_alphabet_makes_a_name(said: str, of_it: str, of_another: str) -> None:
    host = ExactHost(build(world.SHIPPED), world.embedder().embed)
    world.fold(host, [world.turn(n, "trip", "", text, world.START) for n, text in enumerate([said, "It rained."])])
    ctx = host.context(world.ASKED)
    names = []
    for text in (of_it, of_another):
        found = world.ask(host, world.query(text))
        told = confidence.signals(found.plan, found.ranked, ctx)
        assert told is not None
        names.append(told.names)
    assert names == [1.0, 0.0]


# --- small memories ---------------------------------------------------------------------------------------------

SMALL: dict[str, list[dict[str, list[str]]]] = yaml.safe_load(
    (Path(__file__).parent / "small_memories.yaml").read_text(encoding="utf-8")
)
DIARY = " ".join(
    json.loads(line)["text"].replace("\n", " ")
    for line in (Path(demo.HERE) / "diary.jsonl").read_text(encoding="utf-8").splitlines()
)
THRESHOLD = config.load(environ={}).section("episodic", EpisodicConfig).confidence_threshold


def of_five(memory: dict[str, list[str]]) -> ExactHost:
    turns = []
    for n, line in enumerate(memory["turns"]):
        actor, _, text = line.partition(":")
        turns.append(world.turn(n, "talk", actor, text.strip(), world.START + timedelta(minutes=n)))
    return world.fold(ExactHost(build(world.SHIPPED), world.embedder().embed), turns)


@pytest.mark.parametrize("written", ["looked_at", "fresh"])
def test_a_memory_of_five_turns_answers_plain_questions_and_refuses_foreign_ones(written: str) -> None:
    """Forty or sixty questions of each sort: the right turn is first always; one of each sort may be misjudged."""
    behind: list[str] = []
    refused: dict[str, float] = {}
    claimed: dict[str, float] = {}
    for memory in SMALL[written]:
        host = of_five(memory)
        for line, question in zip(memory["turns"], memory["answered"], strict=True):
            first = world.texts(world.ask(host, world.query(question)))[0]
            behind += [question] if first != line.partition(":")[2].strip() else []
        refused |= {q: c for q in memory["answered"] if (c := sure(host, q)) < THRESHOLD}
        claimed |= {q: c for q in memory["foreign"] if (c := sure(host, q)) >= THRESHOLD}
    assert behind == []
    assert len(refused) <= 1, refused
    assert len(claimed) <= 1, claimed


@pytest.mark.parametrize(("question", "found"), [("the dentist", True), ("Who plays the trombone?", False)])
def test_a_memory_of_one_turn_knows_what_it_holds(question: str, found: bool) -> None:
    host = of_five({"turns": ["Ann: My dentist moved the appointment to Thursday at nine."]})
    assert (sure(host, question) >= THRESHOLD) == found


RITA = [
    "Rita: The boiler is making a strange noise.",
    "Karl: I will call the landlord.",
    "Rita: He said Monday is possible.",
    "Karl: The kettle is broken, too.",
    "Rita: We should buy a new one.",
]


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("Where is Rita from?", False),
        ("Where is Rita?", False),
        ("What is Rita's last name?", False),
        ("What is Karl's first name?", False),
        ("How old is Karl?", False),
        ("Which is Karl's?", False),
        ("What does Rita do?", True),
        ("What did Karl say about the kettle?", True),
    ],
)
def test_that_a_turn_is_somebody_s_is_no_answer_to_where_or_which(question: str, found: bool) -> None:
    assert (sure(of_five({"turns": RITA}), question) >= THRESHOLD) == found


STATED = [
    "Ann: We are out of milk.",
    "Bob: I'm still up to my neck in work.",
    "Ann: It is from Ruth.",
    "Bob: It rained.",
]


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What are we out of?", 0),
        ("What are you up to?", 1),
        ("Who is it from?", 2),
        ("What are we off to?", None),
        ("Who is she with?", None),
        ("What is it for?", None),
        ("What are they out of?", None),
    ],
)
def test_a_question_of_function_words_alone_is_answered_by_what_states_just_that(
    question: str, answer: int | None
) -> None:
    host = of_five({"turns": STATED})
    assert (sure(host, question) >= THRESHOLD) == (answer is not None)
    if answer is not None:
        left = of_five({"turns": [line for n, line in enumerate(STATED) if n != answer]})
        assert sure(left, question) < THRESHOLD


BESIDE = [":My sister Nora lives in Bergen.", ":The dentist moved my appointment to Thursday."]
FOREIGN = ["Where is the boat?", "How much did the piano cost?", "What is the name of the cat?", "When is the concert?"]


@pytest.mark.parametrize(
    ("said", "question", "around"),
    [
        ("I parked the car behind the library.", "Where is the car?", 0),
        ("I bought a bike for 450 euros.", "What is the price of the bike?", 0),
        ("The code of the garage is 4471.", "What is the garage code?", 0),
        ("I parked the car behind the library.", "Where is the car?", 10_000),
        ("I bought a bike for 450 euros.", "How much was the bike?", 10_000),
        ("The code of the garage is 4471.", "What is the garage code?", 10_000),
    ],
)
def test_a_question_of_few_words_is_answered_where_one_place_says_them(said: str, question: str, around: int) -> None:
    """Refused before: few words make a small sum. ``around``: bytes of a long note."""
    text = DIARY[:around] + said + DIARY[around : 2 * around]
    host = of_five({"turns": [f":{text}", *BESIDE]})
    assert world.texts(world.ask(host, world.query(question)))[0] == text
    assert sure(host, question) >= THRESHOLD
    if not around:
        assert {q: c for q in FOREIGN if (c := sure(host, q)) >= THRESHOLD} == {}


def test_that_a_question_is_met_whole_counts_while_the_memory_is_small() -> None:
    whole = []
    for count in (0, 20, 600):
        host = of_five({"turns": ["Ann: I parked the car behind the library.", *("Ann: Tea." for _ in range(count))]})
        found = world.ask(host, world.query("What did Ann do with the car?"))
        told = confidence.signals(found.plan, found.ranked, host.context(world.ASKED))
        assert told is not None
        assert told.said == pytest.approx(0.84 / confidence.SAID_UNIT, abs=0.05)  # of "car" alone: Ann says it all
        whole.append(told.whole)
    assert 1.0 > whole[0] > whole[1] > whole[2] == 0.0


def test_how_rare_a_word_is_does_not_depend_on_the_size_of_a_small_memory() -> None:
    """Held by one engram of two, or of two hundred; before, it weighed six times as much in the larger."""
    ctx = [
        of_five({"turns": ["Ann: The dentist.", *("Ann: Tea." for _ in range(count))]}).context(world.ASKED)
        for count in (1, 200)
    ]
    small, large = (confidence.rarity("dentist", ("home",), c)["dentist"] for c in ctx)
    assert small == pytest.approx(large, abs=0.02)
    assert large > 0.7


@pytest.mark.parametrize("when", ["yesterday", "two days ago", "last night"])
def test_a_time_that_was_resolved_is_not_asked_of_the_items_again(when: str) -> None:
    turns = ["Grace: I mended the garden gate.", "Tom: The soup was too salty.", "Grace: The parcel has come."]
    host = of_five({"turns": turns})
    plain, asked = "What did Grace say about the gate?", f"What did Grace say about the gate {when}?"
    found = world.ask(host, world.query(asked, 5))
    assert found.plan.time is not None
    assert sure(host, asked) > sure(host, plain) - 0.15


# --- a time and nothing else ------------------------------------------------------------------------------------

LOG = (  # days before it is asked, who, what
    (16, "Ann", "The gutters were cleaned."),
    (15, "Bob", "I repaired the fence."),
    (7, "Ann", "We picked the first plums."),
    (2, "Bob", "A heron sat on the roof."),
    (1, "Ann", "I sold the canoe to Ruth."),
    (1, "Bob", "My tooth hurts."),
    (0, "Ann", "The boiler is loud."),
)
DAY, EVENING = timedelta(days=1), timedelta(hours=18)


def logged(days_ago: Collection[int]) -> ExactHost:
    """Of ``LOG`` what was said on these days before ``world.ASKED``, a Thursday."""
    turns = [
        world.turn(n, f"s{ago}", who, text, world.ASKED - timedelta(days=ago) + EVENING)
        for n, (ago, who, text) in enumerate(LOG)
        if ago in days_ago
    ]
    return world.fold(ExactHost(build(world.SHIPPED), world.embedder().embed), turns)


def sure_at_night(host: ExactHost, text: str) -> tuple[float, Sequence[str]]:
    night = world.ASKED + timedelta(hours=23)
    found = world.ask(host, replace(world.query(text), asked_at=night))
    return confidence.assess(found.plan, found.ranked, host.context(night)), world.texts(found)


@pytest.mark.parametrize(
    ("question", "within"),
    [
        ("What happened yesterday?", {1}),
        ("What did I do yesterday?", {1}),
        ("What did Ann do yesterday?", {1}),
        ("What happened last night?", {1}),
        ("What happened today?", {0}),
        ("What did we do last week?", {7}),
        ("What happened two days ago?", {2}),
        ("What happened two weeks ago?", {15, 16}),
        ("What happened on New Year's Eve?", {15}),
        ("Did anything happen on 13 January 2026?", {2}),
        ("Tell me about yesterday.", {1}),
        ("What did we talk about on Tuesday?", {2}),
        ("yesterday", {1}),
    ],
)
def test_a_question_for_a_time_alone_is_answered_by_what_is_in_it_and_by_nothing_else(
    question: str, within: set[int]
) -> None:
    every = {ago for ago, _, _ in LOG}
    found, texts = sure_at_night(logged(every), question)
    assert found >= THRESHOLD
    assert texts[0] in {text for ago, _, text in LOG if ago in within}
    without, _ = sure_at_night(logged(every - within), question)
    assert without < THRESHOLD


@pytest.mark.parametrize(
    "question", ["Where was I yesterday?", "Who won the cup yesterday?", "What did Omar do yesterday?"]
)
def test_what_asks_for_more_than_a_time_is_not_answered_by_what_is_in_it(question: str) -> None:
    assert sure_at_night(logged({0, 1, 2, 7}), question)[0] < THRESHOLD


def test_what_speaks_of_the_time_answers_as_well() -> None:
    tomorrow = world.ASKED + timedelta(days=1)
    plan = Plan(
        world.query("What happens tomorrow?"), "What happens tomorrow?", time=Interval(tomorrow, tomorrow + DAY)
    )
    record = world.turn(1, "s", "", "The piano tuner comes tomorrow.", world.ASKED)
    context = world.host(()).context(world.ASKED)
    of_it = Ranked(replace(record, times=(Interval(tomorrow, tomorrow + DAY),)), 1.0, ())
    assert confidence.assess(plan, [of_it], context) == 1.0
    assert confidence.assess(plan, [Ranked(record, 1.0, ())], context) == 0.0
