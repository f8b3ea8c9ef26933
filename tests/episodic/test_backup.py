"""`mneme backup` and `mneme restore`: one moment of a log that others write to, and only with its own key."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from mneme.v1.episodic_pb2 import ForgetSelector, Ids

from services.cli.main import main
from services.common.log.sqlite import copying
from services.common.models.embed import Embedder
from tests.episodic.world import World


class Machine:
    """A service's data folder, another one, and the commands."""

    def __init__(self, tmp_path: Path, embedder: Embedder) -> None:
        self.folder, self.other, self.to = tmp_path / "data", tmp_path / "other", tmp_path / "backup"
        self.folder.mkdir()
        self._embedder = embedder
        self.world = World(self.folder, embedder)
        self.key = self.folder / "master.key"

    def backup(self, *more: str) -> Result:
        return self._run(self.folder, "backup", str(self.to), *more)

    def restore(self, *more: str) -> Result:
        return self._run(self.other, "restore", str(self.to), *more)

    def restored(self) -> World:
        return World(self.other, self._embedder).open()

    def _run(self, folder: Path, *words: str) -> Result:
        return CliRunner().invoke(main, words, env={"MNEME__COMMON__DATA_DIR": str(folder)})


@pytest.fixture
def machine(tmp_path: Path, embedder: Embedder) -> Machine:
    return Machine(tmp_path, embedder)


def test_a_backup_of_a_running_service_has_what_was_acknowledged_before_it(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "_PAGES", 4)  # many steps
    world = machine.world.open()
    world.create()
    told = [f"The key number {n} lies under stone {n * 7}." for n in range(40)]
    for n, text in enumerate(told):
        world.observe(f"o{n}", text)
    world.settle()
    world.forget(ForgetSelector(ids=Ids(ids=[world.base("o3")])))
    ended = threading.Event()

    def go_on() -> None:
        n = 0
        while not ended.is_set():
            world.observe(f"later{n}", "The lamp hangs in the hall.")
            n += 1
            time.sleep(0.02)

    writer = threading.Thread(target=go_on)
    writer.start()
    try:
        done = machine.backup("--with-key")
    finally:
        ended.set()
        writer.join()
    assert done.exit_code == 0, done.output
    world.settle()  # the service goes on
    assert world.recall("What hangs in the hall?").items
    world.close()

    back = machine.restore()
    assert back.exit_code == 0, back.output
    again = machine.restored()
    again.settle()
    texts = {text for n in range(40) for text in again.texts(again.recall(f"Where does key number {n} lie?"))}
    assert {*told[:3], *told[4:]} <= texts
    assert told[3] not in texts
    again.close()


def test_the_restored_service_has_the_same_state(machine: Machine) -> None:
    world = machine.world.open()
    world.create()
    for n in range(5):
        world.observe(f"o{n}", f"The key number {n} lies under stone {n * 7}.")
    world.settle()
    world.correct("c", world.base("o1"), "The key number 1 lies under the mat.")
    world.settle()
    before = world.hash()
    assert machine.backup("--with-key").exit_code == 0
    world.close()
    assert machine.restore().exit_code == 0
    again = machine.restored()
    again.settle()
    assert again.hash() == before
    again.close()


def test_it_holds_no_key_unless_it_is_asked_for_and_is_restored_with_its_own_alone(
    machine: Machine, tmp_path: Path
) -> None:
    machine.world.create()
    done = machine.backup()
    assert done.exit_code == 0, done.output
    assert "The master key is not in it" in done.stderr
    assert sorted(file.name for file in machine.to.iterdir()) == ["backup.json", "log.db"]
    assert {file.stat().st_mode & 0o077 for file in machine.to.iterdir()} == {0}

    refused = machine.restore()
    assert (refused.exit_code, "--master-key-file" in refused.stderr) == (1, True), refused.output
    wrong = tmp_path / "wrong.key"
    wrong.write_text("00" * 32)
    wrong.chmod(0o600)
    refused = machine.restore("--master-key-file", str(wrong))
    assert (refused.exit_code, "not the master key of this backup" in refused.stderr) == (1, True), refused.output
    assert not (machine.other / "log.db").exists()
    assert not (machine.other / "master.key").exists()
    back = machine.restore("--master-key-file", str(machine.key))
    assert back.exit_code == 0, back.output
    assert (machine.other / "master.key").read_text() == machine.key.read_text()


def test_what_is_there_is_never_written_over(machine: Machine) -> None:
    machine.world.create()
    assert machine.backup("--with-key").exit_code == 0
    before = (machine.to / "backup.json").read_bytes()
    again = machine.backup("--with-key")
    assert (again.exit_code, "it is there already" in again.stderr) == (1, True), again.output
    assert (machine.to / "backup.json").read_bytes() == before
    (machine.other / "index").mkdir(parents=True)
    refused = machine.restore()
    assert (refused.exit_code, "holds a log already (index)" in refused.stderr) == (1, True), refused.output


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda to: (to / "log.db").write_bytes((to / "log.db").read_bytes()[:-1]), "SHA-256 differs"),
        (lambda to: (to / "backup.json").unlink(), "no backup"),
        (lambda to: (to / "backup.json").write_text("[]"), "no backup"),
        (lambda to: (to / "log.db").unlink(), "log.db"),
    ],
)
def test_a_backup_that_is_not_whole_is_refused(machine: Machine, harm: object, says: str) -> None:
    machine.world.create()
    assert machine.backup("--with-key").exit_code == 0
    harm(machine.to)  # type: ignore[operator]
    refused = machine.restore()
    assert refused.exit_code == 1, refused.output
    assert says in refused.stderr
    assert not (machine.other / "log.db").exists()
    assert not list(machine.other.glob("*.part"))


def test_one_of_another_format_names_it(machine: Machine) -> None:
    machine.world.create()
    assert machine.backup("--with-key").exit_code == 0
    said = json.loads((machine.to / "backup.json").read_text())
    (machine.to / "backup.json").write_text(json.dumps(said | {"format": 2}))
    refused = machine.restore()
    assert "a backup of format 2; this version of Mneme knows 1" in refused.stderr


def test_a_folder_without_a_log_and_a_log_in_kafka_are_refused(tmp_path: Path) -> None:
    for settings, says in (
        ({"MNEME__COMMON__DATA_DIR": str(tmp_path)}, "there is no log in"),
        ({"MNEME__COMMON__LOG": "kafka://127.0.0.1:1"}, "Replicate its topics"),
    ):
        done = CliRunner().invoke(main, ["backup", str(tmp_path / "to")], env=settings)
        assert (done.exit_code, says in done.stderr) == (1, True), done.output
        assert not list(tmp_path.iterdir())


def test_a_copy_that_fails_leaves_nothing(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.world.create()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("services.cli.backup.copy", full)
    done = machine.backup()
    assert done.exit_code == 1
    assert "No space left on device" in done.stderr
    assert not machine.to.exists()
    assert not list(machine.to.parent.glob("*.part"))
