"""Turn the text of *The Diary of a Nobody* into observations, one a paragraph.

Each dated entry is a session and each of its paragraphs an observation. The text gives days and
months but no year, so the years are inferred from the weekdays it names (``infer_years``). Names
that fit no choice are reported as misfits; no month or day is ever changed.

    python -m examples.diary.convert            # write diary.jsonl
    python -m examples.diary.convert --report   # print how the years were found
    python -m examples.diary.convert --check    # exit 1 if diary.jsonl is stale
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

HERE = Path(__file__).parent
SOURCE = HERE / "source.txt"
OUTPUT = HERE / "diary.jsonl"

ACTOR = "Charles Pooter"
PUBLISHED = 1892  # the year of the book: the diary was not kept after it
SEARCHED_YEARS = 100  # weekdays repeat every 28 years, so a century holds every pattern

# An entry is written in the evening; paragraphs follow each other by a second to keep their order.
EVENING = time(21, tzinfo=UTC)
BEFORE_EVENING = time(20, tzinfo=UTC)  # the preface, which stands before the first entry

MONTHS = """
    January February March April May June July August September October November December
""".split()
WEEKDAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
FEASTS = {"Christmas Day": (12, 25)}

SOFT_HYPHEN = "\u00ad"
CHAPTER = re.compile(r"CHAPTER [A-Z ]+\.")


def _month_numbers() -> dict[str, int]:
    """Month names by number, also without the initial.

    A chapter's first letter is a drop capital in print, which scanning can lose ("ovember 5").
    """
    return {form: n for n, name in enumerate(MONTHS, 1) for form in (name, name[1:])}


MONTH_NUMBERS = _month_numbers()
HEADING = re.compile(
    rf"(?:(?P<feast>{'|'.join(FEASTS)})"
    rf"|(?P<month>{'|'.join(MONTH_NUMBERS)})\s+(?P<day>\d{{1,2}})(?:st|nd|rd|th)?)"
    r"(?:,\s*(?P<note>[A-Z][A-Za-z ]*))?"
    r"\.?\s*[—–-]\s*"
)

# Statements in the text that name the weekday of a known day: words, and days after the entry's.
# "next Monday", "last Tuesday week" and the like say too little of which day they mean.
STATEMENTS = (
    (re.compile(rf"^Being ({'|'.join(WEEKDAYS)})\b"), 0),
    (re.compile(rf"\bto-day being ({'|'.join(WEEKDAYS)})\b", re.IGNORECASE), 0),
    (re.compile(rf"\bto-morrow \(({'|'.join(WEEKDAYS)})\)"), 1),
)


Paragraph = tuple[int, str]  # its chapter's number, its text


class DiaryError(ValueError):
    """The text cannot be read as a diary: an unknown heading, a repeated day, or no weekday."""


@dataclass(frozen=True)
class Clue:
    """A weekday (Monday is 0) that the text names, ``offset`` days after its entry."""

    weekday: int
    offset: int
    words: str

    def fits(self, day: date) -> bool:
        """Whether the clue holds if its entry was written on ``day``."""
        return (day + timedelta(days=self.offset)).weekday() == self.weekday

    def actual(self, day: date) -> str:
        """The weekday in truth of the day the clue means, its entry written on ``day``."""
        return WEEKDAYS[(day + timedelta(days=self.offset)).weekday()]


@dataclass(frozen=True)
class Heading:
    """The start of an entry: month and day, and the clue its heading gives, if it does."""

    month: int
    day: int
    clue: Clue | None
    length: int  # characters of the paragraph that are the heading


@dataclass(frozen=True)
class Undated:
    """An entry as the text has it: month and day, no year."""

    month: int
    day: int
    clues: tuple[Clue, ...]
    paragraphs: tuple[Paragraph, ...]


@dataclass(frozen=True)
class Entry:
    """An entry with its inferred year."""

    day: date
    clues: tuple[Clue, ...]
    paragraphs: tuple[Paragraph, ...]

    @property
    def session(self) -> str:
        """The name of the session that holds the entry."""
        return f"diary-{self.day.isoformat()}"


@dataclass(frozen=True, order=True)
class Assignment:
    """A year for each run of entries so far; of two assignments the greater is the better."""

    fits: int
    unskipped: int  # minus the years left out between runs
    years: tuple[int, ...]

    def extended(self, year: int, fits: int) -> Assignment:
        """This assignment with one more run, in ``year``, of whose clues ``fits`` hold."""
        skipped = year - self.years[-1] - 1 if self.years else 0
        return Assignment(self.fits + fits, self.unskipped - skipped, (*self.years, year))


@dataclass(frozen=True)
class Observation:
    """One paragraph, the unit of evidence."""

    id: str
    session: str
    observed_at: datetime
    text: str
    chapter: int
    paragraph: int

    def to_json(self) -> str:
        """The observation as one line of ``diary.jsonl``, without the line break."""
        record = {
            "id": self.id,
            "session": self.session,
            "actor": ACTOR,
            "observed_at": self.observed_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "text": self.text,
            "metadata": {"chapter": self.chapter, "paragraph": self.paragraph},
        }
        return json.dumps(record, ensure_ascii=False)


@dataclass(frozen=True)
class Diary:
    """The whole diary: paragraphs before the first entry, then the entries in order."""

    preface: tuple[Paragraph, ...]
    entries: tuple[Entry, ...]

    def clues(self, *, fitting: bool) -> list[tuple[Entry, Clue]]:
        """The weekdays named in the text that fit the inferred years, or those that do not."""
        pairs = ((entry, clue) for entry in self.entries for clue in entry.clues)
        return [(entry, clue) for entry, clue in pairs if clue.fits(entry.day) is fitting]

    def observations(self) -> Iterator[Observation]:
        """Every paragraph in the order of the text; the preface takes the first entry's date."""
        start = datetime.combine(self.entries[0].day, BEFORE_EVENING)
        yield from _number("diary-preface", start, self.preface)
        for entry in self.entries:
            start = datetime.combine(entry.day, EVENING)
            yield from _number(entry.session, start, entry.paragraphs)


