"""The log on one machine, by SQLite."""

from services.common.log.sqlite.log import SqliteLog

__all__ = ["SqliteLog"]
