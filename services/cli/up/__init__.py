"""`mneme up`: Mneme on this machine, from its start to its stop."""

from services.cli.up.applications import run_applications
from services.cli.up.errors import StartError
from services.cli.up.folder import claim, operator, prepare
from services.cli.up.log import ensure_topics
from services.cli.up.ports import require_free
from services.cli.up.ray import RAY_LOGS
from services.cli.up.start import start
from services.cli.up.stop import stopping, wait_for_signal

__all__ = [
    "RAY_LOGS",
    "StartError",
    "claim",
    "ensure_topics",
    "operator",
    "prepare",
    "require_free",
    "run_applications",
    "start",
    "stopping",
    "wait_for_signal",
]
