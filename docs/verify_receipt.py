#!/usr/bin/env python3
"""Check a receipt, a statement or an export of usage without the service that issued it. Needs Python 3.10 or newer.

    pip install cryptography
    curl -o receipt.json -H "Authorization: Bearer $KEY" https://HOST/api/v1/receipts/gen-…
    python verify_receipt.py --keys https://HOST/.well-known/jwks.json receipt.json

What is checked, in this order; the first thing that is wrong ends it with exit code 1:

 1. the bytes are laid out as they were signed, so that no byte can be another;
 2. the signature (Ed25519) is that of a published key that was not revoked;
 3. a receipt: each line is count times price, the prices are those of the price version on the paper (long prompts, hours and service tiers
    included), the charge is the sum of the lines, rounded half up once, and the credits that paid add up to it;
    a statement: opening balance plus every movement is the closing balance, and usage is the same by credit, by model and by key;
    an export: the same as for a receipt, row by row, and the rows add up to the totals on the signed paper.

Amounts are whole nanos (1e-9 USD) and picos (1e-12 USD). Nothing is sent anywhere; only --keys is read, if it is an address.
Rows of Parquet exports are recomputed if pyarrow or arro3-io is installed.
"""

import argparse
import base64
import csv
import datetime as dt
import hashlib
import importlib
import io
import json
import sys
import urllib.request
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

Json = dict[str, Any]
Keys = Mapping[str, Ed25519PublicKey]

PICOS_PER_NANO = 1_000
NANOS_PER_USD = 1_000_000_000
PROMPT_METERS = (
    "input_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens", "audio_input_tokens", "image_input_tokens",
)  # fmt: skip
METERS = (
    *PROMPT_METERS, "output_tokens", "reasoning_tokens", "audio_output_tokens", "image_output_tokens",
    "requests", "searches", "seconds", "characters", "pages", "images",
)  # fmt: skip
# A meter without a price of its own is priced as the first of these that has one.
FALLBACKS = {
    "cache_read_tokens": ("input_tokens",),
    "cache_write_tokens": ("input_tokens",),
    "cache_write_1h_tokens": ("cache_write_tokens", "input_tokens"),
    "audio_input_tokens": ("input_tokens",),
    "image_input_tokens": ("input_tokens",),
    "reasoning_tokens": ("output_tokens",),
    "audio_output_tokens": ("output_tokens",),
    "image_output_tokens": ("output_tokens",),
}


class Refused(Exception):
    """Something is wrong with the paper; the text says what."""


# --- layout and signature -------------------------------------------------------------------------------------------


