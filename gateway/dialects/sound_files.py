"""How long a sound file lasts: what its header says, and the most that it can be. Pure.

A header may be wrong, by accident or on purpose, and a provider counts what it decodes. So the most is never less than the file's size
allows: PCM exactly, everything else at the lowest rate of speech. Headers are read in a few jumps, never by walking through a file: the
libraries that do take seconds over one that was made to be slow.
"""

import io
import math
import struct
import wave
from collections.abc import Callable

# Speech is not sent at fewer bits; a file below that is bounded by its header alone.
_BYTES_PER_SECOND_MIN = 2_000
_SECONDS_MAX = 24 * 3600.0
_SEARCHED_BYTES = 16_384
_BOXES_MAX = 256

#: What providers take, by extension or the last part of a content type → the word for it.
FORMATS = {
    **{name: name for name in ("wav", "mp3", "flac", "m4a", "ogg", "webm", "aac", "mp4", "mpeg", "mpga", "opus", "aiff", "pcm")},
    "oga": "ogg",
    "x-wav": "wav",
    "wave": "wav",
    "vnd.wave": "wav",
    "x-m4a": "m4a",
    "x-flac": "flac",
    "aif": "aiff",
    "x-aiff": "aiff",
    "pcm16": "pcm",
    "x-aac": "aac",
}
CONTENT_TYPES = {
    "mp3": "audio/mpeg",
    "mpga": "audio/mpeg",
    "mpeg": "audio/mpeg",
    "m4a": "audio/mp4",
    "mp4": "audio/mp4",
    "opus": "audio/ogg",
    "pcm": "audio/pcm",
}


def format_of(name: str, content_type: str) -> str:
    """Return the word for a file's format by its name, else by its content type, '' if neither tells."""
    found = FORMATS.get(name.rpartition(".")[2].lower()) if "." in name else None
    return found or FORMATS.get(content_type.partition(";")[0].rpartition("/")[2].strip().lower(), "")


def content_type_of(sound_format: str) -> str:
    """Return the content type of a format."""
    return CONTENT_TYPES.get(sound_format, f"audio/{sound_format}")


def _wav_seconds(data: bytes) -> float | None:
    """A RIFF WAVE file with plain samples lasts as long as all that follows, at the rate that it is played at."""
    try:
        with wave.open(io.BytesIO(data)) as sound:
            rate = sound.getframerate() * sound.getnchannels() * sound.getsampwidth()
            begin = len(data) - sound.getnframes() * sound.getnchannels() * sound.getsampwidth()
    except (wave.Error, EOFError, struct.error):
        return None
    return (len(data) - max(min(begin, _WAV_HEAD_MAX_BYTES), 0)) / rate if rate > 0 else None


_WAV_HEAD_MAX_BYTES = 44  # chunks beyond the plain head may hide samples
_MP3_KBPS = {
    # (is version 1, layer): kilobits per second by the header's four bits
    (True, 1): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 0),
    (False, 1): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0),
}
_MP3_HZ = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


def _mp3_seconds(data: bytes) -> float | None:
    """The first frame says the rate; where rates vary, a count of frames stands in it."""
    start = 0
    if data.startswith(b"ID3"):
        start = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(data[6:10], (21, 14, 7, 0), strict=False))
    start = data.find(b"\xff", start, start + _SEARCHED_BYTES)
    head = data[start : start + 4]
    if start < 0 or len(head) < 4 or head[1] & 0xE0 != 0xE0:  # noqa: PLR2004 -- bits of the format
        return None
    version, layer, hz_bits = head[1] >> 3 & 3, head[1] >> 1 & 3, head[2] >> 2 & 3
    if version == 1 or layer not in (1, 2) or hz_bits == 3:  # noqa: PLR2004
        return None
    kbps, hz = _MP3_KBPS[version == 3, layer][head[2] >> 4], _MP3_HZ[version][hz_bits]  # noqa: PLR2004
    samples = 1152 if version == 3 or layer == 2 else 576  # noqa: PLR2004
    frame = data[start : start + 200]
    for mark, at in ((b"Xing", 8), (b"Info", 8), (b"VBRI", 14)):
        place = frame.find(mark)
        if place >= 0 and len(frame) >= place + at + 4 and (mark == b"VBRI" or frame[place + 7] & 1):
            return int.from_bytes(frame[place + at : place + at + 4]) * samples / hz
    return (len(data) - start) / (kbps * 125) if kbps else None


