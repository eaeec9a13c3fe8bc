from benchmarks.kills import killed
from local.stack import LocalAws

MESSAGES, KILLS = 240, 4


def test_whatever_is_killed_nothing_is_lost_and_no_message_is_completed_twice(cloud: LocalAws) -> None:
    account = killed(cloud, MESSAGES, KILLS, {"idempotency": {}})

    assert account.accepted == MESSAGES
    assert account.kills > 0
    assert account.lost == 0
    # Fewer kills than receives: no message can have used them up by kills alone.
    assert (account.both, account.dead_in_vain) == (0, 0)
    assert account.completed + account.dead == MESSAGES
    assert account.completed_twice == 0
    # Of all that is under way in a worker, one attempt is cut off with it.
    assert account.unended <= account.kills + account.cut_short
    assert account.worked_twice <= account.kills + account.cut_short
