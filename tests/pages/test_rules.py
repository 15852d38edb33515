"""Routing policies and presets in the browser: made, tried, changed in versions, switched, deleted; each organization for itself."""

import html
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from accounts import presets
from accounts.models import ApiKey, Organization, RequestPreset, Role, User
from tests.factories.people import MembershipFactory, UserFactory
from tests.factories.usage import book

AsPerson = Callable[[User], Client]
MakeKey = Callable[..., tuple[ApiKey, str]]

pytestmark = pytest.mark.usefixtures("catalog")


def rule(organization: Organization, kind: str = "policy", slug: str = "safe", **fields: Any) -> RequestPreset:
    config = fields.pop("config", {"sort": "price"})
    return presets.save_version(organization=organization, kind=kind, slug=slug, config=config, by=None, **fields)[0]


@pytest.fixture
def browser(owner: User, organization: Organization, as_person: AsPerson) -> Client:
    """Return the owner's browser."""
    return as_person(owner)


def words_of(answer: Any) -> str:
    return html.unescape(answer.content.decode())


@pytest.mark.usefixtures("organization")
def test_an_empty_list_says_what_to_do(owner: User, as_person: AsPerson) -> None:
    page = words_of(as_person(owner).get("/routing/rules"))

    assert "No policies yet." in page
    assert "/routing/new/policies?start=private" in page
    assert "No presets yet." in page
    assert "/routing/new/presets" in page


def test_a_policy_is_made_and_changed_in_versions(owner: User, organization: Organization, as_person: AsPerson) -> None:
    browser = as_person(owner)

    made = browser.post("/routing/new/policies", {"slug": "no-acme", "name": "Without Acme", "config": '{"ignore": ["acme"]}'})
    assert (made.status_code, made["Location"]) == (302, "/routing/policies/no-acme")
    assert browser.post("/routing/policies/no-acme", {"config": '{"ignore": ["acme"], "zdr": true}'}).status_code == 302

    rules = presets.rules_of(organization)
    assert (rules.policies["no-acme"].version, rules.policies["no-acme"].provider) == (2, {"ignore": ["acme"], "zdr": True})
    page = words_of(browser.get("/routing/policies/no-acme"))
    assert "Save as version 3" in page
    assert '"zdr": true' in page

    assert browser.post("/routing/policies/no-acme/change", {"version": "1"}).status_code == 302
    assert presets.rules_of(organization).policies["no-acme"].provider == {"ignore": ["acme"]}
    assert browser.post("/routing/policies/no-acme/change", {"version": "9"}).status_code == 404


def test_a_preset_keeps_settings_and_a_system_prompt(owner: User, organization: Organization, as_person: AsPerson) -> None:
    browser = as_person(owner)
    fields = {"slug": "brief", "config": '{"model": "acme/swift", "temperature": 0.2, "stream": true}', "prompt": " Be brief. "}

    assert browser.post("/routing/new/presets", fields)["Location"] == "/routing/presets/brief"

    kept = presets.rules_of(organization).presets["brief"]
    assert (kept.config, kept.system_prompt) == ({"model": "acme/swift", "temperature": 0.2}, "Be brief.")
    page = words_of(browser.get("/routing/presets/brief"))
    assert '"model": "@preset/brief"' in page
    assert '"preset": "brief"' in words_of(browser.get("/routing?preset=brief"))


