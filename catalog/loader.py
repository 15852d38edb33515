"""From the data files to rows: all or nothing, and nothing when the files have not changed."""

import datetime as dt
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from catalog import overrides, reach
from catalog.cards import BadPrice, make_timeline
from catalog.files import DATA_DIR, BadDataFiles, DataFiles, EndpointEntry, ModelEntry, ModelsFile, ProviderFile, digest_files, read_files
from catalog.locks import hold_catalog_lock
from catalog.markup_rules import read_book
from catalog.models import AgreementLevel, CatalogLoad, Endpoint, Model, Origin, Provider
from catalog.prices import Timeline, WantedPrice, append_changes
from catalog.unit_errors import find_unit_errors

# What happens, how much of it is done, and out of how much.
Progress = Callable[[str, int, int], None]

_READING: Final = 2  # grows when unchanged files have to be read again because this code reads them differently
_STEPS: Final = 5
# Not the files' to say once the row is there.
_OWN_FIELDS: Final = frozenset({"id", "origin", "enabled", "withdrawn_at", "base_url_override", "allow_private_address", *reach.COLUMNS})

_Row = TypeVar("_Row", Provider, Model, Endpoint)


class Changes(NamedTuple):
    """How many rows of one kind were added, changed and withdrawn. ``kept`` are the operator's own under an id that the files have too."""

    added: int
    changed: int
    withdrawn: int
    kept: int = 0


class LoadSummary(NamedTuple):
    """What a load did. ``skipped``: the files are those of the last load."""

    digest: str
    skipped: bool
    providers: Changes = Changes(0, 0, 0)
    models: Changes = Changes(0, 0, 0)
    endpoints: Changes = Changes(0, 0, 0)
    price_versions: int = 0


def _silent(_what: str, _done: int, _total: int) -> None:
    """Report to nobody."""


def _pick(entry: msgspec.Struct, names: Sequence[str]) -> dict[str, Any]:
    """Return the named fields that say something, as JSON."""
    found: dict[str, Any] = msgspec.to_builtins({name: value for name in names if (value := getattr(entry, name))})
    return found


def _provider_row(entry: ProviderFile) -> Provider:
    return Provider(
        slug=entry.slug,
        name=entry.name,
        kind=entry.kind,
        base_url=entry.base_url,
        protocol=entry.protocol,
        auth=entry.auth,
        allow_private_address=entry.allow_private_address,
        hq=entry.hq,
        docs_url=entry.docs_url,
        status_page_url=entry.status_page_url,
        terms_url=entry.terms_url,
        privacy_policy_url=entry.privacy_policy_url,
        data_policy=entry.data_policy,
        facts=_pick(
            entry,
            ("free_tier", "base_url_source", "region", "note", "auth_note", "hq_note", "policy_note", "alt_protocols", "source_ids"),
        ),
    )


def _model_row(entry: ModelEntry, author: ModelsFile) -> Model:
    return Model(
        slug=entry.id,
        canonical_slug=entry.canonical_slug if entry.canonical_slug != entry.id else "",
        name=entry.name,
        author=author.author,
        author_name=author.author_name,
        type=entry.type,
        description=entry.description,
        released=dt.date.fromisoformat(f"{entry.released}-01"[:10]) if entry.released else None,
        context_length=entry.context_length,
        max_output_tokens=entry.max_output_tokens,
        input_modalities=entry.input_modalities,
        output_modalities=entry.output_modalities,
        supported_parameters=entry.supported_parameters,
        reasoning=entry.reasoning,
        reasoning_efforts=entry.reasoning_efforts,
        tool_calling=entry.tool_calling,
        structured_output=entry.structured_output,
        open_weights=entry.open_weights,
        knowledge_cutoff=entry.knowledge_cutoff,
        tokenizer=entry.tokenizer,
        hugging_face_id=entry.hugging_face_id,
        deprecation_date=entry.deprecation_date,
        embedding_dimensions=entry.embedding_dimensions,
        facts=_pick(entry, ("released", "released_source", "supported_parameters_source", "listed_on_openrouter", "deprecated")),
    )


def _endpoint_row(entry: EndpointEntry, *, model_id: int, provider_id: int) -> Endpoint:
    return Endpoint(
        slug=entry.id,
        model_id=model_id,
        provider_id=provider_id,
        provider_model_id=entry.provider_model_id,
        tag=entry.id.partition("@")[2],
        variant=entry.variant,
        region=entry.region,
        quantization=entry.quantization,
        context_length=entry.context_length,
        max_output_tokens=entry.max_output_tokens,
        input_modalities=entry.input_modalities,
        supported_parameters=entry.supported_parameters,
        is_free=entry.free,
        deprecated=entry.deprecated,
        deprecation_date=entry.deprecation_date,
        last_seen=entry.last_seen,
        price_notice=msgspec.to_builtins(entry.price.notice),
        source=entry.source,
        agreement=entry.agreement,
        facts=_pick(entry, ("aliases",)),
    )


