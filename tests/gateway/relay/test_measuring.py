from gateway.relay.measuring import measure
from gateway.relay.samples import Sample
from gateway.relay.statistics import Statistics

NOW_S = 1_800_000_000.0


def statistics_of(*samples: Sample) -> Statistics:
    statistics = Statistics(lambda: NOW_S)
    for sample in samples:
        statistics.record(sample)
    statistics.merge(statistics.take(), NOW_S)
    statistics.refresh()
    return statistics


def test_nothing_is_shown_of_an_endpoint_without_traffic():
    assert measure(statistics_of(), {}, "a/m@one") is None


def test_uptimes_are_percents_of_what_counts_and_left_out_under_ten_requests():
    good, bad, limited = Sample("a/m@one", "ok"), Sample("a/m@one", "server"), Sample("a/m@one", "limited")
    shown = measure(statistics_of(*[good] * 8, bad, *[limited] * 50), {}, "a/m@one")
    assert (shown.requests, shown.uptime_5m, shown.uptime_30m, shown.uptime_1d) == (9, None, None, None)

    shown = measure(statistics_of(*[good] * 29, bad), {"a/m@one": (990, 1000)}, "a/m@one")
    assert (shown.requests, shown.uptime_5m, shown.uptime_30m, shown.uptime_1d) == (30, 96.67, 96.67, 99.0)


def test_a_day_is_shown_without_traffic_in_the_last_half_hour():
    shown = measure(statistics_of(), {"a/m@one": (5, 10)}, "a/m@one")
    assert (shown.requests, shown.uptime_30m, shown.uptime_1d, shown.latency_ms) == (0, None, 50.0, ())
