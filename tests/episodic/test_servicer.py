"""The handlers, called as the gateway calls them: bytes in, bytes out, with a grant."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from queue import Queue
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from mneme.v1 import admin_pb2, episodic_pb2
from mneme.v1.admin_pb2 import AliasGroup, MetadataField, MetadataType
from mneme.v1.common_pb2 import Freshness, MetadataValue, Position, Positions, TimeRange

from services.common.crypto.auth import Caller, Right, grant_signer
from services.common.crypto.seal import MasterKey
from services.common.log.base import partition_of
from services.common.models.embed import Embedder
from services.common.serving.errors import MnemeError
from services.common.serving.operations import operation_id
from services.common.serving.pages import fitting
from services.common.serving.serving import WAITING, Application, CallContext
from services.common.turns import checkpoint
from services.episodic import converters
from services.episodic.servicer import Servicer
from services.episodic.state.records import Stored
from tests.episodic.world import NAMESPACE, World

M = TypeVar("M", bound=Message)
E, A = "mneme.v1.EpisodicService/", "mneme.v1.AdminService/"
CALL_THREADS = 4
FIELDS = [
    MetadataField(name="room", type=MetadataType.METADATA_TYPE_TEXT),
    MetadataField(name="page", type=MetadataType.METADATA_TYPE_NUMBER),
]


class Door:
    """An application over a world, and the grants to call it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.grants = grant_signer(MasterKey.load_or_create(world.folder / "master.key"))
        service = SimpleNamespace(
            config=SimpleNamespace(call_threads=CALL_THREADS, recall_limit=10),
            log=world.log,
            progress=world.host.progress,
            recaller=world.recaller,
            of=lambda namespace: world,
            owns=lambda partition: True,
            names=lambda: world.host.registry.names(),
            operation=lambda id: world.host.state.operation(id),
            rebuild=lambda asked: world.rebuilder.start(id=operation_id(asked)),
        )
        self.servicer = Servicer(service)  # type: ignore[arg-type]
        self.application = Application("episodic", self.grants, self.servicer.handlers())

    def context(
        self,
        prefixes: Sequence[str] = ("acme",),
        timeout_s: float = 20.0,
        principal: str = "test",
        issued_under: str = "",
    ) -> CallContext:
        rights, ends = frozenset(Right), time.time() + 60
        caller = Caller(principal, tuple(prefixes), rights, "t", ends, issued_under=issued_under)
        return CallContext(self.grants.sign(caller), timeout_s, {})

    def call(self, method: str, request: Message, answer: type[M], **context: object) -> M:
        work = self.application.unary(method, request.SerializeToString(), self.context(**context))  # type: ignore[arg-type]
        return answer.FromString(asyncio.run(work))

    def refused(self, method: str, request: Message, **context: object) -> MnemeError:
        with pytest.raises(MnemeError) as caught:
            self.call(method, request, episodic_pb2.GetResponse, **context)
        return caught.value

    def recall(self, query: str, **more: object) -> episodic_pb2.RecallResponse:
        request = episodic_pb2.RecallRequest(namespace=NAMESPACE, query=query, **more)  # type: ignore[arg-type]
        return self.call(E + "Recall", request, episodic_pb2.RecallResponse)


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory, embedder: Embedder) -> Iterator[Door]:
    """One world of two sessions, read by all tests of this file; writers use namespaces of their own."""
    world = World(tmp_path_factory.mktemp("door"), embedder).open()
    world.create(fields=FIELDS)
    for n, (room, text) in enumerate(
        [
            ("kitchen", "The copper kettle is kept on the top shelf."),
            ("hall", "Umbrellas stand in the brass bucket by the door."),
            ("kitchen", "Bread is baked on Fridays before noon."),
            ("hall", "The barometer fell all through the night."),
        ]
    ):
        world.observe(f"o{n}", text, f"s{n // 2}", actor="Ann" if n % 2 else "Ben", metadata={"room": room, "page": n})
    world.close_episode(["o0", "o1"], "s0")
    world.settle()
    yield Door(world)
    world.close()


def strong() -> Freshness:
    return Freshness(strong=True)


def test_recall_says_what_it_found_where_and_why(door: Door) -> None:
    response = door.recall("Where is the kettle?", limit=2)
    best = response.items[0]
    assert best.engram.text == "The copper kettle is kept on the top shelf."
    assert best.engram.observation_id == "o0"
    assert {"dense", "lexical", "fused"} <= {s.stage for s in best.trace}
    assert {"plan", "retrieve", "fuse", "compose", "freshness"} <= {s.stage for s in response.stages}
    assert len(response.items) <= 2
    assert response.erasure_epochs == {NAMESPACE: 0}
    [position] = response.positions
    end = door.world.log.end_offset("mneme.ledger.v1", position.partition)
    own = [r.offset for r in door.world.log.read("mneme.ledger.v1", 0, 0, end) if r.key == NAMESPACE.encode()]
    assert position.offset == own[-1]


def test_every_hit_says_why_it_is_here(door: Door) -> None:
    """In one sentence that names what found it, and where in its list."""
    items = door.recall("Where is the copper kettle kept?", limit=4).items
    assert len(items) > 1
    for item in items:
        assert item.why.endswith("."), item
        for stage in item.trace:
            assert stage.stage in ("fused", "own_words") or f"{stage.stage} (rank {stage.rank})" in item.why
    assert items[0].why.startswith("Found by ")
    assert any("its episode matches too" in item.why for item in items)
    assert not any("fused" in item.why for item in items)  # channels find it; that is how they are counted together


def test_as_of_a_time_only_what_had_been_said_by_then_is_read(door: Door) -> None:
    namespace = "acme/ida"
    door.world.create(namespace)
    told = {
        "2025-02-01": "I work at the bakery on Mill Lane.",
        "2025-04-01": "It rained all week.",
        "2025-08-01": "I left the bakery, I am at the post office now.",
    }
    for day, text in told.items():
        at = datetime.fromisoformat(day).replace(tzinfo=UTC)
        door.world.observe(day, text, "talk", namespace, actor="Ida", at=at)

    def first(known: str | None) -> tuple[str, int]:
        request = episodic_pb2.RecallRequest(namespace=namespace, query="Where does Ida work?", freshness=strong())
        if known:
            request.as_of_known.FromJsonString(f"{known}T00:00:00Z")
        items = door.call(E + "Recall", request, episodic_pb2.RecallResponse).items
        return items[0].engram.observation_id, len(items)

    assert first(None) == ("2025-08-01", 3)
    assert first("2025-05-01") == ("2025-02-01", 2)
    assert first("2025-08-01") == ("2025-08-01", 3)


def test_what_is_said_again_takes_one_place_with_its_count_and_ids(door: Door) -> None:
    namespace = "acme/again"
    door.world.create(namespace)
    for n in range(6):
        door.world.observe(f"r{n}", "The ferry is late.", f"day {n}", namespace, actor="Ann")
    door.world.observe("other", "The ferry has a new captain.", "day 7", namespace, actor="Ann")
    request = episodic_pb2.RecallRequest(namespace=namespace, query="the ferry", limit=5, freshness=strong())
    items = door.call(E + "Recall", request, episodic_pb2.RecallResponse).items
    counts = {i.engram.text: (i.repeats, len(set(i.repeated_ids) | {i.engram.id})) for i in items}
    assert counts == {"The ferry is late.": (6, 6), "The ferry has a new captain.": (1, 1)}


