"""`make mutants`: draw places in the core at random, plant one defect at each in turn, and see whether tests fail.

    python -m tests.mutants [--mutants 200] [--seed N] [--budget-s 3600] [--workers 2] [--file F ...]

Prints the share killed of each file and of all, and each survivor as a diff. Exits 1 below ``--bar``. A place is drawn
first, then one of the defects that may stand there, so that what has many variants does not fill the sample. What
cannot change any behaviour is listed with its reason in equivalent.yaml and not counted. The tests run once unchanged,
which shows the ones that reach each line; these are then run, the quickest first, until one fails.
"""

from __future__ import annotations

import argparse
import difflib
import random
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import yaml

from tests.mutants.files import ROOT, TESTS
from tests.mutants.operators import Site, plant, sites
from tests.mutants.running import ALIVE, Reach, Trial, reach, run, temporary, warm

_LIMIT = 3.0  # times what its tests took unchanged, and beside it:
_LIMIT_S = 20.0
_FAIL_UNCHANGED = 3  # of the tests of one file: more, and it is not the machine


@dataclass(frozen=True, slots=True)
class Mutant:
    file: str
    site: Site
    source: str

    def change(self) -> tuple[str, str]:
        """The lines that it takes away and those that it puts there, stripped: what equivalent.yaml names it by."""
        lines = list(difflib.ndiff((ROOT / self.file).read_text().splitlines(), self.source.splitlines()))
        return _only(lines, "- "), _only(lines, "+ ")

    def diff(self) -> str:
        before, after = (ROOT / self.file).read_text().splitlines(), self.source.splitlines()
        name = f"{self.file}:{self.site.line} {self.site.kind}"
        return "\n".join(difflib.unified_diff(before, after, name, name, lineterm="", n=2))


def _only(lines: list[str], mark: str) -> str:
    return "\n".join(line[2:].strip() for line in lines if line.startswith(mark))


def draw(files: list[str], count: int, seed: int) -> list[Mutant]:
    """``count`` mutants of all places in ``files``, each place at most once; fewer where there are fewer."""
    random_ = random.Random(seed)
    sources = {file: (ROOT / file).read_text() for file in files}
    places = [(file, site) for file in files for site in sites(sources[file])]
    random_.shuffle(places)
    known = {(e["file"], e["before"], after) for e in equivalents() for after in e["after"]}
    drawn: list[Mutant] = []
    for file, site in places:
        if len(drawn) == count:
            break
        source = plant(sources[file], site, random_)
        if source is None:
            continue
        mutant = Mutant(file, site, source)
        if (file, *mutant.change()) not in known:
            drawn.append(mutant)
    return drawn


def equivalents() -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "equivalent.yaml").read_text()) or []
    return listed


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--mutants", type=int, default=200, help="how many are drawn")
    parser.add_argument("--seed", type=int, default=None, help="of the draw; a new one each time otherwise")
    parser.add_argument("--budget-s", type=float, default=5400.0, help="no run is begun after it")
    parser.add_argument("--bar", type=float, default=0.85, help="the least share killed")
    parser.add_argument("--workers", type=int, default=1, help="mutants tried at once; one for each idle core")
    parser.add_argument("--file", action="append", choices=sorted(TESTS), help="only this file; again for more")
    return parser.parse_args()


def main() -> int:
    asked = _arguments()
    files = asked.file or sorted(TESTS)
    missing = [file for file in files if not (ROOT / file).is_file()]
    if missing:
        print(f"tests/mutants/files.py names what is not there: {', '.join(missing)}. Mend the table.", file=sys.stderr)
        return 2
    seed = asked.seed if asked.seed is not None else random.SystemRandom().randrange(10**6)
    ends = time.monotonic() + asked.budget_s
    drawn = draw(files, asked.mutants, seed)
    print(f"{len(drawn)} mutants of {len(files)} files, seed {seed}, within {asked.budget_s:.0f} s", flush=True)
    warm()
    unchanged = _unchanged({m.file for m in drawn}, asked.workers)
    if unchanged is None:
        return 2
    tried, killed = Counter[str](), Counter[str]()
    trials = _trials(drawn, unchanged)
    for trial, became in run(_until(ends, trials), asked.workers):
        mutant = trials[trial]
        tried[mutant.file] += 1
        killed[mutant.file] += became.what != ALIVE
        where = f"{mutant.file}:{mutant.site.line} {mutant.site.kind}"
        print(f"{tried.total():4} {became.what:8} {became.seconds:6.1f} s  {where}  {became.by}", flush=True)
        if became.what == ALIVE:
            print(f"\n{mutant.diff()}\n", flush=True)
    if tried.total() < len(drawn):
        print(f"the budget ends after {tried.total()} of {len(drawn)}")
    return _report(tried, killed, asked.bar)


def _unchanged(files: set[str], workers: int) -> dict[str, Reach] | None:
    """By tests: their run over all files that they are for, as these are; None where more than a few fail.

    Through the same replacement, so that what it breaks by itself is not taken for a killed mutant. Those that fail all
    the same, on a busy machine say, are left out and named.
    """
    found: dict[str, Reach] = {}
    with temporary() as folder:
        trials = [
            Trial({f: (ROOT / f).read_text() for f in sorted(files) if TESTS[f] == tests}, tests, 900.0, (), path)
            for tests, path in ((t, f"{folder}/{n}.json") for n, t in enumerate(sorted({TESTS[f] for f in files})))
        ]
        for trial, became in run(trials, workers):
            print(f"unchanged {became.what:8} {became.seconds:6.1f} s  {trial.tests}", flush=True)
            measured = reach(trial.measured) if became.what == ALIVE else None
            if measured is None or len(measured.failed) > _FAIL_UNCHANGED:
                print(f"{became.output}\nThese tests do not pass as the files are.", file=sys.stderr)
                return None
            for test in measured.failed:
                print(f"left out, as it fails without a defect: {test}", flush=True)
            found[trial.tests] = measured
    return found


def _trials(drawn: list[Mutant], unchanged: dict[str, Reach]) -> dict[Trial, Mutant]:
    trials = {}
    for mutant in drawn:
        tests = TESTS[mutant.file]
        reached = unchanged[tests]
        only = reached.of(mutant.file, mutant.site.line)
        limit_s = _LIMIT_S + _LIMIT * sum(reached.seconds[test] for test in only)
        trials[Trial({mutant.file: mutant.source}, tests, limit_s, only)] = mutant
    return trials


def _until(ends: float, trials: Iterable[Trial]) -> Iterator[Trial]:
    return takewhile(lambda _: time.monotonic() < ends, trials)


def _report(tried: Counter[str], killed: Counter[str], bar: float) -> int:
    for file in sorted(tried):
        print(f"{killed[file] / tried[file]:5.2f}  {killed[file]:3} of {tried[file]:3}  {file}")
    all_tried, all_killed = sum(tried.values()), sum(killed.values())
    share = all_killed / all_tried if all_tried else 0.0
    print(
        f"{share:5.2f}  {all_killed:3} of {all_tried:3}  all; {len(equivalents())} are listed as equivalent, bar {bar}"
    )
    return int(share < bar)


if __name__ == "__main__":
    sys.exit(main())
