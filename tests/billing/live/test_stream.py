"""One request sought among those that are not booked yet."""

from billing import live
from billing.live import stream
from tests.billing import plane
from tests.billing.conftest import USD


def test_a_request_is_found_until_it_is_booked_and_only_by_its_own_organization(make_organization):
    mine, other = make_organization(USD), make_organization(USD)
    events = [plane.spend(mine, nanos) for nanos in (1, 2, 3)]

    found = live.find_entry(shard=7, org_id=mine.pk, event_id=events[1].event_id)

    assert found is not None
    assert (found.event_id, found.org_id, found.amount_nanos) == (events[1].event_id, mine.pk, 2)
    assert live.find_entry(shard=7, org_id=other.pk, event_id=events[1].event_id) is None
    assert live.find_entry(shard=6, org_id=mine.pk, event_id=events[1].event_id) is None
    assert live.find_entry(shard=7, org_id=mine.pk, event_id=plane.new_id()) is None


def test_it_is_looked_for_page_by_page_and_not_for_ever(make_organization, monkeypatch):
    monkeypatch.setattr(stream, "_SOUGHT_PAGE", 2)
    monkeypatch.setattr(stream, "_SOUGHT_PAGES", 2)
    organization = make_organization(USD)
    events = [plane.spend(organization, nanos) for nanos in range(1, 6)]

    found = [live.find_entry(shard=7, org_id=organization.pk, event_id=event.event_id) is not None for event in events]

    assert found == [True, True, True, True, False]
