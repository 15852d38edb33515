"""What GET /api/v1/models can be asked: filters, order and page, read from a query string. No Django.

A filter on something that nobody knows here (categories, benchmark scores, tool success) matches no model, as it matches no unscored model
at OpenRouter; an order by it leaves the default order, which puts unscored models last all the same.
"""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Final, Literal
from urllib.parse import parse_qsl

import msgspec

LIMIT_MAX: Final = 1_000
LIMIT_DEFAULT: Final = 500
_CATEGORIES: Final = (
    "programming", "roleplay", "marketing", "marketing/seo", "technology", "science", "translation", "legal", "finance", "health", "trivia",
    "academia",
)  # fmt: skip
_SORTS: Final = (
    "most-popular", "newest", "top-weekly", "pricing-low-to-high", "pricing-high-to-low", "context-high-to-low", "throughput-high-to-low",
    "latency-low-to-high", "intelligence-high-to-low", "coding-high-to-low", "agentic-high-to-low", "design-arena-elo-high-to-low",
)  # fmt: skip
_UNMEASURED: Final = tuple(
    f"{edge}_{what}" for what in ("intelligence_index", "coding_index", "agentic_index", "tool_success_rate") for edge in ("min", "max")
)
_PICOS_PER_USD_PER_MILLION: Final = 1_000_000  # $1 per million tokens is so many picos per token
_NUMBER_LENGTH_MAX: Final = 20


class InvalidQuery(ValueError):
    """A parameter has a value that it cannot have. ``param`` names it."""

    def __init__(self, param: str, message: str) -> None:
        super().__init__(f"{param} {message}")
        self.param = param


class ModelQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A question in canonical form: equal questions are equal and hash alike. Prices are picos per token; empty and None do not filter."""

    offset: int = 0
    limit: int | None = None
    sort: str = ""
    words: tuple[str, ...] = ()
    outputs: frozenset[str] | None = frozenset({"text"})  # any of them; None is every model
    inputs: frozenset[str] = frozenset()  # all of them
    parameters: frozenset[str] = frozenset()  # all of them
    context_min: int = 0
    prompt_picos_min: Decimal | None = None
    prompt_picos_max: Decimal | None = None
    output_picos_min: Decimal | None = None
    output_picos_max: Decimal | None = None
    arch: str = ""
    authors: frozenset[str] = frozenset()
    providers: frozenset[str] = frozenset()  # names or slugs, lower case
    distillable: Literal["", "true", "false"] = ""
    zdr: bool = False
    region: str = ""
    age_days_min: int | None = None
    age_days_max: int | None = None
    asks_unknown: bool = False
    rss: bool = False
    rss_chat_links: bool = False


def _whole(given: Mapping[str, str], name: str, *, least: int = 0, most: int | None = None) -> int | None:
    text = given.get(name, "")
    if text in {"", "null"}:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > _NUMBER_LENGTH_MAX:
        raise InvalidQuery(name, f"must be a whole number, not {text[:40]!r}")
    value = int(text)
    if value < least or (most is not None and value > most):
        raise InvalidQuery(name, f"must be at least {least}" if most is None else f"must be {least} to {most}")
    return value


def _number(given: Mapping[str, str], name: str) -> Decimal | None:
    text = given.get(name, "")
    if text in {"", "null"}:
        return None
    try:
        value = Decimal(text) if len(text) <= _NUMBER_LENGTH_MAX else Decimal("NaN")
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or value < 0 or value.adjusted() > _NUMBER_LENGTH_MAX:
        raise InvalidQuery(name, f"must be a number of at least 0, not {text[:40]!r}")
    return value


def _price(given: Mapping[str, str], name: str) -> Decimal | None:
    value = _number(given, name)
    return None if value is None else (value * _PICOS_PER_USD_PER_MILLION).normalize()


def _choice(given: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str:
    value = given.get(name, "")
    if value and value not in choices:
        raise InvalidQuery(name, f"must be one of {', '.join(choices)}")
    return value


def _several(given: Mapping[str, str], name: str) -> frozenset[str]:
    return frozenset(part.strip().lower() for part in given.get(name, "").split(",") if part.strip())


def _page(given: Mapping[str, str]) -> tuple[int, int | None]:
    offset, limit = _whole(given, "offset"), _whole(given, "limit", least=1, most=LIMIT_MAX)
    if offset is not None and limit is None:
        limit = LIMIT_DEFAULT
    return offset or 0, limit


def _given(query_string: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(query_string.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError as error:  # not percent-encoded, not UTF-8, or too many
        raise InvalidQuery("query", "string cannot be read") from error
    repeated: dict[str, list[str]] = {}
    for name, value in pairs:
        repeated.setdefault(name, []).append(value)
    return {name: ",".join(values) for name, values in repeated.items()}


def read_outputs(query_string: bytes) -> ModelQuery:
    """Return the question that a count asks: output modalities alone. Raises: InvalidQuery."""
    return ModelQuery(outputs=_outputs(_given(query_string)))


def read_page(query_string: bytes) -> ModelQuery:
    """Return the question that a list without filters asks: every model, and which page. Raises: InvalidQuery."""
    offset, limit = _page(_given(query_string))
    return ModelQuery(outputs=None, offset=offset, limit=limit)


def _outputs(given: Mapping[str, str]) -> frozenset[str] | None:
    wanted = _several(given, "output_modalities") or frozenset({"text"})
    return None if "all" in wanted else wanted


def read_query(query_string: bytes) -> ModelQuery:
    """Return the question. Unknown parameters are ignored, empty ones do not filter. Raises: InvalidQuery."""
    given = _given(query_string)
    offset, limit = _page(given)
    category = _choice(given, "category", _CATEGORIES)
    unmeasured = [_number(given, name) for name in _UNMEASURED]
    return ModelQuery(
        offset=offset,
        limit=limit,
        sort=_choice(given, "sort", _SORTS),
        words=tuple(sorted(set(given.get("q", "").lower().split()))),
        outputs=_outputs(given),
        inputs=_several(given, "input_modalities"),
        parameters=_several(given, "supported_parameters"),
        context_min=_whole(given, "context", least=1) or 0,
        prompt_picos_min=_price(given, "min_price"),
        prompt_picos_max=_price(given, "max_price"),
        output_picos_min=_price(given, "min_output_price"),
        output_picos_max=_price(given, "max_output_price"),
        arch=given.get("arch", "").strip().lower(),
        authors=_several(given, "model_authors"),
        providers=_several(given, "providers"),
        distillable=_choice(given, "distillable", ("true", "false")),  # type: ignore[arg-type]  # one of them
        zdr=bool(_choice(given, "zdr", ("true",))),
        region=_choice(given, "region", ("eu", "us")),
        age_days_min=_whole(given, "min_age_days"),
        age_days_max=_whole(given, "max_age_days"),
        asks_unknown=bool(category) or any(value is not None for value in unmeasured),
        rss=given.get("use_rss", "") in {"true", "1"},
        rss_chat_links=given.get("use_rss_chat_links", "") in {"true", "1"},
    )


def next_page_url(path: str, query_string: bytes, query: ModelQuery, total: int) -> str | None:
    """Return the address of the page after this one with everything else as it was asked; None on the last."""
    if query.limit is None or query.offset + query.limit >= total:
        return None
    kept = [part for part in query_string.decode("ascii").split("&") if part and part.partition("=")[0] not in {"offset", "limit"}]
    return f"{path}?{'&'.join([*kept, f'offset={query.offset + query.limit}', f'limit={query.limit}'])}"