@pytest.mark.parametrize(
    ("call", "field", "message"),
    [
        (("policies", {"slug": "a", "config": ""}), "config", "This field is required"),
        (("policies", {"slug": "a", "config": "{"}), "config", "not valid JSON"),
        (("policies", {"slug": "a", "config": "[1]"}), "config", "Write a JSON object"),
        (("policies", {"slug": "a", "config": "{}"}), "config", "This field is required"),
        (("policies", {"slug": "a", "config": '{"sort": "fame"}'}), "config", "provider.sort must be one of"),
        (("policies", {"slug": "a", "config": '{"only": ["nobody"]}'}), "config", "which is no provider here"),
        (("policies", {"slug": "a", "config": '{"max_price": {"prompt": -1}}'}), "config", "provider.max_price.prompt"),
        (("policies", {"slug": "A b", "config": '{"zdr": true}'}), "slug", "Use a-z"),
        (("policies", {"slug": "Upper", "config": '{"zdr": true}'}), "slug", "A slug has 1 to 64 of a-z"),
        (("policies", {"slug": "known", "config": '{"zdr": true}'}), "slug", "There is one of this name already"),
        (("policies", {"slug": "gone", "config": '{"zdr": true}'}), "slug", "bring it back"),
        (("presets", {"slug": "a", "config": '{"temperature": 9}'}), "config", "temperature must be at most 2"),
        (("presets", {"slug": "a", "config": '{"provider": {"zdr": 1}}'}), "config", "provider.zdr must be true or false"),
    ],
)
def test_a_mistake_is_named_at_its_field_and_nothing_is_kept(
    organization: Organization, browser: Client, call: tuple[str, dict[str, str]], field: str, message: str
) -> None:
    rule(organization, slug="known")
    presets.change(preset=rule(organization, slug="gone"), by=None, status="archived")

    word, fields = call
    answer = browser.post(f"/routing/new/{word}", fields)

    assert answer.status_code == 422
    assert message in words_of(answer)
    assert f'id="id_{field}_error"' in words_of(answer)
    assert sorted(RequestPreset.objects.values_list("slug", flat=True)) == ["gone", "known"]


@pytest.mark.usefixtures("organization")
def test_a_preset_that_says_nothing_is_refused(owner: User, as_person: AsPerson) -> None:
    answer = as_person(owner).post("/routing/new/presets", {"slug": "empty", "config": "{}", "prompt": " "})

    assert answer.status_code == 422
    assert "a preset without either changes nothing" in words_of(answer)


def test_a_policy_is_tried_on_past_requests_before_it_is_kept(
    owner: User, organization: Organization, as_person: AsPerson, make_key: MakeKey
) -> None:
    browser, (api_key, _) = as_person(owner), make_key()
    for _ in range(3):
        book(api_key)

    answer = browser.post("/routing/new/policies", {"slug": "ours", "config": '{"only": ["acme"]}', "do": "try"})

    assert answer.status_code == 200
    # 100 tokens in and 315 out: $0.000214 at acme.
    assert answer.context["after_nanos"] == 3 * 214_000
    assert ("acme", 3) in [(slug, after) for slug, _, after in answer.context["providers"]]
    assert "None refused" in words_of(answer)
    assert not RequestPreset.objects.exists()

    refusing = browser.post("/routing/new/policies", {"slug": "poor", "config": '{"max_price": {"prompt": 0.01}}', "do": "try"})
    assert "3 refused" in words_of(refusing)


@pytest.mark.usefixtures("organization")
def test_a_trial_without_past_requests_says_so(owner: User, as_person: AsPerson) -> None:
    answer = as_person(owner).post("/routing/new/policies", {"slug": "a", "config": '{"zdr": true}', "do": "try"})

    assert "No past requests to try it on." in words_of(answer)


def test_a_policy_is_switched_made_the_default_deleted_and_brought_back(
    owner: User, organization: Organization, as_person: AsPerson
) -> None:
    browser = as_person(owner)
    rule(organization)

    browser.post("/routing/policies/safe/change", {"is_default": "1"})
    assert presets.rules_of(organization).default_policy == "safe"
    assert browser.post("/routing/policies/safe/change", {"status": "disabled", "next": "rules"})["Location"] == "/routing/rules"
    assert presets.rules_of(organization).is_empty
    browser.post("/routing/policies/safe/change", {"status": "active"})
    assert presets.rules_of(organization).default_policy == "safe"

    assert "Its versions stay" in words_of(browser.get("/routing/policies/safe/delete"))
    assert browser.post("/routing/policies/safe/delete")["Location"] == "/routing/rules"
    assert presets.rules_of(organization).is_empty
    assert "Bring back" in words_of(browser.get("/routing/rules"))
    browser.post("/routing/policies/safe/change", {"status": "active"})
    rules = presets.rules_of(organization)
    assert (list(rules.policies), rules.default_policy) == (["safe"], "")


