"""What the protos say for those who generate code of them."""

from __future__ import annotations

import importlib
from pathlib import Path

import mneme.v1


def test_every_file_names_one_go_package() -> None:
    [folder] = map(Path, mneme.v1.__path__)
    names = [path.stem for path in folder.glob("*.proto")]
    assert len(names) > 10
    packages = {importlib.import_module(f"mneme.v1.{name}_pb2").DESCRIPTOR.GetOptions().go_package for name in names}
    assert packages == {"mneme.dev/mneme/v1;mnemev1"}
