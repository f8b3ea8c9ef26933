"""What an engine takes as its identity, from real models that differ in one thing: no block of one hits in another."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from services.reasoning.blocks import Identity, chain_keys
from services.reasoning.engine import core
from services.reasoning.engine.core import identity_of
from services.reasoning.engine.kv_client import store_identity
from services.reasoning.models import transformer
from services.reasoning.models.load import LoadedModel, load_directory
from tests.kernels.native_library import requires_native
from tests.reasoning.engine.memory_store import MemoryStore
from tests.reasoning.engine.small import Driver, prompt, settings
from tests.reasoning.models.reference import make

LONG = prompt(100)
Edit = Callable[[Path], object]


def json_of(name: str, edit: Callable[[Any], object]) -> Edit:
    def apply(folder: Path) -> None:
        content = json.loads((folder / name).read_text())
        edit(content)
        (folder / name).write_text(json.dumps(content))

    return apply


def config(**changes: Any) -> Edit:
    return json_of("config.json", lambda c: c.update(changes))


def rope(**changes: Any) -> Edit:
    return json_of("config.json", lambda c: c["rope_parameters"].update(changes))


def one_number_of_the_weights(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.2.self_attn.v_proj.weight"].view(-1)[:1].add_(1e-3)
    save_file(weights, folder / "model.safetensors")


def swapped(words: dict[str, int]) -> None:
    words["w5"], words["w6"] = words["w6"], words["w5"]


@dataclasses.dataclass(frozen=True)
class Variant:
    """A model directory of ``kind``, edited; ``fields`` of its identity are other than those of ``kind`` alone."""

    name: str
    kind: str
    fields: frozenset[str]
    edit: Edit = lambda folder: None
    dtype: str = "float32"

    def load(self, folder: Path) -> LoadedModel:
        made = make(self.kind, folder / self.name)
        self.edit(made)
        return load_directory(made, dtype=self.dtype)


def variant(name: str, kind: str, fields: str, edit: Edit = lambda folder: None, dtype: str = "float32") -> Variant:
    return Variant(name, kind, frozenset(fields.split()), edit, dtype)


VARIANTS = [
    variant("llama", "llama", ""),
    variant("weights", "llama", "weights", one_number_of_the_weights),
    variant("tokenizer", "llama", "tokenizer", json_of("tokenizer.json", lambda t: swapped(t["model"]["vocab"]))),
    variant("template", "llama", "tokenizer", lambda folder: (folder / "chat_template.jinja").write_text("{{ 1 }}")),
    variant("theta", "llama", "rope", rope(rope_theta=10_000.0)),
    variant("epsilon", "llama", "rope", config(rms_norm_eps=1e-5)),
    # The same weights, cut into other heads.
    variant("heads", "llama", "rope", config(num_attention_heads=3, num_key_value_heads=1, head_dim=16)),
    variant("dtype", "llama", "weights dtype", dtype="bfloat16"),
    variant("mistral", "mistral", ""),
    variant("window", "mistral", "rope", config(sliding_window=25)),
    variant("no_window", "mistral", "rope", config(sliding_window=None)),
    variant("llama3", "llama3", ""),
    *(
        variant(field, "llama3", "rope", rope(**{field: value}))
        for field, value in [
            ("factor", 8.0),
            ("low_freq_factor", 2.0),
            ("high_freq_factor", 5.0),
            ("original_max_position_embeddings", 32),
        ]
    ),
    variant("unscaled", "llama3", "rope", rope(rope_type="default")),
    variant("qwen2", "qwen2-window", ""),
    variant("fewer_layers_with_window", "qwen2-window", "rope", config(max_window_layers=2, layer_types=None)),
]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, LoadedModel]:
    folder = tmp_path_factory.mktemp("variants")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(transformer, "_cpu_has_bfloat16", lambda: True)  # nothing is computed with it here
        return {each.name: each.load(folder) for each in VARIANTS}


def keys_of(identity: Identity) -> tuple[bytes, ...]:
    return tuple(chain_keys(LONG, identity.digest(), b"salt"))


def differing(a: Identity, b: Identity) -> set[str]:
    return {f.name for f in dataclasses.fields(Identity) if getattr(a, f.name) != getattr(b, f.name)}


def test_what_decides_the_bytes_is_in_the_field_that_is_named_for_it(models: Mapping[str, LoadedModel]) -> None:
    bases = {each.kind: identity_of(models[each.name], settings()) for each in VARIANTS if not each.fields}
    for each in VARIANTS:
        identity = identity_of(models[each.name], settings())
        assert differing(identity, bases[each.kind]) == each.fields, each.name


def test_no_two_models_share_a_key_or_a_frame_identity(models: Mapping[str, LoadedModel]) -> None:
    identities = [identity_of(model, settings()) for model in models.values()]
    for one, other in itertools.combinations(identities, 2):
        assert set(keys_of(one)).isdisjoint(keys_of(other)), (one, other)
        assert store_identity(one) != store_identity(other)


def test_the_same_directory_loaded_again_is_the_same_identity(
    models: Mapping[str, LoadedModel], tmp_path: Path
) -> None:
    assert keys_of(identity_of(VARIANTS[0].load(tmp_path), settings())) == keys_of(
        identity_of(models["llama"], settings())
    )


def test_no_engine_hits_what_another_model_s_engine_stored(models: Mapping[str, LoadedModel]) -> None:
    """One store under all: each finds nothing of those before it, and all of its own."""
    store = MemoryStore(1_000)
    for name, model in models.items():
        first, second = Driver(model, store.of((name, 1))), Driver(model, store.of((name, 2)))
        first.generate(LONG, 2)
        assert first.usage.cached_tokens == 0, name
        second.generate(LONG, 2)
        assert second.usage.blocks_loaded == 6, name


def test_attention_on_another_device_is_another_engine(model: LoadedModel) -> None:
    """Triton runs on a GPU alone and torch on a CPU alone, so that which attention also says where."""
    on_cpu, on_gpu = (identity_of(model, settings(attention=each)) for each in ("torch", "triton"))
    assert differing(on_cpu, on_gpu) == {"engine"}
    assert set(keys_of(on_cpu)).isdisjoint(keys_of(on_gpu))


@requires_native
def test_native_kernels_are_another_engine(model: LoadedModel) -> None:
    plain, native = (identity_of(model, settings(cpu_kernels=each)) for each in ("torch", "native"))
    assert differing(plain, native) == {"engine"}
    store = MemoryStore(100)
    for kernels in ("torch", "native"):
        driver = Driver(model, store.of(kernels), cpu_kernels=kernels)
        driver.generate(LONG, 2)
        assert driver.usage.cached_tokens == 0


@pytest.mark.parametrize(("name", "field"), [("FRAME_VERSION", "frame_version"), ("ENGINE_ID", "engine")])
def test_a_raised_version_is_another_identity(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch, name: str, field: str
) -> None:
    before = identity_of(model, settings())
    monkeypatch.setattr(core, name, type(getattr(core, name))(9))
    assert differing(before, identity_of(model, settings())) == {field}


def test_what_there_is_one_value_of_so_far(model: LoadedModel) -> None:
    """No adapter can be loaded and one policy computes; whoever adds another adds a variant above."""
    identity = identity_of(model, settings())
    assert (identity.adapter, identity.policy) == (b"", "dense")
