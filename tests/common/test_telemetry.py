"""Logs and traces say what happened and never what was said."""

import json
import logging
from pathlib import Path

import pytest

from services.common import telemetry

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
