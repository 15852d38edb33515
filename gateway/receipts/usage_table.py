"""Usage rows as a table, written as CSV, JSON or Parquet while they are read."""

import csv
import io
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Literal

import msgspec

from billing.receipts.usage_rows import PostedRow
from billing.types import event_time, generation_id
from catalog.types import METERS
from gateway.drf import utc_text
from gateway.receipts.explanation import Explanation

Format = Literal["csv", "json", "parquet"]
FORMATS: Final[tuple[Format, ...]] = ("csv", "json", "parquet")

Row = dict[str, Any]
_TEXTS: Final = (
    "id", "created_at", "posted_at", "key", "key_name", "api_type", "model", "requested_model", "provider", "endpoint", "status", "rule",
    "service_tier", "finish_reason", "error_type", "external_user", "session_id", "app_title",
)  # fmt: skip
_NUMBERS: Final = (
    "part", "price_version", "amount_nanos", "amount_picos", "started_at_ms", "latency_ms", "generation_ms", "http_status", *METERS
)  # fmt: skip
_FLAGS: Final = ("streamed", "is_estimate", "simulated")
COLUMNS: Final = (*_TEXTS, *_NUMBERS, *_FLAGS)
# A spreadsheet would run a cell that begins so as a formula, and strangers may have written it.
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")
_CHUNK_BYTES: Final = 256 * 1024


def row_of(posted: PostedRow, explanation: Explanation, *, key_hash: str, key_name: str) -> Row:
    """Return one row. ``rule`` says how its charge follows from its counts (explanation.Rule; 'difference' in part 1)."""
    event = posted.event
    return {
        "id": generation_id(event.event_id),
        "created_at": utc_text(event_time(event.event_id)),
        "posted_at": utc_text(posted.posted_at),
        "key": key_hash,
        "key_name": key_name,
        "api_type": event.api_type,
        "model": event.model,
        "requested_model": event.requested_model,
        "provider": event.provider,
        "endpoint": event.endpoint_id,
        "status": event.status,
        "rule": "difference" if posted.part else explanation.rule,
        "service_tier": event.service_tier,
        "finish_reason": event.finish_reason,
        "error_type": event.error_type,
        "external_user": event.external_user,
        "session_id": event.session_id,
        "app_title": event.app_title,
        "part": posted.part,
        "price_version": event.price_version_id,
        "amount_nanos": event.amount_nanos,
        "amount_picos": event.amount_picos,
        "started_at_ms": event.started_at_ms,
        "latency_ms": event.latency_ms,
        "generation_ms": event.generation_ms,
        "http_status": event.http_status,
        **{meter: event.meters.get(meter, 0) for meter in METERS},
        "streamed": event.streamed,
        "is_estimate": event.is_estimate,
        "simulated": event.simulated,
    }


def write(file_format: Format, pages: Iterable[list[Row]]) -> Iterator[bytes]:
    """Yield the table's file in pieces."""
    yield from _WRITERS[file_format](pages)


def _write_csv(pages: Iterable[list[Row]]) -> Iterator[bytes]:
    yield (",".join(COLUMNS) + "\r\n").encode()
    for page in pages:
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        for row in page:
            writer.writerow([_cell(row[column]) for column in COLUMNS])
        yield text.getvalue().encode()


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA_STARTS) else value


def _write_json(pages: Iterable[list[Row]]) -> Iterator[bytes]:
    lead = b"[\n"
    for page in pages:
        yield lead + b",\n".join(map(msgspec.json.encode, page))
        lead = b",\n"
    yield b"\n]\n" if lead == b",\n" else b"[]\n"


def _write_parquet(pages: Iterable[list[Row]]) -> Iterator[bytes]:
    # Imported here: nothing else needs it, and it is 30 MB.
    from arro3.core import Array, DataType, Field, RecordBatch, RecordBatchReader, Schema  # noqa: PLC0415
    from arro3.io import write_parquet  # noqa: PLC0415

    types = {
        **dict.fromkeys(_TEXTS, DataType.string()),
        **dict.fromkeys(_NUMBERS, DataType.int64()),
        **dict.fromkeys(_FLAGS, DataType.bool()),
    }
    schema = Schema([Field(name, types[name], nullable=False) for name in COLUMNS])
    batches = (
        RecordBatch.from_arrays([Array([row[name] for row in page], types[name]) for name in COLUMNS], schema=schema) for page in pages
    )
    # Its footer is written last and tells where everything is; a file on disk keeps memory flat.
    with tempfile.TemporaryFile() as file:
        write_parquet(RecordBatchReader.from_batches(schema, batches), file, compression="zstd(3)")
        file.seek(0)
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


_WRITERS: Final[dict[Format, Callable[[Iterable[list[Row]]], Iterator[bytes]]]] = {
    "csv": _write_csv,
    "json": _write_json,
    "parquet": _write_parquet,
}