def test_an_empty_namespace_gives_nothing(door: Door) -> None:
    door.world.create("acme/empty")
    request = episodic_pb2.RecallRequest(namespace="acme/empty", query="kettle", freshness=strong())
    response = door.call(E + "Recall", request, episodic_pb2.RecallResponse)
    assert (len(response.items), response.found) == (0, False)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"actor": "Ann"}, {"o1", "o3"}),
        ({"session": "s1"}, {"o2", "o3"}),
        ({"metadata": [{"field": "room", "equals": {"text": "kitchen"}}]}, {"o0", "o2"}),
        ({"metadata": [{"field": "page", "in_range": {"min": 1, "max": 3}}]}, {"o1", "o2"}),
        ({"metadata": [{"field": "page", "equals": {"number": 3}}]}, {"o3"}),
        ({"kinds": ["ENGRAM_KIND_NOTE"]}, set()),
    ],
)
def test_filters_hold_for_every_item(door: Door, wanted: dict[str, object], expected: set[str]) -> None:
    response = door.recall("kettle umbrellas bread barometer", limit=20, filter=wanted)
    assert {i.engram.observation_id for i in response.items} == expected
    listed = door.call(
        E + "List",
        episodic_pb2.ListRequest(namespace=NAMESPACE, filter=wanted),
        episodic_pb2.ListResponse,
    )
    assert {e.observation_id for e in listed.engrams if e.observation_id} == expected


def test_scopes_are_read_beside_the_namespace(door: Door) -> None:
    door.world.create("acme/other")
    door.world.observe("p0", "The second kettle is dented.", namespace="acme/other")
    response = door.recall("kettle", scopes=["acme/other"], freshness=strong())
    assert {i.engram.namespace for i in response.items} == {NAMESPACE, "acme/other"}
    assert set(response.erasure_epochs) == {NAMESPACE, "acme/other"}
    error = door.refused(E + "Recall", episodic_pb2.RecallRequest(namespace=NAMESPACE, scopes=["rival/x"], query="k"))
    assert (error.reason, error.field) == ("PERMISSION_DENIED", "scopes[0]")


def test_invariant_09_acknowledged_is_durable_and_fresh_is_asked_for(door: Door) -> None:
    world = door.world
    world.create("acme/fresh")
    world.settle()
    request = episodic_pb2.RememberRequest(namespace="acme/fresh", id="r1", text="The gate code is 4711.")
    with world.host.fold_lock:  # indexing held back
        done = door.call(E + "Remember", request, episodic_pb2.RememberResponse)
        assert door.world.log.end_offset("mneme.ledger.v1", done.position.partition) > done.position.offset
        again = door.call(E + "Remember", request, episodic_pb2.RememberResponse)
        assert (again.duplicate, again.position, again.engram_id) == (True, done.position, done.engram_id)
        recall = episodic_pb2.RecallRequest(namespace="acme/fresh", query="What is the gate code?")
        assert not door.call(E + "Recall", recall, episodic_pb2.RecallResponse).items
        recall.freshness.CopyFrom(Freshness(at_least=Positions(positions=[done.position])))
        error = door.refused(E + "Recall", recall, timeout_s=0.4)
        assert error.reason == "NOT_FRESH"
        # Of several positions in one partition the newest counts, wherever it stands.
        first = Position(partition=done.position.partition)
        recall.freshness.CopyFrom(Freshness(at_least=Positions(positions=[done.position, first])))
        assert door.refused(E + "Recall", recall, timeout_s=0.4).reason == "NOT_FRESH"
    found = door.call(E + "Recall", recall, episodic_pb2.RecallResponse)
    assert found.items[0].engram.id == done.engram_id
    request.text = "The gate code is 4712."
    assert door.refused(E + "Remember", request).reason == "ID_REUSED"


def test_get_history_and_timeline(door: Door) -> None:
    world = door.world
    world.create("acme/story")
    for n in range(5):
        world.observe(f"o{n}", f"Chapter {n} ended badly.", namespace="acme/story")
    right = door.call(
        E + "Correct",
        episodic_pb2.CorrectRequest(
            namespace="acme/story", id="c1", engram_id=world.base("o2", "acme/story"), text="Chapter 2 ended well."
        ),
        episodic_pb2.CorrectResponse,
    )
    freshness = Freshness(at_least=Positions(positions=[right.position]))
    get = episodic_pb2.GetRequest(namespace="acme/story", engram_id=right.engram_id, freshness=freshness)
    assert door.call(E + "Get", get, episodic_pb2.GetResponse).engram.text == "Chapter 2 ended well."
    history = episodic_pb2.HistoryRequest(namespace="acme/story", engram_id=right.engram_id)
    events = door.call(E + "History", history, episodic_pb2.HistoryResponse).events
    assert [(e.what, e.engram.text) for e in events] == [
        ("observed", "Chapter 2 ended badly."),
        ("superseded", "Chapter 2 ended badly."),
        ("corrected", "Chapter 2 ended well."),
    ]
    timeline = episodic_pb2.TimelineRequest(namespace="acme/story", page_size=2)
    seen: list[str] = []
    while True:
        page = door.call(E + "Timeline", timeline, episodic_pb2.TimelineResponse)
        seen += [e.text for e in page.engrams]
        if not page.next_page_token:
            break
        timeline.page_token = page.next_page_token
    assert [t.split()[1] for t in seen] == ["0", "1", "2", "3", "4"]
    assert seen[2] == "Chapter 2 ended well."


def test_watch_follows_the_feed_from_a_cursor(door: Door) -> None:
    world = door.world
    world.create("acme/watched")
    world.observe("o0", "One owl called.", namespace="acme/watched")
    world.settle()

    def page(at: bytes, **request: object) -> tuple[list[episodic_pb2.WatchResponse], bytes]:
        watch = episodic_pb2.WatchRequest(namespace="acme/watched", **request)  # type: ignore[arg-type]
        work = door.application.page(E + "Watch", watch.SerializeToString(), at, door.context())
        messages, after = asyncio.run(work)
        return [episodic_pb2.WatchResponse.FromString(m) for m in messages], after

    first, cursor = page(b"", from_start=True)
    assert [w.engram.text for w in first] == ["One owl called."]
    _, from_now = page(b"")
    world.observe("o1", "Another answered.", namespace="acme/watched")
    world.settle()
    assert [w.engram.text for w in page(cursor)[0]] == ["Another answered."]
    assert [w.engram.text for w in page(from_now)[0]] == ["Another answered."]
    assert [w.engram.text for w in page(b"", cursor=first[0].cursor)[0]] == ["Another answered."]


@pytest.mark.parametrize(
    "cursor", ["?", "-1", "9" * 5_000, "99999999999"], ids=["a word", "below zero", "5,000 digits", "of another log"]
)
def test_watch_refuses_what_is_no_cursor(door: Door, cursor: str) -> None:
    watch = episodic_pb2.WatchRequest(namespace=NAMESPACE, cursor=cursor)
    with pytest.raises(MnemeError) as refused:
        asyncio.run(door.application.page(E + "Watch", watch.SerializeToString(), b"", door.context()))
    assert (refused.value.reason, refused.value.field) == ("INVALID_FIELD", "cursor")


