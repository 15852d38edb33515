"""What a ``prompt`` may be, and what a client is told of every other."""

import pytest

from gateway.dialects.base import InvalidRequest
from gateway.dialects.prompts import message_from_prompt, read_prompt


@pytest.mark.parametrize("prompt", ["hello", ["hello"]])
def test_a_text_and_a_list_of_one_text_are_that_text(prompt):
    assert read_prompt(prompt) == "hello"
    assert message_from_prompt(prompt) == {"role": "user", "content": "hello"}


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        (None, "is required"),
        ("", "is required"),
        ([], "is required"),
        ([""], "is required"),
        ([15339], "not token ids"),
        ([15339, 1917], "not token ids"),
        ([[15339], [1917, 2]], "not token ids"),
        (7, "not token ids"),
        (["a", "b", "c"], "send these 3 as 3 requests"),
        (["a", 1], "must be one text (a string"),
        ([[]], "must be one text (a string"),
        (True, "must be one text (a string"),
        ([[[1]]], "must be one text (a string"),
        ({"text": "a"}, "must be one text (a string"),
        ([True, False], "must be one text (a string"),
        (0, "not token ids"),
    ],
)
def test_anything_else_is_refused_with_the_reason(prompt, words):
    with pytest.raises(InvalidRequest) as refused:
        read_prompt(prompt)
    assert refused.value.param == "prompt"
    assert words in refused.value.message
