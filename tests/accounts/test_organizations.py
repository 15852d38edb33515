import pytest

from accounts import organizations
from accounts.models import AuditEvent, Membership, Organization, Role, User
from accounts.permissions import NotPermitted

pytestmark = pytest.mark.django_db


def test_creating_makes_the_owner_a_member_with_a_public_id_and_a_shard():
    owner = User.objects.create_user("ada@example.com", "correct horse battery")
    organization = organizations.create(name="  Analytical  ", owner=owner)
    assert organization.name == "Analytical"
    assert organization.public_id.startswith("org_")
    assert len(organization.public_id) == 36
    assert 0 <= organization.shard <= 255
    assert Membership.objects.get(organization=organization).role == Role.OWNER
    assert AuditEvent.objects.get(organization_id=organization.pk).action == "organization.created"


def test_shards_are_spread_over_the_ledger():
    owner = User.objects.create_user("ada@example.com", "correct horse battery")
    shards = {organizations.create(name=f"o{n}", owner=owner).shard for n in range(40)}
    assert len(shards) > 20


@pytest.mark.parametrize("name", ["", "   ", "x" * 101, "a\x00b"])
def test_a_bad_name_is_refused_and_nothing_is_stored(name):
    owner = User.objects.create_user("ada@example.com", "correct horse battery")
    with pytest.raises(organizations.BadOrganizationName):
        organizations.create(name=name, owner=owner)
    assert not Organization.objects.exists()


def test_the_personal_organization_is_made_once():
    user = User.objects.create_user("grace@example.com", "correct horse battery")
    first = organizations.create_personal(user=user)
    assert first.name == "grace"
    assert organizations.create_personal(user=user) == first
    assert Organization.objects.count() == 1


def test_only_owners_and_admins_rename(make_organization):
    organization, owner = make_organization("ours")
    _, stranger = make_organization("theirs")
    member = User.objects.create_user("member@example.com", "correct horse battery")
    Membership.objects.create(organization=organization, user=member, role=Role.MEMBER)
    for other in (stranger, member):
        with pytest.raises(NotPermitted):
            organizations.rename(organization=organization, name="Taken", by=other)
    renamed = organizations.rename(organization=organization, name="Better", by=owner)
    assert Organization.objects.get(pk=renamed.pk).name == "Better"
    event = AuditEvent.objects.get(action="organization.renamed")
    assert (event.actor, event.detail) == ("ours@example.com", {"from": "Ours", "to": "Better"})
