"""Parts of speech: by their place in the sentence, at their place in the text, from the weights that were chosen."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from services.common.models.packages import ModelError
from services.common.text import tagger


def test_a_word_is_what_it_is_in_its_sentence() -> None:
    text = "Grace will read his will."
    tokens = tagger.tag(text)
    assert [t.tag for t in tokens if t.text == "will"] == ["MD", "NN"]
    assert [text[t.start : t.end] for t in tokens] == [t.text for t in tokens]


def test_nothing_has_no_tokens() -> None:
    assert tagger.tag("") == []


def test_many_threads_get_the_same_tags() -> None:
    texts = [f"Bob called {n} times and left on Sunday." for n in range(20)]
    alone = [tagger.tag(text) for text in texts]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(tagger.tag, texts)) == alone


def test_other_weights_are_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(tagger.WEIGHTS_SHA256, "tagger/model", "0" * 64)
    with pytest.raises(ModelError, match="WEIGHTS_SHA256"):
        tagger.Tagger().load()
