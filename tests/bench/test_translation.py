import msgspec
import pytest

from bench.translation import (
    CHUNK_GOAL_US,
    PASS_GOAL_US,
    REQUEST_GOAL_US,
    Translation,
    find,
    measure_all,
    measure_pair,
    render_section,
    replace_section,
)
from bench.translation_samples import REQUESTS

FIGURES = [Translation("chat", "messages", 40.4, 16.6, 57.2, 5.04), Translation("messages", "bedrock", 61.0, 20.0, 81.0, None)]


@pytest.mark.parametrize("client", REQUESTS)
def test_what_is_translated_is_about_two_kibibytes(client):
    assert 1900 <= len(msgspec.json.encode(REQUESTS[client])) <= 2150


@pytest.mark.parametrize(
    ("client", "provider", "chunk_goal_us"), [("chat", "messages", CHUNK_GOAL_US), ("chat", "chat_completions", PASS_GOAL_US)]
)
def test_translating_is_near_its_goal_even_on_a_busy_machine(client, provider, chunk_goal_us):
    # The goals themselves are for a quiet machine; several times as much is a mistake in the code and no noise.
    figures = measure_pair(client, provider, rounds=40)
    assert figures.both_us < 4 * REQUEST_GOAL_US
    assert figures.chunk_us is not None
    assert figures.chunk_us < 4 * chunk_goal_us


def test_every_pair_of_formats_is_measured():
    measured = measure_all(rounds=1)
    assert len(measured) == 18
    assert [one.provider for one in measured if one.is_same] == ["chat_completions", "messages", "responses"]
    assert {one.provider for one in measured if one.chunk_us is None} == {"bedrock"}
    assert find(measured, "chat", "nobody") is None


def test_the_section_has_a_row_for_each_pair():
    section = render_section(FIGURES)
    assert section.startswith("## Translation\n")
    assert "| chat | messages | 40 | 17 | 57 | 5.0 |" in section
    assert "| messages | bedrock | 61 | 20 | 81 |  |" in section
    assert render_section([]) == ""


def test_the_section_is_put_before_the_history_and_then_replaced(tmp_path):
    page = tmp_path / "benchmarks.md"
    page.write_text("# Benchmarks\n\n## Streams\n\nx\n\n## History\n\n| old |\n")
    replace_section(page, FIGURES)
    first = page.read_text()
    assert first.partition("## Translation")[0] == "# Benchmarks\n\n## Streams\n\nx\n\n"
    assert first.endswith("|  |\n\n## History\n\n| old |\n")
    replace_section(page, FIGURES[:1])
    assert page.read_text() == first.replace("| messages | bedrock | 61 | 20 | 81 |  |\n", "")
