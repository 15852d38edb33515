"""The client that Django and Celery share per process, and how it runs a script."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import redis
from django.conf import settings

from billing.authorizer.scripts import Script

_TIMEOUT_S = 5.0


def store() -> Any:
    """Return the client. Replies are bytes; Any, because its stubs cannot tell the sync replies from the async ones."""
    return _client(settings.REDIS_URL)


@cache
def _client(url: str) -> Any:
    return redis.Redis.from_url(url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S)


def run(script: Script, keys: Sequence[str], args: Sequence[str | bytes | int]) -> Any:
    """Run a script, loading it first if the server does not know it."""
    try:
        return store().evalsha(script.sha, len(keys), *keys, *args)
    except redis.exceptions.NoScriptError:
        store().script_load(script.text)
        return store().evalsha(script.sha, len(keys), *keys, *args)
