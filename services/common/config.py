"""Configuration: one frozen model a service, defaults in the commented ``defaults.yaml`` beside it.

Layers, later ones win: the shipped defaults, one user file, the environment (``MNEME__SECTION__FIELD``, in a group
``MNEME__SECTION__GROUP__FIELD``; values read as YAML). An unknown section or key stops the start and names its path.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from services.common.log.kafka.security import KafkaSecurity
from services.common.serving.shards import fitting

SECTIONS = ("common", "gateway", "perception", "episodic", "reasoning", "kvstore")
_PREFIX = "MNEME__"

_NOT_YAML = (yaml.YAMLError, ValueError)  # ValueError: a date or a number that is none

M = TypeVar("M", bound=BaseModel)


class ConfigError(Exception):
    """A setting is unknown or wrong. The message names its path, its layer and the remedy."""


class Inbox(BaseModel):
    """A topic that products write to, and the namespaces it may write."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    topic: str = Field(min_length=1)
    prefix: str
    principal: str = Field(min_length=1)


class CommonConfig(BaseModel):
    """Section ``common``; see defaults.yaml for what each field means."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data_dir: Path
    log: str = Field(pattern=r"^(sqlite|kafka://.+)$")
    kafka: KafkaSecurity
    partitions: int = Field(ge=1, le=1024)
    inboxes: tuple[Inbox, ...]
    inbox_retention_s: int = Field(ge=60)
    dead_letter_retention_s: int = Field(ge=60)
    audit_retention_s: int = Field(ge=60)
    master_key_file: str
    otlp_endpoint: str
    trace_files: bool
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"]
    torch_threads: int = Field(ge=1)
    fast_handles: bool

    @property
    def log_url(self) -> str:
        return f"sqlite://{self.data_dir.absolute()}/log.db" if self.log == "sqlite" else self.log

    @property
    def master_key_path(self) -> Path:
        return Path(self.master_key_file) if self.master_key_file else self.data_dir / "master.key"

    @property
    def token_path(self) -> Path:
        """Where embedded mode leaves the operator's token (0600)."""
        return self.data_dir / "token"

    @property
    def trace_dir(self) -> Path | None:
        return self.data_dir / "traces" if self.trace_files else None

    @property
    def log_dir(self) -> Path:
        return self.data_dir / "logs"


@dataclass(frozen=True, slots=True)
class Settings:
    """All sections, merged. ``section`` validates one against its service's model."""

    common: CommonConfig
    layers: Mapping[str, Mapping[str, Any]]

    def section(self, name: str, model: type[M]) -> M:
        return _validate(name, self.layers[name], model)

    @property
    def shards(self) -> int:
        """Of episodic, as configured. ConfigError where they cannot hold as many partitions each."""
        count, partitions = self.layers["episodic"]["shards"], self.common.partitions
        if count not in (may_be := fitting(partitions)):
            raise ConfigError(
                f"episodic.shards: {count!r} shards cannot share common.partitions ({partitions}) evenly. "
                f"Set one of {', '.join(map(str, may_be))}."
            )
        return int(count)

    @property
    def keeps_kv(self) -> bool:
        """Whether a KV store is started: its section, once validated, has a replica."""
        return int(self.layers["kvstore"]["replicas"]) > 0


def load(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from the defaults, the file at ``path`` and the environment. ConfigError."""
    merged = {name: _defaults(name) for name in SECTIONS}
    for section, values in _file_layer(path).items():
        _overlay(merged, section, values, f"file {path}")
    for section, values in _environment_layer(os.environ if environ is None else environ).items():
        _overlay(merged, section, values, "environment")
    return Settings(_validate("common", merged["common"], CommonConfig), merged)


def _defaults(section: str) -> dict[str, Any]:
    text = resources.files(f"services.{section}").joinpath("defaults.yaml").read_text()
    return yaml.safe_load(text) or {}


def _file_layer(path: Path | None) -> dict[str, dict[str, Any]]:
    if path is None:
        return {}
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--config {path}: cannot be read ({error.strerror}). Name a readable file.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"--config {path}: not UTF-8 ({error}). Save it as UTF-8.") from error
    try:
        content = yaml.safe_load(text) or {}
    except _NOT_YAML as error:
        raise ConfigError(f"--config {path}: not YAML ({' '.join(str(error).split())}). Correct it there.") from error
    if not isinstance(content, dict):
        raise ConfigError(f"--config {path}: must hold sections ({', '.join(SECTIONS)}).")
    return content


def _environment_layer(environ: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    layer: dict[str, dict[str, Any]] = {}
    for variable, value in environ.items():
        if variable.startswith(_PREFIX):
            section, *path = variable.removeprefix(_PREFIX).lower().split("__")
            into: Any = layer.setdefault(section, {})
            for group in path[:-1]:
                into = into.setdefault(group, {})
                if not isinstance(into, dict):
                    raise ConfigError(f"{variable}: {group} is set as a whole by another variable. Keep one of them.")
            into["".join(path[-1:])] = _value(variable, value)
    return layer


def _value(variable: str, text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except _NOT_YAML:  # its own words may show the value, which may be a secret
        raise ConfigError(f"{variable}: the value is not YAML. Put it in quotes: '\"...\"'.") from None


def _overlay(merged: dict[str, dict[str, Any]], section: str, values: Any, layer: str) -> None:
    if section not in merged:
        raise ConfigError(f"{section}: no such section ({layer}). {_suggest(section, SECTIONS)}")
    if not isinstance(values, dict):
        raise ConfigError(f"{section}: must be a mapping ({layer}).")
    _overlay_keys(merged[section], values, section, layer)


def _overlay_keys(known: dict[str, Any], values: dict[Any, Any], path: str, layer: str) -> None:
    """Settings over their defaults; those of a group (a mapping) one by one, so that one can be changed alone."""
    for key, value in values.items():
        if key not in known:
            raise ConfigError(f"{path}.{key}: no such setting ({layer}). {_suggest(key, known)}")
        if isinstance(known[key], dict):
            if not isinstance(value, dict):
                raise ConfigError(f"{path}.{key}: must be a mapping ({layer}).")
            _overlay_keys(known[key], value, f"{path}.{key}", layer)
        else:
            known[key] = value


def _suggest(word: str, known: Any) -> str:
    close = difflib.get_close_matches(str(word), list(known), n=1)
    return f"Did you mean {close[0]}?" if close else f"Known: {', '.join(sorted(known))}."


def _validate(section: str, values: Mapping[str, Any], model: type[M]) -> M:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError("; ".join(_problem(section, each) for each in error.errors())) from error


def _problem(section: str, error: ErrorDetails) -> str:
    path = ".".join([section, *map(str, error["loc"])])
    message = error["msg"].removeprefix("Value error, ")
    if isinstance(error["input"], Mapping):  # of settings together: the message names them, the mapping holds all
        return f"{path}: {message}"
    return f"{path}: {message}, not {error['input']!r}"
