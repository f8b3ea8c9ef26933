"""The log does not take it: what the caller is told, and what the operator is."""

from __future__ import annotations

import logging

from services.common.log.base import LogError, MessageTooLarge
from services.common.serving.errors import MnemeError

_log = logging.getLogger(__name__)


def unavailable(error: LogError, message: str, remedy: str) -> MnemeError:
    """LOG_UNAVAILABLE for the caller, who learns nothing of our disks and brokers; the cause goes to our own log.

    The port's messages name the setting and the remedy and hold no texts.
    """
    _log.warning("the log is away", extra={"error": str(error)})
    return MnemeError("LOG_UNAVAILABLE", message, remedy=remedy)


def too_large(error: MessageTooLarge) -> MnemeError:
    """TEXT_SIZE for the caller: to send the same again is no remedy."""
    _log.warning("a message is too large for the log", extra={"error": str(error)})
    return MnemeError("TEXT_SIZE", "It is more than one record of the log takes.", remedy="Send less of it at once.")
