"""Text to tokens and back, and chats to prompts.

Control tokens come from the template alone: a text that spells ``<|im_end|>`` is text, so that nothing remembered
or typed can end a turn or open another.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import AddedToken, Encoding, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE

from services.common.models.packages import ModelError
from services.reasoning.models.config import read_json
from services.reasoning.models.guard import ROLES, Guard, role_markers

if TYPE_CHECKING:  # it imports torch, which who only quotes has no use for
    from services.reasoning.models.gguf_file import GgufFile

_GGUF_CONTROL, _GGUF_USER_DEFINED = 3, 4
_PIECE = 4_096  # characters that are counted at once
_SURELY = 2  # a cut between pieces adds a few tokens to thousands: a count of so many times the most is above it


class TooLong(ModelError):
    """A text has more than ``most`` tokens."""

    def __init__(self, most: int) -> None:
        super().__init__(f"The text has more than {most} tokens.")
        self.most = most


class ChatTokenizer:
    """One model's tokenizer and chat template. Safe to use from several threads."""

    def __init__(self, tokenizer: Tokenizer, template: str, special: Mapping[str, str]) -> None:
        """``special``: what the template may name, such as bos_token and eos_token."""
        self._with_control = tokenizer
        self._plain = _without_control(tokenizer)
        self._special = dict(special)
        self._control = {t.content: id for id, t in tokenizer.get_added_tokens_decoder().items() if t.content.strip()}
        self._control_ids = frozenset(self._control.values())
        self._template = _environment().from_string(template) if template else None
        self._guard = Guard(self._control)
        if self._template is not None:
            markers = role_markers(lambda chat: self._render(chat, open_answer=True), self._guard.control)
            self._guard = Guard(self._control, markers)
        self.digest = hashlib.blake2b(f"{tokenizer.to_str()}\0{template}".encode(), digest_size=16).digest()

    def encode(self, text: str, *, most: int | None = None) -> list[int]:
        """The tokens of a plain text. Control tokens that it spells are text.

        TooLong when there are more than ``most``, which takes no longer for a text of any length.
        """
        _check_length(self._plain, text, most)
        return _require(_read(self._plain, text).ids, most)

    def encode_chat(
        self, messages: Sequence[Mapping[str, str]], *, open_answer: bool = True, most: int | None = None
    ) -> list[int]:
        """The prompt of a chat: ``messages`` with role and content. ``open_answer`` ends it where the model goes on.

        Contents are text, whatever they spell. ModelError for a role that is not one of ROLES, when there is no
        template, or when the template refuses the messages; TooLong as ``encode``.
        """
        return self._encode_chat(messages, open_answer, most)[1]

    def encode_chat_in_parts(
        self, messages: Sequence[Mapping[str, str]], role: str, parts: Sequence[str], *, most: int | None = None
    ) -> tuple[list[int], list[int]]:
        """As ``encode_chat``, with one message more, of ``role``, whose content is ``parts`` in a row.

        The second list holds for each part a token before which nothing depends on it: that of the character before
        the part, for a tokenizer may look ahead. 0 for all, where the template writes the content otherwise.
        """
        said = "".join(parts)
        rendered, ids, ends = self._encode_chat([*messages, {"role": role, "content": said}], True, most)
        content = self._guard.hide(said)
        at = rendered.rfind(content)
        widths = [len(self._guard.show(self._guard.hide(part))) for part in parts]
        if at < 0 or sum(widths) != len(self._guard.show(content)):
            return ids, [0] * len(parts)
        start = len(self._guard.show(rendered[:at]))
        return ids, [bisect_right(ends, max(0, start + before - 1)) for before in accumulate([0, *widths[:-1]])]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of tokens, without control tokens. Broken UTF-8 shows as U+FFFD."""
        text: str = self._with_control.decode(list(ids), skip_special_tokens=True)
        return text

    def _encode_chat(
        self, messages: Sequence[Mapping[str, str]], open_answer: bool, most: int | None
    ) -> tuple[str, list[int], list[int]]:
        """What the template makes of a chat; its tokens; where each ends in what it shows, in characters."""
        rendered = self._rendered(messages, open_answer)
        _check_length(self._with_control, self._guard.show(rendered), most)
        ids, ends = self._tokens(messages, rendered)
        return rendered, _require(ids, most), ends

    def _rendered(self, messages: Sequence[Mapping[str, str]], open_answer: bool) -> str:
        if self._template is None:
            raise ModelError("The model has no chat template. Name a chat model, or send a plain prompt.")
        if not all(m["role"] in ROLES for m in messages):
            raise ModelError(f"A message's role is not one of {', '.join(ROLES)}.")
        guarded = [{**m, "content": self._guard.hide(m["content"])} for m in messages]
        return self._render(guarded, open_answer)

    def _tokens(self, messages: Sequence[Mapping[str, str]], rendered: str) -> tuple[list[int], list[int]]:
        """The tokens of what the template made of ``messages``, and where each ends in what that shows."""
        meant = [self._control[hit.group()] for hit in self._guard.control.finditer(rendered)]
        if not any(self._guard.holds(m["content"]) for m in messages):
            whole = _read(self._with_control, rendered)
            # A tokenizer that normalises may read control tokens in what spells them otherwise ("＜|im_end|＞").
            if [token for token in whole.ids if token in self._control_ids] == meant:
                return whole.ids, [end for _, end in whole.offsets]
        return self._piecewise(rendered)

    def _render(self, messages: Sequence[Mapping[str, str]], open_answer: bool) -> str:
        assert self._template is not None
        try:
            return self._template.render(
                messages=[dict(m) for m in messages], add_generation_prompt=open_answer, **self._special
            )
        except TemplateError as error:
            raise ModelError(f"The model's chat template refuses these messages: {error}") from error

    def _piecewise(self, rendered: str) -> tuple[list[int], list[int]]:
        """As ``_tokens``: the template's control tokens as such, and what lies between them as letters."""
        ids: list[int] = []
        ends: list[int] = []
        at = shown = 0
        for control in [*self._guard.control.finditer(rendered), None]:
            text = self._guard.show(rendered[at : control.start() if control else None])
            piece = _read(self._plain, text)
            ids += piece.ids
            ends += [shown + end for _, end in piece.offsets]
            shown += len(text)
            if control:
                at, shown = control.end(), shown + len(control.group())
                ids.append(self._control[control.group()])
                ends.append(shown)
        return ids, ends