def _write_rows(table: type[_Row], wanted: Mapping[str, _Row], *, now: dt.datetime) -> Changes:
    """Make the table's rows of the data files equal to ``wanted``, by slug. Rows of the operator stay as they are."""
    # _base_manager and one query: the whole table is a few megabytes.
    existing = {row.slug: row for row in table._base_manager.all()}  # noqa: SLF001 -- the documented way to every row
    fields = [field for field in table._meta.concrete_fields if field.name not in _OWN_FIELDS]  # noqa: SLF001
    added, changed, kept = [], [], 0
    for slug, row in wanted.items():
        old = existing.get(slug)
        if old is None:
            added.append(row)
        elif old.origin == Origin.OPERATOR:
            kept += 1
        elif old.withdrawn_at is not None or any(getattr(old, field.attname) != getattr(row, field.attname) for field in fields):
            changed.append(row)
    gone = [
        row.pk for slug, row in existing.items() if row.origin == Origin.DATA and row.withdrawn_at is None and slug not in wanted
    ]  # fmt: skip
    table._base_manager.bulk_create(added, batch_size=500)  # noqa: SLF001
    table._base_manager.bulk_create(  # noqa: SLF001
        changed,
        batch_size=500,
        update_conflicts=True,
        unique_fields=["slug"],
        update_fields=[field.name for field in fields if field.name != "slug"] + ["withdrawn_at"],
    )
    table._base_manager.filter(pk__in=gone).update(withdrawn_at=now)  # noqa: SLF001
    return Changes(len(added), len(changed), len(gone), kept)


def _ids(table: type[Provider | Model | Endpoint]) -> dict[str, int]:
    return dict(table._base_manager.values_list("slug", "pk"))  # noqa: SLF001


def _make_timelines(files: DataFiles) -> dict[str, Timeline]:
    """Return the price timeline of every endpoint. Raises: BadDataFiles with every price that cannot be used."""
    timelines: dict[str, Timeline] = {}
    faults = []
    for provider in files.providers:
        for entry in provider.endpoints:
            place = f"providers/{provider.slug}.yaml {entry.id}"
            try:
                timelines[entry.id] = make_timeline(entry.price)
            except BadPrice as error:
                faults.append(f"{place}: {error}")
            if entry.agreement.get("level") not in AgreementLevel.values:
                faults.append(f"{place}: agreement.level must be one of {', '.join(AgreementLevel.values)}")
    if not faults:
        faults.extend(find_unit_errors(files))
    if faults:
        raise BadDataFiles(faults)
    return timelines


def _wanted_prices(files: DataFiles, timelines: Mapping[str, Timeline]) -> list[WantedPrice]:
    own = set(Endpoint.objects.filter(origin=Origin.OPERATOR).values_list("slug", flat=True))
    ids = _ids(Endpoint)
    overridden = overrides.wanted_prices(
        last_seen={entry.id: entry.last_seen for provider in files.providers for entry in provider.endpoints}
    )
    return [
        overridden.get(entry.id)
        or WantedPrice(
            endpoint_id=ids[entry.id],
            timeline=timelines[entry.id],
            known_from=dt.datetime.combine(entry.last_seen, dt.time(), tzinfo=dt.UTC),
            listed=msgspec.to_builtins(entry.price),
            source=entry.source,
            agreement=entry.agreement,
        )
        for provider in files.providers
        for entry in provider.endpoints
        if entry.id not in own
    ]


def _digest(data_dir: Path, markup_basis_points: int) -> str:
    return hashlib.sha256(f"{_READING}:{markup_basis_points}:{digest_files(data_dir)}".encode()).hexdigest()


def load_catalog(
    *,
    data_dir: Path = DATA_DIR,
    markup_basis_points: int | None = None,
    now: dt.datetime | None = None,
    progress: Progress = _silent,
) -> LoadSummary:
    """Read the data files into rows in one transaction. Unchanged files are skipped, by their content.

    ``markup_basis_points`` defaults to the setting. Loading does not publish (publication.py).
    Raises: BadDataFiles; then nothing has changed.
    """
    moment = now or timezone.now()
    markup = settings.MARKUP_BASIS_POINTS if markup_basis_points is None else markup_basis_points
    digest = _digest(data_dir, markup)
    if CatalogLoad.objects.order_by("-id").values_list("digest", flat=True).first() == digest:
        return LoadSummary(digest, skipped=True)
    progress("reading the data files", 0, _STEPS)
    files = read_files(data_dir)
    timelines = _make_timelines(files)
    with transaction.atomic():
        hold_catalog_lock()
        progress("providers", 1, _STEPS)
        providers = _write_rows(Provider, {one.slug: _provider_row(one) for one in files.providers}, now=moment)
        progress("models", 2, _STEPS)
        models = _write_rows(Model, {one.id: _model_row(one, author) for author in files.authors for one in author.models}, now=moment)
        progress("endpoints", 3, _STEPS)
        model_ids, provider_ids = _ids(Model), _ids(Provider)
        rows = {
            one.id: _endpoint_row(one, model_id=model_ids[one.model], provider_id=provider_ids[provider.slug])
            for provider in files.providers
            for one in provider.endpoints
        }
        endpoints = _write_rows(Endpoint, rows, now=moment)
        progress("prices", 4, _STEPS)
        versions = append_changes(_wanted_prices(files, timelines), markups=read_book(default_basis_points=markup), now=moment)
        summary = LoadSummary(digest, skipped=False, providers=providers, models=models, endpoints=endpoints, price_versions=versions)
        CatalogLoad.objects.create(
            digest=digest,
            summary={
                "providers": providers._asdict(),
                "models": models._asdict(),
                "endpoints": endpoints._asdict(),
                "price_versions": versions,
            },
        )
    progress("loaded", _STEPS, _STEPS)
    return summary
