"""The simulator's tokenizer: one token per four bytes of UTF-8, rounded up. Documented, deterministic, no vocabulary. Pure."""

MESSAGE_TOKENS = 3  # around every message, and once for the start of the answer
IMAGE_TOKENS = 85
AUDIO_TOKENS = 50
FILE_TOKENS = 250
BYTES_PER_TOKEN = 4


def count_tokens(text: str) -> int:
    """Return the tokens of ``text``; '' has none."""
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


def cut_to_tokens(text: str, tokens: int) -> str:
    """Return the longest start of ``text`` that has at most ``tokens`` tokens, never a broken character."""
    data = text.encode()
    limit = tokens * BYTES_PER_TOKEN
    return text if len(data) <= limit else data[:limit].decode("utf-8", "ignore")


def split_to_chunks(text: str) -> list[str]:
    """Return ``text`` in the pieces in which it is streamed: words with the space that follows them."""
    pieces: list[str] = []
    start = 0
    while start < len(text):
        space = text.find(" ", start)
        end = len(text) if space < 0 else space + 1
        pieces.append(text[start:end])
        start = end
    return pieces
