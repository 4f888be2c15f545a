from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from lazward.domain.sweeps.policies import Policy, due, verdicts


def stopped(policy: Policy, histories: dict, maximize: bool = True) -> set[str]:
    return {v.trial for v in verdicts(policy, maximize, histories, list(histories))}


class TestDue:
    def test_multiples_of_the_interval_from_the_delay_on(self):
        policy = Policy("bandit", interval=3, delay=5)
        assert [due(policy, n) for n in range(10)] == [0, 0, 0, 0, 0, 0, 6, 6, 6, 9]
        assert due(Policy("bandit"), 0) == 0
        assert due(Policy("bandit"), 1) == 1


class TestBandit:
    """The examples of the documentation: the best has 0.8 at interval 10, the goal is to maximize."""

    def test_slack_factor(self):
        policy = Policy("bandit", interval=10, slack_factor=0.2)  # 0.8 / 1.2 = 0.667
        histories = {"best": [0.8] * 10, "within": [0.67] * 10, "below": [0.66] * 10}
        assert stopped(policy, histories) == {"below"}

    def test_slack_amount(self):
        policy = Policy("bandit", interval=10, slack_amount=0.2)
        assert stopped(policy, {"best": [0.8] * 10, "within": [0.61] * 10, "below": [0.59] * 10}) == {"below"}

    def test_minimize(self):
        policy = Policy("bandit", slack_factor=0.5)
        assert stopped(policy, {"best": [1.0], "within": [1.5], "above": [1.51]}, maximize=False) == {"above"}

    def test_the_best_up_to_the_interval_counts_not_the_last(self):
        policy = Policy("bandit", interval=2, slack_amount=0.1)
        assert stopped(policy, {"a": [0.9, 0.1], "b": [0.85, 0.2]}) == set()

    def test_below_zero_the_slack_still_allows_worse_not_only_better(self):
        policy = Policy("bandit", slack_factor=0.5)
        assert stopped(policy, {"best": [-1.0], "within": [-1.4], "below": [-1.6]}) == {"below"}

    def test_what_others_log_later_is_not_held_against_a_trial(self):
        policy = Policy("bandit", interval=2, slack_amount=0.1)
        assert stopped(policy, {"slow": [0.1, 0.2], "fast": [0.1, 0.2, 0.9, 0.99, 0.99]}) == set()

    def test_no_number_is_the_worst(self):
        assert stopped(Policy("bandit", slack_amount=5), {"a": [0.0], "nan": [math.nan]}) == {"nan"}


class TestMedian:
    def test_best_against_the_median_of_averages(self):
        policy = Policy("median_stopping", interval=2)
        # averages 0.5, 0.3, 0.1: median 0.3. c's best, 0.2, is worse; b's best is not.
        assert stopped(policy, {"a": [0.4, 0.6], "b": [0.2, 0.4], "c": [0.0, 0.2]}) == {"c"}
        assert stopped(policy, {"a": [0.4, 0.6], "b": [0.2, 0.4], "c": [0.0, 0.2]}, maximize=False) == {"a"}

    def test_a_completed_trial_counts_with_what_it_has_and_one_that_runs_does_not(self):
        policy, histories = Policy("median_stopping", interval=4), {"done": [0.8, 0.8], "on": [0.1] * 4}
        assert stopped(policy, histories) == set()
        assert [v.trial for v in verdicts(policy, True, histories, ["on"], {"done"})] == ["on"]

    def test_one_alone_is_never_stopped(self):
        assert stopped(Policy("median_stopping"), {"a": [0.1]}) == set()


class TestTruncation:
    def test_the_lowest_share_at_the_interval(self):
        policy = Policy("truncation_selection", interval=5, percentage=20)
        histories = {str(i): [0.0] * 4 + [float(i)] for i in range(10)}
        assert stopped(policy, histories) == {"0", "1"}
        assert stopped(policy, histories, maximize=False) == {"8", "9"}

    def test_equals_beyond_the_share_are_kept(self):
        assert stopped(Policy("truncation_selection", percentage=20), {str(i): [1.0] for i in range(10)}) == set()


POLICIES = st.builds(
    Policy, st.sampled_from(["bandit", "median_stopping", "truncation_selection"]), st.integers(1, 4), st.integers(0, 4),
    st.sampled_from([0.0, 0.3]), st.just(0.0), st.integers(1, 99),
)
HISTORIES = st.dictionaries(st.sampled_from("abcdef"), st.lists(st.floats(-1e6, 1e6) | st.sampled_from([math.nan, math.inf, -math.inf]), max_size=9), min_size=1)


@given(POLICIES, HISTORIES, st.booleans())
def test_the_best_trial_at_an_interval_is_never_stopped(policy, histories, maximize):
    found = verdicts(policy, maximize, histories, list(histories))
    for verdict in found:
        peers = {n: h[: verdict.interval] for n, h in histories.items() if len(h) >= verdict.interval}
        assert verdict.interval == due(policy, len(histories[verdict.trial])) and verdict.reason
        sign = 1 if maximize else -1
        score = {n: max((-math.inf if math.isnan(v) else sign * v) for v in h) for n, h in peers.items()}
        last = {n: (-math.inf if math.isnan(h[-1]) else sign * h[-1]) for n, h in peers.items()}
        measure = last if policy.kind == "truncation_selection" else score
        assert measure[verdict.trial] < max(measure.values()) or measure[verdict.trial] == -math.inf