def _read(tokenizer: Tokenizer, text: str) -> Encoding:
    """As a batch: while the library reads one, other threads run; while it reads a single text, none does."""
    return tokenizer.encode_batch([text], add_special_tokens=False)[0]


def _check_length(tokenizer: Tokenizer, text: str, most: int | None) -> None:
    """TooLong for a text that surely has more than ``most`` tokens, of which no more is read than shows it."""
    if most is None or len(text) <= most:
        return
    left = _SURELY * most
    for at in range(0, len(text), _PIECE):
        left -= len(tokenizer.encode_batch_fast([text[at : at + _PIECE]], add_special_tokens=False)[0])
        if left < 0:
            raise TooLong(most)


def _require(ids: list[int], most: int | None) -> list[int]:
    if most is not None and len(ids) > most:
        raise TooLong(most)
    return ids


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


def _without_control(tokenizer: Tokenizer) -> Tokenizer:
    """A copy to which every added token but white space is letters; the library tells only "special" ones from text."""
    made = json.loads(tokenizer.to_str())
    for token in made["added_tokens"]:
        token["special"] = token["special"] or bool(token["content"].strip())
    plain = Tokenizer.from_str(json.dumps(made))
    plain.encode_special_tokens = True
    return plain


def _environment() -> ImmutableSandboxedEnvironment:
    """Templates are somebody else's program: sandboxed, with what Hugging Face's templates rely on."""
    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])

    def refuse(message: str) -> str:
        raise TemplateError(message)

    made.globals["raise_exception"] = refuse
    return made
