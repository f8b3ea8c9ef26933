"""The door's certificate: read at the start, and again where its files have changed when a client connects."""

from __future__ import annotations

import logging
import os
import ssl
import threading
from pathlib import Path
from typing import Any

import grpc

from services.gateway.config import GatewayConfig
from services.gateway.errors import StartError

_log = logging.getLogger(__name__)


def server_credentials(config: GatewayConfig) -> Any:
    """Server credentials, or None for plaintext. StartError names the setting that cannot be used."""
    if not config.tls_cert_file:
        return None
    certificate = _Certificate(config)
    return grpc.dynamic_ssl_server_credentials(certificate.read(), certificate.renewed)


class _Certificate:
    """Certificate and key of the configured files. Thread-safe: gRPC asks from threads of its own."""

    def __init__(self, config: GatewayConfig) -> None:
        self._files = {setting: getattr(config, setting) for setting in ("tls_key_file", "tls_cert_file")}
        self._lock = threading.Lock()
        self._stamp: tuple[tuple[int, int], ...] = ()

    def read(self) -> Any:
        """What the files hold now. StartError."""
        with self._lock:
            self._stamp = self._now()
            return self._load()

    def renewed(self) -> Any:
        """What the files hold, where they have changed and can be used; None: go on with what there was."""
        with self._lock:
            now = self._now()
            if now == self._stamp:
                return None
            self._stamp = now  # looked at once: a renewal in two steps changes it again
            try:
                loaded = self._load()
            except StartError:
                _log.warning("the renewed certificate cannot be used; the one before stays", exc_info=True)
                return None
            _log.info("the certificate was renewed")
            return loaded

    def _now(self) -> tuple[tuple[int, int], ...]:
        return tuple(_changed_at(path) for path in self._files.values())

    def _load(self) -> Any:
        key, chain = (_read(setting, path) for setting, path in self._files.items())
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
                self._files["tls_cert_file"], self._files["tls_key_file"], password=_no_password
            )
        except (ssl.SSLError, OSError) as error:
            reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
            raise StartError(
                f"gateway.tls_cert_file, gateway.tls_key_file: no usable certificate and key ({reason}). "
                "Name PEM files that belong together; the key must not ask for a password."
            ) from error
        return grpc.ssl_server_certificate_configuration([(key, chain)])


def _no_password() -> str:
    """OpenSSL would ask at the terminal."""
    return ""


def _read(setting: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise StartError(
            f"gateway.{setting}: {path} cannot be read ({error.strerror}). Name a PEM file that this user can read."
        ) from error


def _changed_at(path: str) -> tuple[int, int]:
    """Time and inode of a file; zeros where it is not there, as in the midst of a renewal."""
    try:
        found = os.stat(path)
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_ino
