import pytest
import redis

from catalog import live_board
from catalog.measurements import BOARD, Measurement, encode_board


@pytest.fixture(autouse=True)
def nothing_kept(settings):
    live_board._Kept.until_s = 0.0
    with redis.Redis.from_url(settings.BROKER_REDIS_URL) as store:
        yield store
        store.delete(BOARD)
    live_board._Kept.until_s = 0.0


def test_what_the_data_plane_wrote_is_read_and_kept_for_a_few_seconds(nothing_kept):
    nothing_kept.set(BOARD, encode_board({"a/m@one": Measurement(requests=3, uptime_30m=99.5, tool_fault_rate=0.0123)}))
    shown = live_board.read_board()["a/m@one"]
    assert (shown.requests, shown.fields["uptime_last_30m"], shown.tool_fault_percent) == (3, 99.5, 1.2)

    nothing_kept.delete(BOARD)
    assert "a/m@one" in live_board.read_board()
    live_board._Kept.until_s = 0.0
    assert live_board.read_board() == {}


def test_a_board_of_another_release_and_a_store_that_is_away_are_nothing_measured(nothing_kept, settings):
    nothing_kept.set(BOARD, b"not a board")
    assert live_board.read_board() == {}
    settings.BROKER_REDIS_URL = "redis://127.0.0.1:1/0"
    assert live_board.read_board() == {}
