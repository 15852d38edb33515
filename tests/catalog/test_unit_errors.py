"""A price in the wrong unit is told apart from one that is merely dear, by what others ask for the same model."""

from pathlib import Path

import pytest

from catalog.files import BadDataFiles, read_files
from catalog.loader import load_catalog
from catalog.models import PriceVersion
from catalog.unit_errors import find_unit_errors
from tests.catalog.conftest import ENDPOINT, DataDir

_OTHER = ENDPOINT.replace("@acme", "@acme/turbo")


def _write(data_dir: DataDir, *, mine: str, theirs: str, notice: str = "") -> Path:
    def price(usd: str, said: str = "") -> str:
        text = f"{{usd_per_million_tokens: {{input: '{usd}', output: '1'}}{said}}}"
        return text.replace("{", "{{").replace("}", "}}")  # the directory formats it

    return data_dir.write(endpoint=ENDPOINT.replace("{price}", price(theirs)) + _OTHER.replace("{price}", price(mine, notice)))


@pytest.mark.parametrize(("mine", "times"), [("49.9", 0), ("0.0051", 0), ("50", 2), ("500", 2), ("0.005", 2), ("0.0000005", 2), ("0", 0)])
def test_a_hundred_times_or_a_hundredth_of_what_others_ask_is_a_wrong_unit(data_dir: DataDir, mine: str, times: int) -> None:
    faults = list(find_unit_errors(read_files(_write(data_dir, mine=mine, theirs="0.5"))))
    assert len(faults) == times  # of two, nobody knows which is wrong: both are named


def test_a_price_that_was_looked_at_is_taken_and_the_other_named(data_dir: DataDir) -> None:
    notice = ", notice: {text: really so dear, until: '2027-01-01', source: 'https://acme.example'}"
    faults = list(find_unit_errors(read_files(_write(data_dir, mine="500", theirs="0.5", notice=notice))))
    (fault,) = faults
    assert fault == (
        "providers/acme.yaml maker/small@acme: input at $0.5 looks like a wrong unit: others ask $500 for this model. "
        "If it is right, say so in a notice of the price"
    )


def test_files_with_a_wrong_unit_are_refused_whole(data_dir: DataDir, db: None) -> None:
    with pytest.raises(BadDataFiles, match=r"providers/acme.yaml maker/small@acme/turbo: input at \$500 looks like a wrong unit"):
        load_catalog(data_dir=_write(data_dir, mine="500", theirs="0.5"))
    assert not PriceVersion.objects.filter(endpoint__slug__startswith="maker/small@acme").exists()


def test_the_shipped_files_have_none() -> None:
    assert list(find_unit_errors(read_files())) == []
