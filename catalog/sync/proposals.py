"""From findings to proposals, and from a person's decision to a price. Nothing is applied unreviewed unless a rule allows it."""

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from django.db import transaction
from django.utils import timezone

from accounts import audit
from accounts.audit import Actor
from catalog import overrides, publication, switches
from catalog.models import Endpoint, PriceProposal, Provider, SyncRule, SyncRun
from catalog.pricing import PICOS_PER_USD
from catalog.snapshot import environment_from_settings, read_rows
from catalog.sync import newcomers
from catalog.sync.comparison import Finding, Held, Move, compare
from catalog.sync.newcomers import NotAddable
from catalog.sync.offers import Offer, UnreadableSource
from catalog.sync.price_block import with_moves

_MILLION: Final = 1_000_000
_NAME_MAX: Final = 200
_OPEN: Final = (PriceProposal.State.OPEN, PriceProposal.State.HELD)
_PERCENT_LIMIT: Final = Decimal(10) ** 11  # what the column holds; a move by more is flagged anyway


class NotApplicable(ValueError):
    """A proposal cannot be applied: it was decided already, or the source does not say enough."""


def _seen_rates(said: Mapping[str, Any]) -> dict[str, int]:
    rates = {}
    for name in ("input", "output"):
        try:
            rates[f"{name}_tokens"] = int(Decimal(str(said[name])) * PICOS_PER_USD / _MILLION)
        except (KeyError, InvalidOperation):
            continue
    return rates


def read_held(*, source: str, at: dt.datetime) -> list[Held]:
    """Return the catalog's endpoints as a source is compared with them."""
    rows = read_rows(at=at, environment=environment_from_settings())
    held = []
    own_list = source.removeprefix("provider:") if source.startswith("provider:") else ""
    for endpoint in rows.endpoints:
        price = rows.prices.get(endpoint.pk)
        if price is None or (own_list and endpoint.provider.slug != own_list):
            continue
        said = endpoint.agreement.get("seen", [])
        here = [one for one in said if one["source"] == source]
        ours = {meter: price.cost.rates.get(meter) for meter in ("input_tokens", "output_tokens")}
        agreeing = [one for one in said if one["source"] != source and all(ours[m] == r for m, r in _seen_rates(one).items())]
        names = {endpoint.provider_model_id, *endpoint.facts.get("aliases", ())} if own_list or not here else set()
        held.append(
            Held(
                endpoint=endpoint.slug,
                provider=endpoint.provider.slug,
                keys=frozenset(one["key"] for one in here),
                names=frozenset(names),
                cost=price.cost,
                seen=_seen_rates(here[0]) if here else {},
                others=len(agreeing),
                is_from_source=bool(own_list or here),
            ),
        )
    return held


def provider_names(source: str) -> dict[str, str]:
    """Return the source's names of providers → ours, as the data files have them."""
    if source.startswith("provider:"):
        return {source.removeprefix("provider:"): source.removeprefix("provider:")}
    rows = Provider.objects.values_list("slug", "facts")
    return {name: slug for slug, facts in rows for name in facts.get("source_ids", {}).get(source, ())}


def _moves_json(moves: Iterable[Move]) -> list[list[Any]]:
    return [[move.meter, move.edge, move.before, move.after] for move in moves]


def _store(run: SyncRun, findings: Sequence[Finding]) -> list[PriceProposal]:
    """Store what is not known already: a finding that a person has rejected as it stands does not come back."""
    ids = dict(Endpoint.objects.values_list("slug", "pk"))
    rejected = {
        (one.kind, one.endpoint_id, one.key, str(one.moves))
        for one in PriceProposal.objects.filter(run__source=run.source, state=PriceProposal.State.REJECTED)
    }
    fresh = [
        PriceProposal(
            run=run,
            kind=one.kind,
            provider=one.provider,
            key=one.key[:_NAME_MAX],
            name=one.name[:_NAME_MAX],
            endpoint_id=ids.get(one.endpoint),
            moves=_moves_json(one.moves),
            offered=newcomers.offered(one.offer) if one.kind == "new" else {},
            largest_percent=min(one.largest_percent, _PERCENT_LIMIT).quantize(Decimal("0.01")),
            flags=list(one.flags),
            state=PriceProposal.State.HELD if one.flags and one.kind == "moved" else PriceProposal.State.OPEN,
        )
        for one in findings
    ]
    kept = [one for one in fresh if (one.kind, one.endpoint_id, one.key, str(one.moves)) not in rejected]
    return PriceProposal.objects.bulk_create(kept, batch_size=500)