def _flac_seconds(data: bytes) -> float | None:
    if not data.startswith(b"fLaC") or len(data) < 26:  # noqa: PLR2004
        return None
    bits = int.from_bytes(data[18:26])
    hz, samples = bits >> 44, bits & ((1 << 36) - 1)
    return samples / hz if hz else None


def _ogg_seconds(data: bytes) -> float | None:
    """The last page says how many samples there are; Opus always counts 48,000 a second."""
    head, last = data[:_SEARCHED_BYTES], data.rfind(b"OggS")
    if last < 0 or len(data) < last + 14:
        return None
    samples = int.from_bytes(data[last + 6 : last + 14], "little", signed=True)
    if b"OpusHead" in head:
        return samples / 48_000
    place = head.find(b"\x01vorbis")
    hz = int.from_bytes(head[place + 12 : place + 16], "little") if place >= 0 else 0
    return samples / hz if hz else None


def _find_box(data: bytes, name: bytes, begin: int, end: int) -> tuple[int, int] | None:
    for _ in range(_BOXES_MAX):
        if begin + 8 > end:
            return None
        size, kind, head = int.from_bytes(data[begin : begin + 4]), data[begin + 4 : begin + 8], 8
        if size == 1:
            size, head = int.from_bytes(data[begin + 8 : begin + 16]), 16
        size = end - begin if size == 0 else size
        if kind == name:
            return begin + head, min(begin + size, end)
        if size < head:
            return None
        begin += size
    return None


def _mp4_seconds(data: bytes) -> float | None:
    movie = _find_box(data, b"moov", 0, len(data))
    header = _find_box(data, b"mvhd", *movie) if movie else None
    if header is None:
        return None
    box = data[header[0] : header[0] + 32]
    scale_at, length_at, width = (20, 24, 8) if box[:1] == b"\x01" else (12, 16, 4)
    scale, length = int.from_bytes(box[scale_at : scale_at + 4]), int.from_bytes(box[length_at : length_at + width])
    return length / scale if scale else None


def _webm_seconds(data: bytes) -> float | None:
    """Recorders of browsers leave the length out."""
    head = data[:_SEARCHED_BYTES]
    place = head.find(b"\x44\x89")
    if place < 0:
        return None
    size, at = head[place + 2 : place + 3], place + 3
    try:
        (ticks,) = struct.unpack_from(">d", head, at) if size == b"\x88" else struct.unpack_from(">f", head, at)
    except struct.error:
        return None
    scale = head.find(b"\x2a\xd7\xb1")
    nanos = int.from_bytes(head[scale + 4 : scale + 4 + (head[scale + 3] & 0x0F)]) if 0 <= scale < len(head) - 8 else 1_000_000
    return float(ticks) * nanos / 1e9


_READERS: dict[str, Callable[[bytes], float | None]] = {
    **dict.fromkeys(("mp3", "mpeg", "mpga"), _mp3_seconds),
    **dict.fromkeys(("ogg", "opus"), _ogg_seconds),
    **dict.fromkeys(("m4a", "mp4"), _mp4_seconds),
    "wav": _wav_seconds,
    "flac": _flac_seconds,
    "webm": _webm_seconds,
}


def duration_of(data: bytes, sound_format: str) -> float | None:
    """Return a file's length in seconds by its header; None if it cannot be read."""
    reader = _READERS.get(sound_format)
    seconds = reader(data) if reader is not None else None
    return seconds if seconds is not None and math.isfinite(seconds) and 0 < seconds <= _SECONDS_MAX else None


def seconds_max(data: bytes, sound_format: str, duration_s: float | None) -> int:
    """Return the most whole seconds that a provider can count, at least 1."""
    if sound_format == "wav" and duration_s is not None:
        return max(math.ceil(duration_s), 1)
    return max(math.ceil(max(duration_s or 0.0, len(data) / _BYTES_PER_SECOND_MIN)), 1)
