"""A file of JSON lines: observations, as streams that end at a line that is none, and between them what an export
holds beside observations."""

from __future__ import annotations

import threading
import time
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, TypeAlias

from google.protobuf.timestamp_pb2 import Timestamp
from mneme.v1.admin_pb2 import CreateNamespaceRequest, Namespace
from mneme.v1.common_pb2 import Observation
from mneme.v1.episodic_pb2 import CorrectRequest, RememberRequest

from services.common.serving import wire_json
from services.common.serving.errors import MnemeError, invalid

MAX_LINE_BYTES = 4 * 1024 * 1024  # an observation in JSON, every character escaped, has less than a quarter
KEPT = "What came before it is kept."
_STREAM_S = 60.0  # a stream is sent for no longer, so that a file of any length keeps within a call's deadline
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Statement:
    """A line of an export that is no observation: {"remember": ...}, {"correct": ...} or {"namespace": ...}."""

    request: RememberRequest | CorrectRequest | CreateNamespaceRequest
    told_at: Timestamp | None = None


Line: TypeAlias = Observation | Statement


class NotOfALine(Exception):
    """What was refused for a reason that stands in no line, as a MnemeError."""

    def __init__(self, error: MnemeError) -> None:
        super().__init__(error)
        self.error = error


class Lines:
    """Of a file, up to the first line that is neither an observation nor a statement; ``error`` then says which.

    A stream of observations ends before a statement, which ``statement`` gives; the next stream begins behind it.
    """

    def __init__(self, file: BinaryIO, read: Callable[[bytes], Line]) -> None:
        """``read`` makes a line what it is, or raises MnemeError."""
        self._file = file
        self._read_line = read
        self._can_go_back = file.seekable()
        self._reading = threading.Lock()  # gRPC may still ask for a line when the stream has ended
        self._stream = 0
        self._next = (1, file.tell() if self._can_go_back else 0)  # line and place
        self._sent: list[array[int]] = []  # of this stream's observations: lines, and the places behind them
        self._shown = 0  # the last line that was counted
        self._statement: tuple[Statement, int] | None = None  # and its line
        self.at_end = False
        self.error: MnemeError | None = None

    def count(self) -> int | None:
        """Lines that hold something, from here on; None where the file cannot be read twice."""
        if not self._can_go_back:
            return None
        lines = sum(1 for line in iter(lambda: self._file.readline(MAX_LINE_BYTES), b"") if line.strip())
        self._file.seek(self._next[1])
        return lines

    def observations(self, count: Callable[[], None]) -> Iterator[Observation]:
        """A stream of what is left, for as long as one may take; the stream before ends."""
        with self._reading:
            self._stream += 1
            self._sent = [array("Q"), array("Q")]
            if self._can_go_back:
                self._file.seek(self._next[1])
            return self._read(self._stream, count)

    def _read(self, stream: int, count: Callable[[], None]) -> Iterator[Observation]:
        until = time.monotonic() + _STREAM_S
        while time.monotonic() < until:
            with self._reading:
                observation = self._take() if stream == self._stream else None
                is_new = self._next[0] > self._shown
                self._shown = max(self._shown, self._next[0])
            if observation is None:
                return
            yield observation
            if is_new:
                count()

    def statement(self) -> tuple[Statement, int] | None:
        """What the last stream ended before, if it did, and its line; once."""
        found, self._statement = self._statement, None
        return found

    def _take(self) -> Observation | None:
        """The next observation; None at the end, before a statement, or where a line is none."""
        number, place = self._next
        try:
            while line := self._line():
                self._next = (number + 1, place + len(line))
                if line.strip():
                    read = self._read_line(line.removeprefix(_BOM) if number == 1 else line)
                    if isinstance(read, Statement):
                        self._stream += 1  # nobody reads on before it was sent
                        self._statement = read, number
                        return None
                    self._sent[0].append(number)
                    self._sent[1].append(self._next[1])
                    return read
                number, place = self._next
        except MnemeError as error:
            self.error = _in_line(error, number)  # not raised: gRPC would lose it, and what came before is kept
        except NotOfALine as refused:
            self.error = refused.error
        except OSError as error:
            self.error = invalid(self._file.name, f"line {number} cannot be read ({error.strerror}).", KEPT)
        self.at_end = True
        return None

    def _line(self) -> bytes:
        line = self._file.readline(MAX_LINE_BYTES + 1)
        if len(line) > MAX_LINE_BYTES:
            raise invalid("value", f"It has more than {MAX_LINE_BYTES} bytes.", "Send one observation a line.")
        return line

    def go_on_behind(self, refused: MnemeError) -> bool:
        """Have the next stream begin behind the observation that was refused; False where that is not known."""
        index = self._index(refused)
        if index is None or not self._can_go_back:
            return False
        with self._reading:
            self._stream += 1
            self._statement = None  # it lies behind
            self._next = (self._sent[0][index] + 1, self._sent[1][index])
            self.at_end = False
            self.error = None
        return True

    def _index(self, refused: MnemeError) -> int | None:
        index = refused.metadata.get("index", "")
        return int(index) if index.isdecimal() and int(index) < len(self._sent[0]) else None

    def located(self, refused: MnemeError) -> MnemeError:
        """The same error, with the line where the service says which observation it refused."""
        index = self._index(refused)
        if index is None:
            return refused
        return refused_in(self._sent[0][index], refused, refused.field.removeprefix("observation."))


