"""Text to tokens and back, and chats to prompts.

Control tokens come from the template alone: a text that spells ``<|im_end|>`` is text, so that nothing remembered
or typed can end a turn or open another.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE

from services.common.models import ModelError
from services.reasoning.models.config import read_json
from services.reasoning.models.gguf_file import GgufFile

_GGUF_CONTROL, _GGUF_USER_DEFINED = 3, 4
_PRIVATE_USE = range(0xE000, 0xF8FF)


class ChatTokenizer:
    """One model's tokenizer and chat template. Safe to use from several threads."""

    def __init__(self, tokenizer: Tokenizer, template: str, special: Mapping[str, str]) -> None:
        """``special``: what the template may name, such as bos_token and eos_token."""
        self._with_control = tokenizer
        self._plain = Tokenizer.from_str(tokenizer.to_str())
        self._plain.encode_special_tokens = True
        self._special = dict(special)
        added = tokenizer.get_added_tokens_decoder().values()
        self._control = sorted((t.content for t in added if t.special), key=len, reverse=True)
        self._control_pattern = re.compile("|".join(map(re.escape, self._control))) if self._control else None
        self._template = _environment().from_string(template) if template else None
        self.digest = hashlib.blake2b(f"{tokenizer.to_str()}\0{template}".encode(), digest_size=16).digest()

    def encode(self, text: str) -> list[int]:
        """The tokens of a plain text. Control tokens that it spells are text."""
        ids: list[int] = self._plain.encode(text, add_special_tokens=False).ids
        return ids

    def encode_chat(self, messages: Sequence[Mapping[str, str]], *, open_answer: bool = True) -> list[int]:
        """The prompt of a chat: ``messages`` with role and content. ``open_answer`` ends it where the model goes on.

        ModelError when there is no template, or the template refuses the messages.
        """
        if self._template is None:
            raise ModelError("The model has no chat template. Name a chat model, or send a plain prompt.")
        contents = [m["content"] for m in messages]
        if self._control_pattern is None or not any(map(self._control_pattern.search, contents)):
            rendered = self._render(messages, open_answer)
            ids: list[int] = self._with_control.encode(rendered, add_special_tokens=False).ids
            return ids
        return self._encode_guarded(messages, open_answer)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of tokens, without control tokens. Broken UTF-8 shows as U+FFFD."""
        text: str = self._with_control.decode(list(ids), skip_special_tokens=True)
        return text

    def _render(self, messages: Sequence[Mapping[str, str]], open_answer: bool) -> str:
        assert self._template is not None
        try:
            return self._template.render(
                messages=[dict(m) for m in messages], add_generation_prompt=open_answer, **self._special
            )
        except TemplateError as error:
            raise ModelError(f"The model's chat template refuses these messages: {error}") from error

    def _encode_guarded(self, messages: Sequence[Mapping[str, str]], open_answer: bool) -> list[int]:
        """As encode_chat, when contents spell control tokens: they pass through the template under other names."""
        assert self._control_pattern is not None
        used = set("".join(m["content"] for m in messages))
        free = (chr(c) for c in _PRIVATE_USE if chr(c) not in used)
        stand_in = {token: next(free) for token in self._control}
        meant = {v: k for k, v in stand_in.items()}
        guarded = [
            {**m, "content": self._control_pattern.sub(lambda hit: stand_in[hit.group()], m["content"])}
            for m in messages
        ]
        rendered = self._render(guarded, open_answer)
        ids: list[int] = []
        at = 0
        for control in self._control_pattern.finditer(rendered):
            ids += self.encode(_restore(rendered[at : control.start()], meant))
            token = self._with_control.token_to_id(control.group())
            assert token is not None  # the pattern is made of the vocabulary's own
            ids.append(token)
            at = control.end()
        return ids + self.encode(_restore(rendered[at:], meant))


class TextStream:
    """Tokens in, text out, as soon as it is certain: never half a character."""

    # A token's text can depend on the few before it; none known needs more.
    _CONTEXT = 6

    def __init__(self, tokenizer: ChatTokenizer) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._settled = 0  # tokens whose text has been given out

    def push(self, token: int) -> str:
        """The text that ``token`` completes; empty while a character is unfinished."""
        self._ids.append(token)
        return self._advance(final=False)

    def end(self) -> str:
        """What is left; an unfinished character shows as U+FFFD."""
        return self._advance(final=True)

    def _advance(self, *, final: bool) -> str:
        start = max(0, self._settled - self._CONTEXT)
        before = self._tokenizer.decode(self._ids[start : self._settled])
        now = self._tokenizer.decode(self._ids[start:])
        if now.endswith("\ufffd") and not final:
            return ""
        self._settled = len(self._ids)
        return now[len(before) :]


def from_gguf(file: GgufFile) -> ChatTokenizer:
    """The tokenizer inside a GGUF file. ModelError for a kind that is not known."""
    kind, cut = file.field("tokenizer.ggml.model"), file.field("tokenizer.ggml.pre", "default")
    if (kind, cut) != ("gpt2", "smollm"):
        raise ModelError(
            f"The tokenizer in the GGUF file is of kind {kind}/{cut}; only gpt2/smollm is read from GGUF. "
            "Use the model's Hugging Face directory instead."
        )
    tokens: list[str] = file.field("tokenizer.ggml.tokens")
    merges = [tuple(pair.split(" ", 1)) for pair in file.field("tokenizer.ggml.merges")]
    made = Tokenizer(BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    made.decoder = decoders.ByteLevel()
    kinds: list[int] = file.field("tokenizer.ggml.token_type")
    for token, token_kind in zip(tokens, kinds, strict=True):
        if token_kind in (_GGUF_CONTROL, _GGUF_USER_DEFINED):
            made.add_tokens([AddedToken(token, special=token_kind == _GGUF_CONTROL, normalized=False)])
    special = {
        "bos_token": tokens[file.field("tokenizer.ggml.bos_token_id")],
        "eos_token": tokens[file.field("tokenizer.ggml.eos_token_id")],
    }
    return ChatTokenizer(made, str(file.field("tokenizer.chat_template", " ")).strip(), special)


def from_hf_directory(folder: Path) -> ChatTokenizer:
    """The tokenizer in a Hugging Face directory. ModelError when it has no tokenizer.json."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise ModelError(
            f"The model directory {folder} has no tokenizer.json. Make one with transformers' "
            "AutoTokenizer.from_pretrained(...).save_pretrained(...), or download the model again, whole."
        )
    settings = read_json(folder, "tokenizer_config.json") if (folder / "tokenizer_config.json").is_file() else {}
    special = {name: _content(settings[name]) for name in ("bos_token", "eos_token") if settings.get(name)}
    return ChatTokenizer(Tokenizer.from_file(str(path)), _template(folder, settings), special)


def _template(folder: Path, settings: Mapping[str, Any]) -> str:
    own = folder / "chat_template.jinja"
    if own.is_file():
        return own.read_text()
    found = settings.get("chat_template") or ""
    if isinstance(found, list):  # several, by name
        found = next((entry["template"] for entry in found if entry.get("name") == "default"), "")
    return str(found)


def _content(token: Any) -> str:
    return str(token["content"]) if isinstance(token, Mapping) else str(token)


def _restore(text: str, meant: Mapping[str, str]) -> str:
    return "".join(meant.get(c, c) for c in text)


def _environment() -> ImmutableSandboxedEnvironment:
    """Templates are somebody else's program: sandboxed, with what Hugging Face's templates rely on."""
    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])

    def refuse(message: str) -> str:
        raise TemplateError(message)

    made.globals["raise_exception"] = refuse
    return made
