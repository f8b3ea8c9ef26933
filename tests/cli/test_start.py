"""What is wrong at the start is said in one line that names the setting. Nothing of Ray is started before."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from services.cli.local import environment
from services.cli.up import ensure_topics, prepare, require_free
from services.common.config import Settings, load
from services.common.crypto.seal import Keyring, MasterKey
from services.common.ledger import topics
from services.common.log.open import open_log


def refused_start(environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """`mneme up`, until it has ended."""
    return subprocess.run(
        [sys.executable, "-m", "services.cli.main", "up", *arguments],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=120,
    )


def one_clear_line(ended: subprocess.CompletedProcess[str], *words: str) -> None:
    assert ended.returncode == 2, ended.stderr
    assert "Traceback" not in ended.stderr
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith("mneme: cannot start:"), ended.stderr
    assert "services." not in last, "a name of Python's"
    for word in words:
        assert word in last


def test_an_unknown_key_stops_the_start(tmp_path: Path) -> None:
    config = tmp_path / "mneme.yaml"
    config.write_text("gateway: {prot: 1}\n")
    one_clear_line(refused_start(environment(tmp_path), "--config", str(config)), "gateway.prot", "Did you mean port")


def test_a_number_that_is_none_stops_the_start(tmp_path: Path) -> None:
    one_clear_line(refused_start(environment(tmp_path, kvstore__replicas="abc")), "kvstore.replicas")


def test_shards_that_cannot_share_the_partitions_are_refused_before_anything_is_made(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    refused = refused_start(environment(folder, episodic__shards=3))
    one_clear_line(refused, "episodic.shards: 3 shards cannot share common.partitions (4) evenly", "one of 1, 2, 4")
    assert not folder.exists()


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        one_clear_line(
            refused_start(environment(tmp_path, gateway__port=port)), "gateway.port", str(port), "Stop what uses it"
        )


def test_a_port_that_what_was_killed_holds_a_little_longer_is_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as dying:
        port = dying.getsockname()[1]
        ending = threading.Timer(1.0, dying.close)
        ending.start()
        require_free("127.0.0.1", port, "gateway.port")
        assert dying.fileno() == -1, "not free before it was closed"
        ending.join()


@pytest.mark.parametrize("host", ["nohost.invalid", "203.0.113.7"])
def test_a_host_that_is_not_this_machine_is_named(tmp_path: Path, host: str) -> None:
    refused = refused_start(environment(tmp_path, gateway__host=host))
    one_clear_line(refused, f"gateway.host: {host}", "Set gateway.host to an address of this machine")
    assert "port" not in refused.stderr.splitlines()[-1]


def test_one_file_of_tls_alone_is_refused_by_the_names_of_both(tmp_path: Path) -> None:
    refused = refused_start(environment(tmp_path, gateway__tls_cert_file="cert.pem"))
    one_clear_line(refused, "gateway: tls_cert_file and tls_key_file: name both, or neither")
    assert "max_streams" not in refused.stderr, "settings that have no part in it"


def test_a_data_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    one_clear_line(refused_start(environment(tmp_path / "file" / "data")), "common.data_dir")


def test_a_master_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "master.key").write_text("00" * 32)
    (tmp_path / "master.key").chmod(0o644)
    one_clear_line(refused_start(environment(tmp_path)), "common.master_key_file", "master.key", "chmod 600")


def test_a_master_key_that_is_none_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "master.key").touch(0o600)
    one_clear_line(refused_start(environment(tmp_path)), "common.master_key_file", "master.key", "Put back a copy")
    assert (tmp_path / "master.key").read_text() == "", "it may be all that is left of a key"


def with_data(folder: Path) -> Settings:
    """As after a start that a namespace's keys were made in. The first in the log is not under the master key."""
    settings = load(environ=environment(folder))
    prepare(settings)
    ensure_topics(settings, print)
    with contextlib.closing(open_log(settings.common.log_url)) as log:
        keyring = Keyring(log, MasterKey.load(settings.common.master_key_path))
        name_key = keyring.name_key("acme/ann").message
        log.append([name_key])
        keyring.text_key("acme/ann")
        log.append([name_key])  # as a deletion does
        log.compact(topics.KEYS)
    return settings


