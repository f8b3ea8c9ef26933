"""The packaged embedder: facts about it that do not come from it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from services.common.models import embed, minilm
from services.common.models import packages as models


@pytest.fixture(scope="module")
def embedder() -> embed.Embedder:
    _packaged()
    return embed.Embedder.packaged(threads=1)


def _packaged() -> Path:
    try:
        return models.locate(embed.PACKAGE)
    except models.ModelError as error:
        pytest.skip(str(error))


def test_vectors_are_unit_and_float32_and_read_only(embedder: embed.Embedder) -> None:
    vectors = embedder.embed(["One.", "", "word " * 2000])
    assert vectors.shape == (3, embed.DIMENSION)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    with pytest.raises(ValueError, match="read-only"):
        vectors[0, 0] = 0


def test_no_texts_give_no_vectors(embedder: embed.Embedder) -> None:
    assert embedder.embed([]).shape == (0, embed.DIMENSION)


@pytest.mark.parametrize(
    ("text", "paraphrase", "unrelated"),
    [
        ("A man is eating food.", "A man is eating a piece of bread.", "The girl is carrying a baby."),
        ("The physician was late.", "The doctor did not arrive on time.", "Stock prices fell sharply today."),
    ],
)
def test_a_paraphrase_is_closer_than_something_else(
    embedder: embed.Embedder, text: str, paraphrase: str, unrelated: str
) -> None:
    a, b, c = embedder.embed([text, paraphrase, unrelated])
    assert float(a @ b) > float(a @ c) + 0.2


def test_agrees_with_the_published_similarity(embedder: embed.Embedder) -> None:
    # The model card's own example of sentence-transformers/all-MiniLM-L6-v2, its published scores.
    a, b, c = embedder.embed(["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."])
    assert float(a @ b) == pytest.approx(0.6660, abs=2e-4)
    assert float(a @ c) == pytest.approx(0.1046, abs=2e-4)


def test_is_the_encoder_that_transformers_computes() -> None:
    """Hidden states of padded rows of different lengths, against BertModel with the same weights."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    directory = _packaged() / "model"
    theirs = transformers.BertModel.from_pretrained(directory, add_pooling_layer=False, attn_implementation="eager")
    tokens = torch.randint(1000, 30000, (4, 37), generator=torch.Generator().manual_seed(3))
    mask = torch.arange(37) < torch.tensor([37, 1, 12, 30])[:, None]
    with torch.inference_mode():
        expected = theirs.eval()(input_ids=tokens, attention_mask=mask.long()).last_hidden_state
    ours = minilm.Encoder(directory)(tokens, mask)
    assert float((ours - expected).abs()[mask].max()) < 1e-5
    assert float(expected.abs().max()) > 0.5


def test_other_weights_are_refused(tmp_path: Path) -> None:
    source = _packaged() / "model"
    config = json.loads((source / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 7}))
    (tmp_path / "model.safetensors").symlink_to(source / "model.safetensors")
    with pytest.raises(ValueError, match=r"weights of this architecture.*layer\.6"):
        minilm.Encoder(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config | {"hidden_act": "relu"}))
    with pytest.raises(ValueError, match="hidden_act relu"):
        minilm.Encoder(tmp_path)


def test_a_vector_does_not_depend_on_its_batch(embedder: embed.Embedder) -> None:
    texts = [f"Turn {i} speaks " + "at length " * (i % 9) for i in range(70)]
    together = embedder.embed(texts)
    alone = embed.Embedder.packaged(threads=1)
    np.testing.assert_allclose(together[17], alone.embed([texts[17]])[0], atol=1e-5)


def test_a_repeated_text_is_remembered_and_the_memory_is_bounded(embedder: embed.Embedder) -> None:
    small = embed.Embedder(models.locate(embed.PACKAGE) / "model", remembered=2)
    first = small.embed(["a b c"])
    np.testing.assert_array_equal(small.embed(["a b c"]), first)
    small.embed(["d", "e", "f"])
    assert len(small._cache) == 2


def test_text_beyond_the_limit_does_not_count(embedder: embed.Embedder) -> None:
    head = "word " * embed.MAX_TOKENS
    one, other = embedder.embed([head + "cats", head + "economics"])
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_changed_model_is_refused() -> None:
    with pytest.raises(models.ModelError, match="sha256"):
        embed.Embedder.packaged(sha256="0" * 64, setting="common.embedder_sha256")
