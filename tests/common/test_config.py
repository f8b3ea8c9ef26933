"""Layers, and what a wrong setting says."""

from pathlib import Path

import pytest

from services.common.config import CommonConfig, ConfigError, load


def test_defaults_load_and_are_complete() -> None:
    settings = load(environ={})
    assert settings.common.partitions == 4
    assert settings.common.log_url.startswith("sqlite:///")
    assert settings.section("common", CommonConfig) == settings.common


def test_the_file_overrides_defaults_and_the_environment_comes_last(tmp_path: Path) -> None:
    config = tmp_path / "mneme.yaml"
    config.write_text("common: {partitions: 8, log_level: DEBUG}\n")
    settings = load(config, {"MNEME__COMMON__PARTITIONS": "16"})
    assert (settings.common.partitions, settings.common.log_level) == (16, "DEBUG")


@pytest.mark.parametrize(("replicas", "keeps"), [("0", False), ("1", True), ('"2"', True)])
def test_a_kv_store_is_kept_where_it_has_a_replica(replicas: str, keeps: bool) -> None:
    assert load(environ={}).keeps_kv
    assert load(environ={"MNEME__KVSTORE__REPLICAS": replicas}).keeps_kv is keeps


@pytest.mark.parametrize(
    ("text", "environ", "says"),
    [
        ("common: {partitons: 8}", {}, "common.partitons: no such setting .* Did you mean partitions"),
        ("comon: {}", {}, "comon: no such section .* Did you mean common"),
        ("common: {partitions: 0}", {}, "common.partitions: .*greater than or equal to 1"),
        ("common: {log: postgres}", {}, "common.log: "),
        ("", {"MNEME__COMMON__PORT": "1"}, "common.port: no such setting .environment"),
        ("[1, 2]", {}, "must hold sections"),
        ("reasoning: {model: {dtyp: bfloat16}}", {}, "reasoning.model.dtyp: no such setting .* Did you mean dtype"),
        ("reasoning: {model: bfloat16}", {}, "reasoning.model: must be a mapping"),
        ("", {"MNEME__REASONING__ENGINE__PAGES": "1"}, "reasoning.engine.pages: no such setting .environment"),
        ("", {"MNEME__GATEWAY__HOST": "*"}, "^MNEME__GATEWAY__HOST: the value is not YAML. Put it in quotes"),
        ("", {"MNEME__GATEWAY__HOST": "2026-99-99"}, "^MNEME__GATEWAY__HOST: the value is not YAML. Put it in quotes"),
        ("common: {log: *}", {}, r"^--config .*mneme.yaml: not YAML \(.+\)\. Correct it"),
        ("common: {log: 2026-99-99}", {}, r"^--config .*mneme.yaml: not YAML \(month .+\)\. Correct it"),
    ],
)
def test_a_wrong_setting_stops_the_start_and_names_its_path(
    tmp_path: Path, text: str, environ: dict[str, str], says: str
) -> None:
    config = tmp_path / "mneme.yaml"
    config.write_text(text)
    with pytest.raises(ConfigError, match=says) as refused:
        load(config, environ)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("shards", ["3", "0", "8", "two", "[2]", "2.5"])
def test_shards_that_cannot_share_the_partitions_evenly_are_refused(shards: str) -> None:
    environ = {"MNEME__COMMON__PARTITIONS": "4", "MNEME__EPISODIC__SHARDS": shards}
    with pytest.raises(ConfigError, match=r"^episodic\.shards: .*common\.partitions \(4\).* one of 1, 2, 4\.$"):
        _ = load(environ=environ).shards
    assert load(environ={**environ, "MNEME__EPISODIC__SHARDS": "2"}).shards == 2


def test_a_secret_that_is_not_yaml_is_not_shown() -> None:
    with pytest.raises(ConfigError, match="^MNEME__EPISODIC__INDEX_TOKEN") as refused:
        load(environ={"MNEME__EPISODIC__INDEX_TOKEN": "*s3cret"})
    assert "s3cret" not in str(refused.value)


def test_a_file_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    config = tmp_path / "mneme.yaml"
    config.write_bytes("gateway: {host: zürich}\n".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"mneme.yaml: not UTF-8 \(.+\)\. Save it as UTF-8"):
        load(config, {})


def test_one_setting_of_a_group_changes_alone(tmp_path: Path) -> None:
    config = tmp_path / "mneme.yaml"
    config.write_text("reasoning: {model: {dtype: bfloat16}}\n")
    defaults, changed = (
        load(p, e).layers["reasoning"]
        for p, e in [(None, {}), (config, {"MNEME__REASONING__ENGINE__POOL_PAGES": "64"})]
    )
    assert changed["model"] == {**defaults["model"], "dtype": "bfloat16"}
    assert changed["engine"] == {**defaults["engine"], "pool_pages": 64}


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere.yaml: cannot be read"):
        load(tmp_path / "nowhere.yaml", {})