def test_a_master_key_that_is_missing_though_the_log_has_data_is_not_replaced(tmp_path: Path) -> None:
    settings = with_data(tmp_path)
    key, token = settings.common.master_key_path, settings.common.token_path.read_text()
    key.rename(tmp_path / "mk")
    one_clear_line(
        refused_start(environment(tmp_path)), "common.master_key_file", f"{key} is missing", "Put the copy back"
    )
    assert not key.exists()
    assert settings.common.token_path.read_text() == token


def test_another_master_key_than_the_log_s_is_refused_and_the_token_stays(tmp_path: Path) -> None:
    settings = with_data(tmp_path)
    key, token = settings.common.master_key_path, settings.common.token_path.read_text()
    ensure_topics(settings, print)  # its own
    key.rename(tmp_path / "mk")
    MasterKey.load_or_create(key)
    one_clear_line(refused_start(environment(tmp_path)), "common.master_key_file", f"{key} is another key", "Put back")
    assert settings.common.token_path.read_text() == token


def test_a_token_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "token").mkdir()
    one_clear_line(refused_start(environment(tmp_path)), "common.data_dir", "token")
    assert not list(tmp_path.glob("token.*"))


def test_another_partition_count_than_the_ledger_has_is_refused(tmp_path: Path) -> None:
    ensure_topics(load(environ=environment(tmp_path)), print)
    one_clear_line(refused_start(environment(tmp_path, common__partitions=8)), "common.log", "partitions")


def test_a_model_that_is_not_the_one_is_refused_by_its_digest(tmp_path: Path) -> None:
    one_clear_line(
        refused_start(environment(tmp_path, reasoning__model__sha256="ab" * 32)),
        "reasoning.model.sha256",
        "expected sha256 abab",
    )


def test_a_start_removes_what_processes_wrote_that_ended_long_ago_and_names_a_model_that_is_not_there(
    tmp_path: Path,
) -> None:
    """It comes that far, and then refuses."""
    ended = subprocess.Popen(["true"])
    ended.wait()
    for folder in (tmp_path / "logs", tmp_path / "traces"):
        folder.mkdir()
        for name, days in [
            (f"gateway-{ended.pid}.jsonl", 8),
            (f"gateway-{ended.pid}.jsonl.1", 8),
            (f"perception-{ended.pid}.jsonl", 6),
            (f"episodic-{os.getpid()}.jsonl", 8),
            ("an-operator-s.jsonl", 8),
        ]:
            (folder / name).touch()
            os.utime(folder / name, (0, time.time() - days * 86_400))
    no_model = {"reasoning__model__package": '""', "reasoning__model__directory": tmp_path / "nowhere"}
    refused = refused_start(environment(tmp_path, **no_model))
    one_clear_line(refused, "reasoning.model.directory", "Correct the setting")
    for folder in (tmp_path / "logs", tmp_path / "traces"):
        kept = {f"perception-{ended.pid}.jsonl", f"episodic-{os.getpid()}.jsonl", "an-operator-s.jsonl"}
        assert {path.name for path in folder.iterdir()} == kept


def test_shared_memory_that_is_full_is_named_with_the_remedy(tmp_path: Path) -> None:
    one_clear_line(refused_start(environment(tmp_path, kvstore__arena_bytes=1 << 50)), "kvstore.arena_bytes")


def _claiming(folder: Path, then: str) -> subprocess.Popen[str]:
    script = (
        "import pathlib, subprocess, sys; from services.cli import up; up.claim(pathlib.Path(sys.argv[1]))\n" + then
    )
    return subprocess.Popen([sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE, text=True)


def _said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_folder_in_use_is_named_and_left_alone_and_is_free_once_its_holder_is_killed(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("of the running service")
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "counter_1.db").touch()
    outlives = 'child = subprocess.Popen(["sleep", "60"], close_fds=False)\nprint(child.pid, flush=True)\nchild.wait()'
    holder = _claiming(tmp_path, outlives)
    try:
        child = int(_said(holder))
        refused = refused_start(environment(tmp_path))
        one_clear_line(refused, "common.data_dir", str(tmp_path), f"(process {holder.pid})", "Stop it, or name")
        assert (tmp_path / "token").read_text() == "of the running service"
        assert (tmp_path / "metrics" / "counter_1.db").exists()
    finally:
        holder.kill()
        holder.wait()
    try:
        assert _said(_claiming(tmp_path, 'print("ours")')) == "ours", "what outlives a kill must not hold the folder"
    finally:
        os.kill(child, signal.SIGKILL)
