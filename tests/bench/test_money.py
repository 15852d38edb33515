"""The benchmark of money judges by the median of its rounds."""

from bench import machine
from bench.money import Flight, judge, list_waits

_SETTLED = [{"per_s": 25_000.0}, {"per_s": 19_000.0}, {"per_s": 19_999.0}]


def _rounds(*figures):
    return [{"per_s": per_s, "p50_us": p50_us} for per_s, p50_us in figures]


def test_a_goal_is_met_by_the_median_of_the_rounds_and_not_by_the_best():
    rows = judge(_SETTLED, {Flight(2, 2): _rounds((6_000.0, 650.0), (4_000.0, 900.0), (5_000.0, 700.0))})

    assert [row[1:] for row in rows] == [
        ("≥ 20,000", "19,999", "25,000", "25,000, 19,000, 19,999", "no"),
        ("≥ 5,000", "5,000", "6,000", "6,000, 4,000, 5,000", "yes"),
        ("≤ 700", "700", "650", "650, 900, 700", "yes"),
    ]


def test_the_highest_rate_whose_wait_is_short_enough_counts_and_the_highest_of_all_is_told():
    rows = judge(
        _SETTLED,
        {Flight(1, 1): _rounds((3_000.0, 300.0)), Flight(2, 2): _rounds((5_100.0, 690.0)), Flight(2, 8): _rounds((9_000.0, 1_700.0))},
    )

    assert [(row[0], row[2]) for row in rows[1:]] == [
        ("admissions/s, every write synced, 4 in flight", "5,100"),
        ("admission p50 at that rate, µs", "690"),
        ("the same, 16 in flight", "9,000"),
    ]


def test_where_every_wait_is_too_long_the_fewest_in_flight_count():
    rows = judge(_SETTLED, {Flight(1, 1): _rounds((900.0, 2_000.0)), Flight(1, 4): _rounds((1_500.0, 5_000.0))})

    assert [(row[2], row[5]) for row in rows[1:3]] == [("900", "no"), ("2,000", "no")]


def test_every_number_in_flight_is_listed_with_its_rate_and_waits():
    rounds = [
        {"per_s": per_s, "p50_us": p50_us, "p99_us": 2 * p50_us} for per_s, p50_us in ((900.0, 700.0), (1_100.0, 500.0), (950.0, 600.0))
    ]

    assert list_waits({Flight(2, 3): rounds}) == [("2", "6", "no", "950", "600", "1,200")]


def test_what_leases_give_is_told_as_such():
    rows = judge(_SETTLED, {Flight(2, 2): _rounds((1_000.0, 900.0)), Flight(2, 8, leases=True): _rounds((6_000.0, 90.0))})

    assert rows[1][0] == "admissions/s, every write synced, 16 in flight, leases"


def test_the_disks_own_part_is_measured_and_leaves_nothing_behind(tmp_path):
    assert 0 < machine.sync_s(tmp_path) < 60
    assert list(tmp_path.iterdir()) == []
