"""The token that `mneme up` leaves for this machine's operator: every right over every namespace."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from services.common.config import CommonConfig
from services.common.crypto.auth import Caller, Right, Signer, token_signer
from services.common.crypto.seal import MasterKey
from services.common.files import private_part
from services.common.ledger.audit import STARTER
from services.common.log.open import open_log
from services.common.serving.errors import MnemeError

TTL_S = 365 * 86_400.0
KEPT_S = 30 * 86_400.0  # a start that finds less left makes another


def write(path: Path, master: MasterKey) -> None:
    """Leave one in a 0600 file, unless one is there that is good for long enough. OSError."""
    tokens = token_signer(master)
    if _good_for_long(path, tokens):
        return
    token, _ = tokens.issue("operator", ("",), frozenset(Right), TTL_S)
    with private_part(path, token + "\n") as part:
        part.replace(path)


def read(path: Path, master: MasterKey) -> Caller:
    """What it says. OSError; UNAUTHENTICATED."""
    return token_signer(master).check(path.read_text("utf-8").strip())


def record(common: CommonConfig, master: MasterKey) -> None:
    """Put it on record; one that was revoked is replaced first. OSError, LogError."""
    from services.gateway.issued import Issued
    from services.gateway.revocations import Revocations

    path = common.token_path
    with contextlib.closing(open_log(common.log_url, common.kafka)) as log:
        revocations, issued = Revocations(log), Issued(log, token_signer(master))
        revocations.refresh()
        issued.refresh()
        if read(path, master).is_one_of(revocations):
            path.unlink()
            write(path, master)
        current = read(path, master)
        if issued.get(current.token_id) is None:
            issued.add(current, STARTER)


def _good_for_long(path: Path, tokens: Signer) -> bool:
    try:
        caller = tokens.check(path.read_text("utf-8").strip())
    except (FileNotFoundError, UnicodeDecodeError, MnemeError):  # none, or no token of this master key
        return False
    return caller.is_operator and caller.expires_at - time.time() > KEPT_S
