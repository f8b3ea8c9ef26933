"""A file of observations, one JSON object a line, as streams that end at the first line that is none."""

from __future__ import annotations

import threading
import time
from array import array
from collections.abc import Callable, Iterator
from typing import BinaryIO

from mneme.v1.common_pb2 import Observation

from services.common.serving import wire_json
from services.common.serving.errors import MnemeError, invalid

MAX_LINE_BYTES = 4 * 1024 * 1024  # an observation in JSON, every character escaped, has less than a quarter
KEPT = "What came before it is kept."
_STREAM_S = 60.0  # a stream is sent for no longer, so that a file of any length keeps within a call's deadline
_BOM = b"\xef\xbb\xbf"


class NotOfALine(Exception):
    """What was refused for a reason that stands in no line, as a MnemeError."""

    def __init__(self, error: MnemeError) -> None:
        super().__init__(error)
        self.error = error


class Lines:
    """Observations of a file of JSON lines, up to the first line that is none; ``error`` then says which."""

    def __init__(self, file: BinaryIO, read: Callable[[bytes], Observation]) -> None:
        """``read`` makes an observation of a line, or raises MnemeError."""
        self._file = file
        self._read_line = read
        self._can_go_back = file.seekable()
        self._reading = threading.Lock()  # gRPC may still ask for a line when the stream has ended
        self._stream = 0
        self._next = (1, file.tell() if self._can_go_back else 0)  # line and place
        self._sent: list[array[int]] = []  # of this stream's observations: lines, and the places behind them
        self._shown = 0  # the last line that was counted
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

    def _take(self) -> Observation | None:
        """The next observation; None at the end, or where a line is none."""
        number, place = self._next
        try:
            while line := self._line():
                self._next = (number + 1, place + len(line))
                if line.strip():
                    observation = self._read_line(line.removeprefix(_BOM) if number == 1 else line)
                    self._sent[0].append(number)
                    self._sent[1].append(self._next[1])
                    return observation
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
        message = f"line {self._sent[0][index]}: {refused.message}"
        remedy = f"{refused.remedy} {KEPT}"
        field = refused.field.removeprefix("observation.")  # as the line has it
        return MnemeError(refused.reason, message, field=field, remedy=remedy, metadata=refused.metadata)


class Reader:
    """Makes an observation of a line: protobuf JSON, and plain texts and numbers as metadata.

    ``namespace``: of lines that name none; ``each_its_own``: whether a line may name another one. Each is handed to
    ``ensure`` when it is met first.
    """

    def __init__(self, namespace: str | None, *, each_its_own: bool, ensure: Callable[[str], None]) -> None:
        self._namespace = namespace
        self._each_its_own = each_its_own
        self._ensure = ensure
        self._ensured: set[str] = set()
        self.newest = ""  # the namespace of the newest observation

    def __call__(self, line: bytes) -> Observation:
        """MnemeError, with the field, where the line is none."""
        value = wire_json.loads(line)
        if isinstance(value, dict):
            _spell_out(value.get("metadata"))
        observation = wire_json.to_message(value, Observation)
        self._place(observation)
        return observation

    def _place(self, observation: Observation) -> None:
        own = observation.namespace or self._namespace
        if not own:
            raise invalid("namespace", "The line names none.", "Name it in the line, or with -n for all that do not.")
        if not self._each_its_own and own != self._namespace:
            remedy = "Leave it out, or let every line go where it says: --namespaces-from-lines."
            raise invalid("namespace", f"The line is of {own}, not of {self._namespace}.", remedy)
        observation.namespace = self.newest = own
        if own not in self._ensured:
            self._look_at(own)
            self._ensured.add(own)

    def _look_at(self, namespace: str) -> None:
        try:
            self._ensure(namespace)
        except MnemeError as error:
            if namespace == self._namespace:
                raise NotOfALine(of_option(error)) from error
            raise


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
    what = "is not an observation" if error.reason == "INVALID_FIELD" else "cannot be sent"
    message = f"line {number} {what}: {error.message}"
    return MnemeError(
        error.reason, message, field=error.field, remedy=f"{error.remedy} {KEPT}".lstrip(), metadata=error.metadata
    )
