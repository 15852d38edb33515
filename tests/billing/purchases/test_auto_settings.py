import pytest

from accounts.permissions import NotPermitted
from billing.models import PaymentProfile
from billing.purchases import auto_settings
from billing.purchases.auto_settings import BadSetting

USD = 1_000_000_000


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"threshold_nanos": 0}, "threshold"),
        ({"threshold_nanos": -1}, "threshold"),
        ({"amount_cents": 499}, "amount"),
        ({"amount_cents": 2_500_001}, "amount"),
        ({"monthly_cap_cents": 999}, "monthly_cap"),
    ],
)
def test_settings_that_make_no_sense_are_refused_with_the_field_named(topped, organization, buyer, changes, field):
    before = topped()
    chosen = {"enabled": True, "threshold_nanos": USD, "amount_cents": 1_000, "monthly_cap_cents": 1_000} | changes

    with pytest.raises(BadSetting) as refused:
        auto_settings.change_topup(organization=organization, by=buyer, **chosen)

    assert refused.value.field == field
    assert PaymentProfile.objects.get().auto_threshold_nanos == before.auto_threshold_nanos


def test_only_who_may_buy_sets_it_and_only_with_a_card(stripe, organization, buyer, member, stranger):
    chosen = {"enabled": True, "threshold_nanos": USD, "amount_cents": 1_000, "monthly_cap_cents": 1_000}
    for person in (member, stranger):
        with pytest.raises(NotPermitted):
            auto_settings.change_topup(organization=organization, by=person, **chosen)
        with pytest.raises(NotPermitted):
            auto_settings.change_alerts(organization=organization, by=person, thresholds_nanos=[USD])
    with pytest.raises(BadSetting, match="Save a card"):
        auto_settings.change_topup(organization=organization, by=buyer, **chosen)
    assert not PaymentProfile.objects.filter(auto_enabled=True).exists()
