"""Three sources, read whole or refused whole; the provider's own list only from an address that was checked."""

import datetime as dt
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from catalog.sync.genai_source import read_genai_prices
from catalog.sync.models_dev_source import read_models_dev
from catalog.sync.offers import UnreadableSource
from catalog.sync.provider_source import read_provider_list

AT = dt.datetime(2026, 11, 25, tzinfo=dt.UTC)
MODELS_DEV = {
    "acme": {
        "models": {
            "small": {
                "name": "Small",
                "limit": {"context": 200000, "output": 8192},
                "cost": {
                    "input": 0.1,
                    "output": 2,
                    "cache_read": 0.01,
                    "tiers": [{"input": 0.2, "tier": {"type": "context", "size": 128000}}],
                },
            },
            "odd": {"cost": {"input": 1e-13, "output": -1}},
            "unpriced": {"status": "deprecated"},
        },
    },
}


def test_genai_prices_is_read_as_it_is_installed() -> None:
    offers = {(one.provider, one.key): one for one in read_genai_prices(at=AT)}
    assert len(offers) > 2_000
    sonnet = offers["anthropic", "claude-sonnet-4-5"].card
    assert sonnet.rates["input_tokens"] == 3_000_000
    assert [tier.min_prompt_tokens for tier in sonnet.tiers] == [200_000]


def test_a_package_that_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices.data", None)
    with pytest.raises(UnreadableSource, match="not installed"):
        read_genai_prices(at=AT)


def test_models_dev_is_read_from_its_file_and_from_a_checkout(tmp_path: Path) -> None:
    file = tmp_path / "api.json"
    file.write_text(json.dumps(MODELS_DEV))
    small, odd, unpriced = read_models_dev(file)
    assert small.card.rates == {"input_tokens": 100_000, "output_tokens": 2_000_000, "cache_read_tokens": 10_000}
    assert [(tier.min_prompt_tokens, tier.rates) for tier in small.card.tiers] == [(128_000, {"input_tokens": 200_000})]
    assert (small.context_length, small.max_output_tokens) == (200_000, 8_192)
    assert (odd.card.rates, odd.unread) == ({}, ("input", "output"))
    assert unpriced.deprecated
    folder = tmp_path / "models.dev" / "providers" / "acme" / "models" / "maker"
    folder.mkdir(parents=True)
    (folder / "small.toml").write_text('name = "Small"\n[cost]\ninput = 0.1\noutput = 2.0\n')
    [checked_out] = read_models_dev(tmp_path / "models.dev")
    assert (checked_out.provider, checked_out.key) == ("acme", "maker/small")
    assert checked_out.card.rates == {"input_tokens": 100_000, "output_tokens": 2_000_000}


@pytest.mark.parametrize("content", ["{", "[]", '{"acme": {}}', '{"acme": []}', '{"acme": {"models": {"x": 3}}}'])
def test_a_broken_file_is_refused_whole(tmp_path: Path, content: str) -> None:
    file = tmp_path / "api.json"
    file.write_text(content)
    with pytest.raises(UnreadableSource, match=r"api\.json"):
        read_models_dev(file)
    with pytest.raises(UnreadableSource):
        read_models_dev(tmp_path / "nothing.json")
    with pytest.raises(UnreadableSource, match="checkout"):
        read_models_dev(tmp_path)


class _Lists(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["Host"], self.headers["Authorization"]))  # type: ignore[attr-defined]
        rows = [
            {"id": "small", "context_length": 1000, "pricing": {"prompt": "0.0000005", "completion": "0.0000015", "request": "-1"}},
            {"id": "bare"},
        ]
        answers: dict[str, tuple[int, Any]] = {
            "/v1/models": (200, {"data": rows}),
            "/bad/models": (200, {"data": [{}]}),
            "/none/models": (200, 7),
        }
        status, body = answers.get(self.path, (302, {}))
        self.send_response(status)
        self.send_header("Location", "/v1/models")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def lists() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Lists)
    server.asked = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_providers_list_is_read_with_its_key_under_its_name(lists: ThreadingHTTPServer) -> None:
    port = lists.server_address[1]
    small, bare = read_provider_list(
        slug="acme", base_url=f"http://localhost:{port}/v1", headers={"authorization": "Bearer k"}, allow_private=True
    )  # fmt: skip
    assert small.card.rates == {"input_tokens": 500_000, "output_tokens": 1_500_000}
    assert (small.unread, small.context_length, bare.card.rates) == (("request",), 1000, {})
    assert lists.asked[-1] == ("/v1/models", f"localhost:{port}", "Bearer k")  # type: ignore[attr-defined]


@pytest.mark.parametrize(("path", "words"), [("/bad", "no id"), ("/none", "no array"), ("/moved", "answered 302")])
def test_an_answer_that_is_no_list_is_refused_and_no_redirect_is_followed(lists: ThreadingHTTPServer, path: str, words: str) -> None:
    with pytest.raises(UnreadableSource, match=words):
        read_provider_list(slug="acme", base_url=f"http://127.0.0.1:{lists.server_address[1]}{path}", headers={}, allow_private=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "169.254.169.254", "10.0.0.1", "metadata.internal"])
def test_an_address_in_a_private_network_is_never_asked(lists: ThreadingHTTPServer, host: str) -> None:
    before = len(lists.asked)  # type: ignore[attr-defined]
    with pytest.raises(UnreadableSource):
        read_provider_list(slug="acme", base_url=f"http://{host}:{lists.server_address[1]}/v1", headers={}, allow_private=False)
    assert len(lists.asked) == before  # type: ignore[attr-defined]
