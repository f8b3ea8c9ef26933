"""Episodic on a real Milvus server: told, asked, rebuilt, erased, restarted; and a server that is not there."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import grpc
import pytest
from mneme.v1.episodic_pb2 import ForgetSelector, Ids
from pymilvus.grpc_gen import common_pb2, milvus_pb2, milvus_pb2_grpc

from services.common.models.embed import Embedder
from services.common.serving.errors import MnemeError
from services.episodic.plugins.base import Filter
from services.episodic.search.index import IndexTooOld, IndexUnavailable
from services.episodic.search.opening import waited_for
from tests.episodic.conftest import embedder
from tests.episodic.world import World
from tests.milvus import MilvusServer

__all__ = ["embedder"]


OTHER = "acme/other"
SECRET = "Anna hid the emerald under the piano."
QUESTION = "Who hid the emerald?"


@pytest.fixture
def world(milvus_server: MilvusServer, tmp_path: Path, embedder: Embedder) -> Iterator[World]:
    world = World(tmp_path, embedder)
    world.index_uri, world.searches_vectors = milvus_server.fresh(), True
    world.open()
    world.create()
    yield world
    world.close()


def tell(world: World) -> None:
    for n in range(30):
        world.observe(f"o{n}", f"Lantern {n} was lit at dusk.", f"s{n // 6}", actor="Ann" if n % 2 else "Ben")
    world.observe("x", SECRET, "s4")
    world.close_episode([f"o{n}" for n in range(6)], "s0")
    world.settle()


def stages(world: World, text: str, wanted: Filter) -> dict[str, set[str]]:
    """What found each text."""
    recalled = world.recall(text, limit=8, wanted=wanted)
    return {item.record.text: {stage for stage, *_ in item.trace} for item in recalled.items}


def answer_again(world: World, within_s: float = 60.0) -> None:
    """A server that has just started takes writes some seconds before it answers searches again."""
    until = time.monotonic() + within_s
    while True:
        try:
            world.recall(QUESTION)
            return
        except MnemeError:
            assert time.monotonic() < until
            time.sleep(0.1)


def test_a_rebuild_a_restart_and_an_erasure(world: World, tmp_path: Path) -> None:
    world.create(OTHER)
    world.observe("y", SECRET, namespace=OTHER)
    tell(world)
    state = world.hash()
    for again in (lambda: None, world.rebuild, world.restart):
        again()
        assert world.hash() == state
        assert "dense" in stages(world, QUESTION, Filter())[SECRET]
        assert set(stages(world, "lanterns at dusk", Filter(actor="Ben", kinds=("turn",)))) <= {
            f"Lantern {n} was lit at dusk." for n in range(0, 30, 2)
        }
    receipt = world.forget(ForgetSelector(ids=Ids(ids=[world.base("x")])))
    [index] = [store for store in receipt.receipt.stores if store.store == "index"]
    assert (index.done, "until it compacts" in index.detail) == (False, True)
    left = world.hash()
    for again in (lambda: None, world.rebuild, world.restart):
        again()
        assert world.hash() == left != state
        assert SECRET not in world.texts(world.recall(QUESTION))
        assert world.texts(world.recall(QUESTION, OTHER)) == [SECRET]

    world.index_uri, world.searches_vectors = str(tmp_path / "index"), False
    world.restart()
    assert world.hash() == left, "the same engrams, whichever Milvus holds them"


def test_a_server_that_goes_and_comes_back(
    world: World, milvus_server: MilvusServer, caplog: pytest.LogCaptureFixture
) -> None:
    tell(world)
    caplog.set_level(logging.WARNING)
    milvus_server.stop()
    try:
        with pytest.raises(MnemeError, match="index does not answer"):
            world.recall(QUESTION)
        world.observe("late", "The baker sold a violet bicycle.")
        until = time.monotonic() + 20
        while not (said := [getattr(r, "error", "") for r in caplog.records if "a store is away" in r.message]):
            assert time.monotonic() < until
            time.sleep(0.05)
        assert f"episodic.index_uri: {milvus_server.uri} does not answer" in said[0]
        assert "Start the server" in said[0]
        world.host.check()
    finally:
        milvus_server.start()
    world.settle(60)
    answer_again(world)
    assert "dense" in stages(world, "Who sold a bicycle?", Filter())["The baker sold a violet bicycle."]
    assert SECRET in world.texts(world.recall(QUESTION))


def test_a_server_that_freezes_is_away_and_nothing_dies_of_it(world: World, milvus_server: MilvusServer) -> None:
    tell(world)
    world.index_timeout_s = 1.0
    world.restart()
    assert world.recall(QUESTION).items  # which loads the namespace
    milvus_server.freeze()
    try:
        with pytest.raises(MnemeError, match="index does not answer"):
            world.recall(QUESTION)
        world.observe("late", "The baker sold a violet bicycle.")
        time.sleep(2.5)  # the writer has met it
        world.host.check()
    finally:
        milvus_server.thaw()
    world.settle(60)
    answer_again(world)
    assert "The baker sold a violet bicycle." in world.texts(world.recall("Who sold a bicycle?"))


def test_a_server_that_is_away_at_the_start_is_waited_for(milvus_server: MilvusServer) -> None:
    milvus_server.stop()
    message = f"episodic.index_uri: {milvus_server.uri} does not answer .* Start the server"
    with pytest.raises(IndexUnavailable, match=message):
        waited_for(milvus_server.uri, wait_s=0.0)
    starting = threading.Timer(1.0, milvus_server.start)
    starting.start()
    index = waited_for(milvus_server.uri, wait_s=60.0)
    assert index.generations() is not None
    index.close()
    starting.join()


class _Of(milvus_pb2_grpc.MilvusServiceServicer):  # type: ignore[misc]
    """Says which version it is: servers before 2.3 cannot be had as a package that runs here."""

    def __init__(self, version: str) -> None:
        self._version = version

    def Connect(self, request: object, context: object) -> object:
        info = common_pb2.ServerInfo(build_tags=self._version)
        return milvus_pb2.ConnectResponse(status=common_pb2.Status(), server_info=info, identifier=1)

    def GetVersion(self, request: object, context: object) -> object:
        return milvus_pb2.GetVersionResponse(status=common_pb2.Status(), version=self._version)


@pytest.mark.parametrize(
    ("version", "is_too_old"),
    [("v2.2.16", True), ("1.1.0", True), ("v2.3.0", False), ("v2.10.1", False), ("a3f5", False)],
)
def test_a_server_that_is_too_old_is_refused_at_once(version: str, is_too_old: bool) -> None:
    server = grpc.server(futures.ThreadPoolExecutor(2))
    port = server.add_insecure_port("127.0.0.1:0")
    milvus_pb2_grpc.add_MilvusServiceServicer_to_server(_Of(version), server)
    server.start()
    uri = f"http://127.0.0.1:{port}"
    try:
        if is_too_old:
            message = f"episodic.index_uri: {uri} runs Milvus {version}; Mneme needs 2.3 or newer. Upgrade the server"
            with pytest.raises(IndexTooOld, match=message):
                waited_for(uri)
        else:
            waited_for(uri).close()
    finally:
        server.stop(None)
