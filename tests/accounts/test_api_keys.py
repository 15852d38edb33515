import datetime as dt

import msgspec
import pytest

from accounts import api_keys, key_format, queries, signals
from accounts.api_keys import BadKeyField, UnknownKey
from accounts.models import ApiKey, AuditEvent, Membership, Role, User
from accounts.permissions import NotPermitted
from accounts.types import Caller
from billing.books import rebuild

NOW = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)


@pytest.fixture
def heard():
    """Collect what key_changed tells."""
    told = []

    def hear(api_key, **_):
        told.append((api_key.pk, api_key.version, api_key.deleted_at is not None))

    signals.key_changed.connect(hear)
    yield told
    signals.key_changed.disconnect(hear)


@pytest.fixture
def membership(make_organization):
    organization, owner = make_organization("ours")
    user = User.objects.create_user("member@example.com", "correct horse battery")
    Membership.objects.create(organization=organization, user=user, role=Role.MEMBER)
    return organization, owner, user


def test_a_new_key_is_stored_as_hash_and_label_only(make_organization):
    organization, owner = make_organization("ours")
    api_key, secret = api_keys.create(
        organization=organization, name=" CI ", by=owner, limit_nanos=1, limit_reset="daily", external_user="u-1"
    )
    stored = ApiKey.objects.get(pk=api_key.pk)
    assert stored.hash == key_format.hash_secret(secret)
    assert (stored.name, stored.limit_nanos, stored.limit_reset, stored.external_user) == ("CI", 1, "daily", "u-1")
    assert (stored.created_by, stored.version, stored.published_version, stored.updated_at) == (owner, 1, 0, None)
    assert secret not in str(ApiKey.objects.filter(pk=api_key.pk).values().get())
    event = AuditEvent.objects.get(action="api_key.created")
    assert (event.actor, event.target, event.organization_id) == ("ours@example.com", stored.hash, organization.pk)
    assert secret not in str(event.detail)


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("name", ""),
        ("name", "x" * 201),
        ("name", "a\x00"),
        ("limit_nanos", -1),
        ("limit_nanos", 2**63),
        ("limit_reset", "hourly"),
        ("expires_at", NOW),
        ("external_user", "x" * 257),
    ],
)
def test_a_wrong_value_is_refused_by_name(make_organization, field, wrong):
    organization, owner = make_organization("ours")
    given = {"name": "ok", field: wrong}
    with pytest.raises(BadKeyField) as caught:
        api_keys.create(organization=organization, by=owner, now=NOW, **given)
    assert caught.value.field == field
    assert not ApiKey.objects.exists()


def test_a_given_secret_must_be_of_our_form(make_organization):
    organization, owner = make_organization("ours")
    with pytest.raises(BadKeyField):
        api_keys.create(organization=organization, name="k", by=owner, secret="sk-tw-v1-" + "0" * 64)
    mine = key_format.mint_secret()
    assert api_keys.create(organization=organization, name="k", by=owner, secret=mine)[1] == mine


def test_a_change_raises_the_version_and_equal_values_do_not(make_organization):
    organization, owner = make_organization("ours")
    api_key, _ = api_keys.create(organization=organization, name="k", by=owner, limit_nanos=5)
    same = api_keys.update(api_key=api_key, by=owner, name="k", limit_nanos=5)
    assert (same.version, same.updated_at) == (1, None)
    changed = api_keys.update(api_key=api_key, by=owner, now=NOW, limit_nanos=None, disabled=True)
    stored = ApiKey.objects.get(pk=api_key.pk)
    assert (stored.version, stored.updated_at, stored.limit_nanos, stored.disabled) == (2, NOW, None, True)
    assert changed.version == 2
    assert AuditEvent.objects.get(action="api_key.updated").detail == {"limit_nanos": [5, None], "disabled": [False, True]}


def test_a_deleted_key_stays_as_a_row_leaves_every_list_and_cannot_be_touched_again(make_organization):
    organization, owner = make_organization("ours")
    api_key, secret = api_keys.create(organization=organization, name="k", by=owner)
    api_keys.delete(api_key=api_key, by=owner)
    assert not queries.api_keys(organization).exists()
    assert queries.api_key(organization, api_key.hash) is None
    assert queries.bearer(key_format.hash_secret(secret)) is None
    assert queries.key_names(organization, [api_key.pk]) == {api_key.pk: "k"}
    with pytest.raises(UnknownKey):
        api_keys.update(api_key=api_key, by=owner, name="z")
    with pytest.raises(UnknownKey):
        api_keys.delete(api_key=api_key, by=owner)


def test_strangers_cannot_read_make_change_or_delete(make_organization):
    organization, owner = make_organization("ours")
    theirs, stranger = make_organization("theirs")
    api_key, _ = api_keys.create(organization=organization, name="k", by=owner)
    their_key, _ = api_keys.create(organization=theirs, name="m", by=stranger, is_management=True)
    for actor in (stranger, their_key):
        with pytest.raises(NotPermitted):
            api_keys.create(organization=organization, name="x", by=actor)
        with pytest.raises(NotPermitted):
            api_keys.update(api_key=api_key, by=actor, name="x")
        with pytest.raises(NotPermitted):
            api_keys.delete(api_key=api_key, by=actor)
    assert queries.api_key(theirs, api_key.hash) is None
    assert list(queries.api_keys(theirs)) == [their_key]
    assert queries.key_names(theirs, [api_key.pk]) == {}
    assert queries.organization_of(stranger, organization.public_id) is None
    assert queries.member(organization, stranger.pk) is None
    stored = ApiKey.objects.get(pk=api_key.pk)
    assert (stored.name, stored.deleted_at, stored.version) == ("k", None, 1)


