import re
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client

from accounts.models import User
from tests.factories.people import PASSWORD

TEMPLATES = sorted((settings.BASE_DIR / "templates").rglob("*.html")) + sorted((settings.BASE_DIR / "templates").rglob("*.svg"))
INLINE = {
    "a script in the page": re.compile(r"<script(?![^>]*\ssrc=)", re.IGNORECASE),
    "a style in the page": re.compile(r"<style|\sstyle\s*=", re.IGNORECASE),
    "an event handler": re.compile(r"\son[a-z]+\s*=|\shx-on", re.IGNORECASE),
    "a file from elsewhere": re.compile(r"""(?:src|href|action)=["'](?:https?:)?//""", re.IGNORECASE),
}


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: str(path.relative_to(settings.BASE_DIR)))
def test_no_template_has_anything_inline(template: Path) -> None:
    text = re.sub(r"{%.*?%}", "", template.read_text(encoding="utf-8"), flags=re.DOTALL)  # {% with one=… %} handles no event

    assert [what for what, pattern in INLINE.items() if pattern.search(text)] == []


def test_every_icon_that_a_template_uses_is_in_the_sprite_and_no_other() -> None:
    sprite = (settings.BASE_DIR / "static" / "vendor" / "lucide" / "icons.svg").read_text(encoding="utf-8")
    used = {name for template in TEMPLATES for name in re.findall(r'{% icon "([a-z0-9-]+)"', template.read_text(encoding="utf-8"))}

    assert set(re.findall(r'<symbol id="([a-z0-9-]+)"', sprite)) == used


@pytest.mark.parametrize("path", ["/", "/models", "/accounts/login/", "/accounts/signup/", "/nothing-here"])
@pytest.mark.django_db
def test_every_answer_carries_the_policy_and_a_request_id(client: Client, path: str) -> None:
    answer = client.get(path, headers={"Host": "localhost"})

    assert answer["Content-Security-Policy"] == (
        "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self' ws://localhost; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
    assert re.fullmatch(r"[0-9a-f]{32}", answer["X-Request-Id"])
    assert (answer["X-Content-Type-Options"], answer["X-Frame-Options"]) == ("nosniff", "DENY")


@pytest.mark.parametrize(
    ("given", "is_kept"), [("trace-0123456789", True), ("short", False), ("with space and more", False), ("x" * 200, False)]
)
@pytest.mark.django_db
def test_a_sane_request_id_is_kept_and_another_replaced(client: Client, given: str, is_kept: bool) -> None:  # noqa: FBT001
    assert (client.get("/healthz", headers={"X-Request-Id": given})["X-Request-Id"] == given) is is_kept


def test_the_admin_works_under_its_own_policy_without_inline_scripts(operator: User, as_person: Callable[[User], Client]) -> None:
    answer = as_person(operator).get("/operator/")

    policy = dict(part.split(" ", 1) for part in answer["Content-Security-Policy"].split("; "))
    assert answer.status_code == 200
    assert (policy["script-src"], policy["style-src"]) == ("'self'", "'self' 'unsafe-inline'")


def test_operators_log_in_where_failed_attempts_are_counted(operator: User, client: Client) -> None:
    answer = client.post("/operator/login/", {"username": operator.email, "password": PASSWORD})

    assert (answer.status_code, answer["Location"].partition("?")[0]) == (302, "/accounts/login/")
    assert client.get("/operator/").status_code == 302


def test_the_admin_is_closed_to_everybody_else(owner: User, as_person: Callable[[User], Client]) -> None:
    assert as_person(owner).get("/operator/login/").status_code == 403


@pytest.mark.django_db
def test_header_and_footer_lead_to_prices_and_their_changes(client: Client) -> None:
    page = client.get("/pricing").content.decode()
    header, _, rest = page.partition("</header>")

    assert '<a href="/pricing" aria-current="page">Pricing</a>' in header
    links = re.findall(r'<a href="([^"]+)">', rest.partition("<footer")[2])
    assert {"/models", "/pricing", "/api/v1/feed.json", "/feed.rss"} <= set(links)
    assert [client.get(link).status_code for link in links if link.startswith("/")] == [200] * 4


@pytest.mark.django_db
def test_a_page_that_is_not_there_says_so_in_style(client: Client) -> None:
    answer = client.get("/nothing/here")

    assert answer.status_code == 404
    assert "There is nothing here" in answer.content.decode()


@pytest.mark.django_db
def test_a_broken_page_tells_its_request_id_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("the password is swordfish")

    monkeypatch.setattr("catalog.showcase.published", fail)
    browser = Client(raise_request_exception=False)

    answer = browser.get("/models", headers={"X-Request-Id": "trace-0123456789"})

    assert answer.status_code == 500
    assert "trace-0123456789" in answer.content.decode()
    assert "swordfish" not in answer.content.decode()


@pytest.mark.django_db
def test_the_theme_is_remembered_without_script(client: Client) -> None:
    answers = [client.post("/theme", {"next": "/models"}) for _ in range(2)]

    assert [answer["Location"] for answer in answers] == ["/models", "/models"]
    assert [answer.cookies["tollway_theme"].value for answer in answers] == ["dark", "light"]
    assert '<html lang="en" data-theme="light">' in client.get("/models").content.decode()


@pytest.mark.django_db
def test_the_theme_form_leads_nowhere_else(client: Client) -> None:
    assert client.post("/theme", {"next": "https://elsewhere.example/"})["Location"] == "/"


@pytest.mark.django_db
def test_components_are_shown_in_development_only(client: Client, settings: object) -> None:
    settings.DEBUG = False  # type: ignore[attr-defined]
    hidden = client.get("/_design").status_code
    settings.DEBUG = True  # type: ignore[attr-defined]

    assert (hidden, client.get("/_design").status_code) == (404, 200)


@pytest.mark.django_db
def test_robots_are_kept_out_of_what_belongs_to_somebody(client: Client) -> None:
    lines = client.get("/robots.txt").content.decode().splitlines()

    assert "Disallow: /dashboard" in lines
    assert "Disallow: /" not in lines
    assert lines[-1] == f"Sitemap: {settings.PUBLIC_URL}/sitemap.xml"


@pytest.mark.usefixtures("catalog")
def test_the_sitemap_has_every_public_page_and_each_of_them_is_there(client: Client) -> None:
    answer = client.get("/sitemap.xml", headers={"Host": "localhost"})

    addresses = re.findall(r"<loc>([^<]+)</loc>", answer.content.decode())
    paths = [address.removeprefix(settings.PUBLIC_URL) for address in addresses]
    models = ["/models/acme/swift", "/models/acme/painter", "/models/other/away"]
    assert paths == ["/", "/models", "/pricing", *models, "/providers/acme", "/providers/slowhost", "/providers/away"]
    assert {client.get(path).status_code for path in paths} == {200}
    assert answer["Content-Type"] == "application/xml"


@pytest.mark.parametrize("path", ["/models", "/models/acme/swift", "/compare", "/providers/acme", "/pricing"])
@pytest.mark.usefixtures("catalog")
def test_public_pages_name_their_one_address_whatever_the_query(client: Client, path: str) -> None:
    page = client.get(f"{path}?m=acme/swift").content.decode()

    assert f'<link rel="canonical" href="{settings.PUBLIC_URL}{path}">' in page
    assert f'<meta property="og:url" content="{settings.PUBLIC_URL}{path}">' in page
