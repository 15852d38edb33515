"""What endpoints were seen to do, as it is shown: a board that the data plane writes
to the broker's Redis every three seconds. No Django.
"""

from typing import Any, Final

import msgspec

BOARD: Final = "tollway:statistics:board"
PERCENTILES: Final = ("p50", "p75", "p90", "p99")


class Measurement(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Uptimes in percent, over 5 minutes, 30 minutes and a day; None with too little traffic. Over 30 minutes: the time to the first token
    in milliseconds and tokens a second at p50, p75, p90 and p99 (that share of requests did better), () when not measured, and the share of
    answers with a bad tool call, 0 to 1. ``requests`` counts successes and failures of 30 minutes.
    """

    requests: int = 0
    uptime_5m: float | None = None
    uptime_30m: float | None = None
    uptime_1d: float | None = None
    latency_ms: tuple[float, ...] = ()
    throughput_tps: tuple[float, ...] = ()
    tool_fault_rate: float | None = None

    @property
    def tool_fault_percent(self) -> float | None:
        """The share of answers with a bad tool call, in percent; None when unknown."""
        return None if self.tool_fault_rate is None else round(100 * self.tool_fault_rate, 1)

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of the contract's PublicEndpoint."""
        return {
            "uptime_last_5m": self.uptime_5m,
            "uptime_last_30m": self.uptime_30m,
            "uptime_last_1d": self.uptime_1d,
            "latency_last_30m": _named(self.latency_ms),
            "throughput_last_30m": _named(self.throughput_tps),
        }


def _named(values: tuple[float, ...]) -> dict[str, float] | None:
    return dict(zip(PERCENTILES, values, strict=True)) if values else None


NOT_MEASURED: Final = Measurement()
encode_board = msgspec.msgpack.Encoder().encode
decode_board = msgspec.msgpack.Decoder(dict[str, Measurement]).decode
