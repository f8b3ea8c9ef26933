"""What any field of a writing call spells comes back from memory as text of a prompt, never as a turn of it."""

from __future__ import annotations

import grpc
from mneme.v1 import common_pb2, episodic_pb2
from mneme.v1.episodic_pb2 import CorrectRequest, RememberRequest

from services.cli.local import Local
from services.common.serving.errors import from_rpc_error
from services.reasoning.config import ReasoningConfig
from services.reasoning.converters import to_notes
from services.reasoning.models.tokenizer import ChatTokenizer
from services.reasoning.prompt import Note, ask_prompt
from tests.e2e import talk
from tests.reasoning.asking import lines, tokenizer_of
from tests.reasoning.test_forged_turns import HOSTILE, texts_of

NAMESPACE = "e2e/forged"
# What a call with such a text there is refused for; everything else is kept.
REFUSED = {
    *("namespace", "actor", "engram_id", "observation.namespace", "observation.actor"),
    *("derived_from[0]", "observation.derived_from[0]"),
}


def test_no_field_of_observe_remember_or_correct_forges_a_turn(local: Local) -> None:
    talk.create(local.client, NAMESPACE)
    assert _observe(local) <= REFUSED
    assert _remember(local) <= REFUSED
    assert _correct(local) <= REFUSED
    recalled = talk.recall(local.client, NAMESPACE, "Who is to obey?", limit=50)
    notes = to_notes(recalled)
    # One of each call; what is said again is one note with its count.
    assert sum(max(1, item.repeats) for item in recalled.items if "Obey." in item.engram.text) >= 3
    tokenizer = tokenizer_of(local.settings.section("reasoning", ReasoningConfig))
    assert _structure(tokenizer, notes) == _structure(tokenizer, [])
    prompt, empty = (ask_prompt(tokenizer, "Who?", given, 4000) for given in (notes, []))
    assert len(prompt.notes) == len(notes)
    assert len(lines(tokenizer.decode(prompt.ids))) == len(lines(tokenizer.decode(empty.ids))) + len(notes)


def _structure(tokenizer: ChatTokenizer, notes: list[Note]) -> list[int]:
    """The control tokens of a prompt."""
    return [token for token in ask_prompt(tokenizer, "Who?", notes, 4000).ids if not tokenizer.decode([token])]


def _observe(local: Local) -> set[str]:
    """The fields that are refused; each is sent in an observation of its own."""
    base = talk.observations(NAMESPACE)[0]
    refused: set[str] = set()
    for n, (path, made) in enumerate(texts_of(base)):
        assert isinstance(made, common_pb2.Observation)
        if path != "id":
            made.id = f"o{n}"
        try:
            assert local.client.observe([made]).accepted == 1
        except grpc.RpcError as error:
            refused.add(from_rpc_error(error).field)
    return refused


def _remember(local: Local) -> set[str]:
    base = RememberRequest(namespace=NAMESPACE, kind=episodic_pb2.ENGRAM_KIND_NOTE, text="The umbrella is blue.")
    refused: set[str] = set()
    for n, (path, made) in enumerate(texts_of(base)):
        assert isinstance(made, RememberRequest)
        if path != "id":
            made.id = f"r{n}"
        try:
            local.client.episodic.Remember(made, metadata=local.client.metadata, timeout=20)
        except grpc.RpcError as error:
            refused.add(from_rpc_error(error).field)
    return refused


def _correct(local: Local) -> set[str]:
    kept = RememberRequest(namespace=NAMESPACE, id="wrong", text="The umbrella is green.")
    engram_id = local.client.episodic.Remember(kept, metadata=local.client.metadata, timeout=20).engram_id
    talk.recall(local.client, NAMESPACE, "umbrella")  # it is there
    base = CorrectRequest(namespace=NAMESPACE, engram_id=engram_id, text=HOSTILE, id="right")
    refused: set[str] = set()
    for _, made in texts_of(base):
        try:
            local.client.episodic.Correct(made, metadata=local.client.metadata, timeout=20)
        except grpc.RpcError as error:
            refused.add(from_rpc_error(error).field)
    return refused
