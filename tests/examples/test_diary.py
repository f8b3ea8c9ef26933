"""The diary example: headings, inferred years, and that what is shipped is what the text says."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from datetime import date, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from mneme.v1.admin_pb2 import AliasGroup

from examples.diary import convert as diary_module
from examples.diary.convert import (
    HERE,
    OUTPUT,
    SOURCE,
    Diary,
    DiaryError,
    convert,
    main,
    parse_heading,
    render,
    report,
)
from services.common.text.extract import Aliases, Extractor
from services.episodic.erasure.person import Naming
from services.episodic.plugins.base import Interval, Record

TEXT = SOURCE.read_text(encoding="utf-8")
SUNDAY = 6


@pytest.fixture(scope="module")
def diary() -> Diary:
    return convert(TEXT)


@pytest.fixture(scope="module")
def shipped() -> dict[str, dict[str, Any]]:
    lines = OUTPUT.read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    by_id = {record["id"]: record for record in records}
    assert len(by_id) == len(records), "ids repeat"
    return by_id


@pytest.fixture(scope="module")
def questions() -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = yaml.safe_load((HERE / "questions.yaml").read_text("utf-8"))
    return loaded


@pytest.fixture(scope="module")
def aliases() -> dict[str, list[str]]:
    loaded: dict[str, list[str]] = yaml.safe_load((HERE / "aliases.yaml").read_text("utf-8"))
    return loaded


def dates(text: str, latest: int = 1892) -> list[str]:
    return [entry.day.isoformat() for entry in convert(text, latest).entries]


@pytest.fixture(scope="module")
def perceived(shipped: dict[str, dict[str, Any]], aliases: dict[str, list[str]]) -> list[tuple[str, Record]]:
    """The observations as they are remembered, each with the people that perception finds in it."""
    extractor, known = Extractor(), Aliases(groups(aliases))
    return [
        (
            id_,
            Record(
                id=id_,
                namespace="demo/diary",
                kind="turn",
                text=line["text"],
                event=Interval(moment := datetime.fromisoformat(line["observed_at"]), moment),
                session=line["session"],
                actor=line["actor"],
                people=extractor.find(line["text"], aliases=known, known=[line["actor"]]).people,
            ),
        )
        for id_, line in shipped.items()
    ]


def groups(aliases: dict[str, list[str]]) -> list[AliasGroup]:
    return [AliasGroup(name=name, aliases=others) for name, others in aliases.items()]


# --- headings ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("paragraph", "month", "day", "weekday", "rest"),
    [
        ("April 3.—Tradesmen called", 4, 3, None, "Tradesmen called"),
        ("April 9—Commenced the morning", 4, 9, None, "Commenced the morning"),
        ("April 8, Sunday.—After Church", 4, 8, SUNDAY, "After Church"),
        ("May 26, Sunday—We went", 5, 26, SUNDAY, "We went"),
        ("August 6, Bank Holiday.—As there was", 8, 6, 0, "As there was"),
        ("May 28, Bank Holiday.—Whitsun", 5, 28, None, "Whitsun"),
        ("December 24th.—I am a poor man", 12, 24, None, "I am a poor man"),
        ("ovember 5, Sunday—Carrie and I", 11, 5, SUNDAY, "Carrie and I"),
        ("Christmas Day.—We caught", 12, 25, None, "We caught"),
        ('June 2.—"Consequences" again', 6, 2, None, '"Consequences" again'),
    ],
)
def test_heading_forms(
    paragraph: str,
    month: int,
    day: int,
    weekday: int | None,
    rest: str,
) -> None:
    heading = parse_heading(paragraph)
    assert heading is not None
    assert (heading.month, heading.day) == (month, day)
    assert (heading.clue.weekday if heading.clue else None) == weekday
    assert paragraph[heading.length :] == rest


@pytest.mark.parametrize(
    "paragraph",
    [
        "May I come in?",
        "In April 3 tradesmen called.—So many",
        "April showers.—A dull day",
        "Christmas Day was quiet.",
        "March 3 was cold.—Very",
    ],
)
def test_not_a_heading(paragraph: str) -> None:
    assert parse_heading(paragraph) is None


def test_unknown_heading_note_is_refused() -> None:
    with pytest.raises(DiaryError, match="Shrove"):
        parse_heading("March 5, Shrove Tuesday.—Pancakes")


# --- years on other diaries --------------------------------------------------------------------


def test_years_come_from_the_weekdays_not_from_this_diary() -> None:
    # April 8 was a Sunday in 1888, a Monday in 1889, a Tuesday in 1890.
    assert dates("April 8, Monday.—One.") == ["1889-04-08"]
    assert dates("April 8, Tuesday.—One.") == ["1890-04-08"]
    assert dates("June 28, Sunday.—Sarajevo.", latest=1920) == ["1914-06-28"]


def test_new_year_starts_where_the_date_goes_back_even_without_a_clue() -> None:
    text = "December 28, Friday.—A.\n\nJanuary 2.—B.\n\nJuly 1.—C.\n\nMarch 1, Saturday.—D."
    # 1888-12-28 was a Friday and 1890-03-01 a Saturday.
    assert dates(text) == ["1888-12-28", "1889-01-02", "1889-07-01", "1890-03-01"]


def test_the_majority_decides_and_the_misfit_keeps_its_date() -> None:
    text = "April 8, Sunday.—A.\n\nApril 9, Friday.—B.\n\nApril 15, Sunday.—C."
    found = convert(text)
    assert [entry.day for entry in found.entries] == [
        date(1888, 4, 8),
        date(1888, 4, 9),
        date(1888, 4, 15),
    ]
    assert [entry.day for entry, _ in found.clues(fitting=False)] == [date(1888, 4, 9)]
    assert "1888-04-09  Friday (was a Monday)" in report(found)


def test_years_may_be_skipped_for_a_better_fit_only() -> None:
    # April 8 was a Sunday in 1877, 1883, 1888, April 5 in 1874, 1885, 1891: the nearest pair.
    assert dates("April 8, Sunday.—A.\n\nApril 5, Sunday.—B.") == ["1883-04-08", "1885-04-05"]
    assert dates("April 8, Sunday.—A.\n\nApril 5.—B.") == ["1888-04-08", "1889-04-05"]


def test_a_leap_day_needs_a_leap_year() -> None:
    assert dates("February 29.—A.\n\nMarch 4, Sunday.—B.") == ["1888-02-29", "1888-03-04"]


def test_statement_in_the_text_counts_as_a_weekday() -> None:
    assert dates("April 7.—Being Saturday, I rested.") == ["1888-04-07"]
    assert dates("April 27.—Dine with us to-morrow (Sunday).") == ["1889-04-27"]


def test_a_diary_without_a_weekday_has_no_year() -> None:
    with pytest.raises(DiaryError, match="no weekday"):
        convert("April 3.—Tradesmen called.")


def test_two_entries_for_a_day_are_refused() -> None:
    with pytest.raises(DiaryError, match="two entries for April 8"):
        convert("April 8, Sunday.—A.\n\nApril 8.—B.")


# --- the diary itself --------------------------------------------------------------------------


def test_source_is_the_text_that_the_readme_names() -> None:
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()
    assert digest in (HERE / "README.md").read_text("utf-8")


def test_counts(diary: Diary) -> None:
    observations = list(diary.observations())
    assert len(diary.entries) == 168
    assert len(observations) == 599
    assert Counter(entry.day.year for entry in diary.entries) == {1888: 116, 1889: 52}
    # Every paragraph but 24 chapter lines and 24 synopses.
    assert len([block for block in TEXT.split("\n") if block.strip()]) == 599 + 48


def test_years_of_the_diary(diary: Diary) -> None:
    days = [entry.day.isoformat() for entry in diary.entries]
    assert "1888-04-08" in days
    assert (days[0], days[-1]) == ("1888-04-03", "1889-07-11")
    assert days == sorted(days)


def test_every_fit_and_misfit_is_reported(diary: Diary) -> None:
    fits = [entry.day.isoformat() for entry, _ in diary.clues(fitting=True)]
    expected = """
        1888-04-07 1888-04-08 1888-04-15 1888-04-29 1888-05-06 1888-08-05 1888-08-06 1888-08-19
        1888-08-26 1888-12-30 1889-02-10 1889-04-14 1889-04-27 1889-04-28 1889-05-26
    """
    assert fits == expected.split()
    misfits = [entry.day.isoformat() for entry, _ in diary.clues(fitting=False)]
    assert misfits == "1888-11-05 1888-11-12 1888-11-19 1888-11-26 1889-07-03".split()
    assert report(diary) in (HERE / "README.md").read_text("utf-8")


def test_no_date_is_moved(diary: Diary) -> None:
    """Month and day of every entry as its heading has them, read by a pattern of the test's own."""
    months = "anuary ebruary arch pril ay une uly ugust eptember ctober ovember ecember".split()
    headings = rf"^(?:.?({'|'.join(months)}) (\d+)(?:th)?|(Christmas Day)\.)\W"
    written = re.findall(headings, TEXT, re.MULTILINE)
    stated = [(12, 25) if feast else (months.index(m) + 1, int(d)) for m, d, feast in written]
    assert [(entry.day.month, entry.day.day) for entry in diary.entries] == stated


