"""Logs and traces say what happened and never what was said."""

import ast
import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from services.common import telemetry
from services.common.config import load
from services.common.crypto.seal import MasterKey

SECRET = "Carrie keeps the key under the scraper"


@pytest.fixture
def configured(tmp_path: Path) -> Path:
    telemetry.configure("test", log_dir=tmp_path / "logs")
    return tmp_path


def _lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for path in folder.glob("*.jsonl") for line in path.read_text().splitlines()]


def test_an_exception_is_logged_by_type_and_frames_without_its_message(configured: Path) -> None:
    try:
        raise ValueError(SECRET)
    except ValueError:
        logging.getLogger("services.x").exception("could not", extra={"namespace": "acme/ann", "text": SECRET})
    (line,) = _lines(configured / "logs")
    assert line["message"] == "could not"
    assert line["exception"] == "ValueError"
    assert line["namespace"] == "acme/ann"
    assert SECRET not in json.dumps(line)


def test_arguments_of_a_message_are_not_logged(configured: Path) -> None:
    logging.getLogger("services.x").warning("said %s", SECRET)
    assert SECRET not in json.dumps(_lines(configured / "logs"))


def test_a_trace_crosses_a_record_header() -> None:
    telemetry.configure("test")
    with telemetry.span("produce") as first:
        headers = telemetry.to_headers()
    with telemetry.span("consume", parent=telemetry.from_headers(headers)) as second:
        assert second.get_span_context().trace_id == first.get_span_context().trace_id


def test_a_record_header_carries_no_word_of_the_producer() -> None:
    telemetry.configure("test")
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    parent = {"traceparent": f"00-{trace_id}-b7ad6b7169203331-01", "tracestate": "ann=has_HIV"}
    with telemetry.span("consume", parent=parent):
        headers = telemetry.to_headers()
    assert list(headers) == ["traceparent"]
    assert trace_id in headers["traceparent"].decode()


def test_stage_times_are_kept_by_name() -> None:
    stages = telemetry.Stages("test")
    with stages("a"), stages("b"):
        pass
    with stages("a"):
        pass
    assert set(stages.seconds) == {"a", "b"}
    assert all(seconds > 0 for seconds in stages.seconds.values())


def test_totals_show_what_counts_have_grown_by() -> None:
    totals = telemetry.Totals("totals-test")
    shown = telemetry.RECORDS.labels("totals-test", "stored")._value
    for count, wanted in [(3, 3), (3, 3), (8, 8)]:
        totals.show({"stored": count})
        assert shown.get() == wanted


# A process whose files cannot grow by a byte, as on a full disk, does work that is counted, traced and logged.
ON_A_FULL_DISK = """
import json, logging, pathlib, resource, sys
folder = pathlib.Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
from services.common import telemetry
from services.common.config import load
from services.common.crypto.seal import MasterKey
telemetry.configure("full", log_dir=folder / "logs", trace_dir=folder / "traces")
for number in range(2000):  # more labels than any page that was there before has room for
    telemetry.CALLS.labels(f"method-{number}", "OK").inc()
    with telemetry.Stages("full")(f"stage-{number}"):
        logging.getLogger("services.x").warning("worked")
telemetry.flush()
print(json.dumps({s.labels["outcome"]: s.value for f in telemetry.RECORDS.collect() for s in f.samples
                  if s.name.endswith("_total")}))
"""


def test_invariant_38_a_telemetry_failure_is_never_a_service_failure(tmp_path: Path) -> None:
    """Numbers need no disk, whatever the environment says of prometheus_client's own way; lost lines are counted."""
    environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", ON_A_FULL_DISK, str(tmp_path)], env=environ, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    lost = json.loads(done.stdout)
    assert lost["line_lost"] == 2000
    assert lost["span_lost"] >= 1000
    assert "Traceback" not in done.stderr, "a full disk is not a stack trace a line"


MUCH_TO_SAY = """
import logging, sys
from pathlib import Path
from services.common import telemetry

telemetry.LOG_FILE_BYTES = telemetry.TRACE_FILE_BYTES = 4_000
folder = Path(sys.argv[1])
telemetry.configure("test", log_dir=folder / "logs", trace_dir=folder / "traces", stderr=False)
for n in range(500):
    with telemetry.span("work", number=n):
        logging.getLogger("services.x").warning("worked")
    telemetry.flush()
"""


def test_what_a_process_leaves_on_the_disk_is_bounded(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", MUCH_TO_SAY, str(tmp_path)], check=True, timeout=60)
    written = {folder: sum(p.stat().st_size for p in (tmp_path / folder).iterdir()) for folder in ("logs", "traces")}
    assert 1_000 < written["logs"] <= 2 * 4_000
    assert 100 < written["traces"] < 2 * 4_000


def test_no_field_of_a_line_is_left_out_without_a_word() -> None:
    """Each that our code names is one that lines show."""
    passed: dict[str, set[str]] = {}
    for path in Path("services").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "extra" and isinstance(node.value, ast.Dict):
                names = {str(key.value) for key in node.value.keys if isinstance(key, ast.Constant)}
                passed[str(path)] = passed.get(str(path), set()) | names
    assert len(passed) > 10
    shown = set(telemetry.LOG_FIELDS)
    assert {path: names - shown for path, names in passed.items() if names - shown} == {}


def test_many_of_a_kind_are_one_line_with_their_number(configured: Path) -> None:
    sampled = telemetry.Sampled(logging.getLogger("services.x"), "refused", every_s=0.2)
    for _ in range(100):
        sampled.tell(reason="full")
    time.sleep(0.25)
    sampled.tell(reason="full")
    said = [(line["message"], line["reason"], line["count"]) for line in _lines(configured / "logs")]
    assert said == [("refused", "full", 1), ("refused", "full", 100)]


def test_a_pseudonym_is_the_same_for_the_same_name_under_the_same_master_key_only(tmp_path: Path) -> None:
    said = []
    for folder in ("a", "a", "b"):
        settings = load(environ={"MNEME__COMMON__DATA_DIR": str(tmp_path / folder)})
        MasterKey.load_or_create(settings.common.master_key_path)
        telemetry.configure_from("test", settings.common)
        said.append(telemetry.pseudonym("acme/ann"))
    assert said[0] == said[1] != said[2]
    assert telemetry.pseudonym("acme/bob") != said[2]
    assert not any("acme" in each or len(each) != 16 for each in said)
