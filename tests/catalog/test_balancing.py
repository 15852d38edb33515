from collections.abc import Callable
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from accounts.models import AuditEvent
from accounts.secrets import Sealer
from catalog.models import CatalogSnapshot, ProviderCredential
from catalog.snapshot import decode_snapshot
from catalog.types import CredentialSettings, ProviderSpec, Snapshot

pytestmark = pytest.mark.django_db


def run(*args: str) -> str:
    out = StringIO()
    call_command("balance_provider", *args, stdout=out)
    return out.getvalue()


def acme() -> ProviderSpec:
    return decode_snapshot(bytes(CatalogSnapshot.objects.latest("version").body)).providers["acme"]


def test_a_provider_gets_several_keys_with_shares_and_limits(publish_small: Callable[..., Snapshot], settings) -> None:
    publish_small()
    call_command("set_provider", "acme", "--api-key", "first-key", stdout=StringIO())
    run("acme", "--key", "second", "--api-key", "second-key", "--weight", "3", "--rpm", "500", "--tpm", "1000000")
    out = run("acme", "--strategy", "least_busy", "--cooldown-s", "12")

    assert out == (
        "acme: least_busy, a key rests 12 s after a rate limit that does not say how long\n"
        "  main: weight 1, no limit\n"
        "  second: weight 3, 500 requests a minute and 1,000,000 tokens a minute\n"
    )
    provider = acme()
    assert (provider.balancing, provider.cooldown_s, provider.mode) == ("least_busy", 12, "live")
    sealer = Sealer(settings.SECRET_KEY)
    opened = {one.name: sealer.open_sealed(key) for one, key in zip(provider.credential_settings, provider.sealed_credentials, strict=True)}
    assert opened == {"main": "first-key", "second": "second-key"}
    assert CredentialSettings(name="second", weight=3, rpm_limit=500, tpm_limit=1_000_000) in provider.credential_settings


def test_a_key_is_changed_replaced_and_taken_away_by_its_name(publish_small: Callable[..., Snapshot], settings) -> None:
    publish_small()
    run("acme", "--key", "a", "--api-key", "one", "--rpm", "5")
    run("acme", "--key", "b", "--api-key", "two")
    run("acme", "--key", "a", "--weight", "2")
    run("acme", "--key", "a", "--api-key", "three", "--rpm", "0")
    row = ProviderCredential.objects.get(name="a")
    assert (row.weight, row.rpm_limit, Sealer(settings.SECRET_KEY).open_sealed(bytes(row.sealed))) == (2, 0, "three")

    run("acme", "--key", "a", "--remove")
    assert [one.name for one in acme().credential_settings] == ["b"]


def test_providers_of_a_group_are_published_with_it_until_they_leave(publish_small: Callable[..., Snapshot]) -> None:
    publish_small()
    assert run("acme", "--group", "boxes", "--strategy", "headroom").startswith("acme: headroom in group boxes, ")
    assert acme().group == "boxes"
    run("acme", "--group", "")
    assert acme().group == ""


def test_looking_changes_and_publishes_nothing(publish_small: Callable[..., Snapshot]) -> None:
    publish_small()
    versions = CatalogSnapshot.objects.count()
    assert run("acme") == "acme: weighted, a key rests 5 s after a rate limit that does not say how long\n"
    assert CatalogSnapshot.objects.count() == versions
    assert not AuditEvent.objects.filter(action="provider.updated").exists()


def test_no_secret_is_in_what_is_printed_recorded_or_published(publish_small: Callable[..., Snapshot]) -> None:
    publish_small()
    out = run("acme", "--key", "a", "--api-key", "sk-very-secret")
    audit = str([event.detail for event in AuditEvent.objects.all()])
    assert "sk-very-secret" not in out + audit
    assert b"sk-very-secret" not in bytes(CatalogSnapshot.objects.latest("version").body)


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (("nobody",), "no provider 'nobody'"),
        (("acme", "--weight", "2"), "say which key"),
        (("acme", "--remove"), "say which key"),
        (("acme", "--key", "a", "--weight", "2"), "no key called 'a'"),
        (("acme", "--key", "a", "--remove"), "no key called 'a'"),
        (("acme", "--key", "Two Words", "--api-key", "k"), "lower-case"),
        (("acme", "--key", "a", "--api-key", "two words"), "printable ASCII"),
        (("acme", "--key", "a", "--api-key", "k", "--weight", "0"), "weight must be 1 to 1000"),
        (("acme", "--key", "a", "--api-key", "k", "--rpm", "-1"), "rpm_limit must be 0"),
        (("acme", "--cooldown-s", "-1"), "0 to 3600 seconds"),
        (("acme", "--strategy", "random"), "invalid choice"),
        (("acme", "--group", "Two Words"), "group 'Two Words': lower-case"),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(
    publish_small: Callable[..., Snapshot], args: tuple[str, ...], reason: str
) -> None:
    publish_small()
    versions = CatalogSnapshot.objects.count()
    with pytest.raises(CommandError, match=reason):
        run(*args)
    assert ProviderCredential.objects.count() == 0
    assert CatalogSnapshot.objects.count() == versions
