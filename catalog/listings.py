"""Everything that the catalog's API answers, from one published snapshot: made once, compressed once, kept. No Django."""

import datetime as dt
import math
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import msgspec

from catalog.endpoint_listing import (
    image_endpoints_body,
    image_model_body,
    keeps_nothing,
    model_endpoints_body,
    provider_body,
    zero_retention_body,
)
from catalog.listing import (
    ROUTER_INPUTS,
    ROUTER_PARAMETERS,
    Body,
    Router,
    alias_body,
    architecture_body,
    make_body,
    model_body,
    router_body,
)
from catalog.measurements import Measurement
from catalog.model_query import ModelQuery, next_page_url
from catalog.pricing import blended_picos
from catalog.rss import FeedItem, write_rss
from catalog.types import EndpointSpec, ModelSpec, Snapshot

_DAY_S: Final = 86_400
_MEASURED_EVERY_S: Final = 30
#: Orders of the list that need what was measured; what was not measured comes last.
MEASURED_SORTS: Final = frozenset({"latency-low-to-high", "throughput-high-to-low"})
_KEPT_ANSWERS: Final = 32  # of filtered lists; the whole list is 0.7 MB
_STATIC_VARIANTS: Final = frozenset({"free", "batch", "extended", "thinking"})
_encode = msgspec.json.Encoder().encode


Measure = Callable[[str], Measurement | None]


def _measure_nothing(_endpoint_id: str) -> None:
    """Of a catalog without traffic."""


class ListedModel(NamedTuple):
    """A model that answers here: its endpoints, cheapest first, what its object in the contract says, and that object encoded.

    Names that stand for models are listed too: ``stands_for`` is the model of a family's latest, a router has no endpoints of its own.
    """

    model: ModelSpec
    endpoints: tuple[EndpointSpec, ...]
    inputs: frozenset[str]
    outputs: frozenset[str]
    parameters: frozenset[str]
    family: str
    encoded: bytes
    stands_for: str = ""

    @property
    def rates(self) -> dict[str, int]:
        """Meter → picos of the cheapest endpoint; none of a router."""
        return self.endpoints[0].price.rates if self.endpoints else {}

    @property
    def is_model(self) -> bool:
        """Whether it is a model by itself."""
        return bool(self.endpoints) and not self.stands_for


class UnknownModel(LookupError):
    """No model of this name answers here."""


