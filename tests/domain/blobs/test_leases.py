import uuid

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lazward.contract.errors import ArmError
from lazward.domain.blobs import leases

A, B = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))


def code(fn, *args):
    with pytest.raises(ArmError) as caught:
        fn(*args)
    return caught.value.code


class TestAcquire:
    def test_the_holder_may_acquire_again_and_nobody_else(self):
        lease = leases.acquire(None, A, 15, 100)
        assert leases.acquire(lease, A, -1, 105)["until"] is None
        assert code(leases.acquire, lease, B, 15, 105) == "LeaseAlreadyPresent"

    def test_an_expired_lease_is_anybodys(self):
        lease = leases.acquire(None, A, 15, 100)
        assert leases.acquire(lease, B, 15, 115)["id"] == B

    @pytest.mark.parametrize("seconds", [0, 14, 61, -2])
    def test_lengths(self, seconds):
        assert code(leases.acquire, None, A, seconds, 0) == "InvalidHeaderValue"


class TestWrite:
    def test_needs_the_id(self):
        lease = leases.acquire(None, A, 15, 100)
        assert code(leases.check_write, lease, "", 101) == "LeaseIdMissing"
        assert code(leases.check_write, lease, B, 101) == "LeaseIdMismatchWithBlobOperation"
        assert leases.check_write(lease, A, 101) == lease

    def test_after_the_end_a_write_without_voids_the_lease(self):
        lease = leases.acquire(None, A, 15, 100)
        assert leases.check_write(lease, "", 116) is None
        assert code(leases.check_write, lease, A, 116) == "LeaseLost"
        assert code(leases.check_write, None, A, 116) == "LeaseNotPresentWithBlobOperation"
        assert code(leases.check_write, None, A, 116, "Container") == "LeaseNotPresentWithContainerOperation"

    def test_reads_need_none(self):
        lease = leases.acquire(None, A, 15, 100)
        leases.check_read(lease, "", 101)
        assert code(leases.check_read, lease, B, 101) == "LeaseIdMismatchWithBlobOperation"


class TestBreak:
    def test_a_timed_lease_runs_out(self):
        lease, left = leases.break_(leases.acquire(None, A, 60, 100), None, 110)
        assert left == 50
        assert leases.state(lease, 159) == "breaking"
        assert leases.state(lease, 160) == "broken"

    def test_a_period_only_shortens(self):
        lease, left = leases.break_(leases.acquire(None, A, 60, 100), 5, 110)
        assert left == 5
        assert leases.break_(lease, 60, 111)[1] == 4

    def test_an_endless_lease_ends_at_once_or_after_the_period(self):
        lease = leases.acquire(None, A, -1, 100)
        assert leases.state(leases.break_(lease, None, 110)[0], 110) == "broken"
        assert leases.break_(lease, 20, 110)[1] == 20

    def test_while_breaking_the_holder_still_writes_and_may_not_renew(self):
        lease, _ = leases.break_(leases.acquire(None, A, 60, 100), 30, 110)
        assert leases.check_write(lease, A, 111) == lease
        assert code(leases.renew, lease, A, 111) == "LeaseIsBrokenAndCannotBeRenewed"
        assert code(leases.change, lease, A, B, 111) == "LeaseIsBreakingAndCannotBeChanged"
        assert code(leases.acquire, lease, A, 15, 111) == "LeaseIsBreakingAndCannotBeAcquired"

    def test_nothing_to_break(self):
        assert code(leases.break_, None, None, 0) == "LeaseNotPresentWithLeaseOperation"


class TestRenewChangeRelease:
    def test_only_by_the_holder(self):
        lease = leases.acquire(None, A, 15, 100)
        assert leases.renew(lease, A, 110)["until"] == 125
        assert leases.change(lease, A, B, 110)["id"] == B
        assert leases.release(lease, A) is None
        for fn, args in ((leases.renew, (lease, B, 110)), (leases.release, (lease, B))):
            assert code(fn, *args) == "LeaseIdMismatchWithLeaseOperation"
        assert code(leases.change, lease, B, str(uuid.UUID(int=3)), 110) == "LeaseIdMismatchWithLeaseOperation"


def test_ids_are_guids():
    assert leases.lease_id("{00000000-0000-0000-0000-00000000000A}", "h") == str(uuid.UUID(int=10))
    assert code(leases.lease_id, "x", "h") == "InvalidHeaderValue"
    assert code(leases.lease_id, "", "h") == "MissingRequiredHeader"


class Walk(RuleBasedStateMachine):
    """Whatever is done in whatever order: two clients never both may write under their own lease."""

    def __init__(self):
        super().__init__()
        self.lease, self.now = None, 1000.0

    @rule(who=st.sampled_from([A, B]), seconds=st.sampled_from([-1, 15, 60]))
    def acquire(self, who, seconds):
        self._try(lambda: leases.acquire(self.lease, who, seconds, self.now))

    @rule(who=st.sampled_from([A, B]))
    def renew(self, who):
        self._try(lambda: leases.renew(self.lease, who, self.now))

    @rule(who=st.sampled_from([A, B]), to=st.sampled_from([A, B]))
    def change(self, who, to):
        self._try(lambda: leases.change(self.lease, who, to, self.now))

    @rule(who=st.sampled_from([A, B]))
    def release(self, who):
        self._try(lambda: leases.release(self.lease, who))

    @rule(period=st.sampled_from([None, 0, 10, 60]))
    def break_(self, period):
        self._try(lambda: leases.break_(self.lease, period, self.now)[0])

    @rule(seconds=st.sampled_from([1, 14, 61]))
    def wait(self, seconds):
        self.now += seconds

    @invariant()
    def one_writer(self):
        may = [who for who in (A, B, "") if self._may_write(who)]
        assert may == [""] if not leases.locked(self.lease, self.now) else len(may) == 1 and may[0] == self.lease["id"]

    def _may_write(self, who):
        try:
            leases.check_write(self.lease, who, self.now)
        except ArmError:
            return False
        return True

    def _try(self, act):
        try:
            self.lease = act()
        except ArmError as error:
            assert error.status in (409, 412)


TestWalk = Walk.TestCase
