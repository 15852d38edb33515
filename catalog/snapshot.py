"""Rows → the snapshot that the data plane reads (types.Snapshot), and its bytes."""

import calendar
import datetime as dt
import hashlib
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import msgspec
from django.conf import settings
from django.db.models import TextField
from django.db.models.functions import Cast

from accounts.secrets import Sealer
from catalog.caller_prices import Books, PriceInForce
from catalog.hosting import Environment, Hosting, host_provider
from catalog.models import Endpoint, Model, PriceVersion, Provider, ProviderCredential
from catalog.pricing import blended_picos, is_priced
from catalog.types import CallerPrice, CredentialSettings, EndpointSpec, ModelSpec, ProviderSpec, RateCard, Snapshot

FREE_SUFFIX: Final = ":free"
_EFFORTS: Final = ("max", "xhigh", "high", "medium", "low", "minimal", "none")
_NEVER: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

# Sets and maps in one order, so that equal catalogs are equal bytes.
_encode = msgspec.msgpack.Encoder(order="deterministic").encode
_decode = msgspec.msgpack.Decoder(Snapshot).decode
_decode_card = msgspec.json.Decoder(RateCard).decode


class Rows(NamedTuple):
    """Everything that a snapshot is made of, at one moment. ``prices`` by endpoint id; endpoints carry model and provider."""

    providers: tuple[Provider, ...]
    models: tuple[Model, ...]
    endpoints: tuple[Endpoint, ...]
    prices: Mapping[int, PriceInForce]
    sealed: Mapping[int, tuple[bytes, ...]]  # by provider id, newest first
    credential_settings: Mapping[int, tuple[CredentialSettings, ...]]  # in the same order
    hosting: Mapping[int, Hosting]  # by provider id
    books: Books = Books()


def environment_from_settings() -> Environment:
    """Return what Django's settings say about providers."""
    return Environment(
        demo_mode=settings.DEMO_MODE,
        local_model_url=settings.LOCAL_MODEL_URL,
        variables=frozenset(settings.PROVIDER_CREDENTIALS),
        sealer=Sealer(settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS),
    )


def _read_prices(at: dt.datetime) -> dict[int, PriceInForce]:
    versions = (
        PriceVersion.objects.public()
        .filter(effective_from__lte=at)
        .order_by("endpoint_id", "-effective_from", "-id")
        .distinct("endpoint_id")
    )
    # As text: the cards are decoded once, and once for both where nothing is added to the cost.
    texts = versions.annotate(cost_text=Cast("cost", TextField()), price_text=Cast("price", TextField()))
    prices = {}
    for endpoint_id, pk, cost_text, price_text in texts.values_list("endpoint_id", "id", "cost_text", "price_text"):
        cost = _decode_card(cost_text)
        prices[endpoint_id] = PriceInForce(pk, cost, cost if price_text == cost_text else _decode_card(price_text))
    return prices


def read_rows(*, at: dt.datetime, environment: Environment) -> Rows:
    """Read the catalog as it stands at ``at``: rows that are neither withdrawn nor switched off, and the prices then in force."""
    providers = tuple(Provider.objects.order_by("slug"))
    sealed: dict[int, tuple[bytes, ...]] = {}
    settings_of: dict[int, tuple[CredentialSettings, ...]] = {}
    for one in ProviderCredential.objects.order_by("provider_id", "-id"):
        sealed[one.provider_id] = (*sealed.get(one.provider_id, ()), bytes(one.sealed))
        share = CredentialSettings(name=one.name, weight=one.weight, rpm_limit=one.rpm_limit, tpm_limit=one.tpm_limit)
        settings_of[one.provider_id] = (*settings_of.get(one.provider_id, ()), share)
    current = {"enabled": True, "withdrawn_at": None}
    return Rows(
        providers=providers,
        models=tuple(Model.objects.filter(**current).order_by("slug")),
        # Prefetched, not joined: 1,300 endpoints share 500 models and 70 providers, each decoded once.
        endpoints=tuple(Endpoint.objects.filter(**current).defer("source").prefetch_related("model", "provider").order_by("slug")),
        prices=_read_prices(at),
        sealed=sealed,
        credential_settings=settings_of,
        hosting={one.pk: host_provider(one, sealed=sealed.get(one.pk, ()), environment=environment) for one in providers},
    )


def is_sold(endpoint: Endpoint, prices: Mapping[int, PriceInForce]) -> bool:
    """Return whether everything that this type of model always uses has a price."""
    price = prices.get(endpoint.pk)
    return price is not None and is_priced(price.price, endpoint.model.type) and is_priced(price.cost, endpoint.model.type)


def _provider_spec(row: Provider, hosting: Hosting, sealed: tuple[bytes, ...], settings_of: tuple[CredentialSettings, ...]) -> ProviderSpec:
    return ProviderSpec(
        slug=row.slug,
        name=row.name,
        base_url=hosting.base_url,
        dialect=hosting.dialect,
        auth=row.auth,
        mode=hosting.mode,
        sealed_credentials=sealed if hosting.mode == "live" else (),
        credential_settings=settings_of if hosting.mode == "live" else (),
        balancing=row.balancing,  # type: ignore[arg-type]
        group=row.group,
        cooldown_s=row.cooldown_s,
        allow_private_address=row.allow_private_address,
        like=row.like,
        options=row.options,
        sealed_headers=bytes(row.sealed_headers or b"") if hosting.mode == "live" else b"",
        is_last_resort=row.is_last_resort,
        data_policy=row.data_policy,
        docs_url=row.docs_url,
        status_page_url=row.status_page_url,
        hq=row.hq,
        terms_url=row.terms_url,
        privacy_policy_url=row.privacy_policy_url,
    )