def test_text_is_kept_and_the_editor_left_out(shipped: dict[str, dict[str, Any]]) -> None:
    plain = TEXT.replace("\u00ad", "")
    assert all(record["text"] in plain for record in shipped.values())
    everything = "\n".join(record["text"] for record in shipped.values())
    assert "CHAPTER" not in everything
    assert "Tradesmen trouble us a bit" not in everything
    assert "Miss Lilian Posh" not in everything  # named so in a synopsis only


def test_ids_are_stable(shipped: dict[str, dict[str, Any]]) -> None:
    openings = {
        "diary-preface-p1": "My dear wife Carrie and I have just been a week",
        "diary-1888-04-03-p1": "Tradesmen called for custom",
        "diary-1888-11-05-p1": "Carrie and I troubled about that mere boy",
        "diary-1888-12-25-p4": "Fortunately the matter was treated as a joke",
        "diary-1889-07-11-p7": "My two dear friends came in the evening",
    }
    for id_, opening in openings.items():
        assert shipped[id_]["text"].startswith(opening)


def test_a_shipped_record(shipped: dict[str, dict[str, Any]]) -> None:
    assert shipped["diary-1888-04-29-p2"] | {"text": ""} == {
        "id": "diary-1888-04-29-p2",
        "session": "diary-1888-04-29",
        "actor": "Charles Pooter",
        "observed_at": "1888-04-29T21:00:01Z",
        "text": "",
        "metadata": {"chapter": 3, "paragraph": 2},
    }
    assert shipped["diary-preface-p2"]["observed_at"] == "1888-04-03T20:00:01Z"


