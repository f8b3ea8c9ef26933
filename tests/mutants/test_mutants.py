"""The parts of `make mutants`: what is planted, what is not, and that a planted defect reaches the tests."""

import random

import pytest
from cosmic_ray.ast import get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator

from tests.mutants.__main__ import draw, equivalents
from tests.mutants.files import ROOT, TESTS
from tests.mutants.operators import OWN, Site, plant, sites


def test_every_file_and_every_test_of_the_table_is_there() -> None:
    paths = {word for tests in TESTS.values() for word in tests.split() if word.startswith("tests/")}
    assert [path for path in sorted({*TESTS, *paths}) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("operator", OWN.values(), ids=list(OWN))
def test_our_operators_do_as_their_examples_say(operator: type[Operator]) -> None:
    for example in operator.examples():
        mutated = mutate_code(example.pre_mutation_code, operator(), example.occurrence)
        assert (mutated or example.pre_mutation_code) == example.post_mutation_code


def test_what_never_runs_is_no_place_for_a_defect() -> None:
    source = "def f(a: int | None) -> int | None:\n    if a and g:\n        _log.info('x', extra={'n': 1})\n"
    planted = [plant(source, site, random.Random(seed)) for site in sites(source) for seed in range(4)]
    assert planted
    assert not any(planted)


@pytest.mark.parametrize(
    ("source", "defect", "none"),
    [
        ("wrong = kind is not Kind.ONE\n", "wrong = kind == Kind.ONE\n", "wrong = kind != Kind.ONE\n"),
        ("flags = os.O_RDWR | os.O_CREAT\n", "flags = os.O_RDWR & os.O_CREAT\n", "flags = os.O_RDWR ^ os.O_CREAT\n"),
    ],
)
def test_what_comes_to_the_same_is_no_defect(source: str, defect: str, none: str) -> None:
    planted = {plant(source, site, random.Random(seed)) for site in sites(source) for seed in range(99)}
    assert {None, defect} < planted
    assert none not in planted


def test_a_defect_is_planted_where_it_was_drawn() -> None:
    source = "def f(a, b):\n    return g(a, b)\n"
    assert plant(source, Site(2, "mneme/SwapArguments", (("mneme/SwapArguments", 0),)), random.Random(0)) == (
        "def f(a, b):\n    return g(b, a)\n"
    )


def test_a_draw_is_of_its_seed_and_holds_no_place_twice() -> None:
    file = "services/gateway/limiter.py"
    first, again, other = (draw([file], 12, seed) for seed in (1, 1, 2))
    assert first == again != other
    assert len({(m.site.line, m.site.kind, m.source) for m in first}) == len(first) == 12


def test_what_is_listed_as_equivalent_stands_in_its_file() -> None:
    gone = [e for e in equivalents() if e["before"] not in "\n".join(map(str.strip, _lines(e["file"])))]
    assert gone == []
    assert all(e["reason"] for e in equivalents())


def _lines(file: str) -> list[str]:
    return (ROOT / file).read_text().splitlines()


def test_sources_come_back_whole_from_the_parser() -> None:
    assert all(get_ast(text).get_code() == text for text in ((ROOT / file).read_text() for file in TESTS))
