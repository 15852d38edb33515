import pytest

from billing import live
from billing.live import stream
from tests.billing import plane


def _acks(entries):
    return [live.Ack(one.stream_id, one.org_id, one.key_id, one.amount_nanos) for one in entries]


def test_the_oldest_entries_are_cut_off_in_one_stroke(make_organization):
    organization, other = make_organization(100), make_organization(100)
    for amount_nanos in (1, 2, 4):
        plane.spend(organization, amount_nanos)
        plane.spend(other, 8 * amount_nanos)
    entries = live.read_batch(shard=7)

    assert stream._acknowledge_run(7, _acks(entries[:5])) == 5

    assert live.read_batch(shard=7) == entries[5:]
    assert live.read_balance(org_id=organization.pk, shard=7) == (93, 0, 0, 1)
    assert live.read_balance(org_id=other.pk, shard=7) == (44, 0, 32, 1)
    assert stream._acknowledge_run(7, _acks(entries[:5])) is None
    assert stream._acknowledge_run(7, _acks(entries[5:])) == 1
    assert stream._acknowledge_run(7, _acks(entries[5:])) is None
    assert live.read_balance(org_id=other.pk, shard=7) == (44, 0, 0, 1)


@pytest.mark.parametrize("gone", [0, 2])
def test_entries_one_of_which_is_gone_are_acknowledged_one_by_one(make_organization, gone):
    organization = make_organization(100)
    for amount_nanos in (1, 2, 4, 8):
        plane.spend(organization, amount_nanos)
    entries = live.read_batch(shard=7)
    live.acknowledge(shard=7, acks=_acks([entries[gone]]))

    assert stream._acknowledge_run(7, _acks(entries)) is None
    assert live.acknowledge(shard=7, acks=_acks(entries), is_gapless=True) == 3

    assert live.stream_lag(shard=7).entries == 0
    assert live.read_balance(org_id=organization.pk, shard=7) == (85, 0, 0, 1)


def test_a_stream_of_which_something_was_deleted_before_is_cut_off_again(make_organization):
    organization = make_organization(100)
    for amount_nanos in (1, 2, 4, 8):
        plane.spend(organization, amount_nanos)
    entries = live.read_batch(shard=7)
    live.acknowledge(shard=7, acks=_acks(entries[:1]))

    assert stream._acknowledge_run(7, _acks(entries[1:3])) == 2
    assert live.read_batch(shard=7) == entries[3:]
