"""Opens a log by its address: ``sqlite:///absolute/path`` or ``kafka://host:port[,host:port]``.

Whoever reads or writes a ledger of Mneme opens its log here, for the names of its namespaces are not in the ledger.
"""

from __future__ import annotations

from services.common.ledger.named import Named
from services.common.log.base import Log, LogError
from services.common.log.kafka.security import KafkaSecurity
from services.common.log.sqlite import SqliteLog

_SQLITE = "sqlite://"
_KAFKA = "kafka://"


def open_log(url: str, kafka: KafkaSecurity | None = None) -> Log:
    """The log at ``url``. LogError for any other address, LogUnavailable when nobody answers there.

    ``kafka``: how to speak to a cluster; none is plaintext, to anybody.
    """
    if url.startswith(_SQLITE + "/"):
        return Named(SqliteLog(url.removeprefix(_SQLITE)))
    if url.startswith(_KAFKA):
        from services.common.log.kafka.log import KafkaLog  # its client takes a moment to import

        return Named(KafkaLog(_servers(url), security=kafka or KafkaSecurity()))
    raise _unknown(url)


def _servers(url: str) -> list[str]:
    servers = url.removeprefix(_KAFKA).rstrip("/").split(",")
    for server in servers:
        host, colon, port = server.rpartition(":")
        if not (host and colon and port.isdecimal()):
            raise _unknown(url)
    return servers


def _unknown(url: str) -> LogError:
    return LogError(f"{url!r} is no address of a log. Write sqlite:///absolute/path or kafka://host:port[,host:port].")
