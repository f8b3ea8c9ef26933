"""Bad input while loading: each a clear error with the remedy. And GGUF files that we write ourselves."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import gguf
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from services.common.models.packages import ModelError
from services.reasoning.engine.core import EngineCore
from services.reasoning.models import gguf_file, transformer
from services.reasoning.models.load import load_directory, load_gguf, load_model
from services.reasoning.models.settings import ModelSettings
from tests.reasoning.engine.small import inline, settings
from tests.reasoning.models.reference import make, reference_logits
from tests.reasoning.paged import paged_logits

TOKENS = list(range(3, 60))


def edit_json(name: str, **changes: object) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        content = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**content, **changes}))

    return edit


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def edit_weights(edit: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        edit(weights)
        save_file(weights, folder / "model.safetensors")

    return apply


def truncate(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


def shard_index(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    index = {"weight_map": {"model.norm.weight": "model-00001-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


DOWN = "model.layers.1.mlp.down_proj.weight"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove("config.json"), r"has no config\.json\. Download the model again"),
        (remove("model.safetensors"), r"neither model\.safetensors nor .*index\.json"),
        (remove("tokenizer.json"), r"has no tokenizer\.json\. Make one with"),
        (shard_index, r"lacks model-00001-of-00002\.safetensors"),
        (truncate, r"model\.safetensors cannot be read"),
        (edit_weights(lambda w: w.pop(DOWN)), r"The weights lack model\.layers\.1\.mlp\.down_proj\.weight\."),
        (edit_weights(lambda w: w.update(extra=torch.ones(1))), r"hold extra, which this model family does not have"),
        (edit_weights(lambda w: w.update({DOWN: torch.ones(2, 3)})), r"shape \(2, 3\), the configuration \(48, 80\)"),
        (edit_json("config.json", model_type="gpt2"), r"'gpt2' is not supported\. Supported: llama, qwen2, mistral"),
        (edit_json("config.json", hidden_act="gelu"), r"hidden_act 'gelu' is not supported"),
        (edit_json("config.json", rope_parameters={"rope_type": "yarn"}), r"rope type 'yarn' is not supported"),
        (edit_json("config.json", num_key_value_heads=4), r"6 heads, no multiple of its 4 kv heads"),
        (lambda folder: (folder / "config.json").write_text("{"), r"is not JSON"),
    ],
)
def test_a_damaged_directory_is_named_with_the_remedy(
    damage: Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    folder = make("llama", tmp_path)
    load_directory(folder, dtype="float32")
    damage(folder)
    with pytest.raises(ModelError, match=message):
        load_directory(folder, dtype="float32")


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no model directory"):
        load_directory(tmp_path / "none", dtype="float32")


def test_a_dtype_that_the_processor_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make("llama", tmp_path)
    monkeypatch.setattr(transformer, "_cpu_has_bfloat16", lambda: False)
    with pytest.raises(ModelError, match=r"has no bfloat16\. Set dtype to float32"):
        load_directory(folder, dtype="bfloat16")
    with pytest.raises(ModelError, match="'int8' is not one of float32, bfloat16"):
        load_directory(folder, dtype="int8")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no GPU behind cuda\. Set device to cpu"):
        load_directory(make("llama", tmp_path), dtype="float32", device="cuda")


def test_an_engine_that_does_not_fit_its_model(tmp_path: Path) -> None:
    model = load_directory(make("llama", tmp_path), dtype="float32")
    with pytest.raises(ModelError, match=r"context is 512 tokens\. Lower the setting"):
        EngineCore(model, settings(max_context=513), None, inline)
    with pytest.raises(ModelError, match=r"triton needs a GPU, the model is on the CPU\. Set attention to torch"):
        EngineCore(model, settings(attention="triton"), None, inline)


@pytest.mark.skipif(not transformer._cpu_has_bfloat16(), reason="needs a processor with bfloat16")
def test_bfloat16_is_as_close_as_that_of_transformers_and_another_identity(tmp_path: Path) -> None:
    folder = make("llama", tmp_path)
    model = load_directory(folder, dtype="bfloat16").transformer
    assert model.digest != load_directory(folder, dtype="float32").transformer.digest
    exact = reference_logits(folder, TOKENS, torch.float64, lift=True)
    theirs = (reference_logits(folder, TOKENS, torch.bfloat16, lift=False).double() - exact).square().mean()
    ours = (paged_logits(model, TOKENS, [20, 1, 36]).double() - exact).square().mean()
    assert float(ours) <= 1.5 * float(theirs)


def test_the_digest_is_of_what_is_computed_with(tmp_path: Path) -> None:
    folder = make("llama", tmp_path)
    before = load_directory(folder, dtype="float32").transformer.digest
    assert load_directory(folder, dtype="float32").transformer.digest == before
    edit_weights(lambda w: w[DOWN].view(-1)[:1].add_(1e-3))(folder)
    assert load_directory(folder, dtype="float32").transformer.digest != before


NOTHING: Mapping[str, float] = {}


def write_gguf(
    folder: Path, path: Path, *, fields: Mapping[str, str | float] = NOTHING, tensors: Mapping[str, float] = NOTHING
) -> str:
    """A GGUF file of the random Llama in ``folder``, as llama.cpp's converter would write it; its digest.

    ``fields`` and ``tensors`` are beside its own.
    """
    config = json.loads((folder / "config.json").read_text())
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    w = gguf.GGUFWriter(path, "llama")
    w.add_block_count(3)
    w.add_context_length(512)
    w.add_embedding_length(48)
    w.add_feed_forward_length(80)
    w.add_head_count(heads)
    w.add_head_count_kv(kv_heads)
    w.add_rope_dimension_count(8)
    w.add_rope_freq_base(5000.0)
    w.add_layer_norm_rms_eps(1e-6)
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("smollm")
    w.add_token_list([*(f"w{i}" for i in range(98)), "a", "b", "ab"])
    w.add_token_merges(["a b"])
    w.add_token_types([1] * 101)
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    for field, content in fields.items():
        w.add_string(field, content) if isinstance(content, str) else w.add_float32(field, content)
    names = {v: k for k, v in {**gguf_file._TOP, **gguf_file._LAYER}.items()}
    for name, tensor in load_file(folder / "model.safetensors").items():
        stem, suffix = name.rsplit(".", 1)
        layer = stem.split(".")[2] if ".layers." in stem else None
        canonical = stem.split(f"layers.{layer}.")[1] if layer else stem
        if "q_proj" in name or "k_proj" in name:
            n = heads if "q_proj" in name else kv_heads
            tensor = tensor.view(n, 2, -1, 48).transpose(1, 2).reshape(tensor.shape)  # the converter's permute
        prefix = f"blk.{layer}." if layer else ""
        w.add_tensor(f"{prefix}{names[canonical]}.{suffix}", tensor.contiguous().numpy())
    for tensor_name, value in tensors.items():
        w.add_tensor(tensor_name, torch.full((4,), value).numpy())
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_gguf_weights_are_unpermuted_to_those_of_the_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make("llama", tmp_path / "hf")
    digest = write_gguf(folder, tmp_path / "m.gguf")
    model = load_gguf(tmp_path / "m.gguf", digest, dtype="float64").transformer
    assert model.digest == load_directory(folder, dtype="float64").transformer.digest
    expected = reference_logits(folder, TOKENS, torch.float64, lift=True)
    # The file keeps epsilon in fp32, hence not 1e-9.
    assert float((paged_logits(model, TOKENS, [57]) - expected).abs().max()) < 1e-6
    monkeypatch.setattr(gguf_file, "_unpermute", lambda array, heads: array)
    wrong = load_gguf(tmp_path / "m.gguf", digest, dtype="float64").transformer
    assert float((paged_logits(wrong, TOKENS, [57]) - expected).abs().max()) > 0.1


def test_a_gguf_file_with_a_tensor_we_do_not_know_is_refused(tmp_path: Path) -> None:
    folder = make("llama", tmp_path / "hf")
    digest = write_gguf(folder, tmp_path / "m.gguf", tensors={"rope_freqs.weight": 1.0})
    with pytest.raises(ModelError, match=r"rope_freqs\.weight is not one this loader knows"):
        load_gguf(tmp_path / "m.gguf", digest, dtype="float32")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 4.0}, r"rope\.scaling\.type is 'linear'"),
        ({"llama.rope.scaling.type": "yarn", "llama.rope.scaling.factor": 4.0}, r"rope\.scaling\.type is 'yarn'"),
        ({"llama.rope.scaling.type": "longrope"}, r"rope\.scaling\.type is 'longrope'"),
        # Files without a type, and those from before there was one: llama.cpp then takes the factor as a linear one.
        ({"llama.rope.scaling.factor": 4.0}, r"rope\.scaling\.factor is 4\.0"),
        ({"llama.rope.scale_linear": 2.0}, r"rope\.scale_linear is 2\.0"),
    ],
)
def test_a_gguf_file_with_scaled_rotary_positions_is_refused(
    fields: dict[str, str | float], message: str, tmp_path: Path
) -> None:
    digest = write_gguf(make("llama", tmp_path / "hf"), tmp_path / "m.gguf", fields=fields)
    with pytest.raises(ModelError, match=message + r", .*Use a model without it, or with llama3's from a Hugging Face"):
        load_gguf(tmp_path / "m.gguf", digest, dtype="float32")


@pytest.mark.parametrize(
    "fields",
    [
        {"llama.rope.scaling.type": "none", "llama.rope.scaling.factor": 4.0},
        {"llama.rope.scaling.factor": 1.0},
        {"llama.rope.scaling.factor": 0.0},
    ],
)
def test_a_gguf_file_that_says_that_nothing_is_scaled_is_the_same_model(
    fields: dict[str, str | float], tmp_path: Path
) -> None:
    folder = make("llama", tmp_path / "hf")
    digest = write_gguf(folder, tmp_path / "m.gguf", fields=fields)
    model = load_gguf(tmp_path / "m.gguf", digest, dtype="float32").transformer
    assert model.digest == load_directory(folder, dtype="float32").transformer.digest


def test_settings_choose_the_loader(tmp_path: Path) -> None:
    folder = make("llama", tmp_path / "hf")
    digest = write_gguf(folder, tmp_path / "m.gguf")
    by_directory = load_model(ModelSettings(directory=str(folder), dtype="float32"))
    by_file = load_model(ModelSettings(gguf=str(tmp_path / "m.gguf"), sha256=digest, dtype="float32"))
    assert by_directory.transformer.digest == by_file.transformer.digest
    assert not ModelSettings(dtype="float32").configured


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"gguf": "a", "directory": "b"}, "not several"),
        ({"package": "a", "sha256": "0" * 64}, "package needs file"),
        ({"gguf": "a"}, "trusted by its digest only"),
        ({"gguf": "a", "sha256": "00"}, "should match pattern"),
    ],
)
def test_settings_that_name_no_one_model_are_refused(fields: dict[str, str], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ModelSettings(dtype="float32", **fields)


def test_what_is_no_gguf_file(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(b"not a model")
    with pytest.raises(ModelError, match=r"is not the file that was expected"):
        load_gguf(path, "0" * 64, dtype="float32")
    with pytest.raises(ModelError, match=r"no GGUF file that can be read"):
        load_gguf(path, hashlib.sha256(b"not a model").hexdigest(), dtype="float32")
