"""The shipped defaults are complete, and every plug-in of the list can be chosen."""

from __future__ import annotations

from importlib import resources

import pytest
import yaml
from pydantic import ValidationError

from services.common.models import embed
from services.common.text import extract
from services.perception.config import PerceptionConfig
from services.perception.sessions import segmentation

DEFAULTS = yaml.safe_load(resources.files("services.perception").joinpath("defaults.yaml").read_text())


def test_the_defaults_are_the_whole_section() -> None:
    config = PerceptionConfig.model_validate(DEFAULTS)
    assert set(DEFAULTS) == set(PerceptionConfig.model_fields)
    assert (config.ner_sha256, config.embed_sha256) == (extract.WEIGHTS_SHA256, embed.WEIGHTS_SHA256)


@pytest.mark.parametrize("name", ["fixed", "surprise"])
def test_a_plug_in_gets_its_parameters(name: str) -> None:
    changes = {"segmentation": name, "fixed_units": 7, "surprise_gamma": 2.5, "surprise_min_units": 3}
    plugin = segmentation.build(PerceptionConfig.model_validate({**DEFAULTS, **changes}))
    assert plugin.name == name
    assert getattr(plugin, "units", 7) == 7
    assert getattr(plugin, "gamma", 2.5) == 2.5
    assert getattr(plugin, "min_units", 3) == 3


@pytest.mark.parametrize(
    ("field", "value"), [("segmentation", "lunar"), ("ner_sha256", "abc"), ("batch", 0), ("replicas", 0)]
)
def test_a_wrong_value_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValidationError, match=field):
        PerceptionConfig.model_validate({**DEFAULTS, field: value})
