import datetime as dt

from accounts.models import ApiKey, Organization
from billing.books import charges, usage
from billing.types import AttemptRecord
from tests.factories.usage import make_event


def test_sums_tell_charges_from_returns_and_put_each_cost_at_its_own_provider():
    lost = AttemptRecord(endpoint_id="m@beta", provider="beta", status=200, latency_ms=1, cost_nanos=300)
    api_key = ApiKey(pk=3, organization=Organization(pk=1, shard=7))
    fields = {"model": "m", "provider": "alpha", "meters": {"input_tokens": 5}}
    events = [
        make_event(api_key, **fields, amount_nanos=amount_nanos, cost_nanos=cost_nanos, attempts=attempts)
        for amount_nanos, cost_nanos, attempts in ((100, 80, ()), (50, 400, (lost,)), (-30, -20, ()))
    ]
    rows = [usage.UsageRow(event, part, "", 0, dt.date(1970, 1, 1), event.meters) for event, part in zip(events, (0, 0, 1), strict=True)]

    sums = charges.sum_up(rows)

    assert sums.by_org == {1: (150, 30)}
    assert sums.by_provider == {"alpha": (180, 20), "beta": (300, 0)}
    assert sums.hourly == [(1, 3, 0, "m", "alpha", 2, 120, 160, 15, 0), (1, 3, 0, "m", "beta", 0, 0, 300, 0, 0)]
    assert sums.amount_nanos == 120
