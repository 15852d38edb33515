"""A statement as a signed paper, and the periods that statements and exports can be asked for."""

import datetime as dt
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.utils import timezone

from accounts.models import Organization
from accounts.queries import key_hashes
from billing.receipts import signing
from billing.receipts import statement as statements
from billing.receipts.statement import Statement, UsageLine
from gateway.drf import utc_text

KIND: Final = "tollway.statement/1"
_MONTH: Final = re.compile(r"(\d{4})-(0[1-9]|1[0-2])")


class UsageSum(NamedTuple):
    """Usage of several lines together."""

    requests: int
    tokens_in: int
    tokens_out: int
    amount_nanos: int


def month_of(text: str) -> dt.date:
    """Read a month such as 2026-11. Raises: ValueError."""
    found = _MONTH.fullmatch(text)
    if found is None or not text.isascii():
        msg = f"{text!r} is not a month such as 2026-11"
        raise ValueError(msg)
    return dt.date(int(found[1]), int(found[2]), 1)


def find(organization: Organization, month: str) -> Statement | None:
    """Return the statement of a month; None for what is no month, lies ahead, or was over before the organization was made.

    Raises: StatementMismatch.
    """
    try:
        wanted = month_of(month)
    except ValueError:
        return None
    if wanted not in statements.months_of(organization):
        return None
    since, until = statements.bounds_of(wanted)
    return statements.read(organization, since=since, until=until)


def signed(statement: Statement, organization: Organization) -> bytes:
    """Return the statement as signed JSON."""
    return signing.sign(document(statement, organization))


def document(statement: Statement, organization: Organization) -> dict[str, Any]:
    """Return what is signed. Of a period that is over for good it is the same for ever."""
    hashes = key_hashes(organization, {line.key_id for line in statement.usage})
    return {
        "kind": KIND,
        "issuer": settings.PUBLIC_URL,
        "organization": organization.public_id,
        "period": f"{statement.since:%Y-%m}",
        "since": utc_text(statement.since),
        "until": utc_text(statement.until),
        "is_final": statement.is_final,
        "as_of": None if statement.is_final else utc_text(timezone.now()),
        "opening_nanos": statement.opening_nanos,
        "movements": [
            {"at": utc_text(one.at), "reason": one.reason, "amount_nanos": one.amount_nanos, "reference": str(one.group_id)}
            for one in statement.movements
        ],
        "usage": {
            "requests": statement.requests,
            "amount_nanos": statement.charged_nanos,
            "by_credit": [{"credit": credit, "amount_nanos": nanos} for credit, nanos in sorted(statement.charged.items())],
            "by_model": [
                {"model": model, "provider": provider, **total._asdict()} for (model, provider), total in by_model(statement.usage)
            ],
            "by_key": [{"key": hashes.get(key_id), **total._asdict()} for key_id, total in by_key(statement.usage)],
        },
        "closing_nanos": statement.closing_nanos,
    }


def by_model(lines: Iterable[UsageLine]) -> list[tuple[tuple[str, str], UsageSum]]:
    """Return usage by (model, provider), dearest first."""
    return _grouped(lines, lambda line: (line.model, line.provider))


def by_key(lines: Iterable[UsageLine]) -> list[tuple[int, UsageSum]]:
    """Return usage by key id, dearest first."""
    return _grouped(lines, lambda line: line.key_id)


def _grouped(lines: Iterable[UsageLine], key: Callable[[UsageLine], Any]) -> list[tuple[Any, UsageSum]]:
    sums: defaultdict[Any, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for line in lines:
        for place, value in enumerate((line.requests, line.tokens_in, line.tokens_out, line.amount_nanos)):
            sums[key(line)][place] += value
    found = [(name, UsageSum(*values)) for name, values in sums.items()]
    return sorted(found, key=lambda one: (-one[1].amount_nanos, one[0]))
