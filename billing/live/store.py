"""The client that Django and Celery share per process, and how it runs a script."""

from collections.abc import Callable, Sequence
from functools import cache, wraps
from typing import Any, ParamSpec, TypeVar

import redis
from django.conf import settings

from billing.authorizer.connection import MoneyStoreDown
from billing.authorizer.scripts import Script

_TIMEOUT_S = 5.0

P = ParamSpec("P")
R = TypeVar("R")


class EpochClosed(Exception):
    """The shard waits for its rebuild and nothing was changed; repeat the call after it."""


def asks_store(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function raise MoneyStoreDown, as the data plane knows it, when the store cannot be asked."""

    @wraps(function)
    def asked(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except (redis.ConnectionError, redis.TimeoutError, redis.exceptions.OutOfMemoryError) as error:
            raise MoneyStoreDown(str(error)) from error

    return asked


def store() -> Any:
    """Return the client. Replies are bytes; Any, because its stubs cannot tell the sync replies from the async ones."""
    return _client(settings.REDIS_URL)


@cache
def _client(url: str) -> Any:
    return redis.Redis.from_url(url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S)


def run(script: Script, keys: Sequence[str], args: Sequence[str | bytes | int]) -> Any:
    """Run a script, loading it first if the server does not know it. Raises: EpochClosed when the script answers so."""
    try:
        reply = store().evalsha(script.sha, len(keys), *keys, *args)
    except redis.exceptions.NoScriptError:
        store().script_load(script.text)
        reply = store().evalsha(script.sha, len(keys), *keys, *args)
    if reply in (b"EPOCH", [b"EPOCH"]):
        msg = "the shard waits for its rebuild"
        raise EpochClosed(msg)
    return reply
