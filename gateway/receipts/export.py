"""Usage of a period as an archive that can be checked and recomputed offline, sent while it is made.

The archive is a ZIP with the rows, the price versions that they were charged with, and a note. Its comment, the very last bytes, is a
signed paper that names the digest of everything before: any other byte anywhere is noticed, and no second file can get lost.
"""

import datetime as dt
import hashlib
import zipfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import IO, Any, Final, cast

from asgiref.sync import sync_to_async
from django.conf import settings
from django.utils import timezone

from accounts import queries as accounts
from accounts.models import Organization
from billing.receipts import canonical, signing, usage_rows
from billing.receipts.statement import SETTLED_AFTER
from billing.receipts.usage_rows import PostedRow
from catalog import queries as catalog
from gateway.drf import utc_text
from gateway.receipts import usage_table
from gateway.receipts.explanation import Price, explain, read_price
from gateway.receipts.receipt import price_document
from gateway.receipts.usage_table import Format, Row

KIND: Final = "tollway.usage-export/1"
_NO_DIGEST: Final = "0" * 64
_NOTE: Final = """{file} has one row per booked request; prices.json has the price versions that the rows name.
Amounts are whole nanos (1e-9 USD) and picos (1e-12 USD). The archive's comment is a signed paper. Check both:

    pip install cryptography
    python verify_receipt.py --keys {issuer}/.well-known/jwks.json ARCHIVE.zip

Rows are those posted from {since} until {until}; they add up to the statement of the same period.
"""


class Export:
    """Makes one archive."""

    def __init__(self, organization: Organization, *, since: dt.datetime, until: dt.datetime, file_format: Format) -> None:
        self._organization = organization
        self._since, self._until = since, until
        self._format = file_format
        self._is_final = until + SETTLED_AFTER <= timezone.now()
        self._signer = signing.current_signer()
        self._keys: dict[int, tuple[str, str]] = {}
        self._prices: dict[int, Price | None] = {}
        self._rows = self._nanos = self._picos = 0
        self._rules: Counter[str] = Counter()

    def stream(self) -> Iterator[bytes]:
        """Yield the archive in pieces. A reader that gets an error in the middle has a file that no tool opens."""
        sink = _Sink()
        with zipfile.ZipFile(cast("IO[bytes]", sink), "w", zipfile.ZIP_DEFLATED) as archive:
            name = f"usage.{self._format}"
            with archive.open(self._member(name), "w", force_zip64=True) as member:
                yield sink.take()  # Parquet comes out at its end only; whoever waits sees that something comes
                for piece in usage_table.write(self._format, self._pages()):
                    member.write(piece)
                    yield sink.take()
            prices = {str(key): price_document(price) for key, price in sorted(self._prices.items()) if price is not None}
            archive.writestr(self._member("prices.json"), canonical.encode(prices))
            archive.writestr(self._member("README.txt"), _NOTE.format(file=name, **self._period(), issuer=settings.PUBLIC_URL))
            archive.comment = self._signer.sign(self._paper(name, _NO_DIGEST))
        body = sink.take(but_last=len(archive.comment))
        yield body + self._signer.sign(self._paper(name, sink.digest.hexdigest()))

    async def stream_async(self) -> AsyncIterator[bytes]:
        """Yield the same to a server that must not wait: ASGI would collect a plain iterator before it sends anything."""
        pieces = self.stream()
        while (piece := await sync_to_async(lambda: next(pieces, None))()) is not None:
            if piece:
                yield piece

    def _member(self, name: str) -> zipfile.ZipInfo:
        until = self._until
        member = zipfile.ZipInfo(name, (until.year, until.month, until.day, 0, 0, 0))
        # Parquet is compressed already.
        member.compress_type = zipfile.ZIP_STORED if name.endswith("parquet") else zipfile.ZIP_DEFLATED
        member.external_attr = 0o644 << 16
        return member

    def _period(self) -> dict[str, Any]:
        return {"since": utc_text(self._since), "until": utc_text(self._until)}

    def _paper(self, name: str, digest: str) -> dict[str, Any]:
        return {
            "kind": KIND,
            "issuer": settings.PUBLIC_URL,
            "organization": self._organization.public_id,
            **self._period(),
            "is_final": self._is_final,
            "format": self._format,
            "file": name,
            "rows": self._rows,
            "amount_nanos": self._nanos,
            "amount_picos": self._picos,
            "by_rule": dict(self._rules),
            "sha256": digest,
        }

    def _pages(self) -> Iterator[list[Row]]:
        for page in usage_rows.pages(self._organization, since=self._since, until=self._until):
            self._learn(page)
            rows = [self._row(posted) for posted in page]
            self._rows += len(rows)
            self._nanos += sum(row["amount_nanos"] for row in rows)
            self._picos += sum(row["amount_picos"] for row in rows)
            self._rules.update(row["rule"] for row in rows)
            yield rows

    def _learn(self, page: list[PostedRow]) -> None:
        keys = {posted.event.key_id for posted in page} - self._keys.keys()
        if keys:
            names, hashes = accounts.key_names(self._organization, keys), accounts.key_hashes(self._organization, keys)
            self._keys |= {key: (hashes.get(key, ""), names.get(key, "")) for key in keys}
        versions = {posted.event.price_version_id for posted in page} - self._prices.keys()
        if versions:
            found = catalog.price_versions(versions)
            self._prices |= {key: read_price(found[key]) if key in found else None for key in versions}

    def _row(self, posted: PostedRow) -> Row:
        key_hash, key_name = self._keys[posted.event.key_id]
        explanation = explain(posted.event, self._prices[posted.event.price_version_id])
        return usage_table.row_of(posted, explanation, key_hash=key_hash, key_name=key_name)


class _Sink:
    """Takes what the archive writes and hands it on; remembers the digest of all that was handed on."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self._waiting: list[bytes] = []

    def write(self, piece: bytes) -> int:
        """Take a piece."""
        self._waiting.append(bytes(piece))
        return len(piece)

    def flush(self) -> None:
        """Do nothing: whoever reads takes."""

    def take(self, *, but_last: int = 0) -> bytes:
        """Return what waits, less its last bytes, which are dropped."""
        piece = b"".join(self._waiting)
        self._waiting.clear()
        piece = piece[: len(piece) - but_last]
        self.digest.update(piece)
        return piece
