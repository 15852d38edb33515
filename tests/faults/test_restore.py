"""PostgreSQL comes back from a backup under traffic: it is noticed, and a command brings back what was booked since."""

import time

import psycopg
import pytest

from tests.faults.scale import times
from tests.faults.test_bad_days import assert_everything_is_billed_once

pytestmark = [pytest.mark.faults, pytest.mark.xdist_group("faults")]

WITHIN_S = 400


def _await(look, what):
    deadline = time.monotonic() + WITHIN_S
    while not look():
        assert time.monotonic() < deadline, what
        time.sleep(0.5)


def _incidents(stack):
    with psycopg.connect(stack.settings["DATABASE_URL"]) as connection:
        return [row[0] for row in connection.execute("SELECT subject FROM billing_incident WHERE invariant = 'I14'").fetchall()]


@pytest.mark.long
def test_a_database_restored_to_a_minute_ago_is_noticed_and_a_command_brings_back_what_it_lost(stack, record_property):
    before = stack.earlier()
    lost = 0
    with stack.traffic() as record:
        time.sleep(3)
        copy = stack.copy_database()
        time.sleep(times(8, 60))
        # Everything that is booked by now and was not when the copy was made is gone with the restored database.
        booked = stack.receipts().keys() - before
        stack.restore_database(copy)
        _await(stack.database_answers, "the database does not come back")
        lost = len(booked - stack.receipts().keys())
        refused = record.refused
        _await(lambda: record.refused > refused, "nobody was refused")
        _await(lambda: _incidents(stack), "no incident was opened")
        done = stack.manage("recover_books", "--accept")
        assert done.returncode == 0, done.stdout + done.stderr
        answered = len(record.costs_nanos)
        _await(lambda: len(record.costs_nanos) > answered, "nobody is answered after the recovery")
        time.sleep(3)

    assert lost > 20
    assert_everything_is_billed_once(stack, record, before)
    record_property("repeats", lost)
    record_property(
        "figure", f"{lost:,} receipts were gone with the restored database and are back, of {len(record.costs_nanos):,} answers"
    )
