"""Stories of money, told to the nano: what happens, and what every account of the books says then."""

from billing import queries
from billing.books import invariants, settlement, transfers
from billing.models import Transfer
from tests.billing import plane
from tests.billing.conftest import USD


def test_a_welcome_grant_is_spent_then_credit_then_a_wrong_charge_is_taken_back(make_organization, books):
    # Day one: five dollars of promo credit and twenty dollars of goodwill credit after an incident.
    acme = make_organization(5 * USD, promo=True)
    transfers.grant(organization=acme, amount_nanos=20 * USD, reason="incident", idempotency_key="inc-1", by=None, promo=False)
    assert books() == {"promo_expense": 5 * USD, "customer_promo": 5 * USD, "goodwill": 20 * USD, "customer_credit": 20 * USD}

    # Three requests: $1.25, $2.000000001 and a free one. All of it comes out of the promo credit.
    plane.spend(acme, 1_250_000_000, cost_nanos=1_000_000_000)
    plane.spend(acme, 2_000_000_001, cost_nanos=1_600_000_000, provider="other")
    plane.spend(acme, 0, cost_nanos=0)
    settlement.settle_shard(shard=7)
    assert books() == {
        "promo_expense": 5 * USD,
        "customer_promo": 1_749_999_999,
        "goodwill": 20 * USD,
        "customer_credit": 20 * USD,
        "revenue_usage": 3_250_000_001,
        "provider_cost": 2_600_000_000,
        "provider_payable": 2_600_000_000,
    }
    assert queries.total_credits_nanos(acme) == 25 * USD
    assert queries.total_usage_nanos(acme) == 3_250_000_001
    assert queries.balance(acme).remaining_nanos == 21_749_999_999

    # A request of $4.00: the rest of the promo credit goes first, then credit.
    plane.spend(acme, 4 * USD, cost_nanos=3 * USD)
    settlement.settle_shard(shard=7)
    assert books()["customer_promo"] == 0
    assert books()["customer_credit"] == 17_749_999_999
    assert books()["revenue_usage"] == 7_250_000_001

    # The provider had served the wrong model: the whole second charge is taken back, to where it came from.
    wrong = Transfer.objects.filter(code=10, org_id=acme.pk).order_by("batch_id", "id").last()
    transfers.reverse(group_id=wrong.group_id, reason="wrong model served", by=None)
    assert books() == {
        "promo_expense": 5 * USD,
        "customer_promo": 1_749_999_999,
        "goodwill": 20 * USD,
        "customer_credit": 20 * USD,
        "revenue_usage": 3_250_000_001,
        "provider_cost": 5_600_000_000,
        "provider_payable": 5_600_000_000,
    }
    assert queries.balance(acme).remaining_nanos == 21_749_999_999
    assert queries.total_usage_nanos(acme) == 7_250_000_001
    assert queries.total_credits_nanos(acme) == 29 * USD
    assert invariants.verify(shards=[7]) == []


def test_two_organizations_of_one_shard_share_a_batch_and_nothing_else(make_organization, books):
    acme, bolt = make_organization(10 * USD), make_organization(3 * USD)
    plane.spend(acme, 2 * USD)
    plane.spend(bolt, 1 * USD)
    plane.spend(acme, 5)

    settlement.settle_shard(shard=7)

    assert queries.balance(acme).remaining_nanos == 8 * USD - 5
    assert queries.balance(bolt).remaining_nanos == 2 * USD
    assert sorted(Transfer.objects.filter(code=10).values_list("org_id", "amount_nanos")) == [(acme.pk, 2 * USD + 5), (bolt.pk, 1 * USD)]
    assert books()["revenue_usage"] == 3 * USD + 5
    assert invariants.verify(shards=[7]) == []
