"""A weekday beside a week is a day of that week: "on Tuesday last week", "two weeks ago on Sunday", "from Monday to
Wednesday of next week". Beside a date it names no other day: "Saturday (16 May)", "2026-05-16, a Saturday"."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from services.common.text.times.ranges import Expression, link

_LONGEST_GAP = 40
_PART_OF_DAY = r"(?:(?:early|late)\s+)?(?:morning|afternoon|evening|night|noon|lunch(?:time)?)"
_CLOCK = r"at\s+[\w:.]{1,8}(?:\s?[ap]\.?m\.?)?"
_OF_WEEK = re.compile(
    rf"(?i)(?:['’]s\s+\w+)?(?:,?\s*(?:in\s+the\s+)?{_PART_OF_DAY})?(?:,?\s*{_CLOCK})?"
    r",?\s+(?:(?:of|in|during|earlier|early|later|late)\s+)*(?:the\s+)?"
)
_WHAT_OF_WEEK = re.compile(r"['’]s \w+ ")  # "last week's lunch on Tuesday"
_WEEKS = ("unit", "ago", "beforelast", "ahead", "fromnow", "around", "offset")
_WEEK = re.compile(r"(?i)(?:week|weekend|fortnight)s?")
_LONGER = ("unit", "month", "monthyear", "season", "year")
_WITHIN = re.compile(r"(?i)(?:in|of|during|last|this|next)\b")
_DAYS = ("date", "iso", "numeric", "dashed", "relative")
_FIGURES = ("iso", "numeric", "dashed")
_ENDS = re.compile(r"\s*(?:$|[.,;!?)])")


def placed(text: str, found: Iterable[Expression]) -> list[Expression]:
    """``found``, in order of appearance, where each weekday knows the week that stands beside it."""
    made: list[Expression] = []
    for one in found:
        beside = _together(text, made[-1], one) if made and one.at - made[-1].end <= _LONGEST_GAP else None
        if beside is None:
            made.append(one)
        else:
            made[-1] = beside
        _spread_back(text, made)
        _spread_on(text, made)
    return made


def _together(text: str, one: Expression, other: Expression) -> Expression | None:
    """The two as one time; None where they are two."""
    gap = text[one.end : other.at]
    if _is_weekday(one):
        return _weekday_and(text, one, gap, other)
    if not _is_weekday(other):
        return None
    if _is_week(one):
        return replace(other, at=one.at, of=one) if _follows_week(text, gap, other) else None
    is_apposed = gap == ", " and not other.match["which"] and _ENDS.match(text, other.end)
    if _is_day(one) and (gap.strip() == "(" or is_apposed):
        return replace(one, end=_closed(text, gap, other.end))
    return None


def _weekday_and(text: str, one: Expression, gap: str, other: Expression) -> Expression | None:
    if _is_week(other):
        is_aside = gap.startswith(",") and not _ENDS.match(text, other.end)  # "on Sunday, last week was hard"
        return replace(one, end=other.end, of=other) if _OF_WEEK.fullmatch(gap) and not is_aside else None
    if _is_longer(other):
        return other if gap in (" ", " of ", " in ") else None  # "on Tuesday in June": which of them, nothing says
    is_one = gap.strip() == "(" or (other.form in _FIGURES and gap.strip() in ("", ","))
    return replace(other, at=one.at, end=_closed(text, gap, other.end)) if is_one and _is_day(other) else None


def _closed(text: str, gap: str, end: int) -> int:
    """Where the words end, with the bracket that closes the one in ``gap``."""
    return end + 1 if "(" in gap and text.startswith(")", end) else end


def _follows_week(text: str, gap: str, weekday: Expression) -> bool:
    """ "Two weeks ago on Sunday", "last week, on Tuesday, we met"; not "we moved last week, on Monday we start"."""
    which = (weekday.match["which"] or "").lower()
    if gap == ", ":
        return which == "on" and _ENDS.match(text, weekday.end) is not None
    if which == "on" and _WHAT_OF_WEEK.fullmatch(gap):
        return True
    return gap in (" ", " between ", "'s ", "’s ") and which in ("", "on", "from")


def _spread_back(text: str, made: list[Expression]) -> None:
    """The weekdays before one of a week that are linked to it are of that week too."""
    last = made[-1]
    week = last.of or (last if last.form == "dayofweek" else None)
    if week is None:
        return
    for at in reversed(range(len(made) - 1)):
        if not _is_weekday(made[at]) or link(text, made[at], made[at + 1]) is None:
            return
        made[at] = replace(made[at], of=week)


def _spread_on(text: str, made: list[Expression]) -> None:
    """ "Last week from Monday to Wednesday": a week that stands first is that of what is linked behind it."""
    if len(made) < 2 or not _is_weekday(made[-1]):
        return
    before = made[-2]
    is_first = (
        before.match["day2"] if before.form == "dayofweek" else before.of is not None and before.of.at <= before.at
    )
    if is_first and link(text, before, made[-1]) is not None:
        made[-1] = replace(made[-1], of=before.of or before)


def _is_weekday(one: Expression) -> bool:
    return one.form == "weekday" and one.of is None


def _is_week(one: Expression) -> bool:
    return one.form == "weekend" or (one.form in _WEEKS and _WEEK.fullmatch(one.match["unit"] or "") is not None)


def _is_longer(one: Expression) -> bool:
    return one.form in _LONGER and _WITHIN.match(one.match.group()) is not None


def _is_day(one: Expression) -> bool:
    return one.form in _DAYS and one.shares is None