class Reader:
    """Makes a line what it is: protobuf JSON, and plain texts and numbers as metadata.

    ``namespace``: of lines that name none; ``each_its_own``: whether a line may name another one. Each is handed to
    ``ensure`` when it is met first.
    """

    def __init__(self, namespace: str | None, *, each_its_own: bool, ensure: Callable[[str], None]) -> None:
        self._namespace = namespace
        self._each_its_own = each_its_own
        self._ensure = ensure
        self._ensured: set[str] = set()
        self.newest = ""  # the namespace of the newest observation

    def __call__(self, line: bytes) -> Line:
        """MnemeError, with the field, where the line is nothing that can be sent."""
        value = wire_json.loads(line)
        if isinstance(value, dict):
            if _KINDS.keys() & value.keys() - {"namespace"} or isinstance(value.get("namespace"), dict):
                return self._statement(value)
            _spell_out(value.get("metadata"))
        observation = wire_json.to_message(value, Observation)
        observation.namespace = self._checked(observation.namespace)
        self._see_to(observation.namespace)
        return observation

    def _statement(self, value: dict[str, object]) -> Statement:
        """Its settings are what makes a namespace; all else is of one that is seen to before."""
        kind = next(name for name in _KINDS if name in value)
        if unknown := sorted(value.keys() - {kind, "told_at"}):
            raise invalid(unknown[0][:64], f"A line with {kind} has no such field.", "Send it as it was exported.")
        body, told_at = value[kind], value.get("told_at")
        if not isinstance(body, dict):
            raise invalid(kind, "It is not an object.", "Send it as it was exported.")
        _spell_out(body.get("metadata"))
        request = wire_json.to_message(body, _KINDS[kind])
        at = None if told_at is None else wire_json.timestamp(told_at, "told_at")[0]
        if isinstance(request, Namespace):
            name = self._checked(request.name)
            self._ensured.add(name)
            made = CreateNamespaceRequest(
                namespace=name, metadata_fields=request.metadata_fields, aliases=request.aliases
            )
            return Statement(made)
        request.namespace = self._checked(request.namespace)
        self._see_to(request.namespace)
        return Statement(request, at)

    def _checked(self, named: str) -> str:
        """The namespace that a line goes to. INVALID_FIELD."""
        own = named or self._namespace
        if not own:
            raise invalid("namespace", "The line names none.", "Name it in the line, or with -n for all that do not.")
        if not self._each_its_own and own != self._namespace:
            remedy = "Leave it out, or let every line go where it says: --namespaces-from-lines."
            raise invalid("namespace", f"The line is of {own}, not of {self._namespace}.", remedy)
        self.newest = own
        return own

    def _see_to(self, namespace: str) -> None:
        if namespace in self._ensured:
            return
        try:
            self._ensure(namespace)
            self._ensured.add(namespace)
        except MnemeError as error:
            if namespace == self._namespace:
                raise NotOfALine(of_option(error)) from error
            raise


_KINDS: dict[str, type[RememberRequest | CorrectRequest | Namespace]] = {
    "remember": RememberRequest,
    "correct": CorrectRequest,
    "namespace": Namespace,
}


def refused_in(number: int, refused: MnemeError, field: str) -> MnemeError:
    """The service's refusal of a line; ``field``: as the line has it."""
    message = f"line {number}: {refused.message}"
    remedy = f"{refused.remedy} {KEPT}"
    return MnemeError(refused.reason, message, field=field, remedy=remedy, metadata=refused.metadata)


def of_option(error: MnemeError) -> MnemeError:
    """The same error of the namespace that -n names for all lines."""
    return MnemeError(error.reason, error.message, field="-n/--namespace", remedy=error.remedy, metadata=error.metadata)


def _spell_out(metadata: object) -> None:
    """Plain texts and numbers as the wire has them; null is left out. What is neither is refused where it is read.

    In place: the reader of JSON marks objects in which a name stands twice.
    """
    if not isinstance(metadata, dict):
        return
    for name, value in list(metadata.items()):
        if value is None:
            del metadata[name]
        elif isinstance(value, bool | list):
            sort = "a list" if isinstance(value, list) else "true or false"
            raise invalid(f"metadata.{name[:64]}", f"It is {sort}.", "Send a text or a number, or leave it out.")
        elif isinstance(value, str):
            metadata[name] = {"text": value}
        elif not isinstance(value, dict):
            metadata[name] = {"number": value}


def _in_line(error: MnemeError, number: int) -> MnemeError:
    what = "cannot be sent"
    if error.reason == "INVALID_FIELD":
        what = "is not an observation" if error.field == "value" else "is refused"
    message = f"line {number} {what}: {error.message}"
    return MnemeError(
        error.reason, message, field=error.field, remedy=f"{error.remedy} {KEPT}".lstrip(), metadata=error.metadata
    )