class Listings:
    """The answers of one catalog version. Immutable but for what it remembers. ``unanswered`` are endpoints that nobody here can ask;
    ``latest`` maps names that follow the newest of a family to it.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        *,
        public_url: str,
        unanswered: Collection[str] = (),
        latest: Mapping[str, str] = MappingProxyType({}),
        routers: Collection[Router] = (),
    ) -> None:
        self._snapshot = snapshot
        self._public_url = public_url
        answering = {slug for slug, provider in snapshot.providers.items() if provider.mode != "off"}
        self._models: dict[str, ListedModel] = {}
        for model in sorted(snapshot.models.values(), key=lambda one: (-one.created_s, one.id)):
            found = map(snapshot.endpoints.__getitem__, model.endpoints)
            endpoints = tuple(one for one in found if one.provider in answering and one.id not in unanswered)
            if endpoints:
                self._models[model.id] = _list_model(model, endpoints)
        for alias, target_id in sorted(latest.items()):
            if target_id in self._models:
                self._models[alias] = _list_alias(self._models[target_id], alias)
        window = max((one.model.context_length for one in self._models.values()), default=0)
        # Where nothing is left to choose from, there is no router either.
        has_choice = {is_free: any(one.endpoints[0].is_free is is_free for one in self._models.values()) for is_free in (False, True)}
        self._models |= {one.id: _list_router(one, context_length=window) for one in routers if has_choice[one.is_free]}
        self._models = dict(sorted(self._models.items(), key=lambda item: (-item[1].model.created_s, item[0])))
        self._router_names = {name: one.id for one in routers if one.id in self._models for name in one.also}
        self._kept: OrderedDict[object, Body] = OrderedDict()
        self._endpoints: dict[str, Body] = {}
        self._measured: dict[str, tuple[int, Body]] = {}  # by model id, with the moment that it is of
        #: GET /models without a question.
        self.default: Body = self.search(ModelQuery(), path="/api/v1/models", query_string=b"", now_s=0)
        self.providers: Body = _data([provider_body(one) for slug, one in sorted(snapshot.providers.items()) if slug in answering])
        self.zero_retention: Body = _data(
            zero_retention_body(snapshot, (one for listed in self._models.values() if listed.is_model for one in listed.endpoints))
        )
        self.image_models: Body = _data(
            [image_model_body(one.model) for one in self._models.values() if "image" in one.outputs and one.is_model]
        )
        self.video_models: Body = _data([])

    def find_known(self, query: ModelQuery, *, path: str, now_s: int) -> Body | None:
        """Return an answer that was given lately, or None. Quick."""
        key = self._key(query, path, now_s)
        body = self._kept.get(key)
        if body is not None:
            self._kept.move_to_end(key)
        return body

    def search(
        self,
        query: ModelQuery,
        *,
        path: str,
        query_string: bytes,
        now_s: int,
        measured: Mapping[str, Measurement] | None = None,
    ) -> Body:
        """Answer a list question, as JSON or RSS. Compresses, so a thread is the place for it. ``measured`` is for MEASURED_SORTS."""
        found = self._select(query, now_s, measured)
        end = None if query.limit is None else query.offset + query.limit
        shown = found[query.offset : end]
        if query.rss:
            body = self._write_rss(shown, chat_links=query.rss_chat_links)
        else:
            following = _encode(next_page_url(path, query_string, query, len(found)))
            parts = (
                b'{"data":[',
                b",".join(one.encoded for one in shown),
                b'],"total_count":%d,"links":{"next":%b}}' % (len(found), following),
            )
            body = make_body(b"".join(parts))
        self._kept[self._key(query, path, now_s)] = body
        if len(self._kept) > _KEPT_ANSWERS:
            self._kept.popitem(last=False)
        return body

    @staticmethod
    def _key(query: ModelQuery, path: str, now_s: int) -> object:
        by_age = query.age_days_min is not None or query.age_days_max is not None
        by_measure = now_s // _MEASURED_EVERY_S if query.sort in MEASURED_SORTS else 0
        return query, path, now_s // _DAY_S if by_age else 0, by_measure

    def count(self, query: ModelQuery) -> Body:
        """Return how many models such a list has."""
        return make_body(_encode({"data": {"count": len(self._select(query, 0))}}))

    def model(self, model_id: str) -> Body:
        """Return one model by id or alias. Raises: UnknownModel."""
        return make_body(b'{"data":%b}' % self._find(model_id).encoded)

    def endpoints(self, model_id: str, measure: Measure = _measure_nothing, *, moment: int = 0) -> Body:
        """Return a model with its endpoints; a variant that the model does not have (``:free``) has none.

        What ``measure`` says of them is worked out once per ``moment``. Raises: UnknownModel.
        """
        model_id = self._resolve(model_id)
        kept_moment, body = self._measured.get(model_id, (-1, None))
        if body is not None and kept_moment == moment:
            return body
        listed = self._models.get(model_id)
        found = {one.id: measured for one in (listed.endpoints if listed else ()) if (measured := measure(one.id)) is not None}
        if not found:
            return self._remembered(f"endpoints {model_id}", lambda: {"data": self._endpoints_of(model_id)})
        body = make_body(_encode({"data": self._endpoints_of(model_id, found)}))
        self._measured[model_id] = moment, body
        return body

    def image_endpoints(self, model_id: str) -> Body:
        """Return an image model's endpoints and prices. Raises: UnknownModel."""
        return self._remembered(f"images {model_id}", lambda: self._image_endpoints_of(model_id))

    def _remembered(self, key: str, make: Callable[[], dict[str, Any]]) -> Body:
        body = self._endpoints.get(key)
        if body is None:
            # Only names that exist get here; there are as many as models, aliases and their variants.
            body = self._endpoints[key] = make_body(_encode(make()))
        return body

    def _resolve(self, name: str) -> str:
        """Return the id of the model that a name stands for, as far as one is known."""
        name = self._snapshot.aliases.get(name) or self._router_names.get(name, name)
        listed = self._models.get(name)
        return listed.stands_for or name if listed is not None else name

    def _find(self, model_id: str) -> ListedModel:
        listed = self._models.get(self._snapshot.aliases.get(model_id) or self._router_names.get(model_id, model_id))
        if listed is None:
            raise UnknownModel(model_id)
        return listed

    def _endpoints_of(self, model_id: str, measured: Mapping[str, Measurement] | None = None) -> dict[str, Any]:
        base, _, variant = model_id.rpartition(":")
        try:
            listed = self._find(model_id)
        except UnknownModel:
            if variant not in _STATIC_VARIANTS:
                raise
            model = msgspec.structs.replace(self._find(base).model, id=model_id)
            return model_endpoints_body(model, (), self._snapshot.providers)
        return model_endpoints_body(listed.model, listed.endpoints, self._snapshot.providers, measured)

    def _image_endpoints_of(self, model_id: str) -> dict[str, Any]:
        listed = self._find(model_id)
        if "image" not in listed.outputs:
            raise UnknownModel(model_id)
        return image_endpoints_body(listed.model, listed.endpoints, self._snapshot.providers)

    def _select(self, query: ModelQuery, now_s: int, measured: Mapping[str, Measurement] | None = None) -> list[ListedModel]:
        if query.asks_unknown:
            return []
        found = [one for one in self._models.values() if self._matches(one, query, now_s)]
        match query.sort:
            case "pricing-low-to-high":
                found.sort(key=_blended_picos)
            case "pricing-high-to-low":
                found.sort(key=lambda one: -_blended_picos(one) if one.endpoints else 1)
            case "context-high-to-low":
                found.sort(key=lambda one: -one.model.context_length)
            case "latency-low-to-high":
                found.sort(key=lambda one: min(_medians(one, measured, "latency_ms"), default=math.inf))
            case "throughput-high-to-low":
                found.sort(key=lambda one: -max(_medians(one, measured, "throughput_tps"), default=0.0))
        return found

    def _matches(self, one: ListedModel, query: ModelQuery, now_s: int) -> bool:
        model = one.model
        return (
            (query.outputs is None or not query.outputs.isdisjoint(one.outputs))
            and query.inputs <= one.inputs
            and query.parameters <= one.parameters
            and model.context_length >= query.context_min
            and (not query.authors or model.author.lower() in query.authors)
            and (not query.arch or query.arch == one.family)
            and query.distillable != "true"
            and all(word in f"{model.id} {model.name}".lower() for word in query.words)
            and _is_priced_within(one, query)
            and _is_aged(model.created_s, query, now_s)
            and self._has_endpoint(one, query)
        )

    def _has_endpoint(self, one: ListedModel, query: ModelQuery) -> bool:
        providers = self._snapshot.providers
        return (
            (not query.zdr or any(keeps_nothing(providers[endpoint.provider]) for endpoint in one.endpoints))
            and (not query.region or any(endpoint.region == query.region for endpoint in one.endpoints))
            and (
                not query.providers
                or any(not query.providers.isdisjoint((name.provider, providers[name.provider].name.lower())) for name in one.endpoints)
            )
        )

    def _write_rss(self, shown: Iterable[ListedModel], *, chat_links: bool) -> Body:
        root = self._public_url.rstrip("/")
        items = [
            FeedItem(
                key=one.model.id,
                title=one.model.name,
                link=f"{root}/chat?model={one.model.id}" if chat_links else f"{root}/models/{one.model.id}",
                text=one.model.description or one.model.id,
                published_at=dt.datetime.fromtimestamp(one.model.created_s, tz=dt.UTC),
            )
            for one in shown
            if one.is_model
        ]
        document = write_rss(title="Tollway models", link=f"{root}/models", description="Models, newest first", items=items)
        return make_body(document, content_type=b"application/rss+xml; charset=utf-8")


