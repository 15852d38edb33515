"""The record of the catalog's speed: what is searched for, and what the page says of what was measured."""

from bench import catalog


def test_searches_are_what_people_type_on_the_way_to_a_model() -> None:
    assert catalog.searches(["acme/swift-4", "acme/son"]) == ["a", "ac", "acm", "acme", "s", "sw", "swi", "swif", "swift", "so", "son"]


def test_the_page_says_of_each_visit_how_long_it_took_and_of_each_goal_whether_it_is_met() -> None:
    page = catalog.render({"the list": [1.0] * 18 + [20.0, 30.0]}, [("compressed", 2_999.6, 3_000, 28_000), ("plain", 10.0, 0, 400_000)])

    assert "| the list | 20 | 1.0 | 30.0 | 30.0 |" in page
    assert "| compressed | 28,000 | 3,000 | 3,000 | no |" in page
    assert "| plain | 400,000 | 10 |  |  |" in page


def test_without_a_load_generator_the_page_says_so() -> None:
    assert "Not measured: wrk is not installed." in catalog.render({"the list": [1.0]}, [])
