"""What an observation, a session end, a new namespace and its change must be.

Each refusal names the field and the remedy.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType

from mneme.v1.admin_pb2 import AliasGroup, MetadataField, MetadataType, Namespace, UpdateNamespaceRequest
from mneme.v1.common_pb2 import MetadataValue, Observation, ObservationKind

from services.common.ids import MAX_ID, MAX_NAME, MAX_NAMESPACE, is_namespace, is_one_line
from services.common.ledger.quota import is_given
from services.common.lineage import check_derived_from
from services.common.serving import clocks
from services.common.serving.errors import MnemeError, invalid
from services.common.text.extract import plain
from services.common.text.limits import check_text
from services.common.text.times import misdated

MAX_REFERENCE = 1_000  # characters of external_id and source
MAX_METADATA_FIELDS = 64
MAX_METADATA_TEXT_BYTES = 4_000
MAX_METADATA_BYTES = 16_000  # names and texts together: a text of 60,000 bytes and this fit one row of the index
MAX_FIELDS_OF_A_TYPE = 4
MAX_ALIAS_GROUPS = 1_000
MAX_ALIASES = 100
MAX_ALIASES_BYTES = 1024 * 1024  # all names together: they fit one entry of the ledger
_FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def check_observation(o: Observation, latest: datetime) -> None:
    """INVALID_FIELD or TEXT_SIZE unless everything but the metadata's types is right. ``latest``: the newest time
    that it may claim to have happened."""
    check_id("id", o.id, "Give every observation an id of its own.")
    check_namespace(o.namespace)
    check_id("session", o.session, "Name the conversation, document or camera it belongs to.")
    check_text(o.text)
    _check_actor(o.actor)
    _at_most("external_id", o.external_id, MAX_REFERENCE)
    _at_most("source", o.source, MAX_REFERENCE)
    _check_observed_at(o, latest)
    if o.kind not in ObservationKind.values():
        raise invalid("kind", "The kind is not one of ObservationKind.", "Use one that this release knows, or none.")
    check_derived_from(o.derived_from)
    _check_metadata(o.metadata)


def check_declared(metadata: Mapping[str, MetadataValue], declared: Mapping[str, MetadataType]) -> None:
    """UNDECLARED_METADATA when a declared field has another type. What is not declared is kept as it is."""
    kinds = {"text": MetadataType.METADATA_TYPE_TEXT, "number": MetadataType.METADATA_TYPE_NUMBER}
    for name, value in metadata.items():
        if name in declared and kinds[value.WhichOneof("value") or "text"] != declared[name]:
            wanted = MetadataType.Name(declared[name]).removeprefix("METADATA_TYPE_").lower()
            raise MnemeError(
                "UNDECLARED_METADATA",
                f"The field is declared as a {wanted} in this namespace.",
                field=f"metadata.{name}",
                remedy=f"Send a {wanted}, or use a field that is not declared.",
                metadata={"declared": wanted},
            )


def check_id(field: str, value: str, remedy: str) -> None:
    if not value:
        raise invalid(field, "It is empty.", remedy)
    _at_most(field, value, MAX_ID)


def check_namespace(name: str, field: str = "namespace") -> None:
    if not is_namespace(name):
        raise invalid(
            field,
            "This is not a namespace.",
            f"Use 1 to {MAX_NAMESPACE} of a-z A-Z 0-9 . _ - with / between parts, as in tenant/user.",
        )


def check_new_namespace(settings: Namespace) -> None:
    """INVALID_FIELD unless a namespace may be created with these settings."""
    check_namespace(settings.name)
    _check_fields(settings.metadata_fields)
    _check_aliases(settings.aliases)


def check_change(request: UpdateNamespaceRequest, declared: Mapping[str, MetadataType], needed_bytes: int) -> None:
    """INVALID_FIELD unless a namespace that declares these fields may be changed so.

    ``needed_bytes``: of alias groups that stay needed beside the new ones. An erasure writes all of them at once.
    """
    _check_fields(request.metadata_fields, declared)
    _check_aliases(request.aliases.groups, "aliases.groups")
    if request.aliases.groups and needed_bytes and needed_bytes + request.aliases.ByteSize() > MAX_ALIASES_BYTES:
        what = f"With {needed_bytes} bytes that are needed for what was told before, they have too many."
        remedy = f"Give fewer names: {MAX_ALIASES_BYTES} bytes in all, those of before counted in."
        raise invalid("aliases.groups", what, remedy)
    if not request.metadata_fields and not request.HasField("aliases") and not is_given(request.quota):
        remedy = "Give alias groups, metadata fields to declare, or a limit of the quota."
        raise invalid("aliases", "Nothing is to be changed.", remedy)


def _check_fields(fields: Iterable[MetadataField], declared: Mapping[str, MetadataType] = MappingProxyType({})) -> None:
    """``declared``: what is declared already."""
    names: set[str] = set()
    types = dict(declared)
    for n, field in enumerate(fields):
        path = f"metadata_fields[{n}]"
        if not _FIELD_NAME.fullmatch(field.name):
            raise invalid(
                f"{path}.name", "This is not a field name.", "Use 1 to 64 letters, digits and _, no digit first."
            )
        if field.name in names:
            raise invalid(f"{path}.name", "The field is declared twice.", "Declare each field once.")
        if field.type not in (MetadataType.METADATA_TYPE_TEXT, MetadataType.METADATA_TYPE_NUMBER):
            raise invalid(f"{path}.type", "The field has no type.", "Say text or number.")
        names.add(field.name)
        if types.setdefault(field.name, field.type) != field.type:
            what = f'"{field.name}" is declared with the other type.'
            raise invalid(f"{path}.type", what, "A declared field keeps its type: declare one of another name.")
        if sum(each == field.type for each in types.values()) > MAX_FIELDS_OF_A_TYPE:
            raise invalid(
                path,
                f"More than {MAX_FIELDS_OF_A_TYPE} fields of one type are declared.",
                f"Declare those you filter on, {MAX_FIELDS_OF_A_TYPE} of each type; others are kept undeclared.",
            )


def _check_aliases(groups: Iterable[AliasGroup], field: str = "aliases") -> None:
    groups = list(groups)
    if len(groups) > MAX_ALIAS_GROUPS:
        raise invalid(field, f"More than {MAX_ALIAS_GROUPS} groups are given.", "Give those that matter most.")
    size = sum(len(name.encode()) for group in groups for name in (group.name, *group.aliases))
    if size > MAX_ALIASES_BYTES:
        raise invalid(
            field,
            f"All names together have {size} bytes, more than {MAX_ALIASES_BYTES}.",
            "Give those that matter most.",
        )
    owner: dict[str, int] = {}
    for n, group in enumerate(groups):
        if len(group.aliases) > MAX_ALIASES:
            raise invalid(f"{field}[{n}].aliases", f"More than {MAX_ALIASES} are given.", "Give fewer.")
        for path, name in [(f"{field}[{n}].name", group.name)] + [
            (f"{field}[{n}].aliases[{m}]", alias) for m, alias in enumerate(group.aliases)
        ]:
            _at_most(path, name, MAX_NAME)
            if not name.strip():
                raise invalid(path, "It is empty.", "Give a name, or leave the entry out.")
            if not is_one_line(name):
                raise invalid(path, "It holds line breaks or control characters.", "Give the name on one line.")
            if not plain(name):
                raise invalid(path, "It is punctuation alone.", "Give the name as texts have it, or leave it out.")
            if owner.setdefault(name.casefold(), n) != n:
                raise invalid(path, "The name belongs to another group too.", "One name, one person: use fuller names.")


def _check_actor(actor: str) -> None:
    _at_most("actor", actor, MAX_NAME)
    if not is_one_line(actor):
        raise invalid("actor", "It holds line breaks or control characters.", "Send the speaker's name on one line.")


def _check_observed_at(o: Observation, latest: datetime) -> None:
    field = "observed_at"
    if not o.HasField(field):
        raise invalid(field, "It is not set.", "Say when it happened; relative times in the text are read against it.")
    clocks.check_stamp(o.observed_at, field)
    if (wrong := misdated(clocks.moment(o.observed_at), latest)) is not None:
        raise invalid(field, *wrong)
    clocks.check_offset(o.utc_offset_minutes, "utc_offset_minutes")


def _check_metadata(metadata: Mapping[str, MetadataValue]) -> None:
    if len(metadata) > MAX_METADATA_FIELDS:
        raise invalid("metadata", f"It has more than {MAX_METADATA_FIELDS} fields.", "Send fewer.")
    if sum(len(name.encode()) + len(value.text.encode()) for name, value in metadata.items()) > MAX_METADATA_BYTES:
        raise invalid("metadata", f"It is longer than {MAX_METADATA_BYTES} bytes.", "Put long text into `text`.")
    for name, value in metadata.items():
        if not name or len(name) > MAX_ID:
            raise invalid("metadata", f"A field's name is empty or longer than {MAX_ID} characters.", "Rename it.")
        path = f"metadata.{name}"
        if value.WhichOneof("value") is None:
            raise invalid(path, "It has no value.", "Send a text or a number, or leave the field out.")
        if value.WhichOneof("value") == "number" and not math.isfinite(value.number):
            raise invalid(path, "It is not a finite number.", "Leave the field out where there is no number.")
        if len(value.text.encode()) > MAX_METADATA_TEXT_BYTES:
            raise invalid(path, f"It is longer than {MAX_METADATA_TEXT_BYTES} bytes.", "Put long text into `text`.")


def _at_most(field: str, value: str, limit: int) -> None:
    if len(value) > limit:
        raise invalid(field, f"It is longer than {limit} characters.", f"Use at most {limit} characters.")


def latest_allowed(now: datetime, max_ahead_s: int) -> datetime:
    return now + timedelta(seconds=max_ahead_s)
