"""What is refused, with the field and the remedy."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from mneme.v1.admin_pb2 import AliasGroup, MetadataField, MetadataType, Namespace
from mneme.v1.common_pb2 import MetadataValue, Observation

from services.common.ids import MAX_NAME
from services.common.serving.errors import MnemeError
from services.perception.intake.validate import check_new_namespace, check_observation
from tests.perception.world import observation

LATEST = datetime(2026, 11, 22, tzinfo=UTC)
TEXT, NUMBER = MetadataType.METADATA_TYPE_TEXT, MetadataType.METADATA_TYPE_NUMBER


def at(seconds: int, nanos: int = 0) -> Timestamp:
    return Timestamp(seconds=seconds, nanos=nanos)


def no_time() -> Observation:
    made = observation(0)
    made.ClearField("observed_at")
    return made


def metadata(value: MetadataValue, name: str = "field") -> Observation:
    made = observation(0)
    made.metadata[name].CopyFrom(value)
    return made


REFUSED: list[tuple[str, Callable[[], Observation], str, str]] = [
    ("no id", lambda: observation(0, id=""), "INVALID_FIELD", "id"),
    ("long id", lambda: observation(0, id="x" * 201), "INVALID_FIELD", "id"),
    ("no namespace", lambda: observation(0, namespace=""), "INVALID_FIELD", "namespace"),
    ("odd namespace", lambda: observation(0, namespace="a//b"), "INVALID_FIELD", "namespace"),
    ("long namespace", lambda: observation(0, namespace="n" * 201), "INVALID_FIELD", "namespace"),
    ("no session", lambda: observation(0, session=""), "INVALID_FIELD", "session"),
    ("long session", lambda: observation(0, session="s" * 201), "INVALID_FIELD", "session"),
    ("blank text", lambda: observation(0, " \n"), "TEXT_SIZE", "text"),
    ("text that cannot be seen", lambda: observation(0, "\u200b\ufeff\u3164"), "TEXT_SIZE", "text"),
    ("long text", lambda: observation(0, "é" * 30_001), "TEXT_SIZE", "text"),
    ("long actor", lambda: observation(0, actor="a" * 201), "INVALID_FIELD", "actor"),
    ("an actor of two lines", lambda: observation(0, actor="Ann\n[2026-01-01] Bob"), "INVALID_FIELD", "actor"),
    ("an actor of two paragraphs", lambda: observation(0, actor="Ann\u2029Bob"), "INVALID_FIELD", "actor"),
    ("a bell in an actor", lambda: observation(0, actor="Ann\x07"), "INVALID_FIELD", "actor"),
    ("long reference", lambda: observation(0, external_id="a" * 1_001), "INVALID_FIELD", "external_id"),
    ("long source", lambda: observation(0, source="a" * 1_001), "INVALID_FIELD", "source"),
    ("no time", no_time, "INVALID_FIELD", "observed_at"),
    ("milliseconds", lambda: observation(0, observed_at=at(1_763_720_000_000)), "INVALID_FIELD", "observed_at"),
    ("the future", lambda: observation(0, observed_at=at(1_900_000_000)), "INVALID_FIELD", "observed_at"),
    ("antiquity", lambda: observation(0, observed_at=at(-60_000_000_000)), "INVALID_FIELD", "observed_at"),
    ("negative nanos", lambda: observation(0, observed_at=at(0, -1)), "INVALID_FIELD", "observed_at"),
    ("too many nanos", lambda: observation(0, observed_at=at(0, 1_000_000_000)), "INVALID_FIELD", "observed_at"),
    ("no such offset", lambda: observation(0, utc_offset_minutes=1_081), "INVALID_FIELD", "utc_offset_minutes"),
    ("nor this", lambda: observation(0, utc_offset_minutes=-1_081), "INVALID_FIELD", "utc_offset_minutes"),
    ("a kind of later releases", lambda: observation(0, kind=99), "INVALID_FIELD", "kind"),
    ("an empty answer id", lambda: observation(0, derived_from=["a", ""]), "INVALID_FIELD", "derived_from[1]"),
    ("many answers", lambda: observation(0, derived_from=["a"] * 65), "INVALID_FIELD", "derived_from"),
    ("no value", lambda: metadata(MetadataValue()), "INVALID_FIELD", "metadata.field"),
    ("not a number", lambda: metadata(MetadataValue(number=float("nan"))), "INVALID_FIELD", "metadata.field"),
    ("infinite", lambda: metadata(MetadataValue(number=float("inf"))), "INVALID_FIELD", "metadata.field"),
    ("long value", lambda: metadata(MetadataValue(text="x" * 4_001)), "INVALID_FIELD", "metadata.field"),
    ("no name", lambda: metadata(MetadataValue(text="x"), name=""), "INVALID_FIELD", "metadata"),
]


@pytest.mark.parametrize(("made", "reason", "field"), [pytest.param(*r[1:], id=r[0]) for r in REFUSED])
def test_a_refusal_names_field_and_remedy(made: Callable[[], Observation], reason: str, field: str) -> None:
    with pytest.raises(MnemeError) as caught:
        check_observation(made(), LATEST)
    assert (caught.value.reason, caught.value.field) == (reason, field)
    assert caught.value.remedy


def test_the_size_of_a_text_is_told_in_bytes() -> None:
    with pytest.raises(MnemeError) as caught:
        check_observation(observation(0, "é" * 30_001), LATEST)
    assert caught.value.metadata == {"limit_bytes": "60000", "size_bytes": "60002"}


@pytest.mark.parametrize(
    "made",
    [
        observation(0, "x"),
        observation(0, "é" * 30_000),
        observation(0, id="x" * 200),
        observation(0, namespace="tenant/user.name-1/agent_2"),
        observation(0, observed_at=at(1_763_800_000)),
        observation(0, utc_offset_minutes=-1_080),
        metadata(MetadataValue(number=-0.5)),
        metadata(MetadataValue(text="")),
    ],
    ids=[
        "one byte",
        "60,000 bytes",
        "200 characters",
        "namespace",
        "a little ahead",
        "an offset",
        "number",
        "empty text value",
    ],
)
def test_what_is_within_the_limits_is_taken(made: Observation) -> None:
    check_observation(made, LATEST)


def test_no_refusal_repeats_a_text_that_was_sent() -> None:
    secret = "zorblewax"
    for made in (
        observation(0, secret * 10_000),
        observation(0, actor=secret * 50),
        metadata(MetadataValue(text=secret * 999)),
    ):
        with pytest.raises(MnemeError) as caught:
            check_observation(made, LATEST)
        assert secret not in str(caught.value)


def fields(*types: MetadataType) -> list[MetadataField]:
    return [MetadataField(name=f"f{n}", type=t) for n, t in enumerate(types)]


def long_names(groups: int, aliases: int) -> list[AliasGroup]:
    """Names of 200 bytes, no two the same."""
    return [AliasGroup(name=f"g{g:0199}", aliases=[f"g{g:099}a{a:099}" for a in range(aliases)]) for g in range(groups)]


BAD_NAMESPACES: list[tuple[str, Namespace, str]] = [
    ("no name", Namespace(), "namespace"),
    ("odd name", Namespace(name="a b"), "namespace"),
    ("five of a type", Namespace(name="a", metadata_fields=fields(*[TEXT] * 5)), "metadata_fields[4]"),
    ("no type", Namespace(name="a", metadata_fields=[MetadataField(name="f")]), "metadata_fields[0].type"),
    ("odd field", Namespace(name="a", metadata_fields=[MetadataField(name="1", type=TEXT)]), "metadata_fields[0].name"),
    (
        "declared twice",
        Namespace(name="a", metadata_fields=[MetadataField(name="f", type=TEXT), MetadataField(name="f", type=NUMBER)]),
        "metadata_fields[1].name",
    ),
    ("a long name", Namespace(name="a", aliases=[AliasGroup(name="A" * (MAX_NAME + 1))]), "aliases[0].name"),
    (
        "a long alias",
        Namespace(name="a", aliases=[AliasGroup(name="A", aliases=["x", "A" + " " * MAX_NAME])]),
        "aliases[0].aliases[1]",
    ),
    ("no alias", Namespace(name="a", aliases=[AliasGroup(name="A", aliases=[""])]), "aliases[0].aliases[0]"),
    ("punctuation", Namespace(name="a", aliases=[AliasGroup(name="A", aliases=["?"])]), "aliases[0].aliases[0]"),
    ("two lines", Namespace(name="a", aliases=[AliasGroup(name="A\nB")]), "aliases[0].name"),
    ("a NUL", Namespace(name="a", aliases=[AliasGroup(name="A", aliases=["B\0"])]), "aliases[0].aliases[0]"),
    ("a possessive", Namespace(name="a", aliases=[AliasGroup(name="’s")]), "aliases[0].name"),
    ("stops", Namespace(name="a", aliases=[AliasGroup(name="A", aliases=["x", ". . ."])]), "aliases[0].aliases[1]"),
    ("all too long", Namespace(name="a", aliases=long_names(250, 20)), "aliases"),
    (
        "one alias of two",
        Namespace(name="a", aliases=[AliasGroup(name="A", aliases=["x"]), AliasGroup(name="B", aliases=["X"])]),
        "aliases[1].aliases[0]",
    ),
]


@pytest.mark.parametrize(("settings", "field"), [pytest.param(*b[1:], id=b[0]) for b in BAD_NAMESPACES])
def test_a_namespace_that_cannot_be_is_refused(settings: Namespace, field: str) -> None:
    with pytest.raises(MnemeError) as caught:
        check_new_namespace(settings)
    assert (caught.value.reason, caught.value.field) == ("INVALID_FIELD", field)


def test_four_fields_of_each_type_are_taken() -> None:
    check_new_namespace(Namespace(name="a", metadata_fields=fields(*[TEXT, NUMBER] * 4)))