def test_time_keeps_the_order_of_the_text(shipped: dict[str, dict[str, Any]]) -> None:
    times = [record["observed_at"] for record in shipped.values()]
    assert all(earlier < later for earlier, later in pairwise(times))


def test_shipped_observations_are_fresh(diary: Diary) -> None:
    assert OUTPUT.read_text(encoding="utf-8") == render(diary)
    assert main(["--check"]) == 0


def test_check_notices_a_stale_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stale = tmp_path / "diary.jsonl"
    monkeypatch.setattr(diary_module, "OUTPUT", stale)
    assert main(["--check"]) == 1
    assert not stale.exists()
    assert main([]) == 0
    assert main(["--check"]) == 0
    stale.write_text(stale.read_text("utf-8").replace("mutton", "beef"), "utf-8")
    assert main(["--check"]) == 1


# --- questions and names -----------------------------------------------------------------------

# A word of the answer that each paragraph of the evidence must hold.
ANSWERS = {
    "q01": "Borset",
    "q02": "Murray Posh",
    "q03": "Burwin-Fosselton",
    "q04": "Hardfur Huttle",
    "q05": "it was your head",
    "q06": "Mrs. Burtsett",
    "q07": "day before yesterday being his twentieth birthday",
    "q08": "engaged",
    "q09": "£100",
    "q10": "East Acton Volunteer Ball",
    "q11": "given up my pony and trap",
    "q12": "Brickfield Terrace",
    "q13": "Oldham",
    "q14": "Margate",
    "q15": '"The Angel"',
    "q16": "Bayswater",
    "q17": "enamel paint, which had dissolved",
    "q18": "new stick mounted with silver",
    "q19": "What's old Pooter's age?",
    "q20": "£25",
    "q21": "threw a stick between the spokes",
    "q22": "freehold",
    "q23": "coal-scuttle",
    "q24": "headache",
    "q25": "Gowing called, and was full of praise",
    "q26": "Gowing and Cummings calling every evening",
    "q27": "I have just let all my house",
    "q28": "toy spiders, frogs, and beetles",
    "q29": "It is on again",
    "q30": "I posted a letter",
}
ABSENT = "Whitechapel Ripper dentist toothache Jubilee Abernethy loan France".split()


