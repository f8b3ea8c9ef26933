"""Start, stop, health, reflection, TLS: what an operator meets."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.wrappers_pb2 import Int64Value, StringValue
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from pydantic import ValidationError

from services.gateway.backend import LocalBackend
from services.gateway.errors import StartError, unavailable
from services.gateway.health import Health
from tests.gateway.probe import METHODS, Gateway, assert_fails, bearer, config, gateway, stream, unary
from tests.tls import self_signed
from tests.waiting import until

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture(scope="module")
def door() -> Iterator[Gateway]:
    with gateway(health_period_s=0.05, health_timeout_s=0.2) as running:
        yield running


def health(door: Gateway, service: str = "") -> int:
    stub = health_pb2_grpc.HealthStub(door.channel())
    status: int = stub.Check(health_pb2.HealthCheckRequest(service=service)).status
    return status


@pytest.mark.parametrize("service", ["", "probe", "mneme.test.Probe"])
def test_health_follows_what_the_application_answers_and_needs_no_token(door: Gateway, service: str) -> None:
    until(lambda: health(door, service) == SERVING)
    door.probe.answers = False
    until(lambda: health(door, service) == NOT_SERVING)
    door.probe.answers = True
    until(lambda: health(door, service) == SERVING)


def test_an_application_that_begins_to_answer_is_serving_soon() -> None:
    class Late(LocalBackend):
        answers = False

        async def ping(self, app: str) -> None:
            if not self.answers:
                raise unavailable(app)

    async def started() -> None:
        late = Late({})
        health = Health({"probe": late}, METHODS, config(health_period_s=60.0))
        await health.prepare()
        watching = asyncio.create_task(health.watch())
        await asyncio.sleep(0.05)
        late.answers = True
        async with asyncio.timeout(2):
            while health_pb2.HealthCheckResponse.FromString(await health.check(b"", None)).status != SERVING:
                await asyncio.sleep(0.02)
        watching.cancel()

    asyncio.run(started())


def test_health_knows_no_other_service(door: Gateway) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        health(door, "no.such.Service")
    assert refused.value.code() == grpc.StatusCode.NOT_FOUND


def test_health_of_bytes_that_are_no_request_is_typed(door: Gateway) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        door.channel().unary_unary("/grpc.health.v1.Health/Check")(b"\xff")
    assert_fails(refused, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")


def test_following_health_needs_a_token_and_tells_each_change(door: Gateway) -> None:
    until(lambda: health(door) == SERVING)
    stub = health_pb2_grpc.HealthStub(door.channel())
    with pytest.raises(grpc.RpcError) as refused:
        next(stub.Watch(health_pb2.HealthCheckRequest()))
    assert_fails(refused, grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")
    watch = stub.Watch(health_pb2.HealthCheckRequest(), metadata=bearer(), timeout=10)
    assert next(watch).status == SERVING
    door.probe.answers = False
    assert next(watch).status == NOT_SERVING
    door.probe.answers = True
    assert next(watch).status == SERVING
    watch.cancel()


def reflect(door: Gateway, path: str, metadata: tuple[tuple[str, str], ...], **request: str) -> object:
    call = door.channel().stream_stream(
        path,
        reflection_pb2.ServerReflectionRequest.SerializeToString,
        reflection_pb2.ServerReflectionResponse.FromString,
    )
    return next(call(iter([reflection_pb2.ServerReflectionRequest(**request)]), metadata=metadata, timeout=5))


REFLECTION = ["/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"]
REFLECTION += ["/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"]


@pytest.mark.parametrize("path", REFLECTION)
def test_reflection_lists_and_describes_what_is_served_to_whoever_has_a_token(door: Gateway, path: str) -> None:
    listed = reflect(door, path, bearer(), list_services="")
    names = {s.name for s in listed.list_services_response.service}  # type: ignore[attr-defined]
    assert {"mneme.test.Probe", "mneme.v1.AdminService", "grpc.health.v1.Health"} <= names
    described = reflect(door, path, bearer(), file_containing_symbol="mneme.v1.EpisodicService")
    files = described.file_descriptor_response.file_descriptor_proto  # type: ignore[attr-defined]
    services = [s.name for raw in files for s in FileDescriptorProto.FromString(raw).service]
    assert "EpisodicService" in services
    with pytest.raises(grpc.RpcError) as refused:
        reflect(door, path, (), list_services="")
    assert_fails(refused, grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")


@pytest.mark.parametrize(
    "symbol",
    ["mneme.v1.EpisodicService.Recall", "mneme.v1.EpisodicService/Recall", "mneme.v1.RecallRequest.query"],
)
def test_reflection_describes_methods_and_fields(door: Gateway, symbol: str) -> None:
    described = reflect(door, REFLECTION[0], bearer(), file_containing_symbol=symbol)
    files = described.file_descriptor_response.file_descriptor_proto  # type: ignore[attr-defined]
    assert any(FileDescriptorProto.FromString(raw).name.startswith("mneme/v1/episodic") for raw in files)


def test_reflection_knows_no_other_methods(door: Gateway) -> None:
    described = reflect(door, REFLECTION[0], bearer(), file_containing_symbol="mneme.v1.EpisodicService.Nothing")
    assert described.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]  # type: ignore[attr-defined]


def test_reflection_speaks_the_generated_stub(door: Gateway) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(door.channel())
    request = reflection_pb2.ServerReflectionRequest(file_by_filename="mneme/v1/recall_that_is_not_there.proto")
    answer = next(stub.ServerReflectionInfo(iter([request]), metadata=bearer(), timeout=5))
    assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


def test_a_port_in_use_stops_the_start_and_names_the_setting() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with (
            pytest.raises(StartError, match=r"^gateway\.port: .*set gateway\.port to a free"),
            gateway(port=taken.getsockname()[1]),
        ):
            pass


def test_two_gateways_do_not_share_a_port_unless_told_to(door: Gateway) -> None:
    with pytest.raises(StartError, match=r"^gateway\.port"), gateway(port=door.port):
        pass
    with gateway(reuse_port=True) as first, gateway(reuse_port=True, port=first.port) as second:
        assert second.port == first.port


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return self_signed(tmp_path_factory.mktemp("tls"))


def test_with_a_certificate_the_port_speaks_tls_and_nothing_else(certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    with gateway(tls_cert_file=str(cert), tls_key_file=str(key)) as door:
        trusting = grpc.ssl_channel_credentials(cert.read_bytes())
        with grpc.secure_channel(f"127.0.0.1:{door.port}", trusting) as channel:
            assert unary(channel, "Echo")(StringValue(value="x"), metadata=bearer(), timeout=5).value == "ann:x"
        with pytest.raises(grpc.RpcError) as refused:
            unary(door.channel(), "Echo")(StringValue(value="x"), metadata=bearer(), timeout=5)
        assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
        served = ssl.get_server_certificate(("127.0.0.1", door.port))
        assert served.strip() == cert.read_text().strip()


def test_a_certificate_that_is_renewed_is_served_to_those_who_connect_next(tmp_path: Path) -> None:
    cert, key = self_signed(tmp_path)
    first = cert.read_text()

    def served(door: Gateway) -> str:
        return ssl.get_server_certificate(("127.0.0.1", door.port)).strip()

    with gateway(tls_cert_file=str(cert), tls_key_file=str(key)) as door:
        trusting = grpc.ssl_channel_credentials(cert.read_bytes())
        with grpc.secure_channel(f"127.0.0.1:{door.port}", trusting) as channel:
            echo = unary(channel, "Echo")
            assert echo(StringValue(value="x"), metadata=bearer(), timeout=5).value == "ann:x"
            cert.write_text("half of a new one")
            assert served(door) == first.strip(), "what cannot be used is not"
            self_signed(tmp_path)
            assert served(door) == cert.read_text().strip() != first.strip()
            assert echo(StringValue(value="x"), metadata=bearer(), timeout=5).value == "ann:x", "connected before"
        renewed = grpc.ssl_channel_credentials(cert.read_bytes())
        with grpc.secure_channel(f"127.0.0.1:{door.port}", renewed) as channel:
            assert unary(channel, "Echo")(StringValue(value="x"), metadata=bearer(), timeout=5).value == "ann:x"


def test_a_certificate_that_cannot_be_used_stops_the_start_and_names_the_setting(
    certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    cert, key = (str(p) for p in certificate)
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("no certificate")
    cases = {
        r"^gateway\.tls_cert_file: .*cannot be read": (str(tmp_path / "missing.pem"), key),
        r"^gateway\.tls_key_file: .*cannot be read": (cert, str(tmp_path / "missing.pem")),
        r"^gateway\.tls_cert_file, gateway\.tls_key_file: no usable": (str(garbage), key),
    }
    for message, (cert_file, key_file) in cases.items():
        with pytest.raises(StartError, match=message), gateway(tls_cert_file=cert_file, tls_key_file=key_file):
            pass
    with pytest.raises(ValidationError, match="name both, or neither"):
        config(tls_cert_file=cert)


def test_stopping_lets_running_calls_end_and_takes_no_new_ones() -> None:
    with gateway(stop_grace_s=5) as door:
        channel = door.channel()
        sleep = unary(channel, "Sleep")
        running = sleep.future(StringValue(value="1"), metadata=bearer())
        watcher = stream(channel, "Tail")(StringValue(value="slow"), metadata=bearer())
        until(lambda: door.probe.running == 1)
        started = time.monotonic()
        stopping = threading.Thread(target=lambda: door.run(door.server.stop()))
        stopping.start()
        with pytest.raises(grpc.RpcError) as ended:
            list(watcher)
        assert_fails(ended, grpc.StatusCode.UNAVAILABLE, "SERVICE_UNAVAILABLE")
        with pytest.raises(grpc.RpcError) as refused:
            sleep(StringValue(value="0"), metadata=bearer(), timeout=0.4)
        assert refused.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
        assert running.result(5).value == "slept"
        stopping.join(5)
        assert time.monotonic() - started < 4, "stopped when the last call had ended, not when the grace had"


def test_stopping_cancels_what_outlives_the_grace() -> None:
    with gateway(stop_grace_s=0.3) as door:
        call = stream(door.channel(), "Count")(Int64Value(value=1_000_000), metadata=bearer())
        next(call)
        door.run(door.server.stop())
        until(lambda: door.probe.running == 0)


def pings_answered(door: Gateway, count: int) -> int:
    """How many of ``count`` pings, one after the other, are answered before the server says goodbye (RFC 9113)."""
    settings, ping, goaway, answer = 4, 6, 7, 1
    with socket.create_connection(("127.0.0.1", door.port), 10) as connection, connection.makefile("rb") as frames:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + struct.pack(">IBI", settings, 0, 0))
        for answered in range(count):
            connection.sendall(struct.pack(">IBI", 8 << 8 | ping, 0, 0) + bytes(8))
            kind, flags = None, 0
            while (kind, flags) != (ping, answer):
                length_and_kind, flags, _ = struct.unpack(">IBI", frames.read(9))
                kind = length_and_kind & 0xFF
                if kind == goaway:
                    return answered
                frames.read(length_and_kind >> 8)
    return count


def test_a_client_that_pings_to_measure_is_kept_and_one_that_floods_is_not(door: Gateway) -> None:
    assert pings_answered(door, 500) == 500
    assert pings_answered(door, 2000) < 2000


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ValidationError, match="prot"):
        config(prot=1)
