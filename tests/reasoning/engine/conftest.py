"""One small model for all engine tests."""

from __future__ import annotations

import pytest
from torch import Tensor

from services.reasoning.engine.port import Sampling
from services.reasoning.engine.sampler import choose
from services.reasoning.models.load import LoadedModel
from tests.reasoning.engine.small import load
from tests.reasoning.paged import paged_logits


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load(tmp_path_factory.mktemp("small"))


class Naive:
    """Generation without an engine: the whole sequence anew for every token."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model.transformer

    def logits(self, tokens: list[int]) -> Tensor:
        return paged_logits(self._model, tokens, [len(tokens)])[-1]

    def generate(
        self, prompt: tuple[int, ...], count: int, sampling: Sampling | None = None, sample: int = 0
    ) -> list[int]:
        tokens = list(prompt)
        for _ in range(count):
            tokens.append(choose(self.logits(tokens), sampling or Sampling(), sample, len(tokens)))
        return tokens[len(prompt) :]


@pytest.fixture(scope="session")
def naive(model: LoadedModel) -> Naive:
    return Naive(model)