def _list_model(model: ModelSpec, endpoints: tuple[EndpointSpec, ...]) -> ListedModel:
    architecture = architecture_body(model)
    return ListedModel(
        model=model,
        endpoints=endpoints,
        inputs=frozenset(architecture["input_modalities"]),
        outputs=frozenset(architecture["output_modalities"]),
        parameters=frozenset(model.supported_parameters),
        family=architecture["tokenizer"].lower(),
        encoded=_encode(model_body(model, endpoints[0])),
    )


def _list_alias(target: ListedModel, alias: str) -> ListedModel:
    model = msgspec.structs.replace(target.model, id=alias)
    encoded = _encode(alias_body(target.model, target.endpoints[0], alias=alias))
    return target._replace(model=model, encoded=encoded, stands_for=target.model.id)


def _list_router(router: Router, *, context_length: int) -> ListedModel:
    model = ModelSpec(
        id=router.id,
        canonical_slug=router.id,
        name=router.name,
        author=router.id.partition("/")[0],
        type="chat",
        description=router.description,
        created_s=router.created_s,
        context_length=context_length,
        max_output_tokens=0,
        input_modalities=ROUTER_INPUTS,
        output_modalities=("text",),
        supported_parameters=ROUTER_PARAMETERS,
        endpoints=(),
    )
    return ListedModel(
        model=model,
        endpoints=(),
        inputs=frozenset(ROUTER_INPUTS),
        outputs=frozenset({"text"}),
        parameters=frozenset(ROUTER_PARAMETERS),
        family="router",
        encoded=_encode(router_body(router, context_length=context_length)),
    )


def _blended_picos(one: ListedModel) -> float:
    """Return what is compared as the price of a model; what nobody knows is the most."""
    return blended_picos(one.endpoints[0].price) if one.endpoints else math.inf


def _medians(one: ListedModel, measured: Mapping[str, Measurement] | None, name: str) -> list[float]:
    """Return the median of each of the model's endpoints that were measured."""
    shown = (getattr(measured[endpoint.id], name) for endpoint in one.endpoints if measured and endpoint.id in measured)
    return [values[0] for values in shown if values]


def _data(rows: list[dict[str, Any]]) -> Body:
    return make_body(_encode({"data": rows}))


def _is_priced_within(one: ListedModel, query: ModelQuery) -> bool:
    rates = one.rates
    for meter, least, most in (
        ("input_tokens", query.prompt_picos_min, query.prompt_picos_max),
        ("output_tokens", query.output_picos_min, query.output_picos_max),
    ):
        if least is None and most is None:
            continue
        rate = rates.get(meter)
        if rate is None or (least is not None and rate < least) or (most is not None and rate > most):
            return False
    return True


def _is_aged(created_s: int, query: ModelQuery, now_s: int) -> bool:
    if query.age_days_min is None and query.age_days_max is None:
        return True
    if not created_s:
        return False
    age_days = (now_s - created_s) // _DAY_S
    return (query.age_days_min is None or age_days >= query.age_days_min) and (query.age_days_max is None or age_days <= query.age_days_max)
