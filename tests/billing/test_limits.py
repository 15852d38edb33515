import pytest

from accounts import api_keys
from accounts.models import ApiKey, Organization
from billing import limits, live
from billing.books import rebuild
from tests.billing import plane
from tests.billing.conftest import USD


@pytest.fixture
def organization(make_organization):
    return make_organization(10 * USD)


@pytest.fixture
def key(organization):
    key = api_keys.create(organization=organization, name="k", by=organization.memberships.get().user, limit_nanos=1_000)[0]
    rebuild.rebuild_shard(shard=7)
    return key


def _owner(organization):
    return organization.memberships.get().user


def test_a_new_key_counts_as_published_and_is_loaded_with_its_limit(organization, key):
    assert ApiKey.objects.get(pk=key.pk).published_version == 1
    assert live.read_key_usage(shard=7, key_ids=[key.pk])[key.pk].free_nanos == 1_000


def test_a_changed_limit_reaches_the_money_store_and_what_is_left_follows(organization, key):
    plane.spend(organization, 300, key_id=key.pk)

    api_keys.update(api_key=key, by=_owner(organization), limit_nanos=700)

    usage = live.read_key_usage(shard=7, key_ids=[key.pk])[key.pk]
    assert (usage.limit_nanos, usage.free_nanos) == (700, 400)
    assert plane.reserve(organization, plane.new_id(), 401, key_id=key.pk) == "SHORT_KEY"
    assert plane.reserve(organization, plane.new_id(), 400, key_id=key.pk) == "OK"
    assert ApiKey.objects.get(pk=key.pk).published_version == 2


def test_a_disabled_or_deleted_key_spends_nothing_more(organization, key):
    api_keys.update(api_key=key, by=_owner(organization), disabled=True)
    assert plane.reserve(organization, plane.new_id(), 1, key_id=key.pk) == "KEY_DISABLED"

    api_keys.update(api_key=key, by=_owner(organization), disabled=False)
    assert plane.reserve(organization, plane.new_id(), 1, key_id=key.pk) == "OK"

    api_keys.delete(api_key=key, by=_owner(organization))
    assert plane.reserve(organization, plane.new_id(), 1, key_id=key.pk) == "KEY_DISABLED"


def test_a_change_while_the_shard_is_closed_is_published_by_the_sweep_after_its_rebuild(organization, key, money_store_client):
    live.close_epoch(shard=7)
    api_keys.update(api_key=key, by=_owner(organization), disabled=True)
    assert limits.republish_stale() == 0
    assert ApiKey.objects.get(pk=key.pk).published_version == 1

    rebuild.rebuild_shard(shard=7)

    assert limits.republish_stale() == 1
    assert ApiKey.objects.get(pk=key.pk).published_version == 2
    assert limits.republish_stale() == 0
    assert plane.reserve(organization, plane.new_id(), 1, key_id=key.pk) == "KEY_DISABLED"


def test_an_older_version_never_undoes_a_newer_one(organization, key):
    old = ApiKey.objects.get(pk=key.pk)
    api_keys.update(api_key=key, by=_owner(organization), limit_nanos=5)

    limits.publish_key_scope(api_key=old)

    assert live.read_key_usage(shard=7, key_ids=[key.pk])[key.pk].limit_nanos == 5
    assert ApiKey.objects.get(pk=key.pk).published_version == 2


def test_a_change_that_looked_for_the_old_shard_finds_the_new_one(organization, key, settings):
    settings.LEDGER_SHARDS = 8
    ApiKey.objects.filter(pk=key.pk).update(version=2, disabled=True)
    changed = ApiKey.objects.select_related("organization").get(pk=key.pk)
    _move_as_before_the_change(organization, key)

    limits.publish_key_scope(api_key=changed)

    assert plane.reserve(_there(organization), plane.new_id(), 1, key_id=key.pk) == "KEY_DISABLED"


def test_a_change_finds_the_new_shard_also_when_the_move_ends_while_it_is_told(organization, key, settings, monkeypatch):
    settings.LEDGER_SHARDS = 8
    ApiKey.objects.filter(pk=key.pk).update(version=2, disabled=True)
    put = live.put_key_scope

    def put_and_move(**arguments):
        monkeypatch.setattr(live, "put_key_scope", put)
        told = put(**arguments)
        _move_as_before_the_change(organization, key)
        return told

    monkeypatch.setattr(live, "put_key_scope", put_and_move)
    limits.publish_key_scope(api_key=ApiKey.objects.get(pk=key.pk))

    assert plane.reserve(_there(organization), plane.new_id(), 1, key_id=key.pk) == "KEY_DISABLED"


def _move_as_before_the_change(organization, key):
    """Place the organization on shard 3, which has loaded the key as it was."""
    rebuild.rebuild_shard(shard=3)
    Organization.objects.filter(pk=organization.pk).update(shard=3)
    live.resync_balance(shard=3, seed=rebuild.read_balance_seed(org_id=organization.pk))
    plane.put_key(3, key.pk)


def _there(organization):
    organization.refresh_from_db()
    return organization