def test_a_key_for_models_cannot_act_and_a_management_key_cannot_touch_its_own_kind(make_organization):
    organization, owner = make_organization("ours")
    inference, _ = api_keys.create(organization=organization, name="i", by=owner)
    management, _ = api_keys.create(organization=organization, name="m", by=owner, is_management=True)
    with pytest.raises(NotPermitted):
        api_keys.create(organization=organization, name="x", by=inference)
    with pytest.raises(NotPermitted):
        api_keys.create(organization=organization, name="x", by=management, is_management=True)
    with pytest.raises(NotPermitted):
        api_keys.delete(api_key=management, by=management)
    made, _ = api_keys.create(organization=organization, name="x", by=management)
    assert made.created_by == owner
    assert AuditEvent.objects.filter(actor=f"key:{management.label}", target=made.hash).count() == 1


def test_a_member_manages_only_the_keys_they_made(membership):
    organization, owner, user = membership
    own, _ = api_keys.create(organization=organization, name="own", by=user)
    other, _ = api_keys.create(organization=organization, name="other", by=owner)
    assert api_keys.update(api_key=own, by=user, name="mine").name == "mine"
    with pytest.raises(NotPermitted):
        api_keys.update(api_key=other, by=user, name="mine")
    with pytest.raises(NotPermitted):
        api_keys.create(organization=organization, name="m", by=user, is_management=True)
    api_keys.delete(api_key=own, by=owner)


def test_a_deactivated_person_may_do_nothing(make_organization):
    organization, owner = make_organization("ours")
    owner.is_active = False
    owner.save()
    with pytest.raises(NotPermitted):
        api_keys.create(organization=organization, name="x", by=owner)


def test_after_commit_the_broker_holds_the_caller_and_the_signal_is_sent(
    make_organization, broker, heard, django_capture_on_commit_callbacks
):
    organization, owner = make_organization("ours")
    rebuild.rebuild_shard(shard=organization.shard)
    expires_at = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
    with django_capture_on_commit_callbacks(execute=True):
        api_key, _ = api_keys.create(organization=organization, name="k", by=owner, expires_at=expires_at)
    entry = broker.get(f"key:{api_key.hash}")
    assert msgspec.json.decode(entry, type=Caller) == Caller(
        key_hash=api_key.hash, key_id=api_key.pk, org_id=organization.pk, shard=organization.shard, expires_at_s=int(expires_at.timestamp())
    )
    with django_capture_on_commit_callbacks(execute=True):
        api_keys.update(api_key=api_key, by=owner, disabled=True)
    with django_capture_on_commit_callbacks(execute=True):
        api_keys.delete(api_key=api_key, by=owner)
    assert broker.get(f"key:{api_key.hash}") == b"deleted"
    assert heard == [(api_key.pk, 1, False), (api_key.pk, 2, False), (api_key.pk, 3, True)]


def test_an_announcement_to_an_open_store_marks_the_version_published(make_organization, django_capture_on_commit_callbacks):
    organization, owner = make_organization("ours")
    rebuild.rebuild_shard(shard=organization.shard)
    with django_capture_on_commit_callbacks(execute=True):
        api_key, _ = api_keys.create(organization=organization, name="k", by=owner)
    assert ApiKey.objects.get(pk=api_key.pk).published_version == 1


def test_nothing_is_announced_before_commit(make_organization, broker, heard, django_capture_on_commit_callbacks):
    organization, owner = make_organization("ours")
    with django_capture_on_commit_callbacks():
        api_key, _ = api_keys.create(organization=organization, name="k", by=owner)
    assert broker.get(f"key:{api_key.hash}") is None
    assert heard == []


def test_a_late_announcement_tells_the_present_state_not_the_past_one(make_organization, broker, django_capture_on_commit_callbacks):
    organization, owner = make_organization("ours")
    with django_capture_on_commit_callbacks() as first:
        api_key, _ = api_keys.create(organization=organization, name="k", by=owner)
    with django_capture_on_commit_callbacks(execute=True):
        api_keys.delete(api_key=api_key, by=owner)
    for callback in first:
        callback()
    assert broker.get(f"key:{api_key.hash}") == b"deleted"


def test_a_failing_receiver_leaves_the_change_stored_and_unpublished(make_organization, django_capture_on_commit_callbacks):
    organization, owner = make_organization("ours")

    def fail(**_):
        raise ConnectionError

    signals.key_changed.connect(fail)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            api_key, _ = api_keys.create(organization=organization, name="k", by=owner)
    finally:
        signals.key_changed.disconnect(fail)
    stored = ApiKey.objects.get(pk=api_key.pk)
    assert stored.published_version < stored.version


def test_marking_published_never_goes_backwards(make_organization):
    organization, owner = make_organization("ours")
    api_key, _ = api_keys.create(organization=organization, name="k", by=owner)
    api_keys.update(api_key=api_key, by=owner, name="z")
    api_keys.mark_published(key_id=api_key.pk, version=2)
    api_keys.mark_published(key_id=api_key.pk, version=1)
    assert ApiKey.objects.get(pk=api_key.pk).published_version == 2
