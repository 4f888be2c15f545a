import pytest

from lazward.contract.errors import ArmError
from lazward.domain.jobs.retries import MAX_PAUSE_S, REASONS, RETRIED, Policy, check, pause_s, policy_of


def asking(**asked) -> dict:
    return {"resources": {"properties": asked}}


class TestPolicy:
    def test_nothing_is_retried_unless_it_is_asked_for(self):
        assert policy_of({}) == policy_of(asking(cores=1)) == Policy(0, RETRIED)
        assert not policy_of({}).again("exit", 0)

    @pytest.mark.parametrize("given", [2, "2", 2.0])
    def test_the_count_as_clients_write_numbers(self, given):
        assert policy_of(asking(max_retries=given)).retries == 2

    @pytest.mark.parametrize("given", ["timeout, exit", ["timeout", "exit"], "TIMEOUT,exit"])
    def test_reasons_as_text_or_list(self, given):
        assert policy_of(asking(max_retries=1, retry_on=given)).reasons == ("timeout", "exit")

    @pytest.mark.parametrize(
        ("asked", "member"),
        [({"max_retries": -1}, "max_retries"), ({"max_retries": 101}, "max_retries"), ({"max_retries": 1.5}, "max_retries"), ({"max_retries": "many"}, "max_retries"), ({"max_retries": True}, "max_retries"),
         ({"max_retries": float("inf")}, "max_retries"), ({"retry_on": "bad luck"}, "retry_on"), ({"retry_on": "canceled"}, "retry_on"), ({"retry_on": {"a": 1}}, "retry_on")],
    )
    def test_what_is_wrong_is_named(self, asked, member):
        with pytest.raises(ArmError) as told:
            check(asking(**asked))
        assert (told.value.status, told.value.target) == (400, f"properties.resources.properties.{member}")

    def test_as_often_as_was_asked_for(self):
        policy = Policy(2, RETRIED)
        assert [policy.again("exit", failures) for failures in range(4)] == [True, True, False, False]

    def test_what_was_canceled_is_over(self):
        assert not policy_of(asking(max_retries=9, retry_on=list(REASONS))).again("canceled", 0)

    @pytest.mark.parametrize(("reason", "again"), [("exit", True), ("signal", True), ("memory", True), ("lost", True), ("timeout", False), ("launch", False), ("environment", False), ("inputs", False)])
    def test_reasons_unless_told(self, reason, again):
        assert policy_of(asking(max_retries=1)).again(reason, 0) is again

    def test_only_the_reasons_that_were_named(self):
        policy = policy_of(asking(max_retries=1, retry_on="timeout"))
        assert policy.again("timeout", 0) and not policy.again("exit", 0)


def test_the_pause_grows_up_to_a_minute():
    assert [pause_s(n) for n in (1, 2, 3, 7, 99)] == [1, 2, 4, MAX_PAUSE_S, MAX_PAUSE_S]
