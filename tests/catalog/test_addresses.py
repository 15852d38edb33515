"""A key is never sent to an address that the operator did not mean."""

import pytest

from catalog.addresses import BadBaseUrl, PrivateAddress, check_base_url


def test_a_public_address_is_accepted_without_its_slash() -> None:
    assert check_base_url(" https://8.8.8.8:8443/v1/ ", allow_private=False) == "https://8.8.8.8:8443/v1"


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8000/v1", "https://10.0.0.5", "https://192.168.1.2/v1", "https://169.254.169.254/latest", "https://[::1]/v1",
     "https://[fd00::1]", "https://localhost", "https://vllm", "https://gpu.internal/v1", "https://nas.local", "https://2130706433/",
     "https://[::ffff:10.0.0.1]", "http://8.8.8.8/v1", "https://100.64.0.1"],
)  # fmt: skip
def test_a_private_or_unencrypted_address_needs_a_word_of_the_operator(url: str) -> None:
    with pytest.raises(PrivateAddress):
        check_base_url(url, allow_private=False)
    assert check_base_url(url, allow_private=True) == url.rstrip("/")


@pytest.mark.parametrize(
    "url", ["", "ftp://8.8.8.8", "8.8.8.8/v1", "https://", "https://user:pw@8.8.8.8", "https://8.8.8.8/?key=1", "https://8.8.8.8:port"]
)  # fmt: skip
def test_what_is_no_base_url_is_refused_whatever_is_allowed(url: str) -> None:
    with pytest.raises(BadBaseUrl) as caught:
        check_base_url(url, allow_private=True)
    assert not isinstance(caught.value, PrivateAddress)