def canonical(document: Json) -> bytes:
    """Return the bytes that are signed: names sorted, no spaces, UTF-8."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def read_keys(where: str) -> tuple[Keys, set[str]]:
    """Read a JSON Web Key Set from a file or an address. Return the keys by id, and the ids of those that were revoked."""
    if "://" in where:
        if not where.startswith(("https://", "http://localhost", "http://127.0.0.1")):
            raise Refused(f"{where}: keys are only read over https")
        with urllib.request.urlopen(where, timeout=20) as answer:  # noqa: S310 -- https, checked above
            found = json.load(answer)
    else:
        found = json.loads(Path(where).read_bytes())
    keys, revoked = {}, set()
    for key in found["keys"]:
        if key.get("crv") == "Ed25519":
            keys[key["kid"]] = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(key["x"] + "=" * (-len(key["x"]) % 4)))
            if "revoked_at" in key:
                revoked.add(key["kid"])
    return keys, revoked


def read_signed(raw: bytes, keys: Keys, revoked: set[str]) -> Json:
    """Return the document if it is laid out and signed as it must be. Raises: Refused."""
    try:
        document = json.loads(raw)
        if not isinstance(document, dict) or canonical(document) != raw:
            raise Refused("the file is not laid out as it was signed; was it reformatted or changed? Download it again")
        signature = dict(document["signature"])
        value = signature.pop("value")
        if signature["algorithm"] != "Ed25519" or bytes.fromhex(value).hex() != value:
            raise Refused("this is no Ed25519 signature in lower-case hex")
        key_id = signature["key"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Refused(f"this is no signed paper: {error!r}") from error
    if key_id not in keys:
        raise Refused(f"signed with key {key_id!r}, which is not among the published keys")
    if key_id in revoked:
        raise Refused(f"signed with key {key_id}, which was revoked; download the paper again")
    try:
        keys[key_id].verify(bytes.fromhex(value), canonical({**document, "signature": signature}))
    except InvalidSignature:
        raise Refused("the signature does not belong to what the paper says") from None
    return document


# --- prices ---------------------------------------------------------------------------------------------------------


def rates_in_force(card: Json, *, prompt_tokens: int, service_tier: str, started_at_ms: int) -> dict[str, int]:
    """Return picos per unit by meter: of the service tier, then of the hour, then of the longest prompt length that was exceeded."""
    card = card["service_tiers"].get(service_tier, card)
    rates = dict(card["rates"])
    at = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc) + dt.timedelta(milliseconds=started_at_ms)  # noqa: UP017 -- Python 3.10 can run this
    minute = at.hour * 60 + at.minute
    for window in card["time_prices"]:
        start, end = window["start_minute"], window["end_minute"]
        inside = start <= minute < end if start <= end else minute >= start or minute < end
        if inside and (not window["weekdays"] or at.isoweekday() in window["weekdays"]):
            rates.update(window["rates"])
    for tier in reversed(card["tiers"]):
        if prompt_tokens > tier["min_prompt_tokens"]:
            return {**rates, **tier["rates"]}
    return rates


def price_lines(card: Json, meters: Mapping[str, int], *, service_tier: str, started_at_ms: int) -> list[Json]:
    """Return the charge meter by meter. What costs nothing, or has no price at all, has no line."""
    prompt_tokens = sum(meters.get(meter, 0) for meter in PROMPT_METERS)
    rates = rates_in_force(card, prompt_tokens=prompt_tokens, service_tier=service_tier, started_at_ms=started_at_ms)
    lines = []
    for meter in METERS:
        count = meters.get(meter, 0)
        rate = next((rates[name] for name in (meter, *FALLBACKS.get(meter, ())) if name in rates), 0)
        if count * rate:
            lines.append({"meter": meter, "count": count, "rate_picos": rate, "picos": count * rate})
    return lines


def rounded(picos: int) -> int:
    """Round to nanos, half up."""
    return (picos + PICOS_PER_NANO // 2) // PICOS_PER_NANO


def usd(nanos: int) -> str:
    """Write nanos as dollars with all nine decimals."""
    whole, part = divmod(abs(nanos), NANOS_PER_USD)
    return f"{'-' if nanos < 0 else ''}${whole}.{part:09d}"


def check_equal(what: str, found: object, expected: object) -> None:
    """Raise Refused unless the two are equal."""
    if found != expected:
        raise Refused(f"{what}: the paper says {found}, recomputed it is {expected}")


def check_charge(name: str, rule: str, lines: list[Json], picos: int, nanos: int) -> None:
    """Check a charge against its lines, by the rule that the paper names."""
    if rule == "metered":
        total = sum(line["picos"] for line in lines)
        check_equal(f"{name}, charge in picos", picos, total)
        check_equal(f"{name}, charge in nanos", nanos, rounded(total))
    elif rule == "waived":
        check_equal(f"{name}, a request free of charge", (picos, nanos), (0, 0))
    elif rule not in {"last_report", "unexplained"}:
        raise Refused(f"{name}: {rule!r} is no rule that this script knows")


# --- the three papers -----------------------------------------------------------------------------------------------


def check_receipt(paper: Json) -> str:
    """Check a receipt. Return what to say of it."""
    name, price = paper["id"], paper["price"]
    if price is not None:
        lines = price_lines(price["card"], paper["meters"], service_tier=paper["service_tier"], started_at_ms=paper["started_at_ms"])
        check_equal(f"{name}, lines", paper["lines"], lines)
    check_charge(name, paper["rule"], paper["lines"], paper["amount_picos"], paper["amount_nanos"])
    if paper["booked"]:
        check_equal(f"{name}, credits that paid", sum(share["amount_nanos"] for share in paper["paid_with"]), paper["amount_nanos"])
    said = {
        "metered": f"recomputed from {len(paper['lines'])} lines of price version {price['version'] if price else '?'}",
        "waived": "free of charge",
        "last_report": "charged as last reported by a server that died; the counts are not known",
        "unexplained": "the price version is not on the paper: the charge could not be recomputed",
    }
    return f"receipt {name}: {usd(paper['amount_nanos'])}, {said[paper['rule']]}"


def check_statement(paper: Json) -> str:
    """Check a statement. Return what to say of it."""
    usage = paper["usage"]
    charged = usage["amount_nanos"]
    for part in ("by_credit", "by_model", "by_key"):
        check_equal(f"usage, {part}", sum(row["amount_nanos"] for row in usage[part]), charged)
    for part in ("by_model", "by_key"):
        check_equal(f"requests, {part}", sum(row["requests"] for row in usage[part]), usage["requests"])
    moved = sum(entry["amount_nanos"] for entry in paper["movements"])
    check_equal("closing balance", paper["closing_nanos"], paper["opening_nanos"] + moved - charged)
    return (
        f"statement {paper['period']} of {paper['organization']}: {usd(paper['opening_nanos'])} + {usd(moved)} - {usd(charged)} of usage"
        f" = {usd(paper['closing_nanos'])}"
    )


def check_export(path: Path, keys: Keys, revoked: set[str]) -> str:
    """Check an archive of usage rows. Return what to say of it."""
    with zipfile.ZipFile(path) as archive:
        paper = read_signed(archive.comment, keys, revoked)
        check_equal("kind of paper", paper["kind"], "tollway.usage-export/1")
        # The paper is the archive's comment, its very last bytes; it names the digest of everything before.
        check_equal("digest of the archive", paper["sha256"], _digest(path, path.stat().st_size - len(archive.comment)))
        prices = json.loads(archive.read("prices.json"))
        with archive.open(paper["file"]) as member:
            rows = _ROWS[paper["format"]](member)
            told = f"export of {paper['since']} to {paper['until']}: {paper['rows']} rows, {usd(paper['amount_nanos'])}"
            if rows is None:
                return f"{told}; unchanged and signed, but rows were NOT recomputed: install pyarrow or arro3-io"
            check_rows(rows, prices, paper)
    return f"{told}, recomputed row by row"


def check_rows(rows: Iterable[Json], prices: Json, paper: Json) -> None:
    """Recompute every row, and the totals of the paper."""
    count = nanos = picos = 0
    by_rule: Counter[str] = Counter()
    parts: defaultdict[str, list[Json]] = defaultdict(list)
    for row in rows:
        count, nanos, picos = count + 1, nanos + row["amount_nanos"], picos + row["amount_picos"]
        by_rule[row["rule"]] += 1
        if row["rule"] in {"last_report", "difference"}:
            parts[row["id"]].append(row)  # booked in two steps: only the sum can be recomputed
        else:
            check_charge(row["id"], row["rule"], _lines_of(row, prices), row["amount_picos"], row["amount_nanos"])
    for name, booked in parts.items():
        last = booked[-1]
        if len(booked) > 1 and last["meters"]:
            picos_sum, nanos_sum = (sum(row[field] for row in booked) for field in ("amount_picos", "amount_nanos"))
            check_charge(name, "metered" if picos_sum else "waived", _lines_of(last, prices), picos_sum, nanos_sum)
    found = {"rows": count, "amount_nanos": nanos, "amount_picos": picos, "by_rule": dict(by_rule)}
    check_equal("totals", {field: paper[field] for field in found}, found)


def _lines_of(row: Json, prices: Json) -> list[Json]:
    price = prices.get(str(row["price_version"]))
    if price is None:
        return []
    return price_lines(price["card"], row["meters"], service_tier=row["service_tier"], started_at_ms=row["started_at_ms"])


def _digest(path: Path, size: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while size and (chunk := file.read(min(size, 1 << 20))):
            digest.update(chunk)
            size -= len(chunk)
    return digest.hexdigest()


def _row(fields: Json) -> Json:
    numbers = ("amount_picos", "amount_nanos", "price_version", "started_at_ms")
    meters = {meter: int(fields[meter]) for meter in METERS if int(fields[meter])}
    named = {name: fields[name] for name in ("id", "rule", "service_tier")}
    return {**named, **{name: int(fields[name]) for name in numbers}, "meters": meters}


def _csv_rows(member: IO[bytes]) -> Iterator[Json]:
    yield from map(_row, csv.DictReader(io.TextIOWrapper(member, "utf-8", newline="")))


def _json_rows(member: IO[bytes]) -> Iterator[Json]:
    for line in member:  # a JSON array with one row per line
        if line.startswith(b"{"):
            yield _row(json.loads(line.rstrip(b",\n")))


def _parquet_rows(member: IO[bytes]) -> Iterator[Json] | None:
    body = io.BytesIO(member.read())
    try:
        return map(_row, importlib.import_module("pyarrow.parquet").read_table(body).to_pylist())
    except ImportError:
        pass
    try:
        batches = importlib.import_module("arro3.io").read_parquet(body)
    except ImportError:
        return None
    return (_row({name: batch[name][at].as_py() for name in batch.schema.names}) for batch in batches for at in range(batch.num_rows))


_ROWS = {"csv": _csv_rows, "json": _json_rows, "parquet": _parquet_rows}
_PAPERS = {"tollway.receipt/1": check_receipt, "tollway.statement/1": check_statement}


def check(path: Path, keys: Keys, revoked: set[str]) -> str:
    """Check one file. Return what to say of it. Raises: Refused."""
    try:
        with path.open("rb") as file:
            head = file.read(4)
        if head.startswith(b"PK"):
            return check_export(path, keys, revoked)
        paper = read_signed(path.read_bytes(), keys, revoked)
        if paper.get("kind") not in _PAPERS:
            raise Refused(f"{paper.get('kind')!r} is no kind of paper that this script knows")
        return _PAPERS[paper["kind"]](paper)
    except (zipfile.BadZipFile, OSError, KeyError, TypeError, ValueError, EOFError) as error:
        raise Refused(f"unreadable: {error!r}") from error


def main() -> int:
    """Check every file named on the command line."""
    parser = argparse.ArgumentParser(description="Check receipts, statements and exports of usage.")
    parser.add_argument("--keys", required=True, help="The published keys: https://HOST/.well-known/jwks.json, or a file with its content.")
    parser.add_argument("files", nargs="+", type=Path)
    given = parser.parse_args()
    failed = False
    try:
        keys, revoked = read_keys(given.keys)
    except (Refused, OSError, ValueError, KeyError) as error:
        sys.stderr.write(f"The keys cannot be read: {error}\n")
        return 2
    for path in given.files:
        try:
            sys.stdout.write(f"OK      {path}: {check(path, keys, revoked)}\n")
        except Refused as reason:
            failed = True
            sys.stdout.write(f"REFUSED {path}: {reason}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
