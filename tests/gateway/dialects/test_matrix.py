"""The matrix of docs/dialects.md says what the code does."""

import pytest

from tests.gateway.dialects.matrix import FEATURES, FORMATS, fate, table, written


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("feature", FEATURES)
def test_nothing_that_was_asked_for_is_ignored_in_silence(feature, form):
    assert fate(feature, form) in {"yes", "left out", "refused", "not sent"}


def test_the_page_says_what_the_code_does():
    assert written() == table(), "python -m tests.gateway.dialects.matrix writes it"