def convert(text: str, latest: int = PUBLISHED) -> Diary:
    """Read the diary in ``text`` and infer its years, none later than ``latest``.

    Raises DiaryError if a heading is not understood, a day repeats, or no weekday is named.
    """
    preface, undated = split_entries(text)
    years = infer_years(undated, latest)
    entries = tuple(
        Entry(date(year, entry.month, entry.day), entry.clues, entry.paragraphs)
        for year, entry in zip(years, undated, strict=True)
    )
    return Diary(preface, entries)


def parse_heading(paragraph: str) -> Heading | None:
    """The heading that ``paragraph`` starts with, or None where it starts with none."""
    match = HEADING.match(paragraph)
    if match is None:
        return None
    if match["feast"]:
        month, day = FEASTS[match["feast"]]
    else:
        month, day = MONTH_NUMBERS[match["month"]], int(match["day"])
    return Heading(month, day, _heading_clue(match["note"], month), match.end())


def split_entries(text: str) -> tuple[tuple[Paragraph, ...], list[Undated]]:
    """The paragraphs before the first heading, and the entries.

    Chapter headings and the synopsis under each are the editor's, not the diarist's: left out.
    """
    preface: list[Paragraph] = []
    started: list[tuple[Heading, list[Paragraph]]] = []
    for chapter, paragraph in _diary_paragraphs(text):
        heading = parse_heading(paragraph)
        if heading is not None:
            started.append((heading, [(chapter, paragraph[heading.length :])]))
        elif started:
            started[-1][1].append((chapter, paragraph))
        else:
            preface.append((chapter, paragraph))
    return tuple(preface), [_close(heading, paragraphs) for heading, paragraphs in started]


def infer_years(entries: Sequence[Undated], latest: int = PUBLISHED) -> list[int]:
    """A year for each entry, so that as many named weekdays as possible fit.

    Entries stand in order, so a new year begins exactly where the month and day go back, and
    nowhere else: were years also to change in between, any set of weekdays could be made to fit.
    Among choices with equally many fits the one that skips fewest years is taken, then the latest.
    Raises DiaryError where no weekday is named or a day repeats.
    """
    if not any(entry.clues for entry in entries):
        raise DiaryError("no weekday is named, so no year can be inferred")
    runs = _runs(entries)
    candidates = range(latest - SEARCHED_YEARS + 1, latest + 1)
    best: list[Assignment] = [Assignment(0, 0, ())]  # for each last year, the best so far
    for run in runs:
        best = [
            max(before.extended(year, fits) for before in earlier)
            for year in candidates
            if (fits := _count_fits(run, year)) is not None
            and (earlier := [b for b in best if not b.years or b.years[-1] < year])
        ]
    if not best:
        raise DiaryError(f"no years up to {latest} hold every day of the diary")
    return [year for year, run in zip(max(best).years, runs, strict=True) for _ in run]


def render(diary: Diary) -> str:
    """The diary as the content of ``diary.jsonl``."""
    return "".join(observation.to_json() + "\n" for observation in diary.observations())


