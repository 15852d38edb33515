"""What providers say that they will bill, by day and model, asked of their cost APIs. Costs need keys of their own, for administrators.

OpenAI: GET /v1/organization/costs, dollars as JSON numbers. Anthropic: GET /v1/organizations/cost_report, cents as decimal text.
OpenRouter: GET /api/v1/activity, dollars, one UTC day a call. Google has no such API: its billing export in BigQuery is queried.
Numbers are read as decimals, never as floats.
"""

import datetime as dt
import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, Final, NamedTuple

import httpx
from django.conf import settings

from billing.reconciliation.bills import BadBill, Charge, read_day, read_model, read_usd

_TIMEOUT_S: Final = 60.0
_PAGES_MAX: Final = 200
_CENTS: Final = Decimal("0.01")
_BIGQUERY = """
SELECT DATE(usage_start_time) AS day, sku.description AS model, CAST(SUM(cost) AS STRING) AS usd
FROM `{table}`
WHERE service.description IN ('Gemini API', 'Vertex AI', 'Generative Language API')
  AND DATE(usage_start_time) BETWEEN @since AND @until
GROUP BY 1, 2
"""


class BillUnavailable(Exception):
    """The provider could not be asked, or refused; the message says which and why."""


class NoCredential(Exception):
    """No key for the provider's cost API is set."""


class Source(NamedTuple):
    """Where a provider's costs are asked for."""

    url: str
    key: str
    extra: str = ""  # Google: project and table


Reader = Callable[[httpx.Client, Source, dt.date, dt.date], Iterator[Charge]]


def configured() -> list[str]:
    """Return the providers whose costs can be asked for."""
    return [name for name in READERS if _source(name).key]


def read_charges(provider: str, *, since: dt.date, until: dt.date) -> list[Charge]:
    """Return the charges of the days ``since`` to ``until``, both included. Raises: NoCredential, BillUnavailable, BadBill."""
    reader = READERS.get(provider)
    source = _source(provider) if reader else Source("", "")
    if reader is None or not source.key:
        raise NoCredential(f"no key for the costs of {provider} is set")
    try:
        with httpx.Client(base_url=source.url, timeout=_TIMEOUT_S, follow_redirects=False) as client:
            return [charge for charge in reader(client, source, since, until) if since <= charge.day <= until]
    except httpx.HTTPStatusError as error:
        raise BillUnavailable(f"{provider} answers {error.response.status_code} to the question for its costs") from error
    except httpx.HTTPError as error:
        raise BillUnavailable(f"{provider} cannot be asked for its costs: {type(error).__name__}") from error
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise BadBill(f"{provider} answers with another shape than documented: {error!r}") from error


def _source(provider: str) -> Source:
    found: dict[str, str] = settings.PROVIDER_COSTS.get(provider, {})
    return Source(found.get("url", ""), found.get("key", ""), found.get("extra", ""))


def _openai(client: httpx.Client, source: Source, since: dt.date, until: dt.date) -> Iterator[Charge]:
    params: dict[str, Any] = {
        "start_time": _unix(since),
        "end_time": _unix(until + dt.timedelta(days=1)),
        "bucket_width": "1d",
        "group_by": "line_item",
        "limit": 30,
    }
    for page in _pages(client, "/v1/organization/costs", params, {"Authorization": f"Bearer {source.key}"}):
        for bucket in page["data"]:
            for one in bucket["results"]:
                yield Charge(read_day(str(bucket["start_time"])), read_model(one["line_item"]), read_usd(str(one["amount"]["value"])))


def _anthropic(client: httpx.Client, source: Source, since: dt.date, until: dt.date) -> Iterator[Charge]:
    params: dict[str, Any] = {
        "starting_at": f"{since}T00:00:00Z",
        "ending_at": f"{until + dt.timedelta(days=1)}T00:00:00Z",
        "bucket_width": "1d",
        "group_by[]": "description",
        "limit": 31,
    }
    headers = {"x-api-key": source.key, "anthropic-version": "2023-06-01"}
    for page in _pages(client, "/v1/organizations/cost_report", params, headers):
        for bucket in page["data"]:
            for one in bucket["results"]:
                name = read_model(one.get("model") or one.get("description"))
                yield Charge(read_day(bucket["starting_at"]), name, read_usd(str(one["amount"])) * _CENTS)


def _openrouter(client: httpx.Client, source: Source, since: dt.date, until: dt.date) -> Iterator[Charge]:
    for offset in range((until - since).days + 1):
        answer = _get(
            client, "/api/v1/activity", {"date": str(since + dt.timedelta(days=offset))}, {"Authorization": f"Bearer {source.key}"}
        )
        for one in answer["data"]:
            yield Charge(read_day(one["date"][:10]), read_model(one.get("model_permaslug") or one["model"]), read_usd(str(one["usage"])))


def _google(client: httpx.Client, source: Source, since: dt.date, until: dt.date) -> Iterator[Charge]:
    project, _, table = source.extra.partition("/")
    days = [("since", since), ("until", until)]
    body = {
        "query": _BIGQUERY.format(table=table.replace("`", "")),
        "useLegacySql": False,
        "timeoutMs": 50_000,
        "parameterMode": "NAMED",
        "queryParameters": [{"name": name, "parameterType": {"type": "DATE"}, "parameterValue": {"value": str(day)}} for name, day in days],
    }
    headers = {"Authorization": f"Bearer {source.key}"}
    answer = client.post(f"/bigquery/v2/projects/{project}/queries", json=body, headers=headers)
    page = _read(answer)
    for _ in range(_PAGES_MAX):
        if not page["jobComplete"]:
            raise BadBill("google's query takes too long")
        for row in page.get("rows", ()):
            day, model, usd = (cell["v"] for cell in row["f"])
            yield Charge(read_day(day), read_model(model), read_usd(usd))
        token = page.get("pageToken")
        if not token:
            return
        job = page["jobReference"]["jobId"]
        page = _get(client, f"/bigquery/v2/projects/{project}/queries/{job}", {"pageToken": token}, headers)


READERS: Final[dict[str, Reader]] = {"openai": _openai, "anthropic": _anthropic, "openrouter": _openrouter, "google": _google}


def _pages(client: httpx.Client, path: str, params: dict[str, Any], headers: dict[str, str]) -> Iterator[dict[str, Any]]:
    for _ in range(_PAGES_MAX):
        page = _get(client, path, params, headers)
        yield page
        if not page["has_more"]:
            return
        params = {**params, "page": page["next_page"]}
    raise BadBill(f"the costs have more than {_PAGES_MAX} pages")


def _get(client: httpx.Client, path: str, params: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
    return _read(client.get(path, params=params, headers=headers))


def _read(answer: httpx.Response) -> dict[str, Any]:
    answer.raise_for_status()
    page = json.loads(answer.content, parse_float=Decimal)
    if not isinstance(page, dict):
        raise BadBill("the answer is not a JSON object")
    return page


def _unix(day: dt.date) -> int:
    return int(dt.datetime.combine(day, dt.time.min, tzinfo=dt.UTC).timestamp())