def test_pages_and_dry_runs_of_long_texts_hold_as_many_as_a_message_does(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, namespace = door.world, "acme/long"
    world.create(namespace)
    said = [f"Lotte read page {n} aloud. " * 20 for n in range(7)]
    for n, text in enumerate(said):
        world.observe(f"o{n}", text, namespace=namespace)
    world.settle()
    most = 2_500  # bytes, of engrams of some 900
    for module in ("recall.reads", "erasure.forget"):
        monkeypatch.setattr(f"services.episodic.{module}.fitting", partial(fitting, most_bytes=most))
    seen: list[str] = []
    timeline = episodic_pb2.TimelineRequest(namespace=namespace, page_size=5, freshness=strong())
    while True:
        page = door.call(E + "Timeline", timeline, episodic_pb2.TimelineResponse)
        assert len(page.engrams) < 5
        assert page.ByteSize() < most + 100
        seen += [engram.text for engram in page.engrams]
        timeline.page_token = page.next_page_token
        if not page.next_page_token:
            break
    assert sorted(seen) == said
    forget = episodic_pb2.ForgetRequest(namespace=namespace, dry_run=True)
    forget.selector.person.name = "Lotte"
    monkeypatch.setattr(converters, "MAX_LISTED", 5)
    listed = door.call(E + "Forget", forget, episodic_pb2.ForgetResponse)
    assert [bool(target.text) for target in listed.targets] == [True, True, True, False, False]
    assert (listed.targets_told, listed.targets_derived, listed.doubtful_total) == (7, 0, 0)
    monkeypatch.setattr("services.episodic.recall.recall.WHOLE_BYTES", most)
    recall = episodic_pb2.RecallRequest(namespace=namespace, query="Which page did Lotte read?", limit=7)
    found = door.call(E + "Recall", recall, episodic_pb2.RecallResponse)
    ids = [*(item.engram.id for item in found.items), *found.dropped]
    assert (len(found.items), len(set(ids))) == (3, 7)


def test_a_list_takes_no_page_token_of_another_order(door: Door) -> None:
    """Or a list that is given a timeline's would say that there is no more."""
    listed = door.call(
        E + "List", episodic_pb2.ListRequest(namespace=NAMESPACE, page_size=2), episodic_pb2.ListResponse
    )
    timeline = episodic_pb2.TimelineRequest(namespace=NAMESPACE, page_size=2)
    by_time = door.call(E + "Timeline", timeline, episodic_pb2.TimelineResponse)
    for method, request in (
        ("List", episodic_pb2.ListRequest(namespace=NAMESPACE, page_token=by_time.next_page_token)),
        ("Timeline", episodic_pb2.TimelineRequest(namespace=NAMESPACE, page_token=listed.next_page_token)),
    ):
        refused = door.refused(E + method, request)
        assert (refused.reason, refused.field) == ("INVALID_FIELD", "page_token")


def test_the_oldest_of_a_long_history_are_told_without_their_text(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    world, namespace, at = door.world, "acme/chapters", "o0"
    world.create(namespace)
    world.observe(at, "Draft 0. " * 50, namespace=namespace)
    id = world.base(at, namespace)
    for n in range(1, 4):
        request = episodic_pb2.CorrectRequest(namespace=namespace, id=f"c{n}", engram_id=id, text=f"Draft {n}. " * 50)
        id = door.call(E + "Correct", request, episodic_pb2.CorrectResponse).engram_id
    monkeypatch.setattr("services.episodic.recall.reads.WHOLE_BYTES", 2_200)
    history = episodic_pb2.HistoryRequest(namespace=namespace, engram_id=id, freshness=strong())
    events = [e for e in door.call(E + "History", history, episodic_pb2.HistoryResponse).events if e.engram.id]
    drafts = [e.engram.text[:8] for e in events]
    assert (drafts[0], drafts[-1]) == ("", "Draft 3.")
    assert all(e.engram.id and e.what for e in events)


def test_a_page_of_namespaces_holds_as_many_as_a_message_does(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"acme/many/{n}" for n in range(5)]
    for name in names:
        door.world.create(name, aliases=[AliasGroup(name="Daisy", aliases=["D" * 200])])
    door.world.settle()
    monkeypatch.setattr("services.episodic.servicer.fitting", partial(fitting, most_bytes=600))
    request, seen = admin_pb2.ListNamespacesRequest(page_size=4), list[str]()
    while True:
        page = door.call(A + "ListNamespaces", request, admin_pb2.ListNamespacesResponse, prefixes=["acme/many"])
        assert len(page.namespaces) < 4
        seen += [each.name for each in page.namespaces]
        request.page_token = page.next_page_token
        if not page.next_page_token:
            break
    assert seen == names


def test_forget_by_rpc_dry_run_then_receipt_then_verify(door: Door) -> None:
    world, namespace = door.world, "acme/forget"
    world.create(namespace)
    for n, text in enumerate(["Mabel owes ten pounds.", "It rained.", "Mabel paid."]):
        world.observe(f"o{n}", text, namespace=namespace)
    world.close_episode(["o0", "o1", "o2"], namespace=namespace)
    selector = episodic_pb2.ForgetSelector(person=episodic_pb2.Person(name="Mabel"))
    request = episodic_pb2.ForgetRequest(namespace=namespace, selector=selector, dry_run=True)
    listed = door.call(E + "Forget", request, episodic_pb2.ForgetResponse)
    assert [t.text for t in listed.targets if not t.derived] == ["Mabel owes ten pounds.", "Mabel paid."]
    assert [t.kind for t in listed.targets if t.derived] == [episodic_pb2.ENGRAM_KIND_EPISODE]
    assert not listed.HasField("receipt")
    request.dry_run = False
    assert door.refused(E + "Forget", request).field == "id"
    request.id = "f1"
    done = door.call(E + "Forget", request, episodic_pb2.ForgetResponse)
    assert (done.receipt.base_erased, done.receipt.derived_rebuilt, done.receipt.erasure_epoch) == (2, 1, 1)
    assert {s.store: s.done for s in done.receipt.stores}["feed"]
    assert not any(t.text for t in done.targets)
    again = door.call(E + "Forget", request, episodic_pb2.ForgetResponse)
    assert again.receipt == done.receipt
    ask = episodic_pb2.GetErasureEpochRequest(namespace=namespace)
    assert door.call(E + "GetErasureEpoch", ask, episodic_pb2.GetErasureEpochResponse).erasure_epoch == 1
    other = episodic_pb2.ForgetRequest(namespace=namespace, id="f1")
    other.selector.ids.ids.append("o1")
    assert door.refused(E + "Forget", other).reason == "ID_REUSED"
    verify = episodic_pb2.VerifyForgottenRequest(namespace=namespace, receipt_id=done.receipt.id)
    verified = door.call(E + "VerifyForgotten", verify, episodic_pb2.VerifyForgottenResponse)
    assert verified.clean
    assert {p.store for p in verified.probes} == {
        "keys",
        "feed",
        "index",
        "ledger",
        "recall",
        "dead letters",
        "mentions",
    }
    assert all(p.looked_at for p in verified.probes if p.store != "dead letters")  # of which there are none
    request.id = "f2"
    assert door.refused(E + "Forget", request).reason == "NOT_FOUND"


def test_forget_says_of_each_id_what_it_names(door: Door) -> None:
    world, namespace = door.world, "acme/ids"
    world.create(namespace)
    for n in range(3):
        world.observe(f"o{n}", f"Owl {n} called.", namespace=namespace)
    world.close_episode(["o0", "o1"], namespace=namespace)
    world.settle()
    o0, o1, o2 = (world.base(f"o{n}", namespace) for n in range(3))
    [episode] = world.host.live.store.directory.derived_from(namespace, o0)
    request = episodic_pb2.ForgetRequest(namespace=namespace, dry_run=True)
    request.selector.ids.ids.extend(["o2", "nosuch", o2, episode, "o2", "O1"])
    named = [("o2", [o2]), ("nosuch", []), (o2, [o2]), (episode, [o0, o1]), ("O1", [])]

    def called() -> list[tuple[str, list[str]]]:
        response = door.call(E + "Forget", request, episodic_pb2.ForgetResponse)
        return [(each.id, list(each.engram_ids)) for each in response.named]

    assert called() == named
    request.dry_run, request.id = False, "f1"
    assert called() == named
    assert called() == [], "it was erased before"
    request.dry_run, request.id = True, ""
    assert called() == [(id, []) for id, _ in named]


def test_forgotten_names_are_counted_and_no_longer_listed(door: Door) -> None:
    namespace = "acme/names"
    carrie = AliasGroup(name="Carrie", aliases=["my wife"])
    door.world.create(namespace, aliases=[AliasGroup(name="Mabel Finch", aliases=["Miss Finch"]), carrie])
    door.world.observe("o0", "Miss Finch paid.", namespace=namespace)
    selector = episodic_pb2.ForgetSelector(person=episodic_pb2.Person(name="Mabel Finch"))
    request = episodic_pb2.ForgetRequest(namespace=namespace, selector=selector, dry_run=True)
    listed = door.call(E + "Forget", request, episodic_pb2.ForgetResponse)
    assert (len(listed.targets), listed.alias_groups) == (1, 1)
    request.dry_run, request.id = False, "f1"
    receipt = door.call(E + "Forget", request, episodic_pb2.ForgetResponse).receipt
    assert receipt.alias_groups == 1
    verify = episodic_pb2.VerifyForgottenRequest(namespace=namespace, receipt_id=receipt.id)
    assert door.call(E + "VerifyForgotten", verify, episodic_pb2.VerifyForgottenResponse).clean
    spaces = door.call(A + "ListNamespaces", admin_pb2.ListNamespacesRequest(), admin_pb2.ListNamespacesResponse)
    assert [list(n.aliases) for n in spaces.namespaces if n.name == namespace] == [[carrie]]


def test_forgets_that_wait_for_their_receipts_take_no_thread_of_a_recall(tmp_path: Path, embedder: Embedder) -> None:
    go_on = threading.Event()

    def hold(step: str) -> None:
        assert step != "scrubbed" or go_on.wait(60)  # applied, and no receipt is finished

    world = World(tmp_path, embedder).open(step=hold)
    world.create()
    for n in range(9):
        world.observe(f"o{n}", f"Lamp {n} was lit at dusk.")
    world.settle()
    door, many = Door(world), 2 * CALL_THREADS

    def called(method: str, request: Message) -> asyncio.Task[bytes]:
        return asyncio.ensure_future(door.application.unary(method, request.SerializeToString(), door.context()))

    async def forget_many_and_recall() -> list[episodic_pb2.ForgetResponse]:
        waiting = []
        for n in range(many):
            request = episodic_pb2.ForgetRequest(namespace=NAMESPACE, id=f"f{n}")
            request.selector.ids.ids.append(f"o{n}")
            waiting.append(called(E + "Forget", request))
        async with asyncio.timeout(10):
            while world.host.registry.epoch(NAMESPACE) < many:
                await asyncio.sleep(0.01)
            recall = episodic_pb2.RecallRequest(namespace=NAMESPACE, query="Which lamp?", freshness=strong())
            found = episodic_pb2.RecallResponse.FromString(await called(E + "Recall", recall))
        assert [item.engram.observation_id for item in found.items] == ["o8"]
        assert not any(each.done() for each in waiting)
        go_on.set()
        return [episodic_pb2.ForgetResponse.FromString(done) for done in await asyncio.gather(*waiting)]

    try:
        receipts = [done.receipt for done in asyncio.run(forget_many_and_recall())]
    finally:
        go_on.set()
        world.close()
    assert sum(r.base_erased for r in receipts) == many
    assert sorted(r.erasure_epoch for r in receipts) == list(range(1, many + 1))
    assert all(r.stores for r in receipts)


def test_a_tenants_forget_waits_for_no_texts_that_anothers_has_to_look_through(
    tmp_path: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, other = World(tmp_path, embedder).open(), "other/notes"
    world.create()
    world.create(namespace=other)
    world.observe("o0", "Zoë lit a lamp.")
    world.observe("o0", "Zoë put it out.", namespace=other)
    world.settle()
    door, looking, go_on = Door(world), threading.Event(), threading.Event()
    opening = world.forgetting._opened

    def slow(namespace: str, ids: Sequence[str]) -> Iterator[Stored]:
        if namespace == NAMESPACE and ids:
            looking.set()
            assert go_on.wait(60)
        return opening(namespace, ids)

    monkeypatch.setattr(world.forgetting, "_opened", slow)

    def forget(id: str, namespace: str, principal: str) -> episodic_pb2.ForgetResponse:
        request = episodic_pb2.ForgetRequest(namespace=namespace, id=id)
        request.selector.person.name = "Zoë"
        return door.call(E + "Forget", request, episodic_pb2.ForgetResponse, principal=principal, prefixes=[namespace])

    with ThreadPoolExecutor(CALL_THREADS) as callers:
        first = [callers.submit(forget, f"f{n}", NAMESPACE, "test") for n in range(2)]
        try:
            assert looking.wait(10)
            assert forget("f2", other, "another").receipt.base_erased == 1
            assert not any(each.done() for each in first)
        finally:
            go_on.set()
        done = sorted(first, key=lambda each: each.exception() is not None)  # whichever came first erased it
        assert done[0].result().receipt.base_erased == 1
        with pytest.raises(MnemeError, match="names nothing"):
            done[1].result()
    world.close()


def test_what_waits_to_be_folded_is_bounded_by_tenant_however_many_principals_it_makes(
    tmp_path: Path, embedder: Embedder
) -> None:
    world = World(tmp_path, embedder).open()
    world.create()
    world.settle()
    door, taken, refused = Door(world), 0, Counter[str]()

    def remember(n: int, under: str) -> episodic_pb2.RememberResponse:
        request = episodic_pb2.RememberRequest(namespace=NAMESPACE, id=f"{under}{n}", text=f"{n} " * 20_000)
        principal = f"{under}/{n}"
        return door.call(
            E + "Remember", request, episodic_pb2.RememberResponse, principal=principal, issued_under=under
        )

    with world.host.fold_lock:
        for n in range(9):
            try:
                taken += bool(remember(n, "eve").engram_id)
            except MnemeError as error:
                refused[error.reason] += 1
        assert remember(0, "ann").engram_id
    assert (taken, refused) == (4, {"OVERLOADED": 5})
    world.close()


def test_a_read_whose_caller_has_left_ends_and_what_is_written_does_not(tmp_path: Path, embedder: Embedder) -> None:
    world = World(tmp_path, embedder).open()
    world.create()
    world.settle()
    door, begun, ended = Door(world), threading.Event(), Queue[str]()

    def endless(*_: object) -> None:
        begun.set()
        try:
            while True:
                checkpoint()
                time.thread_time()
        except asyncio.CancelledError:
            ended.put("read")
            raise

    def slow(*_: object) -> None:
        begun.set()
        until = time.thread_time() + 0.2
        while time.thread_time() < until:
            checkpoint()
        ended.put("written")

    async def leave(function: Callable[[], None], *, to_the_end: bool) -> None:
        work = door.servicer._run_in(door.servicer._threads, function, to_the_end=to_the_end)
        call = asyncio.create_task(work)
        while not begun.is_set():
            await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        begun.clear()

    asyncio.run(leave(endless, to_the_end=False))
    assert ended.get(timeout=10) == "read"
    asyncio.run(leave(slow, to_the_end=True))
    assert ended.get(timeout=10) == "written"
    world.close()


def test_a_forget_whose_receipt_is_late_says_how_to_get_it(tmp_path: Path, embedder: Embedder) -> None:
    go_on = threading.Event()

    def hold(step: str) -> None:
        assert step != "scrubbed" or go_on.wait(60)

    world = World(tmp_path, embedder).open(step=hold)
    world.create()
    world.observe("o0", "One lamp was lit at dusk.")
    world.settle()
    door, request = Door(world), episodic_pb2.ForgetRequest(namespace=NAMESPACE, id="f1")
    request.selector.ids.ids.append("o0")
    try:
        late = door.refused(E + "Forget", request, timeout_s=1.0)
    finally:
        go_on.set()
    assert (late.reason, late.remedy) == ("DEADLINE", "Ask again with the same id: it gives the receipt.")
    assert door.call(E + "Forget", request, episodic_pb2.ForgetResponse).receipt.stores
    world.close()


def audited(door: Door, namespace: str = NAMESPACE, **context: object) -> list[admin_pb2.AuditEntry]:
    request = admin_pb2.ListAuditRequest(namespace=namespace)
    return list(door.call(A + "ListAudit", request, admin_pb2.ListAuditResponse, **context).entries)


def test_audit_is_of_everything_acknowledged_and_of_the_callers_own_namespaces(door: Door) -> None:
    door.world.create("acme/audited")
    told = episodic_pb2.RememberRequest(namespace="acme/audited", id="a", text="A heron stands in the pond.")
    door.call(E + "Remember", told, episodic_pb2.RememberResponse, principal="ann")
    [remembered, created] = audited(door, "acme/audited")
    assert (remembered.principal, remembered.action) == ("ann", admin_pb2.AUDIT_ACTION_REMEMBERED)
    assert created.action == admin_pb2.AUDIT_ACTION_NAMESPACE_CREATED
    for namespace, prefix, reason in (
        ("acme/audited", "rival", "PERMISSION_DENIED"),
        ("", "acme", "PERMISSION_DENIED"),
        ("acme/never", "acme", "UNKNOWN_NAMESPACE"),
    ):
        request = admin_pb2.ListAuditRequest(namespace=namespace)
        refused = door.refused(A + "ListAudit", request, prefixes=[prefix])
        assert (refused.reason, refused.field) == (reason, "namespace")


def test_who_deleted_a_namespace_is_told_by_its_name(door: Door) -> None:
    door.world.create("acme/to-delete")
    request = admin_pb2.DeleteNamespaceRequest(namespace="acme/to-delete", id="d")
    deleted = door.call(A + "DeleteNamespace", request, admin_pb2.DeleteNamespaceResponse, principal="ann")
    [told] = audited(door, "acme/to-delete")
    assert (told.action, told.principal) == (admin_pb2.AUDIT_ACTION_NAMESPACE_DELETED, "ann")
    assert told.subject == deleted.receipt.id


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (admin_pb2.ListAuditRequest(actions=["AUDIT_ACTION_ERASED", "AUDIT_ACTION_UNSPECIFIED"]), "actions[1]"),
        (admin_pb2.ListAuditRequest(actions=[99]), "actions[0]"),  # type: ignore[list-item]
        (admin_pb2.ListAuditRequest(namespace=NAMESPACE, page_size=1001), "page_size"),
        (admin_pb2.ListAuditRequest(namespace=NAMESPACE, page_token="x"), "page_token"),
        (admin_pb2.ListAuditRequest(page_token="x"), "page_token"),
        (admin_pb2.ListUsageRequest(page_size=1001), "page_size"),
    ],
)
def test_a_wrong_request_of_audit_or_usage_names_its_field(door: Door, request_: Message, field: str) -> None:
    method = A + type(request_).__name__.removesuffix("Request")
    refused = door.refused(method, request_, prefixes=[""])
    assert (refused.reason, refused.field) == ("INVALID_FIELD", field)


def test_a_rebuild_that_is_asked_for_is_recorded_once(door: Door) -> None:
    for _ in range(2):
        door.call(A + "Rebuild", admin_pb2.RebuildRequest(id="twice"), admin_pb2.RebuildResponse, prefixes=[""])
        door.world.rebuilder.wait()
    told = [each for each in audited(door, "", prefixes=[""]) if each.subject == "rebuild-twice"]
    assert [(each.action, each.principal) for each in told] == [(admin_pb2.AUDIT_ACTION_REBUILD_ASKED, "test")]


def test_usage_is_told_in_pages_of_what_lies_below_a_prefix_and_within_the_callers(door: Door) -> None:
    names = [f"acme/used/{n}" for n in range(3)]
    for n, name in enumerate(names):
        door.world.create(name)
        for each in range(n):
            door.world.observe(f"u{each}", "Grain is sold by the bushel.", namespace=name)
    door.world.create("acme/usedup")
    door.world.settle()
    request, seen = admin_pb2.ListUsageRequest(prefix="acme/used", page_size=2), list[admin_pb2.NamespaceUsage]()
    while True:
        page = door.call(A + "ListUsage", request, admin_pb2.ListUsageResponse)
        seen += page.namespaces
        request.page_token = page.next_page_token
        if not page.next_page_token:
            break
    assert [(each.namespace, each.told) for each in seen] == [(name, n) for n, name in enumerate(names)]
    assert seen[2].ledger_bytes == 2 * seen[1].ledger_bytes > 0
    everything = admin_pb2.ListUsageRequest()
    other = door.call(A + "ListUsage", everything, admin_pb2.ListUsageResponse, prefixes=["rival", names[1]])
    assert [each.namespace for each in other.namespaces] == [names[1]]


def test_rebuild_stats_and_namespaces(door: Door) -> None:
    stats = admin_pb2.GetStatsRequest(namespace=NAMESPACE)
    before = door.call(A + "GetStats", stats, admin_pb2.GetStatsResponse)
    assert before.engrams_by_kind == {"turn": 4, "episode": 1}
    assert door.refused(A + "Rebuild", admin_pb2.RebuildRequest()).reason == "PERMISSION_DENIED"
    started = door.call(A + "Rebuild", admin_pb2.RebuildRequest(), admin_pb2.RebuildResponse, prefixes=[""])
    door.world.rebuilder.wait()
    get = admin_pb2.GetOperationRequest(id=started.operation.id)
    ended = door.call(A + "GetOperation", get, admin_pb2.GetOperationResponse, prefixes=[""]).operation
    assert ended.state == admin_pb2.OPERATION_STATE_DONE
    assert ended.done == ended.total > 0
    after = door.call(A + "GetStats", stats, admin_pb2.GetStatsResponse)
    assert after.generation == before.generation + 1
    assert (after.state_hash, after.lag) == (before.state_hash, 0)
    listed = door.call(A + "ListNamespaces", admin_pb2.ListNamespacesRequest(), admin_pb2.ListNamespacesResponse)
    assert NAMESPACE in [n.name for n in listed.namespaces]
    none = door.call(
        A + "ListNamespaces", admin_pb2.ListNamespacesRequest(), admin_pb2.ListNamespacesResponse, prefixes=["rival"]
    )
    assert not none.namespaces
    # It is of every namespace: who has a right over some learns of it what of an id that never was.
    hidden, never = door.refused(A + "GetOperation", get), door.refused(A + "GetOperation", NEVER)
    told = [(error.reason, error.field, error.message, error.remedy) for error in (hidden, never)]
    assert told[0] == told[1]
    assert (never.reason, hidden.metadata) == ("NOT_FOUND", {"id": get.id})


NEVER = admin_pb2.GetOperationRequest(id="?")
LONG = "x" * 20_000

BAD = [
    (E + "Get", episodic_pb2.GetRequest(namespace=NAMESPACE, engram_id=LONG), "INVALID_FIELD", "engram_id"),
    (E + "Get", episodic_pb2.GetRequest(namespace=LONG, engram_id="x"), "INVALID_FIELD", "namespace"),
    (E + "History", episodic_pb2.HistoryRequest(namespace=NAMESPACE, engram_id=LONG), "INVALID_FIELD", "engram_id"),
    (
        E + "Correct",
        episodic_pb2.CorrectRequest(namespace=NAMESPACE, id="c", engram_id=LONG, text="x"),
        "INVALID_FIELD",
        "engram_id",
    ),
    (
        E + "VerifyForgotten",
        episodic_pb2.VerifyForgottenRequest(namespace=NAMESPACE, receipt_id=LONG),
        "INVALID_FIELD",
        "receipt_id",
    ),
    *(
        (
            E + "Forget",
            episodic_pb2.ForgetRequest(namespace=NAMESPACE, id="f", selector=selector),
            "INVALID_FIELD",
            field,
        )
        for field, selector in {
            "selector.session": episodic_pb2.ForgetSelector(session=LONG),
            "selector.source": episodic_pb2.ForgetSelector(source=LONG),
            "selector.person.name": episodic_pb2.ForgetSelector(person=episodic_pb2.Person(name=LONG)),
            "selector.person.aliases[0]": episodic_pb2.ForgetSelector(
                person=episodic_pb2.Person(name="Anna", aliases=[LONG])
            ),
            "selector.ids.ids[1]": episodic_pb2.ForgetSelector(ids=episodic_pb2.Ids(ids=["e", LONG])),
        }.items()
    ),
    (A + "GetOperation", admin_pb2.GetOperationRequest(id=LONG), "INVALID_FIELD", "id"),
    (E + "Recall", episodic_pb2.RecallRequest(namespace=NAMESPACE, scopes=[LONG]), "INVALID_FIELD", "scopes[0]"),
    (E + "Recall", episodic_pb2.RecallRequest(namespace="acme/never"), "UNKNOWN_NAMESPACE", "namespace"),
    (E + "Recall", episodic_pb2.RecallRequest(), "INVALID_FIELD", "namespace"),
    (E + "Recall", episodic_pb2.RecallRequest(namespace="rival/x"), "PERMISSION_DENIED", "namespace"),
    (E + "Recall", episodic_pb2.RecallRequest(namespace=NAMESPACE, limit=101), "INVALID_FIELD", "limit"),
    (E + "Recall", episodic_pb2.RecallRequest(namespace=NAMESPACE, query="x" * 60_001), "TEXT_SIZE", "query"),
    (E + "Recall", episodic_pb2.RecallRequest(namespace=NAMESPACE), "TEXT_SIZE", "query"),
    (E + "Recall", episodic_pb2.RecallRequest(namespace=NAMESPACE, query=" \n"), "TEXT_SIZE", "query"),
    *(
        (
            E + "Recall",
            episodic_pb2.RecallRequest(namespace=NAMESPACE, query="the kettle", asked_at=Timestamp(seconds=seconds)),
            "INVALID_FIELD",
            "asked_at",
        )
        for seconds in (253_402_214_400, -62_135_596_800, 10**15)  # the year 9999, the year 1, no time
    ),
    (
        E + "Recall",
        episodic_pb2.RecallRequest(namespace=NAMESPACE, as_of_known=Timestamp(seconds=10**15)),
        "INVALID_FIELD",
        "as_of_known",
    ),
    (
        E + "Recall",
        episodic_pb2.RecallRequest(namespace=NAMESPACE, asked_utc_offset_minutes=-1_081),
        "INVALID_FIELD",
        "asked_utc_offset_minutes",
    ),
    *(
        case
        for nanos in (1_000_000_000, -1, 2**31 - 1)
        for case in (
            (
                E + "Recall",
                episodic_pb2.RecallRequest(namespace=NAMESPACE, asked_at=Timestamp(seconds=10**9, nanos=nanos)),
                "INVALID_FIELD",
                "asked_at",
            ),
            (
                E + "Recall",
                episodic_pb2.RecallRequest(
                    namespace=NAMESPACE,
                    filter=episodic_pb2.RecallFilter(event_time=TimeRange(end=Timestamp(nanos=nanos))),
                ),
                "INVALID_FIELD",
                "filter.event_time.end",
            ),
            (
                E + "Remember",
                episodic_pb2.RememberRequest(namespace=NAMESPACE, id="i", text="x", event_at=Timestamp(nanos=nanos)),
                "INVALID_FIELD",
                "event_at",
            ),
            (
                E + "Forget",
                episodic_pb2.ForgetRequest(
                    namespace=NAMESPACE,
                    id="i",
                    selector=episodic_pb2.ForgetSelector(event_time=TimeRange(start=Timestamp(nanos=nanos))),
                ),
                "INVALID_FIELD",
                "selector.event_time.start",
            ),
        )
    ),
    (E + "Remember", episodic_pb2.RememberRequest(namespace=NAMESPACE, id="i"), "TEXT_SIZE", "text"),
    (E + "Remember", episodic_pb2.RememberRequest(namespace=NAMESPACE, text="x"), "INVALID_FIELD", "id"),
    (
        E + "Remember",
        episodic_pb2.RememberRequest(
            namespace=NAMESPACE, id="i", text="x", metadata={"room": MetadataValue(number=1.0)}
        ),
        "UNDECLARED_METADATA",
        "metadata.room",
    ),
    (
        E + "Correct",
        episodic_pb2.CorrectRequest(namespace=NAMESPACE, id="i", text="x", engram_id="?"),
        "NOT_FOUND",
        "engram_id",
    ),
    (E + "Get", episodic_pb2.GetRequest(namespace=NAMESPACE, engram_id="?"), "NOT_FOUND", "engram_id"),
    (E + "History", episodic_pb2.HistoryRequest(namespace=NAMESPACE, engram_id="?"), "NOT_FOUND", "engram_id"),
    (E + "List", episodic_pb2.ListRequest(namespace=NAMESPACE, page_size=1001), "INVALID_FIELD", "page_size"),
    *(
        (E + "List", episodic_pb2.ListRequest(namespace=NAMESPACE, page_token=token), "INVALID_FIELD", "page_token")
        for token in ("?", "--5:x", "-:x", ":x", "9" * 5_000 + ":x")
    ),
    (
        E + "VerifyForgotten",
        episodic_pb2.VerifyForgottenRequest(namespace=NAMESPACE, receipt_id="?"),
        "NOT_FOUND",
        "receipt_id",
    ),
    (A + "GetOperation", NEVER, "NOT_FOUND", "id"),
    (
        E + "Recall",
        episodic_pb2.RecallRequest(
            namespace=NAMESPACE, freshness=Freshness(at_least=Positions(positions=[Position(partition=99)]))
        ),
        "INVALID_FIELD",
        "freshness.at_least",
    ),
]


@pytest.mark.parametrize(("method", "request_", "reason", "field"), BAD)
def test_bad_requests_name_the_field(door: Door, method: str, request_: Message, reason: str, field: str) -> None:
    error = door.refused(method, request_)
    assert (error.reason, error.field) == (reason, field)


def test_a_query_that_is_blank_or_invisible_or_too_long_is_told_the_same_bounds(door: Door) -> None:
    asked = [episodic_pb2.RecallRequest(namespace=NAMESPACE, query=query) for query in (" ", "\u200b", "x" * 60_001)]
    refused = [door.refused(E + "Recall", each) for each in asked]
    assert {(each.field, each.remedy) for each in refused} == {("query", refused[0].remedy)}


def test_a_filter_on_undeclared_metadata_and_a_backward_range_are_refused(door: Door) -> None:
    wanted = episodic_pb2.RecallFilter(
        metadata=[episodic_pb2.MetadataFilter(field="floor", equals=MetadataValue(text="1"))]
    )
    error = door.refused(E + "Recall", episodic_pb2.RecallRequest(namespace=NAMESPACE, filter=wanted))
    assert error.reason == "UNDECLARED_METADATA"
    backward = episodic_pb2.RecallFilter()
    backward.event_time.start.FromJsonString("2026-02-01T00:00:00Z")
    backward.event_time.end.FromJsonString("2026-01-01T00:00:00Z")
    error = door.refused(E + "Recall", episodic_pb2.RecallRequest(namespace=NAMESPACE, filter=backward))
    assert (error.reason, error.field) == ("TIME_RANGE", "filter.event_time")


FRESH: dict[str, Callable[[Freshness], Message]] = {
    "Recall": lambda fresh: episodic_pb2.RecallRequest(namespace=NAMESPACE, query="kettle", freshness=fresh),
    "Get": lambda fresh: episodic_pb2.GetRequest(namespace=NAMESPACE, engram_id="none", freshness=fresh),
    "List": lambda fresh: episodic_pb2.ListRequest(namespace=NAMESPACE, freshness=fresh),
    "Timeline": lambda fresh: episodic_pb2.TimelineRequest(namespace=NAMESPACE, freshness=fresh),
    "History": lambda fresh: episodic_pb2.HistoryRequest(namespace=NAMESPACE, engram_id="none", freshness=fresh),
}


@pytest.mark.parametrize("method", FRESH)
def test_a_position_that_nobody_has_written_is_refused_at_once(door: Door, method: str) -> None:
    [written] = door.recall("kettle", freshness=strong()).positions
    end = door.world.log.end_offset("mneme.ledger.v1", written.partition)
    beyond = Position(partition=written.partition, offset=end)
    for positions in ([beyond], [written, beyond], [Position(partition=written.partition, offset=2**63 - 1)]):
        fresh = Freshness(at_least=Positions(positions=positions))
        started = time.monotonic()
        error = door.refused(E + method, FRESH[method](fresh))
        assert (error.reason, error.field) == ("INVALID_FIELD", "freshness.at_least")
        assert f"positions[{len(positions) - 1}]" in error.message
        assert time.monotonic() - started < 5, "at once, not at the deadline of 20 s"
    reached = door.recall("kettle", freshness=Freshness(at_least=Positions(positions=[written])))
    assert reached.items


def test_what_other_tenants_wrote_is_told_by_no_position_no_refusal_and_no_count(door: Door) -> None:
    """Their entries lie in the same partition: a refusal for one of them reads as one for what nobody has written."""
    world, other = door.world, "zeta/other"
    world.create(other)
    theirs = world.observe("z", "Their barge sank.", namespace=other)
    world.settle()

    def refusal(offset: int, prefixes: Sequence[str]) -> tuple[object, ...]:
        positions = [Position(partition=theirs.partition, offset=offset)]
        fresh = Freshness(at_least=Positions(positions=positions))
        error = door.refused(E + "Get", FRESH["Get"](fresh), prefixes=prefixes)
        return error.reason, error.field, error.message, error.remedy, dict(error.metadata)

    [own] = door.recall("kettle", freshness=strong()).positions
    assert own.offset < theirs.offset, "it is of what was read"
    at_theirs = refusal(theirs.offset, ["acme"])
    assert at_theirs[0] == "INVALID_FIELD"
    assert at_theirs == refusal(theirs.offset + 1, ["acme"]) == refusal(2**64 - 1, ["acme"])
    assert not any(c.isdigit() for c in str(at_theirs).replace("positions[0]", ""))
    assert refusal(theirs.offset, ["acme", "zeta"])[0] == "NOT_FOUND", "whoever may read it may name it"
    assert refusal(own.offset, ["acme"])[0] == "NOT_FOUND"
    with world.host.fold_lock:
        world.observe("z2", "Their second barge sank.", namespace=other)
        request = admin_pb2.GetStatsRequest(namespace=NAMESPACE)
        stats = door.call(A + "GetStats", request, admin_pb2.GetStatsResponse)
        late = door.refused(E + "Get", FRESH["Get"](strong()), timeout_s=0.4)
    assert (stats.lag, [p.offset for p in stats.applied]) == (0, [own.offset])
    assert (late.reason, dict(late.metadata)) == ("NOT_FRESH", {})
    world.settle()


def test_a_position_of_a_partition_where_nothing_of_the_namespace_lies_is_not_looked_at(
    tmp_path: Path, embedder: Embedder
) -> None:
    world = World(tmp_path, embedder, partitions=3).open()
    world.create()
    world.settle()
    others = [p for p in range(3) if p != partition_of(NAMESPACE.encode(), 3)]
    for offset in (0, 2**40):
        fresh = Freshness(at_least=Positions(positions=[Position(partition=p, offset=offset) for p in others]))
        assert Door(world).refused(E + "Get", FRESH["Get"](fresh)).reason == "NOT_FOUND", "at once, as without"
    world.close()


def test_an_impatient_call_says_that_it_would_have_to_wait_and_has_done_nothing(
    tmp_path: Path, embedder: Embedder
) -> None:
    go_on = threading.Event()

    def hold(step: str) -> None:
        assert go_on.wait(60)

    go_on.set()
    world = World(tmp_path, embedder).open(step=hold)
    world.create()
    world.settle()
    go_on.clear()
    world.observe("o1", "The lamp was lit at dusk.")
    door = Door(world)
    recall = episodic_pb2.RecallRequest(namespace=NAMESPACE, query="lamp", freshness=strong()).SerializeToString()
    try:
        impatient = replace(door.context(), patient=False)
        assert asyncio.run(door.application.serve_call("unary", E + "Recall", recall, impatient)) == WAITING

        async def wait_and_let_go() -> bytes:
            patient = [asyncio.create_task(door.application.unary(E + "Recall", recall, door.context())) for _ in "123"]
            assert not (await asyncio.wait(patient, timeout=0.3))[0]
            go_on.set()
            return (await asyncio.gather(*patient))[0]

        found = episodic_pb2.RecallResponse.FromString(asyncio.run(wait_and_let_go()))
        assert [item.engram.observation_id for item in found.items] == ["o1"]
        assert asyncio.run(door.application.serve_call("unary", E + "Recall", recall, impatient)) != WAITING
    finally:
        go_on.set()
        world.close()


def test_a_namespace_that_is_acknowledged_and_not_applied_yet_is_not_fresh(door: Door) -> None:
    """The writer is behind: nobody knows that it does not exist."""
    with door.world.host.fold_lock:
        door.world.create("acme/late")
        request = episodic_pb2.GetRequest(namespace="acme/late", engram_id="x")
        late = door.refused(E + "Get", request, timeout_s=0.5)
        scope = episodic_pb2.RecallRequest(namespace=NAMESPACE, scopes=["acme/late"], query="kettle")
        scoped = door.refused(E + "Recall", scope, timeout_s=0.5)
    assert (late.reason, late.field) == ("NOT_FRESH", "namespace")
    assert (scoped.reason, scoped.field) == ("NOT_FRESH", "scopes[0]")
    assert door.refused(E + "Get", request).reason == "NOT_FOUND"
    never = door.refused(E + "Get", episodic_pb2.GetRequest(namespace="acme/never", engram_id="x"))
    assert (never.reason, never.metadata["namespace"]) == ("UNKNOWN_NAMESPACE", "acme/never")
    assert "acme/never" in never.message


def test_under_load_no_namespace_that_was_acknowledged_is_said_not_to_exist(door: Door) -> None:
    """Each is created behind entries that the writer is folding, and asked for at once with little time."""
    world, said = door.world, dict[str, str]()

    def ask(name: str) -> str:
        request = episodic_pb2.GetRequest(namespace=name, engram_id="x")
        return door.refused(E + "Get", request, timeout_s=0.15).reason

    for attempt in range(10):  # whether the writer is still behind is the scheduler's matter
        names = [f"acme/behind-{attempt}-{n}" for n in range(6)]
        for name in names:
            for m in range(6 + 6 * attempt):
                world.observe(f"{name}-{m}", f"Crate {m} of {name} holds lamps, oars and a coil of rope.", "load")
            world.create(name)
        with ThreadPoolExecutor(len(names)) as pool:
            said |= zip(names, pool.map(ask, names), strict=True)
        if "NOT_FRESH" in said.values():
            break
    assert "NOT_FRESH" in said.values(), "the writer was never behind"
    assert {*said.values()} <= {"NOT_FRESH", "NOT_FOUND"}
    world.settle()
    assert {ask(name) for name in said} == {"NOT_FOUND"}


def test_a_namespace_is_deleted_by_rpc(door: Door) -> None:
    namespace = "acme/short"
    door.world.create(namespace)
    door.world.observe("o0", "Soon gone.", namespace=namespace)
    request = admin_pb2.DeleteNamespaceRequest(namespace=namespace, dry_run=True)
    assert door.refused(A + "DeleteNamespace", request, prefixes=["other"]).reason == "PERMISSION_DENIED"
    listed = door.call(A + "DeleteNamespace", request, admin_pb2.DeleteNamespaceResponse)
    assert (listed.engrams, listed.HasField("receipt")) == (1, False)
    request.dry_run = False
    assert door.refused(A + "DeleteNamespace", request).field == "id"
    request.id = "d1"
    done = door.call(A + "DeleteNamespace", request, admin_pb2.DeleteNamespaceResponse)
    assert (done.engrams, done.receipt.selected_by, done.receipt.namespace) == (1, "namespace", "")
    assert door.call(A + "DeleteNamespace", request, admin_pb2.DeleteNamespaceResponse) == done
    verify = episodic_pb2.VerifyForgottenRequest(namespace=namespace, receipt_id=done.receipt.id)
    verified = door.call(E + "VerifyForgotten", verify, episodic_pb2.VerifyForgottenResponse)
    assert verified.clean
    assert {"keys", "ledger", "feed", "index"} <= {probe.store for probe in verified.probes}
    assert door.refused(E + "VerifyForgotten", verify, prefixes=["other"]).reason == "PERMISSION_DENIED"
    verify.namespace = NAMESPACE
    assert door.refused(E + "VerifyForgotten", verify).reason == "NOT_FOUND"
    get = episodic_pb2.GetRequest(namespace=namespace, engram_id="x")
    assert door.refused(E + "Get", get).reason == "UNKNOWN_NAMESPACE"
    request.id = "d2"
    assert door.refused(A + "DeleteNamespace", request).reason == "UNKNOWN_NAMESPACE"
    spaces = door.call(A + "ListNamespaces", admin_pb2.ListNamespacesRequest(), admin_pb2.ListNamespacesResponse)
    assert namespace not in [space.name for space in spaces.namespaces]


def test_a_filter_on_a_field_that_was_declared_just_now_waits_as_it_was_told_to(door: Door) -> None:
    world, name = door.world, "acme/declared"
    world.create(name)
    world.observe("o0", "The lamp stands in the hall.", namespace=name, metadata={"room": "hall"})
    world.settle()
    with world.host.fold_lock:
        at = world.change("n1", fields=FIELDS, namespace=name)
        room = episodic_pb2.MetadataFilter(field="room", equals=MetadataValue(text="hall"))
        wanted = episodic_pb2.RecallFilter(metadata=[room])
        asked: dict[str, Any] = {"namespace": name, "filter": wanted}
        assert door.refused(E + "List", episodic_pb2.ListRequest(**asked)).reason == "UNDECLARED_METADATA"
        asked["freshness"] = Freshness(at_least=Positions(positions=[at]))
        late = door.refused(E + "List", episodic_pb2.ListRequest(**asked), timeout_s=0.3)
        assert late.reason == "NOT_FRESH"
    listed = door.call(E + "List", episodic_pb2.ListRequest(**asked), episodic_pb2.ListResponse)
    timeline = door.call(E + "Timeline", episodic_pb2.TimelineRequest(**asked), episodic_pb2.TimelineResponse)
    recalled = door.call(
        E + "Recall", episodic_pb2.RecallRequest(query="the lamp", **asked), episodic_pb2.RecallResponse
    )
    texts = [each.text for each in (*listed.engrams, *timeline.engrams, *(item.engram for item in recalled.items))]
    assert texts == ["The lamp stands in the hall."] * 3
