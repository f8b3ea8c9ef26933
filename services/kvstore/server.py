"""The control port: which calls the store takes, and from whom."""

from __future__ import annotations

from mneme.v1 import kvstore_pb2 as pb

from services.common.crypto.auth import Right, Signer
from services.common.nodes.node_port import NodePort
from services.kvstore.config import KvstoreConfig
from services.kvstore.errors import StartError
from services.kvstore.servicer import KvstoreServicer

SERVICE = "mneme.v1.KvstoreNodeService"
# Methods that a caller's grant may do too, with the right they need; everything else is for nodes.
_FOR_GRANTS = {"DropBlocks": Right.FORGET, "StoreStats": Right.READ}


class ControlPort:
    """Make it in the event loop that owns the store."""

    def __init__(self, servicer: KvstoreServicer, nodes: Signer, grants: Signer, config: KvstoreConfig) -> None:
        self._config = config
        self._port = NodePort(
            SERVICE,
            {
                "LookupBlocks": (pb.LookupBlocksRequest, servicer.lookup_blocks),
                "LeaseBlocks": (pb.LeaseBlocksRequest, servicer.lease_blocks),
                "ReserveStaging": (pb.ReserveStagingRequest, servicer.reserve_staging),
                "PutBlocks": (pb.PutBlocksRequest, servicer.put_blocks),
                "ClaimBlocks": (pb.ClaimBlocksRequest, servicer.claim_blocks),
                "WaitBlocks": (pb.WaitBlocksRequest, servicer.wait_blocks),
                "ReleaseBlocks": (pb.ReleaseBlocksRequest, servicer.release_blocks),
                "DropBlocks": (pb.DropBlocksRequest, servicer.drop_blocks),
                "Heartbeat": (pb.HeartbeatRequest, servicer.heartbeat),
                "StoreStats": (pb.StoreStatsRequest, servicer.store_stats),
            },
            nodes,
            max_running=config.max_running_calls,
            grants=grants,
            for_grants=_FOR_GRANTS,
        )

    @property
    def port(self) -> int:
        return self._port.port

    async def start(self) -> None:
        """Listen. StartError names the setting."""
        host, port = self._config.host, self._config.port
        try:
            await self._port.start(host, port)
        except OSError as error:
            raise StartError(
                f"kvstore.port: {host}:{port} cannot be listened on. Stop what uses it, or set kvstore.port to a free "
                "port (kvstore.host to an address of this machine)."
            ) from error

    async def stop(self) -> None:
        await self._port.stop()
