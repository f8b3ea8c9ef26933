"""The index in Milvus: one collection a generation of a partition, reached through pymilvus only.

A URI is a server's; a path opens Milvus Lite, the embedded index, which this process owns then. A row's dense and
sparse vectors are of one key each. The sealed engram lies in base64 over two fields (one VARCHAR takes 65,535 bytes).
Files keep deleted rows until they are merged.

Rows survive a killed process. Milvus Lite has them on disk for good after ``flush``, a server once it takes them. How
far a collection of Milvus Lite follows the feed is in a file beside it, for another index may be used meanwhile.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from pymilvus import MilvusClient, MilvusException

from services.common.files import private_part
from services.episodic.plugins.base import Vector
from services.episodic.search import milvus_rows as rows
from services.episodic.search.exclusion import Exclusion
from services.episodic.search.index import IndexTooOld, IndexUnavailable
from services.episodic.search.rows import Found, Row, pk

OLDEST = (2, 3)  # has partition keys and iterators
# Before, an upsert into a collection with a partition key could put a row into another partition (milvus#30772), and
# only text and whole numbers had an index.
_MATURE = (2, 4)
_PAGE = 1_000
_NO_COLLECTION = 100  # Milvus's code
# pymilvus pings every ten seconds; Milvus Lite, which is in this process, closes the connection of who does that while
# nothing is asked.
_LITE_CHANNEL = {"grpc.keepalive_time_ms": 2**31 - 1}
_LITE_TIMEOUT_S = 60.0  # at least: it computes in this process, and a call that is given up is done all the same
_open_lock = threading.Lock()


@contextmanager
def translating(path: Path) -> Iterator[None]:
    """The system's errors as the port's."""
    try:
        yield
    except OSError as error:
        remedy = "Make room on the disk, or let this user write there."
        raise IndexUnavailable(f"episodic.index_uri: {path}: {error}. {remedy}") from error


def _note(path: Path, follows: int) -> None:
    """Whole or not at all, and on disk when it returns."""
    with translating(path), private_part(path, str(follows)) as part:
        os.replace(part, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


# pymilvus logs every error it raises, with values of the call; we raise it on and log it ourselves.
logging.getLogger("pymilvus").setLevel(logging.CRITICAL)


def _is_news(record: logging.LogRecord) -> bool:
    """Not news: pymilvus asks Milvus Lite for timestamps at every iterator, which it does not have, and goes on."""
    return not (record.exc_info and record.exc_info[0] is NotImplementedError)


logging.getLogger("grpc._server").addFilter(_is_news)


class _Channel:
    """One Milvus, and what its version can do. Calls raise IndexUnavailable."""

    def __init__(self, uri: str, token: str, timeout_s: float) -> None:
        self.is_server = "://" in uri
        self._uri = uri
        self._timeout_s = timeout_s if self.is_server else max(timeout_s, _LITE_TIMEOUT_S)
        options = {} if self.is_server else _LITE_CHANNEL
        with _open_lock:  # parallel first opens of Milvus Lite fail
            self.client: MilvusClient = self.guarded(
                "connect", lambda: MilvusClient(uri=uri, token=token, timeout=timeout_s, grpc_options=options)
            )
        self.is_mature = not self.is_server or self._version() >= _MATURE

    def close(self) -> None:
        self.client.close()
        if not self.is_server:
            from milvus_lite.server_manager import server_manager_instance  # no part of what speaks to a server

            server_manager_instance.release_server(self._uri)  # else the process keeps the file until it ends

    def _version(self) -> tuple[int, int]:
        """IndexTooOld. A build without a number is taken for a new one."""
        said = self.call("get_server_version")
        number = re.match(r"v?(\d+)\.(\d+)", said)
        version = (int(number[1]), int(number[2])) if number else _MATURE
        if version < OLDEST:
            self.client.close()
            oldest = ".".join(map(str, OLDEST))
            raise IndexTooOld(
                f"episodic.index_uri: {self._uri} runs Milvus {said}; Mneme needs {oldest} or newer. Upgrade the "
                "server, or leave the setting empty: the embedded index is filled from the feed."
            )
        return version

    def call(self, method: str, *positional: Any, **arguments: Any) -> Any:
        """A method of the client, within the time that a call has."""
        run = getattr(self.client, method)
        return self.guarded(method, lambda: run(*positional, timeout=self._timeout_s, **arguments))

    def guarded(self, what: str, run: Callable[[], Any]) -> Any:
        try:
            return run()
        except (MilvusException, grpc.RpcError) as error:  # pymilvus passes a deadline on as gRPC raises it
            code = error.code if isinstance(error, MilvusException) else error.code().name
            raise IndexUnavailable(self._problem(what, code)) from error

    def _problem(self, what: str, code: object) -> str:
        if not self.is_server:
            remedy = "Is another process using the path?"
        elif code == _NO_COLLECTION:
            remedy = "It lacks the collection. Start Mneme again: what is missing is filled from the feed."
        else:
            remedy = "Start the server, or name another one; what was told meanwhile is indexed then."
        return f"episodic.index_uri: {self._uri} does not answer ({what}, code {code}). {remedy}"


class MilvusCollection:
    """Rows of one generation. Thread-safe: one writer, many readers."""

    def __init__(
        self, channel: _Channel, name: str, exclusion: Exclusion, *, searches_vectors: bool, noted: Path | None
    ) -> None:
        """``exclusion``: of all who use the collection. ``noted``: the file of ``follows``, of Milvus Lite."""
        # A read of Milvus Lite (3.2) that began before a flush, or before a write that flushes, misses what was not on
        # disk yet: it looks at the files of before and at the memory of after.
        self._reading: Callable[[], AbstractContextManager[None]] = exclusion.reading
        self._writing: Callable[[], AbstractContextManager[None]] = exclusion.writing
        if channel.is_server:
            self._reading = self._writing = nullcontext
        self._noted = noted
        self._searches_vectors = searches_vectors
        self._channel = channel
        self._name = name

    @property
    def vector_search(self) -> MilvusCollection | None:
        return self if self._searches_vectors else None

    def write(self, new: Sequence[Row], gone: Sequence[str] = ()) -> None:
        """Add or replace rows, and delete those with the keys ``gone``. Searches see it from then on."""
        data = [rows.to_milvus(row, self._searches_vectors) for row in new]
        with self._writing():
            self._write(data, list(gone))

    def _write(self, data: list[dict[str, Any]], gone: list[str]) -> None:
        if data and self._channel.is_mature:
            self._call("upsert", data=data)
        elif data:
            # A search between the two misses what is replaced; a kill between them is made good from the feed.
            self._call("delete", ids=[row["pk"] for row in data])
            self._call("insert", data=data)
        if gone:
            self._call("delete", ids=gone)
        if self._channel.is_server and (data or gone):
            # A server shows rows some 200 ms late. Waited for here, once, so that no search has to.
            self._call("query", ids=["-"], output_fields=["pk"], consistency_level="Strong")

    @property
    def follows(self) -> int | None:
        """None of a server, and of what earlier versions left."""
        if self._noted is None:
            return None
        with translating(self._noted):
            said = self._noted.read_text() if self._noted.exists() else None
        return None if said is None else int(said) if said.isdecimal() else 0  # 0: it is filled again

    def flush(self, follows: int) -> None:
        """Of a server it was on disk when it was taken."""
        if self._noted is None:
            return
        with self._writing():
            self._call("flush")
        _note(self._noted, follows)

    def search(self, vector: Vector, k: int, where: str) -> list[tuple[str, float]]:
        """(engram id, cosine x weight) of the rows nearest to ``vector``; approximate, an id may come twice."""
        with self._reading():
            [hits] = self._call(
                "search",
                data=[vector],
                anns_field="dense",
                limit=k,
                filter=f"({where}) and dense_weight > 0.0",
                search_params={"params": {"ef": max(64, k)}},
                output_fields=["id", "dense_weight"],
                consistency_level="Bounded",
            )
        return [(hit["entity"]["id"], float(hit["distance"]) * hit["entity"]["dense_weight"]) for hit in hits]

    def vectors(self, where: str) -> Iterator[tuple[str, float, Vector]]:
        """(engram id, weight, vector) of every row that has one: for exact search."""
        for row in self._iterate(f"({where}) and dense_weight > 0.0", ["id", "dense_weight", "dense"]):
            yield row["id"], row["dense_weight"], np.asarray(row["dense"], np.float32)

    def sealed(self, ids: Sequence[str]) -> dict[str, bytes]:
        """Sealed engrams by id; those that are not there are left out."""
        out: dict[str, bytes] = {}
        for start in range(0, len(ids), _PAGE):
            pks = [pk(i, 0) for i in ids[start : start + _PAGE]]
            fields = ["id", "sealed_a", "sealed_b"]
            with self._reading():
                page = self._call("query", ids=pks, output_fields=fields, consistency_level="Bounded")
            out.update((row["id"], rows.joined(row, "sealed")) for row in page)
        return out

    def rows(self, pseudonym: str | None = None, *, vectors: bool = False) -> Iterator[Found]:
        """Every row, of one namespace or of all; with its sealed vector on demand, where Milvus does not search it."""
        where = f'pseudonym == "{pseudonym}"' if pseudonym is not None else ""
        fields = ["id", "number", "pseudonym", "rows", "feed_offset", "sealed_a", "sealed_b", "sparse_weight"]
        fields += ["dense_weight", *rows.TERMS[self._searches_vectors], *(["sealed_dense"] if vectors else [])]
        for row in self._iterate(where, fields):
            yield rows.found(row)

    def _iterate(self, where: str, fields: list[str]) -> Iterator[dict[str, Any]]:
        with self._reading():
            iterator = self._call(
                "query_iterator", filter=where, output_fields=fields, batch_size=_PAGE, consistency_level="Strong"
            )
        try:
            while page := self._next_page(iterator):
                yield from page
        finally:
            iterator.close()

    def _next_page(self, iterator: Any) -> list[dict[str, Any]]:
        with self._reading():
            page: list[dict[str, Any]] = self._channel.guarded(f"query of {self._name}", iterator.next)
        return page

    def _call(self, method: str, **arguments: Any) -> Any:
        return self._channel.call(method, self._name, **arguments)


class MilvusIndex:
    """Milvus: opens, creates and drops collections of a partition's generations."""

    def __init__(
        self,
        uri: str,
        partition: int = 0,
        *,
        token: str = "",
        timeout_s: float = 10.0,
        searches_vectors: bool | None = None,
    ) -> None:
        """``uri``: a path for Milvus Lite, which this process then owns, or http(s)://host:port.

        ``searches_vectors``: whether Milvus does, or the directory (vectors.py); a server does, Lite does not.
        IndexUnavailable; IndexTooOld.
        """
        embedded = "://" not in uri
        self._folder = Path(uri) if embedded else None
        self._prefix = f"engrams_p{partition}_g"
        self.searches_vectors = not embedded if searches_vectors is None else searches_vectors
        if embedded:
            Path(uri).parent.mkdir(parents=True, exist_ok=True)
        self._channel = _Channel(uri, token, timeout_s)
        self._exclusions: defaultdict[str, Exclusion] = defaultdict(Exclusion)  # by collection

    def open(self, generation: int) -> tuple[MilvusCollection, bool]:
        """The collection of a generation, made where missing, and whether it was made now."""
        name, call, searched = self._name(generation), self._channel.call, self.searches_vectors
        schema = rows.schema(searched)
        made = not self._has(name, schema)
        if made:
            if (noted := self._noted(generation)) is not None:
                _note(noted, 0)  # before it is there: killed then and filled never, it is not taken for whole
            call("create_collection", name, schema=schema, **({"num_partitions": rows.PARTITIONS} if searched else {}))
        there = set(call("list_indexes", name))  # some of them, where a kill came between two
        wanted = rows.indexes(searched, scalars=self._channel.is_mature, there=there)
        if len(wanted):
            # Not waited for: pymilvus would look only every half second, for each of them.
            call("create_index", name, wanted, sync=False)
        call("load_collection", name)
        noted, exclusion = self._noted(generation), self._exclusions[name]
        return MilvusCollection(self._channel, name, exclusion, searches_vectors=searched, noted=noted), made

    def _has(self, name: str, schema: Any) -> bool:
        """Whether there is such a collection. One with other fields goes: the feed fills a new one."""
        if not self._channel.call("has_collection", name):
            return False
        there = self._channel.call("describe_collection", name)["fields"]
        if {f["name"] for f in there} == {f.name for f in schema.fields}:
            return True
        self._channel.call("drop_collection", name)
        return False

    def _noted(self, generation: int) -> Path | None:
        return self._folder / f"follows-{generation}" if self._folder is not None else None

    def drop(self, generation: int) -> None:
        if self._channel.call("has_collection", self._name(generation)):
            self._channel.call("drop_collection", self._name(generation))
        if (noted := self._noted(generation)) is not None:
            with translating(noted):
                noted.unlink(missing_ok=True)

    def generations(self) -> list[int]:
        names = self._channel.call("list_collections")
        return sorted(int(n.removeprefix(self._prefix)) for n in names if n.startswith(self._prefix))

    def drop_former(self) -> None:
        """Drop what earlier versions had, in which a collection held every partition."""
        for name in self._channel.call("list_collections"):
            if name.startswith("engrams_g"):
                self._channel.call("drop_collection", name)

    def _name(self, generation: int) -> str:
        return f"{self._prefix}{generation}"

    def close(self) -> None:
        """An embedded one may be opened by another process then."""
        self._channel.close()
