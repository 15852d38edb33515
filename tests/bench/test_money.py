"""The benchmark of money judges by the median of its rounds."""

from bench.money import judge


def test_a_goal_is_met_by_the_median_of_the_rounds_and_not_by_the_best():
    settled = [{"per_s": 25_000.0}, {"per_s": 19_000.0}, {"per_s": 19_999.0}]
    admitted = [{"per_s": 6_000.0, "p50_us": 650.0}, {"per_s": 4_000.0, "p50_us": 900.0}, {"per_s": 5_000.0, "p50_us": 700.0}]

    rows = judge(settled, admitted)

    assert [row[1:] for row in rows] == [
        ("≥ 20,000", "19,999", "25,000", "25,000, 19,000, 19,999", "no"),
        ("≥ 5,000", "5,000", "6,000", "6,000, 4,000, 5,000", "yes"),
        ("≤ 700", "700", "650", "650, 900, 700", "yes"),
    ]
