"""Other people's sentences, to make a memory as large as one likes: of BEAM's conversations and of ELTeC's novels."""

from __future__ import annotations

import json
import lzma
import random
import re
import tarfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from services.common.text.sentences import sentences

HALVES = 2
WORDS = range(5, 25)  # of a sentence
_PROSE = re.compile(r"[A-Z\"'][^\n{}<>=_*#|]+[.!?][\"']?$")
_LEFT_OUT = "Doyle"  # the novel of benchmarks.untouched


def texts(data: Path, half: int, count: int, paragraphs: int = 700) -> list[str]:
    """``count`` distinct sentences, as many of conversations as of novels. The halves share no author and no talk.

    ``paragraphs``: how far a novel is read."""
    told, written = (list(dict.fromkeys(some)) for some in (_told(data, half), _written(data, half, paragraphs)))
    rng = random.Random(half)
    return rng.sample(told, count // 2) + rng.sample(written, count - count // 2)


def _told(data: Path, half: int) -> Iterator[str]:
    with lzma.open(data / "beam" / "beam_500k_dev.jsonl.xz", "rt", encoding="utf-8") as lines:
        for talk in islice(lines, half, None, HALVES):
            for message in json.loads(talk)["messages"]:
                for line in message["content"].splitlines():
                    yield from _fit(line.lstrip("-*# 0123456789."))


def _written(data: Path, half: int, paragraphs: int) -> Iterator[str]:
    with tarfile.open(data / "eltec-novels" / "novels_dev.tar.xz") as archive:
        for member in islice((m for m in archive if m.isfile() and _LEFT_OUT not in m.name), half, None, HALVES):
            file = archive.extractfile(member)
            assert file is not None
            for paragraph in file.read().decode().split("\n\n")[20:paragraphs]:
                yield from _fit(" ".join(paragraph.split()))


def _fit(text: str) -> Iterator[str]:
    return (s for s in sentences(text) if len(s.split()) in WORDS and _PROSE.match(s))
