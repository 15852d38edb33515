"""The operator's own hand at a price: now or from a day on, previewed, then published."""

import copy
import datetime as dt
from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.audit import Actor
from catalog import overrides, publication
from catalog.cards import TOKEN_NAMES, BadPrice
from catalog.models import Endpoint, PriceOverride


def plan(
    *, endpoint: Endpoint, usd_per_million: Mapping[str, str], day: dt.date | None = None, now: dt.datetime | None = None
) -> dict[str, Any]:  # fmt: skip
    """Return the price block with these token prices (exact decimal text by the data files' names), from now or from ``day`` (UTC).

    Raises: BadPrice.
    """
    moment = now or timezone.now()
    unknown = usd_per_million.keys() - TOKEN_NAMES.keys()
    if unknown or not usd_per_million:
        msg = f"name prices among {', '.join(TOKEN_NAMES)}"
        raise BadPrice(msg)
    listed = copy.deepcopy(overrides.listed_price(endpoint, at=moment))
    if day is None:
        listed.setdefault("usd_per_million_tokens", {}).update(usd_per_million)
        return listed
    if day <= moment.date():
        msg = f"{day} is not in the future; leave the day out for a change now"
        raise BadPrice(msg)
    change = {"from": day.isoformat(), "usd_per_million_tokens": dict(usd_per_million), "source": "operator"}
    listed["scheduled"] = [*(one for one in listed.get("scheduled", []) if one["from"] != change["from"]), change]
    return listed


def change_price(
    *,
    endpoint: Endpoint,
    usd_per_million: Mapping[str, str],
    day: dt.date | None = None,
    by: Actor,
    now: dt.datetime | None = None,
) -> PriceOverride:
    """Change what the provider charges us for tokens, now or from ``day`` on; our price follows by the markup.

    Raises: BadPrice, BrokenCatalog; then nothing has changed.
    """
    moment = now or timezone.now()
    listed = plan(endpoint=endpoint, usd_per_million=usd_per_million, day=day, now=moment)
    with transaction.atomic():
        source = {"data_set": "operator", "date": moment.date().isoformat()}
        override = overrides.set_price(endpoint=endpoint, listed=listed, source=source, by=by, now=moment)
        publication.publish(now=moment)
    return override
