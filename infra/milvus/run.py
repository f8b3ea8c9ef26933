"""Unpacks and runs the server of the package `milvus`, for `up`.

run.py PACKAGE              unpack its binaries, once
run.py PACKAGE DATA PORT    become the server: this process is the one to stop
run.py --healthy PORT       exit status 0 when it serves
"""

import os
import socket
import sys
import urllib.request
from pathlib import Path


def unpack(package: Path) -> None:
    import milvus

    milvus._initialize_data_files(str(package))


def run(package: Path, data: Path, port: int) -> None:
    import milvus

    # The package's own starter is a second process, which leaves the server behind when it is stopped, and puts
    # 250 MB of binaries into every data folder.
    config = milvus.MilvusServerConfig(data_dir=str(data))
    config.resolve_storage()
    for part, free in _free_ports([key for key in config.config_key_maps.values() if key.endswith("_port")]).items():
        config.set(part, free)
    config.set("proxy_port", port)
    config.set("common.session.ttl", 5)  # seconds that a start waits for one that was killed; 60 by default
    config.write_config()
    os.chdir(data)
    own = {
        "DEPLOY_MODE": "STANDALONE",
        "METRICS_PORT": str(port + 1),
        "ETCD_CONFIG_PATH": str(Path(__file__).with_name("etcd.yaml")),
        "LD_LIBRARY_PATH": str(package / "bin"),
    }
    # The alias names the lock of its pid: without one, a second server on the machine does not start.
    command = ["milvus", "run", "standalone", "-alias", f"mneme-{port}"]
    os.execve(package / "bin" / "milvus", command, {**os.environ, **own})


def _free_ports(parts: list[str]) -> dict[str, int]:
    """For the server's parts, which by default have the same ones in every server on the machine."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in parts]
    free = {part: each.getsockname()[1] for part, each in zip(parts, held, strict=True)}
    for each in held:
        each.close()
    return free


def is_healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port + 1}/healthz", timeout=5) as answer:
            return b"OK" in answer.read()
    except OSError:
        return False


if __name__ == "__main__":
    first, *more = sys.argv[1:]
    if first == "--healthy":
        sys.exit(not is_healthy(int(more[0])))
    sys.path.insert(0, first)
    if more:
        run(Path(first), Path(more[0]), int(more[1]))
    else:
        unpack(Path(first))
