"""What a query string means, and what is refused by name."""

from decimal import Decimal

import pytest

from catalog.model_query import InvalidQuery, ModelQuery, next_page_url, read_outputs, read_page, read_query


def test_no_question_asks_for_text_models_and_no_page() -> None:
    assert read_query(b"") == ModelQuery()
    assert ModelQuery().outputs == {"text"}
    assert read_query(b"output_modalities=all").outputs is None
    assert read_query(b"output_modalities=Image,+audio").outputs == {"image", "audio"}


def test_equal_questions_are_equal_whatever_their_spelling() -> None:
    one = read_query(b"q=GPT+mini&supported_parameters=tools,seed&max_price=1.50&noise=1&min_price=")
    two = read_query(b"max_price=1.5&q=mini%20gpt&supported_parameters=seed&supported_parameters=tools")
    assert one == two
    assert hash(one) == hash(two)
    assert one.prompt_picos_max == Decimal(1_500_000)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        (b"limit=0", "limit"),
        (b"limit=1001", "limit"),
        (b"limit=ten", "limit"),
        (b"offset=-1", "offset"),
        (b"offset=1.5", "offset"),
        (b"offset=" + b"9" * 40, "offset"),
        (b"category=cooking", "category"),
        (b"sort=best", "sort"),
        (b"context=0", "context"),
        (b"min_price=-1", "min_price"),
        (b"max_price=NaN", "max_price"),
        (b"max_price=Infinity", "max_price"),
        (b"max_price=1e999999", "max_price"),
        (b"max_price=cheap", "max_price"),
        (b"distillable=maybe", "distillable"),
        (b"zdr=false", "zdr"),
        (b"region=mars", "region"),
        (b"min_age_days=-3", "min_age_days"),
        (b"min_intelligence_index=high", "min_intelligence_index"),
        (b"q=%ff", "query"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(query: bytes, param: str) -> None:
    with pytest.raises(InvalidQuery) as caught:
        read_query(query)
    assert caught.value.param == param


def test_a_page_begins_when_either_of_its_parameters_is_given() -> None:
    assert (read_page(b"").offset, read_page(b"").limit) == (0, None)
    assert (read_page(b"offset=0").offset, read_page(b"offset=0").limit) == (0, 500)
    assert (read_page(b"limit=3").offset, read_page(b"limit=3").limit) == (0, 3)
    assert read_page(b"").outputs is None
    assert read_outputs(b"limit=bad").outputs == {"text"}


def test_the_next_page_keeps_the_question() -> None:
    query = read_query(b"q=a%20b&limit=2&sort=newest")
    assert (
        next_page_url("/api/v1/models", b"q=a%20b&limit=2&sort=newest", query, 5) == "/api/v1/models?q=a%20b&sort=newest&offset=2&limit=2"
    )
    assert next_page_url("/api/v1/models", b"limit=5", read_query(b"limit=5"), 5) is None
    assert next_page_url("/api/v1/models", b"", ModelQuery(), 5) is None


def test_what_nobody_measures_here_is_told_apart() -> None:
    assert read_query(b"min_coding_index=50").asks_unknown
    assert read_query(b"category=programming").asks_unknown
    assert not read_query(b"sort=coding-high-to-low").asks_unknown
