"""What the documents show runs, and what they name exists."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from examples import demo
from services.cli.local import Local
from services.cli.main import main
from services.common import telemetry
from services.common.config import load
from services.common.ledger import topics

ROOT = Path(__file__).parents[2]


def run_as_written(commands: str, local: Local, tmp_path: Path) -> str:
    """In a folder that looks like the repository after `make up`; its port alone is another. What they print."""
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / ".mneme").symlink_to(local.settings.common.data_dir.absolute())
    environ = {k: v for k, v in os.environ.items() if not k.startswith("MNEME_")}
    ran = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", commands],
        cwd=tmp_path,
        env={**environ, "MNEME_ADDRESS": local.address},
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_the_commands_of_the_readme_run_as_written(local: Local, tmp_path: Path) -> None:
    _, section = (ROOT / "README.md").read_text().split("## Use it\n")
    (commands,) = re.findall(r"```bash\n(.*?)```", section, re.DOTALL)
    printed = run_as_written(commands, local, tmp_path)
    assert "2 accepted" in printed
    assert "rebuild done" in printed
    # What a reader expects to see: found, the dentist first in all three, and quoted in both answers.
    said = "My dentist moved the appointment to Thursday at nine."
    assert not re.findall("nothing good enough|nothing found|not found", printed), printed
    lines = printed.splitlines()
    assert [line for line in lines if line.startswith("  1. ")] == [f"  1. 2026-03-02 t1  Ann: {said}"] * 3
    assert lines.count(f"  Ann: {said}") == 2


def test_what_the_demo_says_to_run_next_runs_on_a_service_of_the_reader_s_own(local: Local, tmp_path: Path) -> None:
    """With the head of the diary alone: all of it takes the better part of a minute."""
    diary = tmp_path / "examples" / "diary" / "diary.jsonl"
    diary.parent.mkdir(parents=True)
    head = (demo.HERE / "diary.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)[:30]
    diary.write_text("".join(head), encoding="utf-8")
    printed = run_as_written(demo.NEXT, local, tmp_path)
    assert "30 accepted" in printed
    assert "all of it recallable" in printed
    assert not re.findall("nothing good enough|nothing found|not found", printed), printed
    assert printed.count("Charles Pooter: ") >= 6, "five turns recalled, and an answer's quotes, with who wrote them"
    assert "would go: 0 told" in printed
    assert not re.findall(r"127\.0\.0\.1|/tmp", demo.NEXT), "what is gone when it is read"


def test_the_python_example_of_the_readme_runs(local: Local) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", example],
        env={
            **os.environ,
            "MNEME_ADDRESS": local.address,
            "MNEME_TOKEN": local.settings.common.token_path.read_text().strip(),
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    assert "The blue umbrella is in the hall." in ran.stdout


def _names() -> list[str]:
    text = (ROOT / "docs" / "architecture.md").read_text()
    return sorted(set(re.findall(r"`(services(?:\.\w+)+(?::\w+)?)`", text)))


def test_the_note_names_code() -> None:
    assert len(_names()) > 20


@pytest.mark.parametrize("name", _names())
def test_a_name_in_the_note_can_be_imported(name: str) -> None:
    module, _, attribute = name.partition(":")
    imported = importlib.import_module(module)
    assert not attribute or hasattr(imported, attribute)


def test_every_test_that_the_note_names_exists() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    named = set(re.findall(r"`(test_\w+)`", text))
    sources = "\n".join(p.read_text() for p in (ROOT / "tests").rglob("test_*.py"))
    missing = {name for name in named if f"def {name}" not in sources}
    assert named
    assert not missing


def test_what_the_operators_page_names_is_there() -> None:
    text = (ROOT / "docs" / "operating.md").read_text()
    topic_names = {spec.name for spec in topics.specs(1, [topics.INBOX])}
    assert set(re.findall(r"`(mneme\.[\w.-]+\.v\d)`", text)) == topic_names
    named = dict(re.findall(r"`(mneme_\w+)\{([\w,]+)\}`", text))
    metrics = (
        telemetry.CALLS,
        telemetry.STAGE_SECONDS,
        telemetry.LAG,
        telemetry.RECORDS,
        telemetry.QUEUE,
        telemetry.HELD,
    )
    families = {family.name: metric._labelnames for metric in metrics for family in metric.describe()}
    assert {name.removesuffix("_total"): tuple(labels.split(",")) for name, labels in named.items()} == families
    settings, sections = load(environ={}), load(environ={}).layers
    for section, key in set(re.findall(rf"`({'|'.join(sections)})\.(\w+)[`:]", text)):
        assert key in sections[section] or hasattr(settings.common, key), f"{section}.{key}"
    sources = "\n".join(path.read_text() for path in (ROOT / "services").rglob("*.py"))
    bare = set(re.findall(r"`(mneme_\w+)`", text))
    assert len(bare) > 8
    assert {name for name in bare if f'"{name}"' not in sources} == set()


def _commands() -> list[str]:
    """Every `mneme ...` that a document tells a reader to type, less what is said of it behind two spaces."""
    texts = [(ROOT / name).read_text() for name in ("README.md", "docs/operating.md", "docs/methods.md")]
    found = {each for text in texts for each in re.findall(r"(?:^|`)mneme ([a-z-][^`\n]*)", text, re.MULTILINE)}
    return sorted({each.split("  ")[0] for each in found})


def test_every_command_that_a_document_shows_is_one_with_these_options() -> None:
    assert len(_commands()) > 20
    for shown in _commands():
        command: click.Command = main
        options = {option for param in main.params for option in param.opts}
        for word in shown.split():
            if isinstance(command, click.Group) and word in command.commands:
                command = command.commands[word]
                options |= {option for param in command.params for option in param.opts}
            elif word.startswith("-"):
                assert word in options, f"mneme {shown}: {word}"
        assert command is not main or shown.startswith("--"), f"mneme {shown}"


def test_links_between_documents_lead_somewhere() -> None:
    for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"
