import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth import authenticate
from django.core.management import CommandError, call_command

from accounts import api_keys, key_format, organizations
from accounts.models import ApiKey, Organization, User
from billing import queries
from gateway import demo

pytestmark = pytest.mark.django_db


@pytest.fixture
def access():
    return demo.DemoAccess(
        email="Demo@example.com", password="a good password", admin_email="operator@example.com", admin_password="another password",
        api_key=key_format.mint_secret(), management_key=key_format.mint_secret(),
    )  # fmt: skip


def write_env(path, access, **other):
    values = {name: getattr(access, name) for name in demo.DemoAccess.__dataclass_fields__} | other
    lines = [f"TOLLWAY_{name.upper()}={value}" for name, value in values.items() if value is not None]
    path.write_text("\n".join(["# secrets", "", "TOLLWAY_BASE_URL='http://127.0.0.1:8000/api/v1'", *lines]))
    return path


def test_seeding_makes_people_keys_and_credit_and_a_second_time_changes_nothing(access):
    for _ in range(2):
        organization = demo.seed(access=access)
        assert Organization.objects.get() == organization
        owner = authenticate(None, username="demo@example.com", password="a good password")
        operator = authenticate(None, username="operator@example.com", password="another password")
        assert (owner.is_staff, operator.is_staff, User.objects.count()) == (False, True, 2)
        assert EmailAddress.objects.filter(verified=True, primary=True).count() == 2
        keys = {key.hash: key.is_management for key in ApiKey.objects.all()}
        assert keys == {key_format.hash_secret(access.api_key): False, key_format.hash_secret(access.management_key): True}
        assert queries.total_credits_nanos(organization) == 25_000_000_000
        assert queries.balance(organization).remaining_nanos == 25_000_000_000


def test_renaming_the_organization_brings_no_second_one_and_no_second_credit(access):
    organization = demo.seed(access=access)
    organizations.rename(organization=organization, name="Mine", by=None)
    assert demo.seed(access=access) == organization
    assert queries.total_credits_nanos(organization) == 25_000_000_000


def test_a_deleted_demo_key_stays_deleted(access):
    demo.seed(access=access)
    api_keys.delete(api_key=ApiKey.objects.get(is_management=False), by=None)
    demo.seed(access=access)
    assert ApiKey.objects.filter(is_management=False, deleted_at=None).count() == 0


def test_a_new_password_and_a_new_key_are_taken_over(access):
    demo.seed(access=access)
    changed = demo.DemoAccess(
        email=access.email, password="a newer password", admin_email=access.admin_email, admin_password=access.admin_password,
        api_key=key_format.mint_secret(), management_key=access.management_key,
    )  # fmt: skip
    demo.seed(access=changed)
    assert authenticate(None, username="demo@example.com", password="a newer password") is not None
    assert ApiKey.objects.filter(is_management=False).count() == 2


def test_the_command_reads_a_file_and_prints_no_secret(access, tmp_path, capsys):
    call_command("seed_demo", env_file=str(write_env(tmp_path / "demo.env", access)))
    printed = "".join(capsys.readouterr())
    assert Organization.objects.get().public_id in printed
    for name in ("password", "admin_password", "api_key", "management_key"):
        assert getattr(access, name) not in printed
        assert getattr(access, name) not in repr(access)


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"api_key": "sk-tw-v1-short"}, "TOLLWAY_API_KEY"),
        ({"management_key": None}, "TOLLWAY_MANAGEMENT_KEY"),
        ({"password": ""}, "TOLLWAY_PASSWORD"),
        ({"admin_email": "demo@example.com"}, "TOLLWAY_ADMIN_EMAIL"),
    ],
)
def test_what_cannot_be_used_is_told_by_its_name_and_makes_nothing(access, tmp_path, other, told):
    with pytest.raises(CommandError, match=told) as caught:
        call_command("seed_demo", env_file=str(write_env(tmp_path / "demo.env", access, **other)))
    assert "short" not in str(caught.value)
    assert not User.objects.exists()


def test_one_secret_cannot_be_two_keys(access):
    twice = demo.DemoAccess(
        email=access.email, password=access.password, admin_email=access.admin_email, admin_password=access.admin_password,
        api_key=access.api_key, management_key=access.api_key,
    )  # fmt: skip
    with pytest.raises(demo.BadDemoAccess):
        demo.seed(access=twice)
    assert not ApiKey.objects.exists()


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("seed_demo", env_file=str(tmp_path / "none"))
