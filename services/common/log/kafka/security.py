"""How clients of a Kafka cluster prove who they are, and whom they trust. Secrets lie in files, never in settings."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from services.common.log.base import LogError

SETTING = "common.kafka"


class KafkaSecurity(BaseModel):
    """Group ``kafka`` of section ``common``; see services/common/defaults.yaml for what each field means."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = ""
    sasl_username: str = ""
    sasl_password_file: str = ""
    ssl_cafile: str = ""
    ssl_certfile: str = ""
    ssl_keyfile: str = ""

    @model_validator(mode="after")
    def _together(self) -> Self:
        """What one protocol needs is there, and nothing is that it would not use."""
        sasl = {name: getattr(self, name) for name in ("sasl_mechanism", "sasl_username", "sasl_password_file")}
        for name, value in sasl.items():
            if self.has_sasl and not value:
                raise ValueError(f"security_protocol {self.security_protocol} needs {name}")
            if value and not self.has_sasl:
                raise ValueError(f"{name} says nothing with security_protocol {self.security_protocol}")
        for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile"):
            if getattr(self, name) and not self.has_tls:
                raise ValueError(f"{name} says nothing with security_protocol {self.security_protocol}")
        if bool(self.ssl_certfile) != bool(self.ssl_keyfile):
            raise ValueError("ssl_certfile and ssl_keyfile go together")
        return self

    @property
    def has_sasl(self) -> bool:
        return self.security_protocol.startswith("SASL_")

    @property
    def has_tls(self) -> bool:
        return self.security_protocol.endswith("SSL")

    def tls(self) -> ssl.SSLContext:
        """As the clients make theirs. LogError, naming the setting, for a file that holds no certificate or key."""
        try:
            context = ssl.create_default_context(cafile=self.ssl_cafile or None)
            if self.ssl_certfile:
                context.load_cert_chain(self.ssl_certfile, self.ssl_keyfile)
        except (OSError, ssl.SSLError) as error:
            names = f"{SETTING}.ssl_cafile, {SETTING}.ssl_certfile, {SETTING}.ssl_keyfile"
            raise LogError(f"{names}: one cannot be used ({error}). Name PEM files.") from error
        return context

    def client(self) -> dict[str, Any]:
        """As kafka-python's clients take them. Holds the password. LogError, naming the setting, for a missing file."""
        settings: dict[str, Any] = {"security_protocol": self.security_protocol}
        for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile"):
            if path := getattr(self, name):
                _read(name, path)
                settings[name] = path
        if self.has_sasl:
            password = _read("sasl_password_file", self.sasl_password_file).rstrip("\r\n")
            if not password:
                raise LogError(
                    f"{SETTING}.sasl_password_file: {self.sasl_password_file} is empty. Put the password there."
                )
            settings |= {
                "sasl_mechanism": self.sasl_mechanism,
                "sasl_plain_username": self.sasl_username,
                "sasl_plain_password": password,
            }
        return settings


def _read(name: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise LogError(
            f"{SETTING}.{name}: {path} cannot be read ({why}). Name a file that this user can read."
        ) from error
