"""What the repository says of itself in several places is the same everywhere."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DOCKERFILE = (ROOT / "docker/Dockerfile").read_text()
COMPOSE = yaml.safe_load((ROOT / "docker/compose.yaml").read_text())


def test_the_changelog_knows_the_version() -> None:
    assert re.search(rf"^## .*{re.escape(PROJECT['project']['version'])}", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)


def test_the_licence_is_there_and_is_the_one_named() -> None:
    assert PROJECT["project"]["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text()


def test_every_decision_is_listed_and_every_listed_decision_exists() -> None:
    folder = ROOT / "docs/adr"
    listed = re.findall(r"\]\(([^)]+\.md)\)", (folder / "README.md").read_text())
    assert listed == sorted(path.name for path in folder.glob("[0-9]*.md"))


def test_every_decision_has_its_four_parts() -> None:
    for path in (ROOT / "docs/adr").glob("[0-9]*.md"):
        text = path.read_text()
        assert [part for part in ("Context.", "Decision.", "Alternatives", "Consequences.") if f"**{part}" not in text] == [], path.name


def test_every_local_link_in_the_documents_leads_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("[a-z]*/README.md"), ROOT / "docker/secrets/README.md"]
    links = [(page, target) for page in pages for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())]
    inside = [(page, target) for page, target in links if "://" not in target and not target.startswith("mailto:")]
    broken = [f"{page.relative_to(ROOT)}: {target}" for page, target in inside if not (page.parent / target).exists()]
    assert broken == []


def test_every_direct_dependency_is_in_the_locks_and_has_a_reason() -> None:
    production = (ROOT / "requirements.lock").read_text()
    everything = (ROOT / "requirements-dev.lock").read_text()
    extras = [line for lines in PROJECT["project"]["optional-dependencies"].values() for line in lines]
    for requirement, lock in [(line, production) for line in PROJECT["project"]["dependencies"]] + [(line, everything) for line in extras]:
        name = re.match(r"[A-Za-z0-9-]+", requirement)[0].lower()
        assert re.search(rf"^{re.escape(name)}==", lock, re.MULTILINE), name
    for block in re.findall(
        r"^(?:dependencies|local|compile|dev) = \[\n(.*?)^\]", (ROOT / "pyproject.toml").read_text(), re.MULTILINE | re.DOTALL
    ):
        assert block.lstrip().startswith("#")


def test_every_package_of_the_locks_is_the_same_version_in_all() -> None:
    def versions(name: str) -> dict[str, str]:
        return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / name).read_text(), re.MULTILINE))

    everything = versions("requirements-dev.lock")
    for part in (versions("requirements.lock"), versions("requirements-compile.lock")):
        assert {name: version for name, version in part.items() if everything.get(name) != version} == {}


def test_the_image_runs_as_an_ordinary_user_from_hashed_packages() -> None:
    assert re.findall(r"^USER (.+)$", DOCKERFILE, re.MULTILINE) == ["10001:10001"]
    assert "--require-hashes -r requirements.lock" in DOCKERFILE
    assert "HEALTHCHECK" in DOCKERFILE
    assert len(re.findall(r"^FROM ", DOCKERFILE, re.MULTILINE)) == 3


def test_the_image_has_every_app_and_no_tests() -> None:
    copied = re.findall(r"^COPY (\w+) \w+$", DOCKERFILE, re.MULTILINE)
    assert set(copied) == {"accounts", "billing", "catalog", "gateway", "static", "templates"}


@pytest.mark.parametrize("role", ["web", "worker", "beat", "migrate"])
def test_the_entrypoint_knows_every_role_of_the_composition(role: str) -> None:
    assert COMPOSE["services"][role]["command"] == [role]
    assert re.search(rf"^    {role}\)$", (ROOT / "docker/entrypoint.sh").read_text(), re.MULTILINE)


def test_the_composition_keeps_money_safe_and_secrets_in_files() -> None:
    money = COMPOSE["services"]["money"]
    assert money["command"][1:5] == ["--appendonly", "yes", "--appendfsync", "everysec"]
    assert money["command"][-2:] == ["--maxmemory-policy", "noeviction"]
    assert money["volumes"] == ["money:/data"]
    assert "spool:/data" in COMPOSE["services"]["web"]["volumes"]
    for service in COMPOSE["services"].values():
        for name, value in service.get("environment", {}).items():
            assert name.endswith("_FILE") or not re.search(r"SECRET|PASSWORD|KEY", name), (name, value)


def test_every_long_running_service_is_watched() -> None:
    for name in ("worker", "postgres", "money", "broker"):
        assert "test" in COMPOSE["services"][name]["healthcheck"]


def test_scripts_may_be_executed() -> None:
    for name in ("docker/entrypoint.sh", ".ci/run", "manage.py"):
        assert (ROOT / name).stat().st_mode & 0o111, name