def propose(
    *, source: str, offers: Sequence[Offer], threshold_percent: Decimal = Decimal(0), by: Actor = None, now: dt.datetime | None = None
) -> SyncRun:  # fmt: skip
    """Compare the catalog with a source and store what differs, in the place of the source's earlier proposals that are still open.

    Moves that a rule allows are applied at once, and published. Raises: BrokenCatalog; then nothing has changed.
    """
    moment = now or timezone.now()
    findings = compare(
        read_held(source=source, at=moment), offers, providers=provider_names(source), threshold_percent=threshold_percent
    )  # fmt: skip
    with transaction.atomic():
        run = SyncRun.objects.create(source=source, started_at=moment, started_by=audit.name_actor(by))
        PriceProposal.objects.filter(run__source=source, state__in=_OPEN).update(state=PriceProposal.State.SUPERSEDED, decided_at=moment)
        stored = _store(run, findings)
        allowed = [one for one in stored if _is_allowed(one, SyncRule.objects.filter(source=source))]
        if allowed:
            apply(allowed, by=by, now=moment)
        counts = Counter(one.kind for one in stored)
        held = sum(one.state == PriceProposal.State.HELD for one in stored)
        run.summary = {"offers": len(offers), **counts, "held": held, "applied": len(allowed)}
        run.save(update_fields=["summary"])
    return run


def record_failure(*, source: str, error: UnreadableSource, by: Actor = None) -> SyncRun:
    """Remember that a source could not be read. Its earlier proposals stay."""
    return SyncRun.objects.create(source=source, started_at=timezone.now(), started_by=audit.name_actor(by), error=str(error))


def _is_allowed(proposal: PriceProposal, rules: Iterable[SyncRule]) -> bool:
    return proposal.kind == PriceProposal.Kind.MOVED and not proposal.flags and any(
        rule.provider in {"", proposal.provider} and abs(proposal.largest_percent) <= rule.percent_max for rule in rules
    )  # fmt: skip


def apply(proposals: Sequence[PriceProposal], *, by: Actor, now: dt.datetime | None = None) -> publication.Publication:
    """Make the proposed prices ours, add what is new, switch off what is gone, and publish, all or nothing.

    Raises: NotApplicable, BadPrice, BrokenCatalog; then nothing has changed.
    """
    moment = now or timezone.now()
    with transaction.atomic():
        gone: list[int] = []
        for proposal in proposals:
            if proposal.state not in _OPEN:
                msg = f"{proposal} was decided already: {proposal.get_state_display()}"
                raise NotApplicable(msg)
            if proposal.endpoint is None:
                _add(proposal, now=moment)
            elif proposal.kind == PriceProposal.Kind.GONE:
                gone.append(proposal.endpoint.pk)
            else:
                _apply_price(proposal, proposal.endpoint, by=by, now=moment)
            proposal.state, proposal.decided_at, proposal.decided_by = PriceProposal.State.APPLIED, moment, audit.name_actor(by)
            proposal.save(update_fields=["endpoint", "state", "decided_at", "decided_by"])
        if gone:
            return switches.switch(Endpoint.objects.filter(pk__in=gone), enabled=False)
        return publication.publish(now=moment)


def _add(proposal: PriceProposal, *, now: dt.datetime) -> None:
    try:
        proposal.endpoint = newcomers.add(proposal, now=now)
    except NotAddable as error:
        raise NotApplicable(str(error)) from error


def _apply_price(proposal: PriceProposal, endpoint: Endpoint, *, by: Actor, now: dt.datetime) -> None:
    listed = with_moves(overrides.listed_price(endpoint, at=now), [Move(*move) for move in proposal.moves])
    source = {"data_set": proposal.run.source, "key": proposal.key, "date": proposal.run.started_at.date().isoformat()}
    overrides.set_price(endpoint=endpoint, listed=listed, source=source, by=by, now=now)


def reject(proposals: Iterable[PriceProposal], *, by: Actor, now: dt.datetime | None = None) -> int:
    """Keep our prices; the same proposal does not come back. Returns how many were open."""
    moment = now or timezone.now()
    ids = [one.pk for one in proposals]
    with transaction.atomic():
        count = PriceProposal.objects.filter(pk__in=ids, state__in=_OPEN).update(
            state=PriceProposal.State.REJECTED, decided_at=moment, decided_by=audit.name_actor(by)
        )  # fmt: skip
        audit.record(organization_id=None, by=by, action="proposal.rejected", target="catalog", detail={"proposals": ids})
    return count
