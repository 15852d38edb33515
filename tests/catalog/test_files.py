"""Data files are read whole or refused whole, with the place and the reason."""

from pathlib import Path

import pytest

from catalog.files import BadDataFiles, digest_files, parse_yaml, read_files
from tests.catalog.conftest import ENDPOINT, MODELS, PROVIDER, DataDir


def test_numbers_with_a_point_and_dates_stay_text() -> None:
    assert parse_yaml(b"{a: 0.30, b: 2026-11-01, c: 3, d: true}") == {"a": "0.30", "b": "2026-11-01", "c": 3, "d": True}


def test_a_good_directory_is_read(data_dir: DataDir) -> None:
    files = read_files(data_dir.path)
    assert [one.slug for one in files.providers] == ["acme"]
    assert files.providers[0].endpoints[0].price.usd_per_million_tokens == {"input": "0.5", "output": "1.5"}


@pytest.mark.parametrize(
    ("parts", "fault"),
    [
        ({"endpoint": ENDPOINT + ENDPOINT}, "providers/acme.yaml maker/small@acme: this id is given twice"),
        ({"endpoint": ENDPOINT.replace("model: maker/small", "model: maker/large")}, "'maker/large@acme'"),
        ({"models": MODELS.replace("maker/small", "maker/other")}, "model 'maker/small' is in no file of models"),
        ({"models": MODELS + MODELS.partition("models:\n")[2]}, "models/maker.yaml maker/small: this id is given twice"),
        ({"models": MODELS.replace("id: maker/small", "id: else/small")}, "an id of this file starts with 'maker/'"),
        ({"models": MODELS.replace("type: chat", "type: chatty")}, "Invalid enum value 'chatty' - at `$.models[0].type`"),
        ({"price": "{usd_per_million: {input: '1'}}"}, "unknown field `usd_per_million` - at `$.endpoints[0].price`"),
        ({"price": "{usd_per_million_tokens: {input: [1]}}"}, "$.endpoints[0].price.usd_per_million_tokens"),
        ({"price": "{usd_per_million_tokens: {input: '1', input: '2'}}"}, "providers/acme.yaml line 15: 'input' is given twice"),
        ({"price": "{usd_per_million_tokens: {"}, "providers/acme.yaml line"),
        ({"provider": PROVIDER.replace("slug: acme", "slug: other")}, "the file says 'other'"),
    ],
)
def test_a_fault_is_told_with_its_place(data_dir: DataDir, parts: dict[str, str], fault: str) -> None:
    with pytest.raises(BadDataFiles) as caught:
        read_files(data_dir.write(**parts))
    assert fault in str(caught.value)


def test_all_faults_are_told_at_once(data_dir: DataDir) -> None:
    with pytest.raises(BadDataFiles) as caught:
        read_files(data_dir.write(price="{bad: 1}", models=MODELS.replace("type: chat", "type: x")))
    assert len(caught.value.faults) == 2


def test_an_empty_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadDataFiles):
        read_files(tmp_path)


def test_the_digest_follows_the_content(data_dir: DataDir) -> None:
    before = digest_files(data_dir.path)
    assert digest_files(data_dir.write()) == before
    assert digest_files(data_dir.write(price="{usd_per_million_tokens: {input: '0.5', output: '1.6'}}")) != before
