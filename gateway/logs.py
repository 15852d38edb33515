"""Log format and redaction: JSON lines for machines, and never a secret in either format."""

import logging
import re
from typing import Any

import msgspec

# Our keys, common provider keys, bearer headers and passwords in URLs.
_SECRET = re.compile(
    r"(sk-[A-Za-z0-9_-]{4})[A-Za-z0-9_-]{8,}|((?:[Bb]earer|[Bb]asic)\s+)[A-Za-z0-9._~+/=-]{8,}|(://[^:/\s]*:)[^@/\s]+(?=@)",
)


def redact(text: str) -> str:
    """Return ``text`` with every secret replaced by '…', its beginning kept where that helps to recognise it."""
    return _SECRET.sub(lambda found: (found[1] or found[2] or found[3] or "") + "…", text)


class RedactSecrets(logging.Filter):
    """Formats the message early and removes secrets from it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record in place; never drops one."""
        record.msg = redact(record.getMessage())
        record.args = None
        return True


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, logger, message, and the traceback (redacted) if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Encode the record."""
        line: dict[str, Any] = {
            "at": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = redact(self.formatException(record.exc_info))
        return msgspec.json.encode(line).decode()
