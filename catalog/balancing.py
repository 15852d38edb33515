"""Load balancing of a provider: its keys with weights and limits, the strategy, how long a key rests. By the operator, in force at once."""

import re
from typing import Final, get_args

import msgspec
from django.db import transaction

from accounts import audit
from accounts.audit import Actor
from catalog import publication
from catalog.credentials import UnknownProvider, seal_key
from catalog.models import Provider, ProviderCredential
from catalog.types import Balancing

STRATEGIES: Final[tuple[str, ...]] = get_args(Balancing)
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
_NAME_RULE: Final = "lower-case letters, digits and . _ -, at most 40"
_KEYS_MAX: Final = 50
_WEIGHT_MAX: Final = 1_000
_COOLDOWN_MAX_S: Final = 3_600
_LIMIT_MAX: Final = 2_000_000_000


class BadBalance(ValueError):
    """A setting cannot be used; the message says which and why."""


class KeyChange(msgspec.Struct, frozen=True, kw_only=True):
    """What to do to the key called ``name``. ``api_key`` adds it or puts another in its place; None leaves a setting as it is.

    Limits are requests and tokens a minute at one endpoint; 0 takes a limit away.
    """

    name: str
    api_key: str | None = None
    weight: int | None = None
    rpm_limit: int | None = None
    tpm_limit: int | None = None
    is_removed: bool = False


class KeyShare(msgspec.Struct, frozen=True, kw_only=True):
    """A key as the operator sees it: never its secret."""

    name: str
    weight: int
    rpm_limit: int
    tpm_limit: int


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """How a provider's requests are shared, keys in the order in which they were added."""

    strategy: str
    group: str
    cooldown_s: int
    keys: tuple[KeyShare, ...]


def balance_provider(
    *,
    slug: str,
    strategy: str | None = None,
    group: str | None = None,
    cooldown_s: int | None = None,
    key: KeyChange | None = None,
    by: Actor = None,
) -> Balance:
    """Change what is given and publish; with nothing given only look. Returns what holds from now on. The group '' is none.

    Raises: UnknownProvider, BadBalance, BadKey, BrokenCatalog; then nothing has changed.
    """
    _check(strategy, group, cooldown_s)
    changed = {name: value for name, value in (("balancing", strategy), ("group", group), ("cooldown_s", cooldown_s)) if value is not None}
    with transaction.atomic():
        provider = Provider.objects.select_for_update().filter(slug=slug).first()
        if provider is None:
            msg = f"there is no provider {slug!r}"
            raise UnknownProvider(msg)
        if changed:
            for field, value in changed.items():
                setattr(provider, field, value)
            provider.save(update_fields=list(changed))
        if key is not None:
            _change_key(provider, key, by=by)
        balance = _read(provider)
        if changed or key is not None:
            audit.record(organization_id=None, by=by, action="provider.updated", target=slug, detail=msgspec.to_builtins(balance))
            publication.publish()
    return balance


def _check(strategy: str | None, group: str | None, cooldown_s: int | None) -> None:
    if strategy is not None and strategy not in STRATEGIES:
        msg = f"the strategy must be one of {', '.join(STRATEGIES)}"
        raise BadBalance(msg)
    if group and not _NAME.fullmatch(group):
        msg = f"group {group[:60]!r}: {_NAME_RULE}"
        raise BadBalance(msg)
    if cooldown_s is not None and not 0 <= cooldown_s <= _COOLDOWN_MAX_S:
        msg = f"the cooldown must be 0 to {_COOLDOWN_MAX_S} seconds"
        raise BadBalance(msg)


def _change_key(provider: Provider, change: KeyChange, *, by: Actor) -> None:
    if not _NAME.fullmatch(change.name):
        msg = f"key name {change.name[:60]!r}: {_NAME_RULE}"
        raise BadBalance(msg)
    held = ProviderCredential.objects.filter(provider=provider, name=change.name).first()
    if held is None and (change.is_removed or change.api_key is None):
        msg = f"{provider.slug} has no key called {change.name!r}; give its secret to add it"
        raise BadBalance(msg)
    if held is not None and change.is_removed:
        held.delete()
        return
    row = held or ProviderCredential(provider=provider, name=change.name, created_by=audit.name_actor(by))
    if change.api_key is not None:
        row.sealed = seal_key(change.api_key)
    for field, value, least, most in (
        ("weight", change.weight, 1, _WEIGHT_MAX),
        ("rpm_limit", change.rpm_limit, 0, _LIMIT_MAX),
        ("tpm_limit", change.tpm_limit, 0, _LIMIT_MAX),
    ):
        if value is None:
            continue
        if not least <= value <= most:
            msg = f"{field} must be {least} to {most}"
            raise BadBalance(msg)
        setattr(row, field, value)
    if held is None and ProviderCredential.objects.filter(provider=provider).count() >= _KEYS_MAX:
        msg = f"a provider takes at most {_KEYS_MAX} keys"
        raise BadBalance(msg)
    row.save()


def _read(provider: Provider) -> Balance:
    rows = ProviderCredential.objects.filter(provider=provider).order_by("id")
    keys = tuple(KeyShare(name=one.name, weight=one.weight, rpm_limit=one.rpm_limit, tpm_limit=one.tpm_limit) for one in rows)
    return Balance(strategy=provider.balancing, group=provider.group, cooldown_s=provider.cooldown_s, keys=keys)
