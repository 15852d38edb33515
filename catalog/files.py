"""The data files: what they may say, and reading them whole or not at all. ``data/README.md`` explains them to people.

Prices are read as text, never as floats: the YAML loader here knows no floats and no dates. An unknown field is an error, so that a typo
cannot lose a price.
"""

import datetime as dt
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import msgspec
import yaml

from catalog.types import ModelType

DATA_DIR: Final = Path(__file__).parent / "data"

Usd = str | int  # exact decimal text; whole dollars may stand without quotes
Rates = dict[str, Usd]
PartialDate = Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d{2}(-\d{2})?$")]  # some sources know the month alone

_T = TypeVar("_T")


class BadDataFiles(Exception):
    """The data files cannot be loaded. ``faults`` has one line each: file, place and reason."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


class TierEntry(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Prices of the whole request when its prompt is longer than ``above_prompt_tokens``."""

    above_prompt_tokens: int
    usd_per_million_tokens: Rates


class ServiceTierEntry(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Prices of batch, flex or priority service."""

    usd_per_million_tokens: Rates


class WindowEntry(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Hours in UTC such as '10:00-24:00', on ISO weekdays (1 is Monday)."""

    weekdays: list[int]
    utc: list[str]


class TimeWindowEntry(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Prices inside some hours of the week."""

    name: str
    when: list[WindowEntry]
    usd_per_million_tokens: Rates


class ScheduledEntry(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A change that is already announced: from the start of that day (UTC) these prices replace the listed ones."""

    from_: dt.date = msgspec.field(name="from")
    usd_per_million_tokens: Rates
    source: str


class NoticeEntry(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A warning about a price, for a person to act on. ``until`` is YYYY-MM-DD; from the day after, check_catalog asks for a look."""

    text: str
    until: str
    list_usd_per_million_tokens: Rates = {}
    source: str


class PriceEntry(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """All that is known of an endpoint's price."""

    usd_per_million_tokens: Rates = {}
    usd_per_unit: Rates = {}
    tiers: list[TierEntry] = []
    service_tiers: dict[str, ServiceTierEntry] = {}
    time_windows: list[TimeWindowEntry] = []
    time_note: str = ""
    scheduled: list[ScheduledEntry] = []
    not_billed: list[dict[str, str]] = []
    notice: NoticeEntry | None = None


class EndpointEntry(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One endpoint of the file's provider."""

    id: str
    model: str
    provider_model_id: str
    aliases: list[str] = []
    variant: str = ""
    region: str = ""
    quantization: str = ""
    context_length: int | None = None
    max_output_tokens: int | None = None
    input_modalities: list[str]
    supported_parameters: list[str] = []
    free: bool = False
    deprecated: bool = False
    deprecation_date: dt.date | None = None
    last_seen: dt.date
    price: PriceEntry
    source: dict[str, Any]
    agreement: dict[str, Any]


class ProviderFile(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """``providers/<slug>.yaml``."""

    slug: str
    name: str
    kind: str
    base_url: str
    protocol: str
    auth: str
    hq: str = ""
    docs_url: str = ""
    status_page_url: str = ""
    terms_url: str = ""
    privacy_policy_url: str = ""
    free_tier: bool = False
    allow_private_address: bool = False
    base_url_source: str = ""
    region: str = ""
    note: str = ""
    auth_note: str = ""
    hq_note: str = ""
    policy_note: str = ""
    alt_protocols: list[dict[str, str]] = []
    source_ids: dict[str, list[str]] = {}
    data_policy: dict[str, Any] = {}
    endpoints: list[EndpointEntry]


class ModelEntry(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One model of the file's author."""

    id: str
    name: str
    type: ModelType
    description: str = ""
    released: PartialDate | None = None
    released_source: str = ""
    context_length: int | None = None
    max_output_tokens: int | None = None
    input_modalities: list[str]
    output_modalities: list[str]
    supported_parameters: list[str] = []
    supported_parameters_source: str = ""
    reasoning: bool = False
    reasoning_efforts: list[str] = []
    tool_calling: bool = False
    structured_output: bool = False
    knowledge_cutoff: str = ""
    tokenizer: str = ""
    open_weights: bool | None = None
    hugging_face_id: str = ""
    canonical_slug: str = ""
    deprecated: bool = False
    deprecation_date: dt.date | None = None
    embedding_dimensions: int | None = None
    listed_on_openrouter: list[str] = []


class ModelsFile(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """``models/<author>.yaml``."""

    author: str
    author_name: str
    models: list[ModelEntry]


class DataFiles(msgspec.Struct, frozen=True):
    """Everything, read and checked for shape and for references between files."""

    providers: tuple[ProviderFile, ...]
    authors: tuple[ModelsFile, ...]


class _Loader(yaml.CSafeLoader):
    """YAML without floats, dates and repeated keys."""

    yaml_implicit_resolvers = {  # noqa: RUF012 -- PyYAML's own class attribute
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in {"tag:yaml.org,2002:float", "tag:yaml.org,2002:timestamp"}]
        for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 -- PyYAML's signature
        names = [key.value for key, _ in node.value]
        if len(set(names)) != len(names):
            repeated = next(name for name in names if names.count(name) > 1)
            raise yaml.constructor.ConstructorError(None, None, f"{repeated!r} is given twice", node.start_mark)
        return super().construct_mapping(node, deep=deep)


def parse_yaml(text: bytes) -> Any:
    """Return what a YAML text says; numbers with a point and dates are text. Raises: yaml.YAMLError."""
    return yaml.load(text, _Loader)  # noqa: S506 -- a subclass of the safe loader


def list_paths(data_dir: Path) -> list[Path]:
    """Return the data files in a fixed order."""
    return sorted((data_dir / "models").glob("*.yaml")) + sorted((data_dir / "providers").glob("*.yaml"))


def digest_files(data_dir: Path) -> str:
    """Return SHA-256 over the names and contents of all data files, 64 hex digits."""
    total = hashlib.sha256()
    for path in list_paths(data_dir):
        total.update(f"{path.parent.name}/{path.name}\0".encode())
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def _read(path: Path, shape: type[_T], faults: list[str]) -> _T | None:
    place = f"{path.parent.name}/{path.name}"
    try:
        return msgspec.convert(parse_yaml(path.read_bytes()), shape)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        faults.append(f"{place}{line}: {getattr(error, 'problem', None) or error}")
    except (msgspec.ValidationError, UnicodeDecodeError) as error:
        faults.append(f"{place}: {error}")
    return None


def _find_faults(providers: list[ProviderFile], authors: list[ModelsFile]) -> Iterable[str]:
    model_ids: set[str] = set()
    for author in authors:
        for model in author.models:
            place = f"models/{author.author}.yaml {model.id}"
            if model.id in model_ids:
                yield f"{place}: this id is given twice"
            if not model.id.startswith(f"{author.author}/"):
                yield f"{place}: an id of this file starts with '{author.author}/'"
            model_ids.add(model.id)
    endpoint_ids: set[str] = set()
    for provider in providers:
        for endpoint in provider.endpoints:
            place = f"providers/{provider.slug}.yaml {endpoint.id}"
            if endpoint.id in endpoint_ids:
                yield f"{place}: this id is given twice"
            if not f"{endpoint.id}/".startswith(f"{endpoint.model}@{provider.slug}/"):
                yield f"{place}: the id must be '{endpoint.model}@{provider.slug}', with '/' and a variant or region where there is one"
            if endpoint.model not in model_ids:
                yield f"{place}: model {endpoint.model!r} is in no file of models"
            endpoint_ids.add(endpoint.id)


def read_files(data_dir: Path = DATA_DIR) -> DataFiles:
    """Read every data file. Raises: BadDataFiles with every fault found, file by file."""
    faults: list[str] = []
    providers: list[ProviderFile] = []
    authors: list[ModelsFile] = []
    for path in list_paths(data_dir):
        if path.parent.name == "models":
            if (author := _read(path, ModelsFile, faults)) is not None:
                authors.append(author)
                name = author.author
            else:
                continue
        elif (provider := _read(path, ProviderFile, faults)) is not None:
            providers.append(provider)
            name = provider.slug
        else:
            continue
        if name != path.stem:
            faults.append(f"{path.parent.name}/{path.name}: the file says {name!r}; name and content must agree")
    if not faults:
        faults.extend(_find_faults(providers, authors))
    if not providers and not faults:
        faults.append(f"{data_dir}: no data files there")
    if faults:
        raise BadDataFiles(faults)
    return DataFiles(tuple(providers), tuple(authors))