def test_it_can_be_renamed_and_described(owner: User, organization: Organization, as_person: AsPerson) -> None:
    rule(organization)
    browser = as_person(owner)

    browser.post("/routing/policies/safe/change", {"name": "Very safe", "description": "For the auditors."})

    found = RequestPreset.objects.get()
    assert (found.name, found.description, found.designated_number) == ("Very safe", "For the auditors.", 1)
    nameless = browser.post("/routing/policies/safe/change", {"name": " ", "description": "Kept\r\nin the form."})
    assert nameless.status_code == 422
    assert "Kept\nin the form." in words_of(nameless)
    longest = "a\r\n" * 500
    browser.post("/routing/policies/safe/change", {"name": "Safe", "description": longest})
    assert RequestPreset.objects.get().description == longest.replace("\r\n", "\n").strip()


def test_a_rule_may_be_called_new(organization: Organization, browser: Client) -> None:
    made = browser.post("/routing/new/policies", {"slug": "new", "config": '{"zdr": true}'})
    assert made["Location"] == "/routing/policies/new"
    assert "No preferences" not in words_of(browser.get(made["Location"]))
    assert browser.get(made["Location"]).context["rule"].slug == "new"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"config": '{"stop": ["\\u0000"]}'}, "A zero character cannot be kept"),
        ({"config": '{"stop": ["' + "x" * 100_000 + '"]}'}, "at most 100,000 bytes"),
        ({"config": '{"stop": ["' + "x" * 200_000 + '"]}'}, "at most 100,000 characters"),
    ],
)
def test_what_the_store_cannot_keep_is_named(organization: Organization, browser: Client, fields: dict[str, str], message: str) -> None:
    answer = browser.post("/routing/new/presets", {"slug": "a", **fields})
    assert answer.status_code == 422
    assert message in words_of(answer)
    assert not RequestPreset.objects.exists()
    assert browser.get("/routing/presets/%00").status_code == 404


def test_members_see_policies_and_keep_presets(organization: Organization, as_person: AsPerson) -> None:
    member: Any = UserFactory()
    MembershipFactory(user=member, organization=organization, role=Role.MEMBER)
    rule(organization)
    browser = as_person(member)

    page = words_of(browser.get("/routing/policies/safe"))
    assert "Owners and admins change policies." in page
    assert "Save as version" not in page
    assert browser.get("/routing/new/policies").status_code == 403
    assert browser.post("/routing/policies/safe", {"config": '{"zdr": true}'}).status_code == 403
    assert browser.post("/routing/policies/safe/change", {"status": "disabled"}).status_code == 403
    assert browser.post("/routing/policies/safe/delete").status_code == 403
    assert RequestPreset.objects.get().status == "active"
    assert browser.post("/routing/policies/safe", {"config": '{"zdr": true}', "do": "try"}).status_code == 200
    assert browser.post("/routing/new/presets", {"slug": "mine", "config": '{"temperature": 0}'}).status_code == 302


@pytest.mark.parametrize("path", ["", "/change", "/delete"])
def test_strangers_find_nothing(organization: Organization, stranger: User, as_person: AsPerson, path: str) -> None:
    rule(organization)
    browser = as_person(stranger)

    assert browser.post(f"/routing/policies/safe{path}", {"config": '{"zdr": true}', "status": "archived"}).status_code == 404
    assert "/routing/policies/safe" not in words_of(browser.get("/routing/rules"))
    assert RequestPreset.objects.get().status == "active"


def test_what_is_no_kind_is_no_page(owner: User, organization: Organization, as_person: AsPerson) -> None:
    rule(organization)
    assert [as_person(owner).get(f"/routing/{path}").status_code for path in ("others/safe", "presets/safe", "others/new")] == [404] * 3


@pytest.mark.parametrize("path", ["rules", "policies/new", "policies/safe", "policies/safe/delete"])
def test_nobody_without_an_account_gets_in(client: Client, path: str) -> None:
    assert client.get(f"/routing/{path}").status_code == 302
