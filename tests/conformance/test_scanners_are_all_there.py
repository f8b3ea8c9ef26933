"""Whatever searches a text by a pattern is timed by a line of ``test_scanners_are_linear``, or is named here with the
reason why no text of a tenant's can make it long."""

from __future__ import annotations

import ast
import functools
import gc
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from tests.conformance.test_scanners_are_linear import PROSE, SCANNERS

ROOT = Path(__file__).parents[2]
SEARCHES = {"finditer", "findall", "search", "sub", "subn", "split", "match", "fullmatch"}
MODULES = {"re", "regex"}
SHORT = 120  # characters of a unit, repeated: enough to enter what it enters

# Files, or functions of them. Most see a bounded stretch, which their caller cuts.
UNTIMED = {
    "services/cli/": "what the caller typed, on the caller's machine",
    "services/common/ids.py": "a name, whose length was looked at before",
    "services/common/lineage.py": "an id",
    "services/common/log/sqlite/": "SQL of ours",
    "services/common/serving/wire_json.py": "timed in tests/common/test_wire_json.py, or a time's own text",
    "services/common/text/naming/phrases.py:is_listed": "a bounded stretch on either side of a name",
    "services/common/text/naming/spellings.py": "a name of at most MAX_NAME characters",
    "services/common/text/naming/words.py:_may_be_month": "a bounded stretch before a name, matches behind it",
    "services/common/text/naming/words.py:_noun_doubt": "a bounded stretch before a name",
    "services/common/text/naming/words.py:_rare_doubt": "a bounded stretch before a name, one match behind it",
    "services/common/text/sentences.py:_is_ordinal": "a bounded stretch before a stop",
    "services/common/text/times/doubt.py": "a bounded stretch on either side of a time",
    "services/common/text/times/meaning.py": "the words of one time",
    "services/common/text/times/several.py": "a bounded stretch on either side of a time",
    "services/common/text/times/words.py:unnamed": "patterns of ours",
    "services/episodic/erasure/person.py:_titled": "a name of at most MAX_NAME characters",
    "services/episodic/recall/export.py:_bounds": "a page's token, read from its start",
    "services/episodic/recall/reads.py:_place_in": "a page's token, read from its start",
    "services/common/ledger/audit.py:place_in": "a page's token, read from its start",
    "services/episodic/search/milvus.py": "a server's version",
    "services/gateway/tokens.py": "a token's id",
    "services/perception/intake/validate.py": "a field's name, read from its start",
    "services/reasoning/claims.py:_whole": "the digits of one number",
    "services/reasoning/models/guard.py:role_markers": "a model's template",
}


def searching(file: Path) -> Iterator[str]:
    """Functions of a file that search by a pattern: of ``re`` or ``regex``, or one that its name says is a constant."""

    def walk(node: ast.AST, name: str) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            inner = name
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                inner = f"{name}.{child.name}".lstrip(".")
            if name and isinstance(child, ast.Call) and _searches(child.func):
                yield name
            yield from walk(child, inner)

    return walk(ast.parse(file.read_text(encoding="utf-8")), "")


def _searches(called: ast.expr) -> bool:
    if not isinstance(called, ast.Attribute) or called.attr not in SEARCHES:
        return False
    of = called.value.id if isinstance(called.value, ast.Name) else getattr(called.value, "attr", "")
    return of in MODULES or of.isupper()


def entered() -> set[str]:
    """``file:function`` of ours that the timed scanners enter, over the texts that they are timed with."""
    found: set[str] = set()
    _forget_results()

    def note(frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(str(ROOT)):
            found.add(f"{Path(code.co_filename).relative_to(ROOT)}:{code.co_qualname.replace('.<locals>', '')}")

    for scan, units in SCANNERS.values():
        scan(units[0])  # whatever is loaded at the first call
        for unit in units:
            text = unit if unit == PROSE else (unit * SHORT)[:SHORT]
            sys.setprofile(note)
            try:
                scan(text)
            finally:
                sys.setprofile(None)
    return found


def _forget_results() -> None:
    """A function whose result another test had kept would not be entered again."""
    for each in gc.get_objects():
        if type(each) is functools._lru_cache_wrapper and each.__module__.startswith("services."):
            each.cache_clear()


def test_whatever_searches_a_text_is_timed_or_says_why_not() -> None:
    files = sorted((ROOT / "services").rglob("*.py"))
    all_of_them = {f"{file.relative_to(ROOT)}:{name}" for file in files for name in searching(file)}
    assert len(all_of_them) > 100
    untimed = all_of_them - entered()
    excused = {place: [each for each in untimed if each.startswith(place)] for place in UNTIMED}
    assert sorted(untimed - {each for some in excused.values() for each in some}) == [], "give it a line in SCANNERS"
    assert [place for place, some in excused.items() if not some] == [], "needs no excuse any more"
