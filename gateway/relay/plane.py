"""The data plane of one process: everything it needs, built in one place, started and stopped together."""

import asyncio
import gc
import logging
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from psycopg_pool import AsyncConnectionPool

from accounts.lookup import KeyLookup
from accounts.rule_lookup import RuleLookup
from billing.authorizer.claims import Claims
from billing.authorizer.connection import MoneyConnection
from billing.authorizer.holds import Holds
from billing.authorizer.loader import ScopeLoader
from billing.authorizer.spool import Spool
from catalog.reader import SnapshotReader
from catalog.switch_reader import SwitchedOff, SwitchReader
from catalog.types import Snapshot
from gateway.relay.answers import AnswerRelay
from gateway.relay.app import RelayApp
from gateway.relay.balancing import Balancer
from gateway.relay.bulletins import Bulletins
from gateway.relay.catalog import CatalogView
from gateway.relay.config import RelayConfig
from gateway.relay.dry_run import DryRuns
from gateway.relay.flow import ChatFlow
from gateway.relay.health import EndpointHealth
from gateway.relay.hold import Cashier
from gateway.relay.repeats import Repeats
from gateway.relay.settlement import Settler
from gateway.relay.sounds import SoundRelay
from gateway.relay.statistics import Statistics
from gateway.relay.stickiness import Stickiness
from gateway.relay.sticky_sharing import StickySharing
from gateway.relay.streams import StreamRelay
from gateway.relay.tries import Dispatcher
from gateway.relay.upstream import UpstreamClient

if TYPE_CHECKING:
    import psycopg

_log = logging.getLogger(__name__)
# Objects that may pile up before the collector looks at the young ones. A request makes few that it does not free by itself, and the
# default of 700 is what a handful of requests in flight hold: it looked forty times a second and found nothing.
_YOUNG_OBJECTS_MAX = 10_000


class DataPlane:
    """Wires the hot path. Stores may be away at start: the plane answers 503 until they are there.

    ``on_catalog`` is told of each snapshot that has come into force, in a thread.
    """

    def __init__(self, config: RelayConfig, *, on_catalog: Callable[[Snapshot], None] = lambda _snapshot: None) -> None:
        self._config = config
        self._on_catalog = on_catalog
        self._pool: AsyncConnectionPool[psycopg.AsyncConnection[Any]] = AsyncConnectionPool(
            config.database_url,
            min_size=1,
            max_size=config.database_pool_max,
            timeout=5,
            open=False,
            kwargs={"autocommit": True},
        )
        self._connection = MoneyConnection(config.redis_url)
        loader = ScopeLoader(self._pool, self._connection)
        self._holds = Holds(self._connection, spool=Spool(config.spool_dir), loader=loader, leases=config.leases)
        self._keys = KeyLookup(self._pool, config.broker_redis_url)
        self._rules = RuleLookup(self._pool, config.broker_redis_url)
        self._keys.also_tell(self._rules.hear, self._rules.expire_all)
        self._reader = SnapshotReader(self._pool, config.broker_redis_url)
        self._switches = SwitchReader(self._pool, config.broker_redis_url)
        self._full_view: CatalogView | None = None  # with what has been switched off since its publication
        self._off = SwitchedOff()
        self._client = UpstreamClient(connect_timeout_s=config.connect_timeout_s, idle_timeout_s=config.idle_timeout_s)
        self.statistics = Statistics()
        health = EndpointHealth(statistics=self.statistics)
        balancer = Balancer(health)
        self._bulletins = Bulletins(config.broker_redis_url, health, balancer=balancer)
        cashier, settler, dispatcher = Cashier(self._holds, config), Settler(self._holds), Dispatcher(health, balancer, config)
        self._stalls = dispatcher.stalls
        answers = AnswerRelay(client=self._client, cashier=cashier, settler=settler, dispatcher=dispatcher)
        self._streams = StreamRelay(client=self._client, cashier=cashier, settler=settler, dispatcher=dispatcher)
        sounds = SoundRelay(client=self._client, cashier=cashier, settler=settler, dispatcher=dispatcher)
        stickiness = Stickiness()
        self._repeats = Repeats(Claims(self._connection), settler, config.broker_redis_url, loader)
        self._sharing = StickySharing(config.broker_redis_url, stickiness)
        flow = ChatFlow(
            keys=self._keys,
            rules=self._rules,
            cashier=cashier,
            settler=settler,
            answers=answers,
            streams=self._streams,
            sounds=sounds,
            health=health,
            stickiness=stickiness,
            repeats=self._repeats,
        )
        dry_runs = DryRuns(flow=flow, holds=self._holds, health=health, stickiness=stickiness, config=config)
        self.app = RelayApp(config, flow, dry_runs, self._bulletins.measure)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Open pools and connections, load the catalog, start the background tasks."""
        await self._pool.open()
        await self._connection.start()
        await self._holds.start()
        await self._rules.start()
        await self._keys.start()
        self._run(self._reader.watch(self._show), "catalog-watcher")
        self._run(self._switches.watch(self._hide), "switch-watcher")
        self._run(self._streams.keep_alive_forever(), "keep-alive")
        self._run(self._sharing.run_forever(), "sticky-sharing")
        self._run(self._bulletins.run_forever(), "statistics")
        self._run(self._stalls.watch_forever(), "stalls")

    async def close(self) -> None:
        """Stop taking work, hand over what is unsent, close."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._repeats.close()
        await self._holds.close()
        await self._keys.close()
        await self._rules.close()
        await self._connection.close()
        await self._bulletins.close()
        await self._sharing.close()
        await self._client.close()
        await self._pool.close()

    def _run(self, job: Coroutine[Any, Any, None], name: str) -> None:
        self._tasks.append(asyncio.create_task(job, name=name))

    async def _show(self, snapshot: Snapshot) -> None:
        # Building a view takes tens of milliseconds, which belongs in a thread and not between two chunks of a stream.
        view = await asyncio.to_thread(CatalogView, snapshot, self._config)
        await asyncio.to_thread(lambda: view.listings)
        self._full_view = view
        self.app.view = view.without(self._off)
        await asyncio.to_thread(self._on_catalog, snapshot)
        # The catalog and all that was imported live as long as the process: more than 100,000 objects. The collector would walk over
        # them again and again, each time for a tenth of a second in which nothing else moves.
        gc.freeze()
        gc.set_threshold(_YOUNG_OBJECTS_MAX)
        _log.info("catalog version %s is live", snapshot.version)

    async def _hide(self, off: SwitchedOff) -> None:
        self._off = off
        if self._full_view is not None:
            self.app.view = self._full_view.without(off)
