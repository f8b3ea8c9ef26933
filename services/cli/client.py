"""A gRPC client of the gateway, as a product would write it: one channel, a token, deadlines."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from mneme.v1.admin_service_pb2_grpc import AdminServiceStub
from mneme.v1.common_pb2 import Observation
from mneme.v1.episodic_service_pb2_grpc import EpisodicServiceStub
from mneme.v1.perception_pb2 import ObserveRequest, ObserveResponse
from mneme.v1.perception_service_pb2_grpc import PerceptionServiceStub
from mneme.v1.reasoning_service_pb2_grpc import ReasoningServiceStub

DEFAULT_TIMEOUT_S = 30.0
_TOKEN = re.compile(r"[!-~]+")  # what gRPC takes in metadata, less the space


@dataclass(frozen=True, slots=True)
class Client:
    """Stubs of every service on one channel. Pass ``metadata=client.metadata, timeout=...`` to each call."""

    channel: grpc.Channel
    metadata: Sequence[tuple[str, str]] = field(repr=False)  # holds the token

    @property
    def perception(self) -> PerceptionServiceStub:
        return PerceptionServiceStub(self.channel)

    @property
    def episodic(self) -> EpisodicServiceStub:
        return EpisodicServiceStub(self.channel)

    @property
    def reasoning(self) -> ReasoningServiceStub:
        return ReasoningServiceStub(self.channel)

    @property
    def admin(self) -> AdminServiceStub:
        return AdminServiceStub(self.channel)

    def observe(self, observations: Iterable[Observation], timeout_s: float = 300.0) -> ObserveResponse:
        requests = (ObserveRequest(observation=o) for o in observations)
        response: ObserveResponse = self.perception.Observe(requests, metadata=self.metadata, timeout=timeout_s)
        return response

    def pages(self, call: Callable[..., Any], first: Any) -> Iterator[Any]:
        """The pages of a list, in order. ``first``: the request for the first one, which then asks for the next."""
        while True:
            page = call(first, metadata=self.metadata, timeout=DEFAULT_TIMEOUT_S)
            yield page
            if not page.next_page_token:
                return
            first.page_token = page.next_page_token

    def close(self) -> None:
        self.channel.close()


def connect(address: str, token: str, ca_file: Path | None = None) -> Client:
    """A client of the gateway at ``address``; over TLS when a CA file is named."""
    options = [("grpc.max_receive_message_length", 16 * 1024 * 1024)]
    if ca_file is None:
        channel = grpc.insecure_channel(address, options=options)
    else:
        credentials = grpc.ssl_channel_credentials(ca_file.read_bytes())
        channel = grpc.secure_channel(address, credentials, options=options)
    return Client(channel, (("authorization", f"Bearer {token}"),))


class NoToken(Exception):
    """There is none, or what is there is none. The message names the place."""


def find_token(token_file: Path) -> str:
    """The token of MNEME_TOKEN, else of a file. NoToken."""
    given = os.environ.get("MNEME_TOKEN")
    place = "MNEME_TOKEN" if given else str(token_file)
    try:
        token = given or token_file.read_text("utf-8").strip()
    except OSError as error:
        raise NoToken(f"{place} cannot be read ({error.strerror})") from error
    except UnicodeDecodeError:
        token = ""
    if not _TOKEN.fullmatch(token):
        raise NoToken(f"{place} does not hold one: a line of ASCII")
    return token
