from gateway.relay.figures import figures_of
from gateway.relay.quality import GOOD, POOR, grade_quality
from gateway.relay.tallies import Tally, bucket_of


def measured(*, speed=100, tool_answers=100, tool_faults=1, requests=1000):
    return figures_of(
        Tally(outcomes={"ok": requests}, tokens_per_s={bucket_of(speed): requests}, tool_answers=tool_answers, tool_faults=tool_faults)
    )


def test_the_endpoint_that_calls_tools_badly_is_poor_and_the_others_are_good():
    figures = {f"a/m@{name}": measured() for name in "abcd"} | {"a/m@bad": measured(tool_faults=15)}
    assert grade_quality(figures) == {"a/m@a": GOOD, "a/m@b": GOOD, "a/m@c": GOOD, "a/m@d": GOOD, "a/m@bad": POOR}


def test_the_endpoint_that_is_far_slower_is_poor():
    figures = {f"a/m@{name}": measured() for name in "abcd"} | {"a/m@slow": measured(speed=40)}
    assert grade_quality(figures)["a/m@slow"] == POOR


def test_small_differences_are_nobodys_concern():
    figures = {f"a/m@{name}": measured(speed=100 - place, tool_faults=place) for place, name in enumerate("abcde")}
    assert set(grade_quality(figures).values()) == {GOOD}


def test_fewer_than_four_endpoints_are_not_compared():
    assert grade_quality({f"a/m@{name}": measured(tool_faults=50) for name in "abc"}) == {}


def test_too_little_data_is_unknown():
    figures = {f"a/m@{name}": measured() for name in "abcd"}
    figures |= {"a/m@quiet": measured(requests=99), "a/m@no-tools": measured(tool_answers=49, tool_faults=40)}
    grades = grade_quality(figures)
    assert "a/m@quiet" not in grades
    assert "a/m@no-tools" not in grades
    assert grades["a/m@a"] == GOOD


def test_endpoints_of_different_models_are_not_compared():
    figures = {f"a/m{place}@x": measured(tool_faults=place) for place in range(8)}
    assert grade_quality(figures) == {}
