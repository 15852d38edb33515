"""Work that stops when the client leaves."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from gateway.relay.exchange import Exchange


async def work_while_present(exchange: Exchange, work: Coroutine[Any, Any, None]) -> None:
    """Run ``work`` to its end, or cancel it when the client has closed the connection; that is no error."""
    relay = asyncio.current_task()
    gone = False

    async def stop_when_gone() -> None:
        nonlocal gone
        await exchange.wait_until_gone()
        gone = True
        if relay is not None:
            relay.cancel()

    watcher = asyncio.create_task(stop_when_gone())
    try:
        await work
    except asyncio.CancelledError:
        if not gone:
            raise
        if relay is not None:
            relay.uncancel()
    finally:
        watcher.cancel()
