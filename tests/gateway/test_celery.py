"""What the Celery worker does of its own accord."""

import os

import pytest

from gateway import celery


def test_a_worker_steps_back_for_requests(monkeypatch: pytest.MonkeyPatch, settings) -> None:
    settings.WORKER_NICENESS = 7
    asked: list[int] = []
    monkeypatch.setattr(os, "nice", asked.append)

    celery._give_way()

    assert asked == [7]
