"""`mneme ingest` against a running service: whose memory a line goes to, and when it can be recalled."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from mneme.v1 import common_pb2, episodic_pb2

from services.cli.local import Local
from tests.e2e.test_cli import mneme


def lines(*given: Mapping[str, object]) -> str:
    made = ({"session": "s", "observed_at": f"2026-03-02T18:{n:02}:00Z", **each} for n, each in enumerate(given))
    return "\n".join(map(json.dumps, made))


MIXED = lines(
    {"id": "t1", "namespace": "e2e/in-ann", "text": "The blue umbrella is in the hall."},
    {"id": "t2", "namespace": "e2e/in-bob", "text": "The red bicycle is in the shed."},
)


def turns(local: Local, namespace: str) -> dict[str, episodic_pb2.Engram]:
    request = episodic_pb2.ListRequest(namespace=namespace)
    found = local.client.episodic.List(request, metadata=local.client.metadata, timeout=30)
    return {each.observation_id: each for each in found.engrams if each.observation_id}


def test_a_line_of_another_namespace_is_refused_unless_many_are_asked_for(local: Local, tmp_path: Path) -> None:
    file = tmp_path / "mixed.jsonl"
    file.write_text(MIXED)
    said = mneme(local, "ingest", "-n", "e2e/in-ann", str(file), code=1)
    assert "INVALID_FIELD (namespace): line 2 is refused" in said
    assert "--namespaces-from-lines" in said
    assert "e2e/in-bob" not in mneme(local, "namespace", "list").split()
    assert "1 accepted, 1 known" in mneme(local, "ingest", "--namespaces-from-lines", str(file))
    assert set(turns(local, "e2e/in-ann")) == {"t1"}
    assert set(turns(local, "e2e/in-bob")) == {"t2"}


def test_a_namespace_that_is_missing_and_may_not_be_made_is_named_with_its_line(local: Local) -> None:
    mneme(local, "namespace", "create", "e2e/in-made")
    given = MIXED.replace("e2e/in-ann", "e2e/in-made").replace("e2e/in-bob", "e2e/in-none")
    said = mneme(local, "ingest", "--no-create", "--namespaces-from-lines", "-", stdin=given, code=1)
    assert "1 accepted" in said
    assert "UNKNOWN_NAMESPACE (namespace): line 2 cannot be sent" in said


def test_metadata_of_either_form_is_what_it_was(local: Local) -> None:
    given = {"id": "t1", "text": "The parcel came.", "metadata": {"a": {"text": "web"}, "b": "web", "c": 3, "d": None}}
    mneme(local, "ingest", "-n", "e2e/in-metadata", "-", stdin=lines(given))
    kept = turns(local, "e2e/in-metadata")["t1"].metadata
    assert (kept["a"].text, kept["b"].text, kept["c"].number, len(kept)) == ("web", "web", 3.0, 3)


@pytest.mark.parametrize("wait", [True, False])
def test_it_ends_when_all_of_it_can_be_recalled(local: Local, wait: bool) -> None:
    namespace = f"e2e/in-{wait}".lower()
    given = lines(*({"id": f"t{n}", "text": f"Ship {n} came in."} for n in range(50)))
    said = mneme(local, "ingest", "-n", namespace, *([] if wait else ["--no-wait"]), "-", stdin=given)
    assert "50 accepted" in said
    assert ("all of it recallable after" in said) == wait
    if wait:
        assert len(turns(local, namespace)) == 50


def test_the_same_id_twice_in_a_file_is_taken_once_or_named(local: Local) -> None:
    one = {"id": "t1", "text": "The parcel came.", "observed_at": "2026-03-02T18:00:00Z"}
    said = mneme(local, "ingest", "-n", "e2e/in-twice", "-", stdin=lines(one, one))
    assert "1 accepted, 1 known already" in said
    other = {**one, "text": "Another parcel came."}
    said = mneme(local, "ingest", "-n", "e2e/in-twice", "-", stdin=lines(one, other), code=1)
    assert "ID_REUSED (id): line 2: " in said


def test_what_is_exported_is_told_again_with_its_history(local: Local, tmp_path: Path) -> None:
    namespace, file = "e2e/exported", tmp_path / "exported.jsonl"
    mneme(local, "namespace", "create", namespace, "--alias", "Ann Lee=Annie", "--text", "room")
    given = lines({"id": "t1", "text": "The key is in the blue jar.", "actor": "Ann Lee", "metadata": {"room": "hall"}})
    mneme(local, "ingest", "-n", namespace, "-", stdin=given)
    client = local.client
    stated = client.episodic.Remember(
        episodic_pb2.RememberRequest(namespace=namespace, id="r1", text="Ann owns a boat."),
        metadata=client.metadata,
        timeout=30,
    )
    client.episodic.Correct(
        episodic_pb2.CorrectRequest(
            namespace=namespace, id="c1", engram_id=stated.engram_id, text="Ann owns two boats."
        ),
        metadata=client.metadata,
        timeout=30,
    )
    before = _known(local, namespace)
    assert "3 entries" in mneme(local, "export", "-n", namespace, "-o", str(file))
    assert "0 accepted, 3 known" in mneme(local, "ingest", "-n", namespace, str(file))
    mneme(local, "namespace", "delete", namespace, "--yes")
    assert "UNKNOWN_NAMESPACE" in mneme(local, "export", "-n", namespace, code=1)
    assert "3 accepted, 0 known" in mneme(local, "ingest", "-n", namespace, str(file))
    assert _known(local, namespace) == before
    assert "Annie" in mneme(local, "namespace", "show", namespace)
    [corrected] = [each for each in before if "owns two" in each[1]]
    request = episodic_pb2.HistoryRequest(namespace=namespace, engram_id=corrected[0])
    history = client.episodic.History(request, metadata=client.metadata, timeout=30)
    assert [event.what for event in history.events] == ["remembered", "superseded", "corrected"]


def _known(local: Local, namespace: str) -> list[tuple[str, str, int, int, str, list[str]]]:
    """Every base engram with its texts, times and state, and what its history says."""
    request = episodic_pb2.ListRequest(namespace=namespace, freshness=common_pb2.Freshness(strong=True))
    found = local.client.episodic.List(request, metadata=local.client.metadata, timeout=30).engrams
    return sorted(
        (each.id, each.text, each.state, each.event_start.seconds, each.superseded_by, sorted(each.metadata))
        for each in found
        if not each.sources
    )
