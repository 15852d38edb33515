from typing import Any

import pytest

from gateway.checks import check_contradictions

SOUND = {
    "DEMO_MODE": False,
    "DEBUG": False,
    "HTTPS": True,
    "PUBLIC_URL": "https://api.example.com",
    "STRIPE_SECRET_KEY": "sk_live_x",
    "STRIPE_WEBHOOK_SECRETS": ["whsec_x"],
    "SECRET_KEY": "x" * 50,
    "SIMULATOR_URL": "",
    "MARKUP_BASIS_POINTS": 0,
    "REDIS_URL": "redis://money:6379/0",
    "BROKER_REDIS_URL": "redis://broker:6379/0",
    "ACCOUNT_EMAIL_VERIFICATION": "mandatory",
}


@pytest.fixture
def found(settings: Any) -> Any:
    def check(**changes: object) -> list[str]:
        for name, value in {**SOUND, **changes}.items():
            setattr(settings, name, value)
        return [message.id for message in check_contradictions(None)]

    return check


def test_a_sound_production_has_nothing_to_report(found: Any) -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("changes", "ids"),
    [
        ({"DEMO_MODE": True, "SIMULATOR_URL": "http://s"}, ["tollway.E001"]),
        ({"DEBUG": True}, ["tollway.E002"]),
        ({"STRIPE_WEBHOOK_SECRETS": []}, ["tollway.E003"]),
        ({"HTTPS": False}, ["tollway.E004"]),
        ({"SECRET_KEY": "short"}, ["tollway.E005"]),
        ({"MARKUP_BASIS_POINTS": -1}, ["tollway.E006"]),
        ({"BROKER_REDIS_URL": "redis://:secret@money:6379/1"}, ["tollway.W001"]),
        ({"ACCOUNT_EMAIL_VERIFICATION": "optional"}, ["tollway.W002"]),
        ({"STRIPE_API_URL": "http://127.0.0.1:1"}, ["tollway.E007"]),
        ({"DEMO_MODE": True, "STRIPE_SECRET_KEY": "sk_test_x"}, ["tollway.W003"]),
    ],
)
def test_each_contradiction_is_named(found: Any, changes: dict[str, object], ids: list[str]) -> None:
    assert found(**changes) == ids
