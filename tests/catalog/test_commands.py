"""The operator's commands: keys, own providers, loading, checking, publishing."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from accounts.models import AuditEvent
from accounts.secrets import Sealer
from catalog.models import CatalogSnapshot, Endpoint, Model, PriceVersion, Provider, ProviderCredential
from catalog.types import Snapshot
from tests.catalog.conftest import MODELS, DataDir, newest_snapshot

pytestmark = pytest.mark.django_db

SECRET = "sk-very-secret-0123456789"


def run(*args: str) -> str:
    out = io.StringIO()
    call_command(*args, stdout=out, stderr=out)
    return out.getvalue()


def own(*args: str, name: str = "My vLLM", prices: tuple[str, str] = ("0.1", "0.2")) -> str:
    return run(
        "add_provider", name, "--base-url", "http://10.0.0.5:8000/v1", "--allow-private", "--dialect", "chat_completions",
        "--model", "llama-8b=meta-llama/Llama-3.1-8B", "--input-price", prices[0], "--output-price", prices[1], *args,
    )  # fmt: skip


def test_a_key_makes_a_provider_live_and_is_seen_nowhere(
    publish_small: Callable[..., Snapshot], settings, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    publish_small()
    out = run("set_provider", "acme", "--api-key", SECRET)
    assert out == "acme is live at https://api.acme.example/v1\n"
    provider = newest_snapshot().providers["acme"]
    assert Sealer(settings.SECRET_KEY).open_sealed(provider.sealed_credentials[0]) == SECRET
    body = bytes(CatalogSnapshot.objects.latest("version").body)
    audit = str([event.detail for event in AuditEvent.objects.all()])
    assert all(SECRET not in text for text in (out, *capfd.readouterr(), caplog.text, audit))
    assert SECRET.encode() not in body + bytes(ProviderCredential.objects.get().sealed)


def test_a_new_key_replaces_the_old_and_removing_it_goes_back(publish_small: Callable[..., Snapshot], settings) -> None:
    settings.DEMO_MODE = True
    publish_small()
    run("set_provider", "acme", "--api-key", "one")
    run("set_provider", "acme", "--api-key", "two")
    assert [Sealer(settings.SECRET_KEY).open_sealed(one) for one in newest_snapshot().providers["acme"].sealed_credentials] == ["two"]
    assert run("set_provider", "acme", "--remove-key").startswith("acme is simulated")
    assert newest_snapshot().providers["acme"].sealed_credentials == ()


def test_a_base_url_is_overridden_and_taken_back(publish_small: Callable[..., Snapshot]) -> None:
    publish_small()
    run("set_provider", "acme", "--api-key", "k", "--base-url", "https://8.8.8.8/v2/")
    assert newest_snapshot().providers["acme"].base_url == "https://8.8.8.8/v2"
    run("set_provider", "acme", "--base-url", "")
    assert newest_snapshot().providers["acme"].base_url == "https://api.acme.example/v1"


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (("nobody", "--api-key", "k"), "no provider 'nobody'"),
        (("acme",), "give a key, a base URL, an option or a header"),
        (("acme", "--api-key", "two words"), "printable ASCII"),
        (("acme", "--api-key", ""), "must not be empty"),
        (("acme", "--api-key", "k", "--base-url", "http://127.0.0.1:9"), "--allow-private"),
    ],
)
def test_what_cannot_be_set_changes_nothing(publish_small: Callable[..., Snapshot], args: tuple[str, ...], reason: str) -> None:
    publish_small()
    with pytest.raises(CommandError, match=reason):
        run("set_provider", *args)
    assert ProviderCredential.objects.count() == 0
    assert Provider.objects.get().base_url_override == ""


def test_a_private_base_url_is_marked_for_the_data_plane(publish_small: Callable[..., Snapshot]) -> None:
    publish_small()
    run("set_provider", "acme", "--base-url", "http://127.0.0.1:9", "--allow-private", "--api-key", "k")
    provider = newest_snapshot().providers["acme"]
    assert (provider.base_url, provider.allow_private_address) == ("http://127.0.0.1:9", True)


def test_an_own_server_is_live_with_its_model_and_price(publish_small: Callable[..., Snapshot]) -> None:
    publish_small()
    assert own("--context-length", "8192") == "my-vllm is live at http://10.0.0.5:8000/v1\n"
    snapshot = newest_snapshot()
    endpoint = snapshot.endpoints["my-vllm/llama-8b@my-vllm"]
    assert (endpoint.model, endpoint.provider_model_id, endpoint.context_length) == ("my-vllm/llama-8b", "meta-llama/Llama-3.1-8B", 8192)
    assert endpoint.price.rates == {"input_tokens": 100_000, "output_tokens": 200_000}
    provider = snapshot.providers["my-vllm"]
    assert (provider.auth, provider.dialect, provider.allow_private_address) == ("none", "chat_completions", True)


def test_adding_again_changes_the_price_by_a_new_version(publish_small: Callable[..., Snapshot]) -> None:
    publish_small()
    own()
    own(prices=("0.3", "0.4"))
    assert PriceVersion.objects.filter(endpoint__slug="my-vllm/llama-8b@my-vllm").count() == 2
    assert newest_snapshot().endpoints["my-vllm/llama-8b@my-vllm"].price.rates["input_tokens"] == 300_000


def test_an_own_server_with_a_key_authenticates_as_its_dialect_does(publish_small: Callable[..., Snapshot]) -> None:
    publish_small()
    run(
        "add_provider", "claude-proxy", "--base-url", "https://8.8.8.8/v1", "--dialect", "messages", "--api-key", "k",
        "--model", "maker/small", "--input-price", "0", "--output-price", "0",
    )  # fmt: skip
    snapshot = newest_snapshot()
    assert (snapshot.providers["claude-proxy"].auth, snapshot.providers["claude-proxy"].dialect) == ("x-api-key", "messages")
    assert snapshot.models["maker/small:free"].endpoints == ("maker/small@claude-proxy",)


def test_models_can_come_from_a_file(publish_small: Callable[..., Snapshot], tmp_path: Path) -> None:
    publish_small()
    models = tmp_path / "models.yaml"
    models.write_text(
        "models:\n- id: house/big\n  provider_model_id: big-1\n  name: Big\n  context_length: 32768\n"
        "  price: {usd_per_million_tokens: {input: 0.25, output: 1, cache_read: 0.025}}\n"
    )
    run("add_provider", "House", "--base-url", "http://10.1.1.1", "--allow-private", "--dialect", "gemini", "--models", str(models))
    endpoint = newest_snapshot().endpoints["house/big@house"]
    assert endpoint.price.rates == {"input_tokens": 250_000, "output_tokens": 1_000_000, "cache_read_tokens": 25_000}


def test_an_own_provider_survives_the_next_load(publish_small: Callable[..., Snapshot]) -> None:
    publish_small()
    own()
    snapshot = publish_small(models=MODELS.replace("name: Small", "name: Smaller"))
    assert "my-vllm/llama-8b@my-vllm" in snapshot.endpoints
    assert Endpoint.objects.filter(withdrawn_at=None).count() == Model.objects.count() == 2


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (("Acme", "--model", "m", "--input-price", "1", "--output-price", "1"), "change it with set_provider acme"),
        (("x", "--model", "m"), "needs --input-price"),
        (("x",), "at least one model"),
        (("x", "--model", "m", "--input-price", "-1", "--output-price", "1"), "negative"),
        (("x", "--model", "/", "--input-price", "1", "--output-price", "1"), "not a model id"),
    ],
)
def test_an_own_provider_with_a_mistake_is_not_added(publish_small: Callable[..., Snapshot], args: tuple[str, ...], reason: str) -> None:
    publish_small()
    with pytest.raises(CommandError, match=reason):
        run("add_provider", args[0], "--base-url", "https://8.8.8.8", "--dialect", "chat_completions", *args[1:])
    assert Provider.objects.count() == Endpoint.objects.count() == 1


def test_a_private_own_server_needs_a_word(publish_small: Callable[..., Snapshot]) -> None:
    publish_small()
    with pytest.raises(CommandError, match="--allow-private"):
        run(
            "add_provider", "x", "--base-url", "http://10.0.0.5", "--dialect", "gemini",
            "--model", "m", "--input-price", "0", "--output-price", "0",
        )  # fmt: skip


def test_loading_says_what_it_did_and_then_that_nothing_changed(data_dir: DataDir) -> None:
    first, second = (run("load_catalog", "--data", str(data_dir.path)) for _ in range(2))
    assert "Loaded: 1 endpoints added, 0 changed, 0 withdrawn; 1 new price versions." in first
    assert "Catalog version 1 published: 1 models, 1 endpoints, 1 providers." in first
    assert second == "Catalog version 1 already in force: 1 models, 1 endpoints, 1 providers.\n"


def test_bad_files_are_refused_with_every_fault_and_change_nothing(publish_small: Callable[..., Snapshot], data_dir: DataDir) -> None:
    publish_small()
    data_dir.write(price="{usd_per_million_tokens: {input: '-3', output: '1'}}")
    with pytest.raises(CommandError, match=r"providers/acme.yaml maker/small@acme: .*'-3' is negative"):
        run("load_catalog", "--data", str(data_dir.path))
    assert newest_snapshot().version == 1


def test_checking_lists_problems_and_fails_on_errors(publish_small: Callable[..., Snapshot]) -> None:
    publish_small()
    out = run("check_catalog")
    assert "note    provider_off     acme: off: it has no credentials" in out
    Endpoint.objects.update(is_free=True)
    with pytest.raises(CommandError, match="1 error"):
        run("check_catalog")


def test_publishing_and_rolling_back(publish_small: Callable[..., Snapshot]) -> None:
    publish_small()
    assert "already in force" in run("publish_catalog")
    Model.objects.update(name="Renamed")
    assert run("publish_catalog").startswith("Catalog version 2 published")
    assert "Catalog version 3 published" in run("publish_catalog", "--rollback", "1")
    assert newest_snapshot().models["maker/small"].name == "Small"
    with pytest.raises(CommandError, match="no catalog version 99"):
        run("publish_catalog", "--rollback", "99")