def report(diary: Diary) -> str:
    """How the years were found: counts, then every weekday named that fits, and that does not."""
    fits, misfits = diary.clues(fitting=True), diary.clues(fitting=False)
    lines = [f"{len(diary.entries)} entries, {len(list(diary.observations()))} observations"]
    for year in sorted({entry.day.year for entry in diary.entries}):
        days = [entry.day for entry in diary.entries if entry.day.year == year]
        lines.append(f"{year}: {len(days)} entries, {_words(days[0])} to {_words(days[-1])}")
    lines.append(f"weekdays that fit: {len(fits)}")
    lines += [f"  {entry.day}  {clue.words}" for entry, clue in fits]
    lines.append(f"weekdays that do not fit, dates left as they are: {len(misfits)}")
    for entry, clue in misfits:
        lines.append(f"  {entry.day}  {clue.words} (was a {clue.actual(entry.day)})")
    return "\n".join(lines) + "\n"


def _diary_paragraphs(text: str) -> Iterator[Paragraph]:
    """Each paragraph of the diary itself with its chapter's number."""
    chapter, synopsis_next = 0, False
    for block in re.split(r"\n\s*\n", text.replace(SOFT_HYPHEN, "")):
        paragraph = " ".join(block.split("\n")).strip()
        if CHAPTER.fullmatch(paragraph):
            chapter, synopsis_next = chapter + 1, True
        elif synopsis_next:
            synopsis_next = False
        elif paragraph:
            yield chapter, paragraph


def _heading_clue(note: str | None, month: int) -> Clue | None:
    """What a heading's note ("Sunday", "Bank Holiday") says of the weekday."""
    if note is None:
        return None
    if note in WEEKDAYS:
        return Clue(WEEKDAYS.index(note), 0, note)
    if note == "Bank Holiday":
        # August's was the first Monday from 1871 on; the other months' were not all Mondays.
        return Clue(0, 0, "Bank Holiday, a Monday") if month == 8 else None
    raise DiaryError(f"heading note not understood: {note!r}")


def _close(heading: Heading, paragraphs: list[Paragraph]) -> Undated:
    """The entry under ``heading``, with the clues of its heading and of its text."""
    clues = [heading.clue] if heading.clue else []
    for _, text in paragraphs:
        for pattern, offset in STATEMENTS:
            for match in pattern.finditer(text):
                clues.append(Clue(WEEKDAYS.index(match[1]), offset, f'"{match[0]}"'))
    return Undated(heading.month, heading.day, tuple(clues), tuple(paragraphs))


def _runs(entries: Sequence[Undated]) -> list[list[Undated]]:
    """The entries cut where the month and day go back."""
    runs: list[list[Undated]] = []
    previous = (0, 0)
    for entry in entries:
        day = (entry.month, entry.day)
        if day == previous:
            raise DiaryError(f"two entries for {MONTHS[entry.month - 1]} {entry.day}")
        if not runs or day < previous:
            runs.append([])
        runs[-1].append(entry)
        previous = day
    return runs


def _count_fits(run: Sequence[Undated], year: int) -> int | None:
    """How many clues of ``run`` fit in ``year``; None where a day of it does not exist then."""
    try:
        days = [date(year, entry.month, entry.day) for entry in run]
    except ValueError:  # February 29th
        return None
    return sum(clue.fits(day) for day, entry in zip(days, run, strict=True) for clue in entry.clues)


def _number(name: str, start: datetime, paragraphs: Sequence[Paragraph]) -> Iterator[Observation]:
    """The observations of the session ``name``, a second apart."""
    for number, (chapter, text) in enumerate(paragraphs, 1):
        at = start + timedelta(seconds=number - 1)
        yield Observation(f"{name}-p{number}", name, at, text, chapter, number)


def _words(day: date) -> str:
    """The day as the diary writes it: month and day."""
    return f"{MONTHS[day.month - 1]} {day.day}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m examples.diary.convert", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--check", action="store_true", help="exit 1 if diary.jsonl is stale")
    parser.add_argument("--report", action="store_true", help="print how the years were found")
    options = parser.parse_args(arguments)
    diary = convert(SOURCE.read_text(encoding="utf-8"))
    if options.report:
        print(report(diary), end="")
    if options.check:
        fresh = OUTPUT.is_file() and OUTPUT.read_text(encoding="utf-8") == render(diary)
        if not fresh:
            print(f"{OUTPUT.name} is stale: run python -m examples.diary.convert", file=sys.stderr)
        return 0 if fresh else 1
    if not options.report:
        OUTPUT.write_text(render(diary), encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
