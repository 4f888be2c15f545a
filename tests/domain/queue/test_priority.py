import pytest

from lazward.contract.errors import ArmError
from lazward.domain.queue.priority import RANKS, check, inherited, normal, rank_of


def of(tier=None, priority=None) -> dict:
    return {"queueSettings": {"jobTier": tier, "priority": priority}}


class TestNormal:
    @pytest.mark.parametrize("given", [{"jobTier": "Premium", "priority": 3}, {"jobTier": "premium", "priority": "high"}, {"jobTier": "PREMIUM", "priority": "3"}])
    def test_the_sdks_form_whoever_sent_it(self, given):
        assert normal(given) == {"jobTier": "Premium", "priority": 3}

    def test_nothing_stays_nothing(self):
        assert normal(None) is None
        assert normal({"jobTier": "Null", "priority": None}) == {}

    @pytest.mark.parametrize(
        ("given", "target"),
        [({"jobTier": "Gold"}, "jobTier"), ({"priority": 4}, "priority"), ({"priority": "urgent"}, "priority"), ({"priority": True}, "priority"), ({"jobTier": 3}, "jobTier"), ("Premium", "")],
    )
    def test_what_is_wrong_is_named(self, given, target):
        with pytest.raises(ArmError) as told:
            check({"queueSettings": given})
        assert (told.value.status, told.value.target) == (400, f"properties.queueSettings.{target}".rstrip("."))


class TestRank:
    def test_tiers_first_then_priorities(self):
        wanted = [of(tier, priority) for tier in ("Spot", "Basic", "Standard", "Premium") for priority in (1, 2, 3)]
        assert [rank_of(p) for p in wanted] == list(range(RANKS))

    def test_standard_and_medium_unless_told(self):
        assert rank_of({}) == rank_of(of("Null")) == rank_of(of("Standard", "Medium"))


class TestInherited:
    def test_each_member_of_its_own_else_of_the_parent(self):
        assert inherited({"priority": 1}, {"jobTier": "Premium", "priority": 3}) == {"jobTier": "Premium", "priority": 1}
        assert inherited(None, {"jobTier": "Spot"}) == {"jobTier": "Spot"}
        assert inherited({"jobTier": "Null"}, {"jobTier": "Spot"}) == {"jobTier": "Spot"}
        assert inherited({"jobTier": "Basic"}, None) == {"jobTier": "Basic"}
        assert inherited(None, None) is None
