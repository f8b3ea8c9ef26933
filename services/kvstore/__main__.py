"""`python -m services.kvstore [--config FILE]`: the store alone, without Ray, until SIGINT or SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from services.common import telemetry
from services.common.config import ConfigError, load
from services.common.log.base import LogError
from services.common.log.open import open_log
from services.kvstore.config import KvstoreConfig
from services.kvstore.errors import StartError
from services.kvstore.node import Node


async def serve(config_file: Path | None) -> None:
    """Run until a signal asks to stop. ConfigError, StartError, LogError."""
    settings = load(config_file)
    telemetry.configure_from("kvstore", settings.common)
    log = open_log(settings.common.log_url, settings.common.kafka)
    node = Node(settings.common, settings.section("kvstore", KvstoreConfig), log)
    asked = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    await node.start()
    print("ready", flush=True)
    await asked.wait()
    await node.stop()
    log.close()
    telemetry.flush()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m services.kvstore", description=__doc__)
    parser.add_argument("--config", type=Path, help="a configuration file")
    try:
        asyncio.run(serve(parser.parse_args().config))
    except (ConfigError, StartError, LogError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
