"""The engine on native CPU kernels: the same tokens as on torch operations, and statistics that say which run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from kernels.native import build, library
from services.common.models.packages import ModelError
from services.reasoning.engine.core import identity_of
from services.reasoning.engine.cpu_kernels import choose_cpu_kernels
from services.reasoning.engine.port import Sampling
from services.reasoning.engine.settings import CpuKernelsSetting
from services.reasoning.models import transformer
from services.reasoning.models.load import LoadedModel, load_directory
from tests.kernels.native_library import requires_native
from tests.reasoning.engine.small import Driver, prompt, settings
from tests.reasoning.models.reference import make
from tests.reasoning.paged import paged_logits

CPU = torch.device("cpu")
SETTINGS: tuple[CpuKernelsSetting, ...] = ("auto", "native", "torch")


@requires_native
@pytest.mark.parametrize("kind", ["llama", "qwen2", "mistral"])
def test_greedy_tokens_on_native_kernels_equal_those_on_torch(kind: str, tmp_path: Path) -> None:
    """Biases, tied embeddings and sliding windows too; prompts around pages and chunks, all in one batch."""
    model = load_directory(make(kind, tmp_path), dtype="float32")
    made = {}
    for kernels in ("torch", "native"):
        driver = Driver(model, cpu_kernels=kernels, chunk_tokens=20, pool_pages=128)
        ids = [driver.submit(prompt(length, length), 24) for length in (1, 15, 16, 33, 100)]
        driver.run()
        made[kernels] = [driver.tokens(each)[0] for each in ids]
    assert made["native"] == made["torch"]
    assert len({token for tokens in made["torch"] for token in tokens}) > 10


@requires_native
def test_invariant_28_native_results_do_not_depend_on_the_neighbours(model: LoadedModel) -> None:
    cases = [(prompt(5 + 23 * i, i), 6 + 5 * i, Sampling(temperature=0.8 * (i % 3), seed=i)) for i in range(5)]
    together = Driver(model, pool_pages=128, cpu_kernels="native")
    ids = []
    for tokens, count, sampling in cases:
        ids.append(together.submit(tokens, count, sampling=sampling))
        together.core.step()
    together.run()
    for request_id, (tokens, count, sampling) in zip(ids, cases, strict=True):
        alone = Driver(model, cpu_kernels="native").generate(tokens, count, sampling=sampling)
        assert together.tokens(request_id)[0] == alone


@requires_native
@pytest.mark.parametrize(("dtype", "bound"), [("float32", 1e-4), ("bfloat16", 0.1)])
def test_native_logits_are_those_of_torch(dtype: str, bound: float, tmp_path: Path) -> None:
    """In bfloat16 rounding may choose other tokens: what must hold is the distance of the logits, in their scale."""
    if dtype == "bfloat16" and not transformer._cpu_has_bfloat16():
        pytest.skip("needs a processor with bfloat16")
    model = load_directory(make("llama", tmp_path), dtype=dtype).transformer
    tokens, chunks = list(prompt(60)), [20, 1, 30, *[1] * 9]
    expected = paged_logits(model, tokens, chunks)
    error = (paged_logits(model, tokens, chunks, "native") - expected).abs().max()
    assert 0 < float(error) <= bound * float(expected.abs().max())  # 0: torch ran twice


@requires_native
def test_blocks_of_native_kernels_are_of_another_identity(model: LoadedModel) -> None:
    digests = {setting: identity_of(model, settings(cpu_kernels=setting)).digest() for setting in SETTINGS}
    assert digests["auto"] == digests["native"] != digests["torch"]


@requires_native
def test_the_statistics_say_which_kernels_run(model: LoadedModel) -> None:
    best = library.library().describe()
    assert Driver(model, cpu_kernels="native").core.stats().cpu_kernels == best
    assert Driver(model, cpu_kernels="auto").core.stats().cpu_kernels == best
    assert Driver(model, cpu_kernels="torch").core.stats().cpu_kernels == "torch"


def test_without_a_library_native_is_refused_and_auto_says_why(
    model: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    library.library.cache_clear()
    monkeypatch.setattr(build, "LIBRARY", tmp_path / "none.so")
    with pytest.raises(ModelError, match=r"not built. Run `python -m kernels.native.build`.*set cpu_kernels to auto"):
        Driver(model, cpu_kernels="native")
    driver = Driver(model, cpu_kernels="auto")
    assert driver.core.stats().cpu_kernels.startswith("torch (The native CPU kernels are not built. Run `")
    assert "The native CPU kernels are not built" in caplog.text
    assert len(driver.generate(prompt(20), 4)) == 4
    library.library.cache_clear()


def test_native_is_refused_where_it_cannot_compute() -> None:
    with pytest.raises(ModelError, match="not torch.float64"):
        choose_cpu_kernels("native", CPU, torch.float64)
    with pytest.raises(ModelError, match="for a CPU"):
        choose_cpu_kernels("native", torch.device("cuda:0"), torch.bfloat16)
    assert choose_cpu_kernels("auto", torch.device("cuda:0"), torch.bfloat16).backend == "torch"
    assert choose_cpu_kernels("auto", CPU, torch.float64).backend == "torch"
