"""Values as the text format of PostgreSQL's COPY has them. By hand: the driver takes several times as long for a row."""

from typing import Final

ESCAPES: Final = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


def write(value: object) -> str:
    """Return a value's text: None, bytes, or what PostgreSQL reads as Python prints it (numbers, UUIDs, dates, text)."""
    if value is None:
        return r"\N"
    if isinstance(value, bytes):
        return rf"\\x{value.hex()}"
    return str(value).translate(ESCAPES)
