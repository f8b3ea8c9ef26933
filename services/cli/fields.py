"""A refusal in the user's own words: the option or argument that was typed, and the command that helps.

The service names a field of the wire and a call of the API. Who typed neither finds neither.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import click

from services.cli.render import shorten
from services.common.serving.errors import MnemeError

# By a field of the wire, without what is inside it: the parameters whose values are sent in it, in that order.
_SENT_IN = {
    "namespace": ("namespace", "name"),
    "scopes": ("scopes",),
    "query": ("query",),
    "question": ("question",),
    "limit": ("limit",),
    "token_budget": ("budget",),
    "as_of_known": ("known",),
    "asked_at": ("asked",),
    "asked_utc_offset_minutes": ("asked",),
    "selector.person.name": ("person",),
    "selector.person.aliases": ("alias",),
    "selector.session": ("session",),
    "selector.source": ("source",),
    "selector.ids.ids": ("ids",),
    "selector.event_time.start": ("start",),
    "selector.event_time.end": ("end",),
    "selector.event_time": ("start", "end"),
    "id": ("key", "watch"),
    "receipt_id": ("receipt",),
    "session": ("session",),
    "metadata_fields": ("texts", "numbers", "fields"),
    "aliases": ("alias",),
    "aliases.groups": ("aliases", "aliases_file"),
    "principal": ("principal",),
    "namespace_prefixes": ("prefixes",),
    "rights": ("rights",),
    "shards": ("shards",),
    "ttl_s": ("days",),
    "token_id": ("token_id",),
    "authorization": ("token_file",),
}
_REMEDIES = {
    "UNKNOWN_NAMESPACE": "Create it (`mneme namespace create`), or correct the name (`mneme namespace list`).",
    "NAMESPACE_EXISTS": "Use it as it is (`mneme namespace show`), change it (`mneme namespace change`), or choose "
    "another name.",
    "UNAUTHENTICATED": "Name a token that is neither expired nor revoked, with --token-file or MNEME_TOKEN. `mneme up` "
    "leaves one in .mneme/token.",
}
# A service that answers says itself when to try again.
_NOBODY_ANSWERS = "Start the service (`mneme up`), or check --address, and --ca-file where it has a certificate."
_INDEX = re.compile(r"\[(\d+)\]")
_SHOWN = 40  # characters of a value


def as_typed(error: MnemeError, context: click.Context) -> MnemeError:
    """The same error in the terms of the command that was refused. A line of a file keeps the names of its fields."""
    remedy = _REMEDIES.get(error.reason, error.remedy)
    if error.reason == "SERVICE_UNAVAILABLE":
        remedy = remedy or _NOBODY_ANSWERS
    field = error.field
    if "file" not in context.params or error.reason == "UNAUTHENTICATED":
        sent = _sent(field, context)
        field = ", ".join(f"{_name(parameter)} {shorten(value, _SHOWN)}".rstrip() for parameter, value in sent) or field
        if any(isinstance(parameter, click.Option) and parameter.metavar == "TIME" for parameter, _ in sent):
            remedy = "Check the year." if error.reason == "INVALID_FIELD" else remedy
    return MnemeError(error.reason, error.message, field=field, remedy=remedy, metadata=error.metadata)


def _sent(field: str, context: click.Context) -> list[tuple[click.Parameter, str]]:
    """What was sent in a field: parameters that were given, each with its value where it may be given several times.

    Of those that are given several times, the one that the field's index says.
    """
    wire = field
    while wire and wire not in _SENT_IN:
        wire = wire[: max(wire.rfind("."), wire.rfind("["), 0)]
    given = list(_given(context, _SENT_IN.get(wire, ())))
    index = _INDEX.match(field, len(wire))
    return given[int(index.group(1)) :][:1] if index else given


def _given(context: click.Context, names: tuple[str, ...]) -> Iterator[tuple[click.Parameter, str]]:
    at: click.Context | None = context
    while at is not None:
        by_name = {parameter.name: parameter for parameter in at.command.params}
        for name in names:
            value = at.params.get(name)
            if name in by_name and isinstance(value, tuple | list):
                yield from ((by_name[name], each if isinstance(each, str) else "") for each in value)
            elif name in by_name and value is not None:
                yield by_name[name], ""
        at = at.parent


def _name(parameter: click.Parameter) -> str:
    if parameter.name == "token_file" and os.environ.get("MNEME_TOKEN"):
        return "MNEME_TOKEN"
    return "/".join(parameter.opts) if isinstance(parameter, click.Option) else parameter.human_readable_name
