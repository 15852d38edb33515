"""The board of measurements for pages: read from the broker's Redis, kept for a few seconds."""

import time
from collections.abc import Mapping
from typing import Final

import msgspec
import redis
from django.conf import settings

from catalog.measurements import BOARD, Measurement, decode_board

_KEPT_S: Final = 3.0
_TIMEOUT_S: Final = 0.5


class _Kept:
    """What this process has read last. Times are monotonic seconds."""

    board: Mapping[str, Measurement] = {}
    of: str = ""
    until_s = 0.0


def read_board() -> Mapping[str, Measurement]:
    """Return what was measured, by endpoint id; empty when nothing was or when Redis is away."""
    url, now_s = settings.BROKER_REDIS_URL, time.monotonic()
    if _Kept.until_s > now_s and _Kept.of == url:
        return _Kept.board
    try:
        with redis.Redis.from_url(url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S) as client:
            body = client.get(BOARD)
        board = decode_board(body) if isinstance(body, bytes) else {}
    except (redis.RedisError, OSError, msgspec.MsgspecError):
        board = {}
    _Kept.board, _Kept.of, _Kept.until_s = board, url, now_s + _KEPT_S
    return board
