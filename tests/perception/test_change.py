"""A changed namespace at the door: what is asked for is checked by field, taken once, and observations follow it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from mneme.v1.admin_pb2 import (
    AliasGroup,
    AliasGroups,
    MetadataField,
    MetadataType,
    Namespace,
    UpdateNamespaceRequest,
    UpdateNamespaceResponse,
)
from mneme.v1.common_pb2 import MetadataValue

from services.common.crypto.seal import Keyring, MasterKey
from services.common.ledger import entries as ledger
from services.common.serving.errors import MnemeError
from services.perception.ledger_facts import LedgerFacts, NamespaceSettings
from tests.perception.test_servicer import unary
from tests.perception.world import ANYBODY, World, observation

HOME = "acme/home"
UPDATE = "mneme.v1.AdminService/UpdateNamespace"
TEXT, NUMBER = MetadataType.METADATA_TYPE_TEXT, MetadataType.METADATA_TYPE_NUMBER
ROOM = MetadataField(name="room", type=TEXT)
CARRIE = AliasGroup(name="Carrie Pooter", aliases=["my wife"])
POSH = AliasGroup(name="Murray Posh", aliases=["Mr. Posh"])


@pytest.fixture
def home(world: World) -> World:
    world.create(HOME, aliases=[CARRIE], metadata_fields=[ROOM])
    return world


def asked(id: str, *groups: AliasGroup, **more: object) -> UpdateNamespaceRequest:
    return UpdateNamespaceRequest(namespace=HOME, id=id, aliases=AliasGroups(groups=groups), **more)  # type: ignore[arg-type]


def restarted(world: World) -> LedgerFacts:
    known = LedgerFacts(world.log, Keyring(world.log, MasterKey(bytes(range(32)))))
    known.catch_up()
    return known


def settings(known: LedgerFacts) -> NamespaceSettings:
    found = known.namespace(HOME)
    assert found is not None
    return found


def refusal(world: World, request: UpdateNamespaceRequest) -> MnemeError:
    with pytest.raises(MnemeError) as caught:
        world.intake.change_namespace(request, ANYBODY)
    assert caught.value.remedy
    return caught.value


def test_observations_are_read_with_the_groups_that_it_has_now(home: World) -> None:
    [before] = home.observe(observation(0, "Mr. Posh called on my wife.", namespace=HOME))
    home.intake.change_namespace(asked("n1", POSH), ANYBODY)
    id_mac = home.keyring.mac(HOME, ledger.MAC_CHANGE, "n1")
    assert home.entries(HOME)[-1].namespace_changed.id_mac == id_mac, "a retry is known whatever release took the first"
    [after] = home.observe(observation(1, "Mr. Posh called on my wife.", namespace=HOME))
    people = [set(home.perceived(accepted).people) for accepted in (before, after)]
    assert "Carrie Pooter" in people[0] - people[1]
    assert "Murray Posh" in people[1] - people[0]
    for known in (home.known, restarted(home)):
        assert list(settings(known).settings.aliases) == [POSH]


def test_a_declared_field_is_checked_from_then_on(home: World) -> None:
    floor = [MetadataField(name="floor", type=NUMBER), ROOM]
    home.intake.change_namespace(UpdateNamespaceRequest(namespace=HOME, id="n1", metadata_fields=floor), ANYBODY)
    for known in (home.known, restarted(home)):
        assert settings(known).fields == {"room": TEXT, "floor": NUMBER}
        assert list(settings(known).settings.aliases) == [CARRIE]
    sent = observation(0, namespace=HOME)
    sent.metadata["floor"].CopyFrom(MetadataValue(text="first"))
    with pytest.raises(MnemeError) as caught:
        home.observe(sent)
    assert (caught.value.reason, caught.value.field) == ("UNDECLARED_METADATA", "metadata.floor")


def test_the_same_change_again_is_one_whatever_came_between(home: World, make_world: Callable[[], World]) -> None:
    first = home.intake.change_namespace(asked("n1", CARRIE, POSH), ANYBODY)
    home.erase_names([CARRIE], HOME)
    entries = len(home.entries(HOME))
    for world in (home, make_world()):
        assert world.intake.change_namespace(asked("n1", CARRIE, POSH), ANYBODY) == first
        assert list(settings(world.known).settings.aliases) == [CARRIE]
        assert refusal(world, asked("n1", CARRIE)).reason == "ID_REUSED"
    assert len(home.entries(HOME)) == entries
    assert home.intake.change_namespace(asked("n2", CARRIE, POSH), ANYBODY) != first  # declared anew
    assert list(settings(home.known).settings.aliases) == [CARRIE, POSH]


def test_creating_it_again_is_compared_with_what_it_was_changed_to(home: World) -> None:
    home.intake.change_namespace(asked("n1", POSH), ANYBODY)
    home.create(HOME, aliases=[POSH], metadata_fields=[ROOM])
    with pytest.raises(MnemeError) as caught:
        home.intake.create_namespace(Namespace(name=HOME, aliases=[CARRIE], metadata_fields=[ROOM]), ANYBODY)
    assert caught.value.reason == "NAMESPACE_EXISTS"
    assert "forgotten" not in caught.value.remedy


def test_of_two_processes_that_change_it_with_one_id_the_first_counts(
    home: World, make_world: Callable[[], World]
) -> None:
    other = make_world()
    first = home.intake.change_namespace(asked("n1", POSH), ANYBODY)
    other.known.catch_up = lambda partitions=None: None  # type: ignore[method-assign]
    real_append = other.log.append

    def append_and_see(*args: object, **options: object) -> object:
        out = real_append(*args, **options)  # type: ignore[arg-type]
        del other.known.catch_up
        return out

    other.log.append = append_and_see  # type: ignore[method-assign,assignment]
    assert refusal(other, asked("n1", CARRIE)).reason == "ID_REUSED"
    assert home.intake.change_namespace(asked("n1", POSH), ANYBODY) == first
    assert list(settings(restarted(home)).settings.aliases) == [POSH]


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (UpdateNamespaceRequest(namespace="a b", id="n"), "namespace"),
        (asked("", POSH), "id"),
        (UpdateNamespaceRequest(namespace=HOME, id="n"), "aliases"),
        (asked("n", AliasGroup(name="...")), "aliases.groups[0].name"),
        (asked("n", POSH, AliasGroup(name="mr. posh")), "aliases.groups[1].name"),
        (asked("n", metadata_fields=[MetadataField(name="room", type=NUMBER)]), "metadata_fields[0].type"),
        (asked("n", metadata_fields=[MetadataField(name="a b", type=TEXT)]), "metadata_fields[0].name"),
        (asked("n", metadata_fields=[MetadataField(name=f"f{n}", type=TEXT) for n in range(4)]), "metadata_fields[3]"),
    ],
)
def test_what_it_may_not_be_is_refused_by_its_field(home: World, request_: UpdateNamespaceRequest, field: str) -> None:
    before = len(home.entries())
    error = refusal(home, request_)
    assert (error.reason, error.field) == ("INVALID_FIELD", field)
    assert len(home.entries()) == before


def test_groups_of_every_time_that_are_needed_fit_one_entry_together(home: World) -> None:
    """Forget seals what is left of all of them at once."""
    names = [f"{n:04}".ljust(190, "x") for n in range(1000)]
    most = [AliasGroup(name=f"Person {g}", aliases=[f"{g}{name}" for name in names[:100]]) for g in range(40)]
    home.intake.change_namespace(asked("n1", *most[:30]), ANYBODY)
    home.intake.change_namespace(asked("n2", *most), ANYBODY)  # nothing was told with those before
    home.observe(observation(0, namespace=HOME))
    error = refusal(home, asked("n3", *most[:20]))
    assert (error.reason, error.field) == ("INVALID_FIELD", "aliases.groups")
    assert refusal(make_other(home), asked("n3", *most[:20])).field == "aliases.groups"
    home.intake.change_namespace(asked("n3", *most[:5]), ANYBODY)
    home.intake.change_namespace(asked("n4"), ANYBODY)


def make_other(world: World) -> World:
    world.known = world.intake.known = restarted(world)
    return world


def test_it_takes_a_namespace_that_there_is_and_a_token_that_covers_it(home: World) -> None:
    assert refusal(home, UpdateNamespaceRequest(namespace="acme/none", id="n")).reason == "UNKNOWN_NAMESPACE"
    answer = UpdateNamespaceResponse.FromString(unary(home, UPDATE, asked("n1", POSH)))
    assert answer.position.offset == home.log.end_offset("mneme.ledger.v1", answer.position.partition) - 1
    with pytest.raises(MnemeError) as caught:
        unary(home, UPDATE, asked("n2", POSH), prefix="umbrella")
    assert caught.value.reason == "PERMISSION_DENIED"
