"""One token's flood of one kind, in a process of its own, until its input ends. `python -m benchmarks.flood` starts it.

Its first line of input is a ``Target``, as JSON. It says "begun" when its threads call, and at the end what became of
its calls. Messages are bytes that were made before: what the flood costs is the service's, as far as that can be.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import count, cycle

import grpc
from mneme.v1 import common_pb2, episodic_pb2, perception_pb2, reasoning_pb2

from benchmarks.ingest import texts
from services.common.serving.errors import from_rpc_error

LONG_BYTES = 59_000
LONG_TEXTS = 20  # in the namespace that is read
THREADS = 64
_CHANNELS = 4  # one connection keeps to what one may have open
_DEADLINE_S = 20.0
_CANCELS_PER_S = 1500.0  # of all threads; more costs the client as much as the service
_STREAM = 32  # observations
_HALF_OPEN = 256
_NOBODY = "Zebedee Quillfeather"  # whom no text names

_E, _P, _R = "mneme.v1.EpisodicService/", "mneme.v1.PerceptionService/", "mneme.v1.ReasoningService/"

Work = Callable[[], object]  # one call; what it raises of gRPC's and of the system's is its outcome


@dataclass(frozen=True, slots=True)
class Target:
    """What is flooded, as whom. ``reads`` holds ``LONG_TEXTS`` texts of ``LONG_BYTES``; ``writes`` is written to."""

    kind: str
    host: str
    port: int
    metrics_port: int
    token: str
    reads: str
    writes: str
    seconds: float  # at most


@dataclass(frozen=True, slots=True)
class Flooded:
    """How it went. ``cpu``: cores that the flood's own process used."""

    seconds: float
    cpu: float
    outcomes: dict[str, int]


def long_texts(many: int) -> list[str]:
    """Each of ``LONG_BYTES``, none like another."""
    some, each = texts(4000), LONG_BYTES // 100
    joined = [f"{n}. " + " ".join(some[n * 40 % 3000 :][:each]) for n in range(many)]
    return [text.encode()[:LONG_BYTES].decode(errors="ignore") for text in joined]


# --- the kinds --------------------------------------------------------------------------------------------------------


class Calls:
    """Makes the work of a kind, on one connection."""

    def __init__(self, target: Target, channel: grpc.Channel, numbers: Iterator[int]) -> None:
        self._target = target
        self._channel = channel
        self._numbers = numbers  # of all connections, for ids
        self._bearer = (("authorization", f"Bearer {target.token}"),)

    def recall_beyond(self) -> Work:
        ahead = common_pb2.Positions(positions=[common_pb2.Position(partition=0, offset=1 << 40)])
        return self._recall("What did the Mayor say?", freshness=common_pb2.Freshness(at_least=ahead))

    def recall_strong(self) -> Work:
        return self._recall("What did the Mayor say?", freshness=common_pb2.Freshness(strong=True))

    def recall_short(self) -> Work:
        return self._recall("What did the Mayor say about the ball?")

    def recall_long(self) -> Work:
        return self._recall(*long_texts(8))

    def remember(self) -> Work:
        some = [episodic_pb2.RememberRequest(namespace=self._target.writes, text=text) for text in long_texts(8)]
        parts = cycle([each.SerializeToString() for each in some])
        call = self._unary(_E + "Remember")
        return lambda: call(next(parts) + episodic_pb2.RememberRequest(id=self._id()).SerializeToString())

    def observe(self) -> Work:
        some = []
        for n, text in enumerate(long_texts(8)):
            one = common_pb2.Observation(namespace=self._target.writes, session=f"s{n}", text=text)
            one.observed_at.FromSeconds(1_780_000_000)
            some.append(perception_pb2.ObserveRequest(observation=one).SerializeToString())
        parts = cycle(some)
        call = self._channel.stream_unary(f"/{_P}Observe")

        def numbered() -> bytes:
            # Fields of a message that come later in its bytes are merged into it.
            id = common_pb2.Observation(id=self._id())
            return next(parts) + perception_pb2.ObserveRequest(observation=id).SerializeToString()

        return lambda: call((numbered() for _ in range(_STREAM)), metadata=self._bearer, timeout=_DEADLINE_S)

    def ask(self) -> Work:
        question = "What did the Mayor say about the ball?"
        wording = reasoning_pb2.WordingOptions()
        request = reasoning_pb2.AskRequest(namespace=self._target.reads, question=question, wording=wording)
        return self._streamed(_R + "Ask", request.SerializeToString())

    def generate(self) -> Work:
        text = " ".join(texts(60))  # some 3,000 tokens
        request = reasoning_pb2.GenerateRequest(namespace=self._target.reads, text=text, max_tokens=128, samples=4)
        return self._streamed(_R + "Generate", request.SerializeToString())

    def forget(self) -> Work:
        person = episodic_pb2.Person(name=_NOBODY)
        request = episodic_pb2.ForgetRequest(
            namespace=self._target.reads, selector=episodic_pb2.ForgetSelector(person=person)
        )
        part, call = request.SerializeToString(), self._unary(_E + "Forget")
        return lambda: call(part + episodic_pb2.ForgetRequest(id=self._id()).SerializeToString())

    def list_(self) -> Work:
        request = episodic_pb2.ListRequest(namespace=self._target.reads, page_size=1000)
        return self._same(_E + "List", request.SerializeToString())

    def timeline(self) -> Work:
        request = episodic_pb2.TimelineRequest(namespace=self._target.reads, page_size=1000)
        return self._same(_E + "Timeline", request.SerializeToString())

    def cancel(self) -> Work:
        request = episodic_pb2.RecallRequest(namespace=self._target.reads, query="What did the Mayor say?")
        call, sent = self._channel.unary_unary(f"/{_E}Recall"), request.SerializeToString()

        def work() -> None:
            begun = call.future(sent, metadata=self._bearer, timeout=_DEADLINE_S)
            begun.cancel()
            time.sleep(THREADS / _CANCELS_PER_S)
            begun.result()

        return work

    def wrong_tokens(self) -> Work:
        self._bearer = (("authorization", f"Bearer {self._target.token[:-4]}AAAA"),)
        return self.recall_short()

    def wrong_fields(self) -> Work:
        return self._recall("")

    def _recall(self, *queries: str, freshness: common_pb2.Freshness | None = None) -> Work:
        requests = cycle([
            episodic_pb2.RecallRequest(
                namespace=self._target.reads, query=query, freshness=freshness
            ).SerializeToString()
            for query in queries
        ])  # fmt: skip
        call = self._unary(_E + "Recall")
        return lambda: call(next(requests))

    def _same(self, method: str, request: bytes) -> Work:
        call = self._unary(method)
        return lambda: call(request)

    def _unary(self, method: str) -> Callable[[bytes], object]:
        call = self._channel.unary_unary(f"/{method}")
        return lambda request: call(request, metadata=self._bearer, timeout=_DEADLINE_S)

    def _streamed(self, method: str, request: bytes) -> Work:
        call = self._channel.unary_stream(f"/{method}")

        def work() -> None:
            for _ in call(request, metadata=self._bearer, timeout=_DEADLINE_S):
                pass

        return work

    def _id(self) -> str:
        return f"{self._target.kind}{next(self._numbers)}"


