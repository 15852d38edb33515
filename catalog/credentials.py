"""Providers' keys, sealed: set, replaced and removed by the operator. What is set takes effect at once, by a publication."""

import msgspec
from django.conf import settings
from django.db import transaction

from accounts import audit
from accounts.audit import Actor
from accounts.secrets import Sealer
from catalog import publication
from catalog.addresses import check_base_url
from catalog.hosting import Hosting, host_provider
from catalog.models import Provider, ProviderCredential
from catalog.reach import Reach, change_reach
from catalog.snapshot import environment_from_settings


class UnknownProvider(Exception):
    """No provider has this slug."""


class NothingToSet(Exception):
    """Neither a key nor a base URL was given."""


class BadKey(ValueError):
    """A key is empty, or has blanks or characters that no header can carry."""


def seal_key(api_key: str) -> bytes:
    """Return ``api_key`` sealed under the current SECRET_KEY. Raises: BadKey."""
    text = api_key.strip()
    if text.startswith("{"):
        return Sealer(settings.SECRET_KEY).seal(_one_line(text))
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        msg = "a key must not be empty and has printable ASCII characters only"
        raise BadKey(msg)
    return Sealer(settings.SECRET_KEY).seal(text)


def _one_line(account: str) -> str:
    """Return a Google service account, as its key file has it, on one line. Raises: BadKey."""
    try:
        parsed = msgspec.json.decode(account)
    except msgspec.MsgspecError as error:
        msg = "a key that begins with { must be the JSON of a Google service account"
        raise BadKey(msg) from error
    missing = [name for name in ("client_email", "private_key", "token_uri") if not parsed.get(name)]
    if missing:
        msg = f"the service account lacks {', '.join(missing)}"
        raise BadKey(msg)
    return msgspec.json.encode(parsed).decode()


def _check_form(provider: Provider, api_key: str) -> None:
    """Refuse a key in a form that this provider's way of authentication does not have. Raises: BadKey."""
    parts = api_key.strip().split(":", 2)
    if provider.auth == "sigv4" and len(parts) > 1 and not all(parts):
        msg = "the key must be a Bedrock API key, or ACCESS_KEY_ID:SECRET with :SESSION_TOKEN after it if it has one"
        raise BadKey(msg)
    if api_key.lstrip().startswith("{") and provider.auth != "oauth2":
        msg = f"{provider.slug} takes no service account"
        raise BadKey(msg)


def store_key(*, provider: Provider, api_key: str, by: Actor) -> None:
    """Put ``api_key`` in the place of whatever keys the provider has. Call inside a transaction. Raises: BadKey."""
    _check_form(provider, api_key)
    sealed = seal_key(api_key)
    ProviderCredential.objects.filter(provider=provider).delete()
    ProviderCredential.objects.create(provider=provider, sealed=sealed, created_by=audit.name_actor(by))


def current_hosting(provider: Provider) -> Hosting:
    """Return how the provider is reached now: live, simulated, or off and why."""
    keys = ProviderCredential.objects.filter(provider=provider).order_by("-id").values_list("sealed", flat=True)
    return host_provider(provider, sealed=tuple(bytes(key) for key in keys), environment=environment_from_settings())


def set_provider(
    *,
    slug: str,
    api_key: str | None = None,
    base_url: str | None = None,
    allow_private: bool = False,
    remove_key: bool = False,
    reach: Reach = Reach(),  # noqa: B008 -- frozen
    by: Actor = None,
) -> Hosting:
    """Give a provider a key, a base URL of its own ('' goes back to the catalog's), options and headers, or take its keys away; then
    publish.

    Returns how the provider is reached from now on. The key is sealed at once and appears nowhere else.
    Raises: UnknownProvider, NothingToSet, BadKey, BadBaseUrl, PrivateAddress, BadReach, BrokenCatalog; then nothing has changed.
    """
    if api_key is None and base_url is None and not remove_key and not reach:
        msg = "give a key, a base URL, an option or a header"
        raise NothingToSet(msg)
    with transaction.atomic():
        provider = Provider.objects.select_for_update().filter(slug=slug).first()
        if provider is None:
            msg = f"there is no provider {slug!r}"
            raise UnknownProvider(msg)
        if base_url is not None:
            provider.base_url_override = check_base_url(base_url, allow_private=allow_private) if base_url else ""
            provider.allow_private_address = allow_private and bool(base_url)
            provider.save(update_fields=["base_url_override", "allow_private_address"])
        if reach:
            change_reach(provider, reach)
        if remove_key:
            ProviderCredential.objects.filter(provider=provider).delete()
        if api_key is not None:
            store_key(provider=provider, api_key=api_key, by=by)
        key_is = "removed" if remove_key and api_key is None else "set" if api_key is not None else "kept"
        changed: dict[str, object] = {"key": key_is, "base_url": base_url}
        if reach:
            changed |= {"options": provider.options, "headers": sorted(reach.headers), "is_last_resort": provider.is_last_resort}
        audit.record(organization_id=None, by=by, action="provider.updated", target=slug, detail=changed)
        publication.publish()
    return current_hosting(provider)
