"""How a record lies in its row, so that what is deleted leaves no trace in the file.

``secure_delete`` alone does not do that: when SQLite balances its tree it moves small rows between pages and leaves
copies in the gaps. So whatever may be deleted (COMPACT, EXPIRE) lies on overflow pages of its own, which never move
and are zeroed when they are freed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import chain

from services.common.log.base import Message

PAGE_BYTES = 1024
# How a record's body is laid out: leading zeros (their number first), lengths, key, headers, value, zeros.
_LEAD = struct.Struct(">H")
_LENGTHS = struct.Struct(">IIi")  # key, headers, value; -1: the value is None

# SQLite keeps the first bytes of a row in the tree and the rest on overflow pages, once a row is longer than
# _IN_TREE_MAX. Then it keeps _IN_TREE + (size - _IN_TREE) % _ON_PAGE bytes in the tree, or just _IN_TREE when that
# would be more than _IN_TREE_MAX (its file format, section 1.6). A body that is to leave no trace is therefore
# padded to a little less than a whole number of overflow pages, and begins with zeros that fill the tree's share.
_ON_PAGE = PAGE_BYTES - 4
_IN_TREE_MAX = PAGE_BYTES - 35
_IN_TREE = (PAGE_BYTES - 12) * 32 // 255 - 23
_ROW_HEADER_MAX = 16  # record header and timestamp, before the body


def pack(message: Message, *, erasable: bool) -> bytes:
    headers = b"".join(map(_sized, chain.from_iterable((k.encode(), v) for k, v in message.headers.items())))
    value = message.value
    lengths = _LENGTHS.pack(len(message.key), len(headers), -1 if value is None else len(value))
    content = b"".join((lengths, message.key, headers, value or b""))
    if not erasable:
        return _LEAD.pack(0) + content
    lead = _IN_TREE
    size = _LEAD.size + lead + len(content) + _ROW_HEADER_MAX
    whole = _IN_TREE + -(-(size - _IN_TREE) // _ON_PAGE) * _ON_PAGE
    return b"".join((_LEAD.pack(lead), bytes(lead), content, bytes(whole - size)))


def unpack(body: bytes) -> tuple[bytes, bytes | None, dict[str, bytes]]:
    at = _LEAD.size + _LEAD.unpack_from(body)[0]
    key_length, headers_length, value_length = _LENGTHS.unpack_from(body, at)
    at += _LENGTHS.size
    key = body[at : at + key_length]
    at += key_length
    parts = list(_parts(body[at : at + headers_length]))
    headers = {name.decode(): value for name, value in zip(parts[::2], parts[1::2], strict=True)}
    at += headers_length
    return key, None if value_length < 0 else body[at : at + value_length], headers


def _sized(part: bytes) -> bytes:
    return struct.pack(">I", len(part)) + part


def _parts(packed: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(packed):
        (length,) = struct.unpack_from(">I", packed, at)
        yield packed[at + 4 : at + 4 + length]
        at += 4 + length
