import datetime as dt

import pytest
from django.db import connection

from billing.books import partitions, settlement
from billing.models import UsageEvent
from billing.types import event_day
from tests.billing import plane
from tests.billing.conftest import USD

NOON = dt.datetime(2031, 2, 27, 12, tzinfo=dt.UTC)


def _names(prefix: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r' AND relname LIKE %s ORDER BY 1", [prefix + "%"])
        return [row[0] for row in cursor.fetchall()]


@pytest.mark.django_db
def test_partitions_of_yesterday_today_and_the_next_seven_days_are_made_once():
    made = partitions.make_ahead(now=NOON)

    assert made == [f"billing_usageevent_{day}" for day in ("20310226", "20310227", "20310228", *(f"2031030{n}" for n in range(1, 7)))]
    assert _names("billing_usageevent_2031") == made
    assert partitions.make_ahead(now=NOON) == []
    assert partitions.make_ahead(now=NOON + dt.timedelta(days=1)) == ["billing_usageevent_20310307"]


def test_a_day_without_a_partition_gets_one_when_its_first_event_comes(make_organization):
    organization = make_organization(USD)
    event = plane.make_event(organization, 5, event_id=plane.id_at(dt.datetime.now(tz=dt.UTC) - dt.timedelta(days=20)))
    name = partitions.name_of(event_day(event.event_id))
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS {name}")
    plane.settle(event, late=True)

    settlement.settle_shard(shard=7)

    assert _names(name) == [name]
    assert UsageEvent.objects.get().event_id == event.event_id