class Connections:
    """Makes the work of a kind that speaks to the metrics port."""

    def __init__(self, target: Target) -> None:
        self._address = target.host, target.metrics_port
        self._open: list[socket.socket] = []

    def half_open(self) -> Work:
        """Each thread holds its part of the connections open, and opens those anew that are closed."""
        mine: list[socket.socket] = []

        def work() -> None:
            if len(mine) == _HALF_OPEN // THREADS:
                with mine.pop(0) as oldest:
                    oldest.settimeout(1.0)
                    oldest.recv(1)  # b"" once it is let go
            one = socket.create_connection(self._address, 5)
            mine.append(one)
            one.sendall(b"GET /metrics HTTP/1.0\r\n")

        return work

    def scrapes(self) -> Work:
        def work() -> None:
            with socket.create_connection(self._address, _DEADLINE_S) as one:
                one.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
                while one.recv(1 << 16):
                    pass

        return work


OF_CALLS: dict[str, Callable[[Calls], Work]] = {
    "recall": Calls.recall_short,
    "fresh": Calls.recall_beyond,
    "strong": Calls.recall_strong,
    "long": Calls.recall_long,
    "remember": Calls.remember,
    "observe": Calls.observe,
    "ask": Calls.ask,
    "generate": Calls.generate,
    "forget": Calls.forget,
    "list": Calls.list_,
    "timeline": Calls.timeline,
    "cancel": Calls.cancel,
    "tokens": Calls.wrong_tokens,
    "fields": Calls.wrong_fields,
}
OF_CONNECTIONS: dict[str, Callable[[Connections], Work]] = {
    "half-open": Connections.half_open,
    "scrapes": Connections.scrapes,
}
KINDS = (*OF_CALLS, *OF_CONNECTIONS)


# --- the flood --------------------------------------------------------------------------------------------------------


class Flood:
    """Threads that each do a piece of work again as soon as it has ended, until told to stop."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self._counting = threading.Lock()
        self._ended = threading.Event()

    def start(self, works: list[Work]) -> None:
        for work in works:
            threading.Thread(target=self._again, args=(work,), daemon=True).start()

    def end(self) -> None:
        self._ended.set()

    def _again(self, work: Work) -> None:
        while not self._ended.is_set():
            outcome = "OK"
            try:
                work()
            except grpc.RpcError as error:
                outcome = from_rpc_error(error).reason
                outcome = error.code().name if outcome == "INTERNAL" else outcome
            except grpc.FutureCancelledError:
                outcome = "CANCELLED"
            except OSError as error:
                outcome = type(error).__name__
            if not self._ended.is_set():
                with self._counting:
                    self.outcomes[outcome] += 1


def main() -> None:
    target = Target(**json.loads(sys.stdin.readline()))
    flood = Flood()
    works = list(_works(target))
    began, used = time.monotonic(), time.process_time()
    flood.start(works)
    print("begun", flush=True)
    _await_end(target.seconds)
    flood.end()
    seconds, used = time.monotonic() - began, time.process_time() - used
    print(json.dumps(asdict(Flooded(seconds, used / seconds, dict(flood.outcomes)))), flush=True)
    os._exit(0)  # whatever is under way ends with its connections


def _works(target: Target) -> Iterator[Work]:
    """One for each thread."""
    if target.kind in OF_CONNECTIONS:
        connections = Connections(target)
        yield from (OF_CONNECTIONS[target.kind](connections) for _ in range(THREADS))
        return
    numbers = count()
    for _ in range(_CHANNELS):
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", 1 << 26)]
        calls = Calls(target, grpc.insecure_channel(f"{target.host}:{target.port}", options=options), numbers)
        yield from (OF_CALLS[target.kind](calls) for _ in range(THREADS // _CHANNELS))


def _await_end(seconds: float) -> None:
    """Of the input, or of so many seconds."""
    ended = threading.Event()

    def wait() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    ended.wait(seconds)


if __name__ == "__main__":
    main()
