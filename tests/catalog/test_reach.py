"""Options, headers, quirks shared and last resort: set by the operator's commands, sealed where secret, kept over a reload."""

import msgspec
import pytest
from django.core.management import CommandError, call_command

from accounts.models import AuditEvent
from accounts.secrets import Sealer
from catalog.models import CatalogSnapshot, Endpoint, Provider
from catalog.reach import BadReach, Reach, change_reach, open_headers
from tests.catalog.conftest import newest_snapshot
from tests.catalog.test_commands import own, run

pytestmark = pytest.mark.django_db

TOKEN = "Bearer cf-very-secret"


def test_headers_are_sealed_sent_with_every_call_and_shown_nowhere(publish_small, settings):
    publish_small()
    out = run("set_provider", "acme", "--header", f"CF-AIG-Authorization: {TOKEN}", "--header", "x-title: Tollway")

    assert out == "acme is live at https://api.acme.example/v1\n"
    sealed = newest_snapshot().providers["acme"].sealed_headers
    opened = msgspec.json.decode(Sealer(settings.SECRET_KEY).open_sealed(sealed))
    assert opened == {"cf-aig-authorization": TOKEN, "x-title": "Tollway"}
    shown = str([event.detail for event in AuditEvent.objects.all()]).encode() + bytes(CatalogSnapshot.objects.latest("version").body)
    assert TOKEN.encode() not in shown + bytes(Provider.objects.get(slug="acme").sealed_headers)

    run("set_provider", "acme", "--header", "cf-aig-authorization:")
    assert open_headers(Provider.objects.get(slug="acme")) == {"x-title": "Tollway"}


def test_options_fill_the_blanks_of_a_base_url_and_a_reload_keeps_them(publish_small):
    publish_small()
    Provider.objects.filter(slug="acme").update(base_url="https://{region}.acme.example/{project}")
    run("set_provider", "acme", "--api-key", "k", "--option", "region=eu-1", "--option", "project=p-9")

    assert newest_snapshot().providers["acme"].base_url == "https://eu-1.acme.example/p-9"
    call_command("load_catalog", verbosity=0)
    assert Provider.objects.get(slug="acme").options == {"region": "eu-1", "project": "p-9"}
    run("set_provider", "acme", "--option", "region=")
    assert Provider.objects.get(slug="acme").options == {"project": "p-9"}


def test_an_own_gateway_shares_quirks_names_models_in_full_and_waits_for_the_others():
    own("--like", "openrouter", "--last-resort", "--api-key", "k", name="Spare")

    spec = newest_snapshot().providers["spare"]
    assert (spec.like, spec.is_last_resort) == ("openrouter", True)
    assert Endpoint.objects.get(provider__slug="spare").provider_model_id == "meta-llama/Llama-3.1-8B"
    assert spec.auth == "bearer"
    own("--like", "azure", "--api-key", "k", name="House")
    own("--api-key", "k", name="House")  # changed, and still like Azure
    assert newest_snapshot().providers["house"].auth == "api-key"
    run("set_provider", "spare", "--no-last-resort")
    assert not newest_snapshot().providers["spare"].is_last_resort


@pytest.mark.parametrize(
    ("headers", "options", "says"),
    [
        ({"host": "evil.example"}, {}, "header 'host'"),
        ({"Content-Length": "3"}, {}, "header 'content-length'"),
        ({"bad name": "x"}, {}, "header 'bad name'"),
        ({"x-a": "one\r\nx-b: two"}, {}, "printable ASCII"),
        ({"x-a": "é"}, {}, "printable ASCII"),
        ({f"x-{number}": "1" for number in range(21)}, {}, "at most 20"),
        ({}, {"region": "eu.evil.example/x?"}, "option region"),
        ({}, {"Re gion": "eu"}, "option Re gion"),
    ],
)
def test_what_would_break_a_request_is_refused_and_nothing_changes(publish_small, headers, options, says):
    publish_small()
    provider = Provider.objects.get(slug="acme")
    with pytest.raises(BadReach, match=says):
        change_reach(provider, Reach(headers=headers, options=options, is_last_resort=True))
    assert Provider.objects.get(slug="acme").is_last_resort is False


def test_the_command_says_what_is_wrong(publish_small):
    publish_small()
    with pytest.raises(CommandError, match="--header needs a name"):
        run("set_provider", "acme", "--header", "nothing")
    with pytest.raises(CommandError, match="option"):
        run("set_provider", "acme", "--option", "region=a/b")