def _endpoint_spec(row: Endpoint, price: PriceInForce, model_id: str) -> EndpointSpec:
    return EndpointSpec(
        id=row.slug,
        model=model_id,
        provider=row.provider.slug,
        provider_model_id=row.provider_model_id,
        tag=row.tag,
        variant=row.variant,
        region=row.region,
        quantization=row.quantization,
        context_length=row.context_length or 0,
        max_output_tokens=row.max_output_tokens or 0,
        supported_parameters=frozenset(row.supported_parameters),
        input_modalities=tuple(row.input_modalities),
        price_version_id=price.id,
        price=price.price,
        cost=price.cost,
        is_free=row.is_free,
        deprecated=row.deprecated,
    )


def _model_spec(row: Model, endpoints: Iterable[EndpointSpec], *, suffix: str = "") -> ModelSpec:
    ordered = sorted(endpoints, key=lambda one: (blended_picos(one.price), one.id))
    released = row.released
    return ModelSpec(
        id=row.slug + suffix,
        canonical_slug=(row.canonical_slug or row.slug) + suffix,
        name=f"{row.name} (free)" if suffix else row.name,
        author=row.author,
        type=row.type,  # type: ignore[arg-type]
        description=row.description,
        created_s=calendar.timegm(released.timetuple()) if released else 0,
        context_length=row.context_length or max((one.context_length for one in ordered), default=0),
        max_output_tokens=row.max_output_tokens or max((one.max_output_tokens for one in ordered), default=0),
        input_modalities=tuple(row.input_modalities),
        output_modalities=tuple(row.output_modalities),
        supported_parameters=tuple(row.supported_parameters),
        endpoints=tuple(one.id for one in ordered),
        tokenizer=row.tokenizer,
        knowledge_cutoff=row.knowledge_cutoff,
        hugging_face_id=row.hugging_face_id,
        expiration_date=row.deprecation_date.isoformat() if row.deprecation_date else "",
        reasoning=row.reasoning,
        open_weights=row.open_weights,
        reasoning_efforts=tuple(effort for effort in _EFFORTS if effort in row.reasoning_efforts),
    )


def _model_specs(row: Model, endpoints: list[EndpointSpec]) -> list[ModelSpec]:
    """Return the model, and its ``:free`` variant where it has both free and paid endpoints.

    The two never share an endpoint: whoever asks for ``:free`` is never billed, and paid traffic does not drain free quotas.
    """
    paid = [one for one in endpoints if not one.is_free]
    free = [one for one in endpoints if one.is_free]
    if not (paid and free):
        return [_model_spec(row, endpoints)]
    return [_model_spec(row, paid), _model_spec(row, free, suffix=FREE_SUFFIX)]


def build_snapshot(rows: Rows, *, version: int, published_at: dt.datetime) -> Snapshot:
    """Return the snapshot of ``rows``. Endpoints without a price for what they always use are left out; their models stay."""
    by_model: dict[int, list[EndpointSpec]] = {}
    for row in rows.endpoints:
        if is_sold(row, rows.prices):
            by_model.setdefault(row.model_id, []).append(_endpoint_spec(row, rows.prices[row.pk], row.model.slug))
    models: dict[str, ModelSpec] = {}
    endpoints: dict[str, EndpointSpec] = {}
    aliases: dict[str, str] = {}
    for model in rows.models:
        found = {one.id: one for one in by_model.get(model.pk, [])}
        specs = _model_specs(model, list(found.values()))
        for spec in specs:
            models[spec.id] = spec
            for endpoint_id in spec.endpoints:
                one = found[endpoint_id]
                endpoints[endpoint_id] = one if one.model == spec.id else msgspec.structs.replace(one, model=spec.id)
            if spec.canonical_slug != spec.id:
                aliases[spec.canonical_slug] = spec.id
        if len(specs) == 1 and found and all(one.is_free for one in found.values()):
            aliases[model.slug + FREE_SUFFIX] = model.slug
    return Snapshot(
        version=version,
        published_at=published_at,
        models=models,
        endpoints=endpoints,
        providers={
            one.slug: _provider_spec(one, rows.hosting[one.pk], rows.sealed.get(one.pk, ()), rows.credential_settings.get(one.pk, ()))
            for one in rows.providers
        },
        aliases={alias: target for alias, target in aliases.items() if alias not in models},
        price_books={name: _encode_book(book, rows.endpoints) for name, book in rows.books.prices.items()},
        book_of=tuple(sorted(rows.books.of_organization.items())),
    )


def _encode_book(book: Mapping[int, CallerPrice], endpoints: Iterable[Endpoint]) -> msgspec.Raw:
    return msgspec.Raw(_encode({one.slug: book[one.pk] for one in endpoints if one.pk in book}))


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """Return the snapshot as MessagePack."""
    return _encode(snapshot)


def decode_snapshot(body: bytes) -> Snapshot:
    """Return the snapshot in ``body``. Raises: msgspec.MsgspecError."""
    return _decode(body)


def digest_content(snapshot: Snapshot) -> str:
    """Return 64 hex digits of everything but version and date: equal catalogs have equal digests."""
    return hashlib.sha256(_encode(msgspec.structs.replace(snapshot, version=0, published_at=_NEVER))).hexdigest()