def test_question_counts(questions: list[dict[str, Any]]) -> None:
    assert [question["id"] for question in questions] == [f"q{n:02}" for n in range(1, 41)]
    kinds = Counter(question["type"] for question in questions)
    assert kinds == {
        "who": 6, "when": 5, "where": 5, "what": 6, "relative": 8, "unanswerable": 10,
    }  # fmt: skip
    assert len({question["question"] for question in questions}) == 40


def test_answerable_questions_have_evidence_that_answers(
    questions: list[dict[str, Any]], shipped: dict[str, dict[str, Any]]
) -> None:
    answerable = [question for question in questions if question["type"] != "unanswerable"]
    assert {question["id"] for question in answerable} == set(ANSWERS)
    for question in answerable:
        assert set(question) == {"id", "type", "question", "expect", "evidence"}
        assert question["evidence"]
        for id_ in question["evidence"]:
            assert ANSWERS[question["id"]] in shipped[id_]["text"], (question["id"], id_)


def test_relative_questions_point_at_the_day_they_describe(
    questions: list[dict[str, Any]], shipped: dict[str, dict[str, Any]]
) -> None:
    """The event each is relative to, found by its own words, and the days from it to the answer."""
    anchors = {
        "q23": ("Painted the bath red", -1),
        "q24": ("the Lord Mayor's reception. The whole house upset", 1),
        "q25": ("Our first important party", 2),
        "q26": ("Carrie back. Hoorah!", 8),  # the entry that tells of the week past
        "q27": ("having journeyed all the way from Oldham", -1),
        "q28": ("No water in our cistern again", 1),
        "q29": ("We caught the 10.20 train at Paddington", -2),
        "q30": ("We knocked and rang several times", 14),
    }
    by_id = {question["id"]: question for question in questions}
    assert {q for q, entry in by_id.items() if entry["type"] == "relative"} == set(anchors)
    for id_, (words, days) in anchors.items():
        (event,) = [record for record in shipped.values() if words in record["text"]]
        (evidence,) = by_id[id_]["evidence"]
        apart = _day(shipped[evidence]) - _day(event)
        assert apart.days == days, id_


def _day(record: dict[str, Any]) -> date:
    return date.fromisoformat(record["observed_at"][:10])


def test_unanswerable_questions_say_why(questions: list[dict[str, Any]]) -> None:
    for question in questions:
        if question["type"] == "unanswerable":
            assert set(question) == {"id", "type", "question", "evidence", "why"}
            assert question["evidence"] == []
    for word in ABSENT:
        assert not re.search(rf"\b{word}\b", TEXT, re.IGNORECASE), word


def test_aliases_are_names_that_the_observations_use(
    aliases: dict[str, list[str]], shipped: dict[str, dict[str, Any]]
) -> None:
    names = [name for main_name, others in aliases.items() for name in (main_name, *others)]
    assert len({name.casefold() for name in names}) == len(names)
    everything = "\n".join(record["text"] for record in shipped.values())
    unused = [n for n in names if not re.search(rf"(?<!\w){re.escape(n)}(?!\w)", everything)]
    assert unused == []


@pytest.mark.parametrize(
    ("person", "paragraphs", "hit"),
    [
        ("Hardfur Huttle", 21, {"q04"}),
        ("Burwin-Fosselton", 11, {"q03"}),
        ("Murray Posh", 22, {"q02", "q16"}),
        ("Daisy Mutlar", 49, {"q02", "q03", "q16"}),
    ],
)
def test_forgetting_counts_of_the_readme(
    person: str,
    paragraphs: int,
    hit: set[str],
    aliases: dict[str, list[str]],
    perceived: list[tuple[str, Record]],
    questions: list[dict[str, Any]],
) -> None:
    forgotten = Naming([person], groups(aliases))
    named = {id_ for id_, record in perceived if forgotten.meant_by(record)}
    assert len(named) == paragraphs
    assert {q["id"] for q in questions if named & set(q["evidence"])} == hit
    row = f"| {person} | {', '.join([person, *aliases[person]])} | {paragraphs} | "
    assert row + ", ".join(sorted(hit)) in (HERE / "README.md").read_text("utf-8")
