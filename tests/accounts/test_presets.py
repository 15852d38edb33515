"""Presets and policies in the books, and on their way to the data plane: the real PostgreSQL and Redis."""

import pytest
import redis
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connections
from psycopg_pool import AsyncConnectionPool

from accounts import presets, queries
from accounts.lookup import KeyLookup, LookupDown
from accounts.models import AuditEvent, RequestPreset
from accounts.permissions import NotPermitted
from accounts.presets import BadPresetField, UnknownPreset
from accounts.request_rules import NO_RULES, Policy, Preset, RequestRules, entry_name
from accounts.rule_lookup import RuleLookup
from tests.accounts.test_lookup import database_url, until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ours(organization):
    return organization


def save(organization, by, slug="brief", kind="preset", **fields):
    return presets.save_version(organization=organization, kind=kind, slug=slug, by=by, **{"config": {"temperature": 0.5}, **fields})


def test_each_save_is_a_version_and_puts_it_in_force(ours, owner):
    save(ours, owner)
    preset, version = save(ours, owner, config={"temperature": 1}, system_prompt="Be brief.")

    assert (preset.designated_number, version.number) == (2, 2)
    assert presets.rules_of(ours) == RequestRules(
        presets={"brief": Preset(slug="brief", version=2, config={"temperature": 1}, system_prompt="Be brief.")}
    )
    assert [one.number for one in queries.preset_versions(preset)] == [2, 1]
    assert list(AuditEvent.objects.filter(action="preset.saved").values_list("target", "detail")) == [
        ("brief", {"version": 1}),
        ("brief", {"version": 2}),
    ]


def test_an_older_version_can_be_put_back_in_force_and_one_that_is_not_there_cannot(ours, owner):
    preset, _ = save(ours, owner)
    save(ours, owner, config={"temperature": 1})

    presets.change(preset=preset, by=owner, designated_number=1)
    assert presets.rules_of(ours).presets["brief"].config == {"temperature": 0.5}
    with pytest.raises(UnknownPreset):
        presets.change(preset=preset, by=owner, designated_number=3)


@pytest.mark.parametrize("status", ["disabled", "archived"])
def test_what_is_switched_off_is_not_in_the_rules(ours, owner, status):
    preset, _ = save(ours, owner)

    presets.change(preset=preset, by=owner, status=status)

    assert presets.rules_of(ours) == NO_RULES


def test_one_policy_at_most_is_the_default(ours, owner):
    first, _ = save(ours, owner, "eu", "policy", config={"zdr": True})
    second, _ = save(ours, owner, "us", "policy", config={"only": ["acme"]})

    presets.change(preset=first, by=owner, is_default=True)
    presets.change(preset=second, by=owner, is_default=True)

    rules = presets.rules_of(ours)
    assert rules.default_policy == "us"
    assert rules.policies["eu"] == Policy(slug="eu", version=1, provider={"zdr": True})


@pytest.mark.parametrize(
    ("fields", "field"),
    [({"slug": "Loud"}, "slug"), ({"slug": ""}, "slug"), ({"slug": "a" * 65}, "slug"), ({"system_prompt": "x" * 100_001}, "system_prompt")],
)
def test_what_cannot_be_kept_is_refused_with_its_field(ours, owner, fields, field):
    with pytest.raises(BadPresetField) as refused:
        save(ours, owner, **fields)

    assert refused.value.field == field


def test_a_preset_cannot_be_the_default(ours, owner):
    preset, _ = save(ours, owner)

    with pytest.raises(BadPresetField):
        presets.change(preset=preset, by=owner, is_default=True)


def test_strangers_can_neither_save_nor_change_nor_see(ours, owner, stranger):
    preset, _ = save(ours, owner)
    theirs = stranger.memberships.get().organization

    with pytest.raises(NotPermitted):
        save(ours, stranger)
    with pytest.raises(NotPermitted):
        presets.change(preset=preset, by=stranger, status="archived")
    assert queries.request_preset(theirs, "preset", "brief") is None
    assert presets.rules_of(theirs) == NO_RULES


def test_members_keep_presets_and_only_administrators_policies(ours, owner, member):
    save(ours, member)
    with pytest.raises(NotPermitted):
        save(ours, member, "eu", "policy")


class _Started:
    def __init__(self, broker_url: str | None = None) -> None:
        self._url = broker_url or settings.BROKER_REDIS_URL

    async def __aenter__(self) -> RuleLookup:
        self.pool = AsyncConnectionPool(await sync_to_async(database_url)(), min_size=1, max_size=2, open=False)
        await self.pool.open()
        self.keys, self.rules = KeyLookup(self.pool, self._url), RuleLookup(self.pool, self._url)
        self.keys.also_tell(self.rules.hear, self.rules.expire_all)
        await self.rules.start()
        await self.keys.start()
        return self.rules

    async def __aexit__(self, *_) -> None:
        await self.keys.close()
        await self.rules.close()
        await self.pool.close()


async def test_a_change_reaches_a_process_that_remembered_the_old_rules(ours, owner):
    started = _Started()
    async with started as rules:
        await until(lambda: started.keys.watching)
        assert await rules.resolve(ours.pk) is NO_RULES
        assert rules.find(ours.pk) is NO_RULES

        await sync_to_async(save)(ours, owner)
        await until(lambda: rules.find(ours.pk) is None)

        assert (await rules.resolve(ours.pk)).presets["brief"].config == {"temperature": 0.5}
    await sync_to_async(connections.close_all)()


async def test_rules_come_from_postgresql_when_redis_has_none_and_are_left_there(ours, owner):
    await sync_to_async(save)(ours, owner)
    with redis.Redis.from_url(settings.BROKER_REDIS_URL) as store:
        store.delete(entry_name(ours.pk))
        async with _Started() as rules:
            assert list((await rules.resolve(ours.pk)).presets) == ["brief"]
        assert store.get(entry_name(ours.pk)) is not None
        assert 0 < store.ttl(entry_name(ours.pk)) <= 600


async def test_what_is_remembered_serves_while_neither_store_answers_and_strangers_to_it_wait(ours, owner):
    await sync_to_async(save)(ours, owner)
    started = _Started()
    async with started as rules:
        await until(lambda: started.keys.watching)
        await rules.resolve(ours.pk)
        rules.expire_all()
        assert rules.find(ours.pk) is None
        await rules.close()
        await started.pool.close()

        assert list((await rules.resolve(ours.pk)).presets) == ["brief"]
        with pytest.raises(LookupDown):
            await rules.resolve(ours.pk + 1)


def test_the_table_refuses_a_second_default(ours, owner):
    save(ours, owner, "eu", "policy")
    save(ours, owner, "us", "policy")

    with pytest.raises(Exception, match="accounts_requestpreset_one_default"):
        RequestPreset.objects.update(is_default=True)
