"""Layers of a package set in the making."""

from __future__ import annotations

from lazward.domain.package_set import Draft, PackageSet, requirement_name


class TestDraft:
    def test_entries_of_one_layer_stand_side_by_side(self) -> None:
        draft = Draft()
        draft.require("a<2", "one")
        draft.require("a>1", "two")
        draft.require("a>1", "two")
        assert draft.freeze().requirements == ("a<2", "a>1")

    def test_a_later_layer_replaces_what_it_gives_a_version_for(self) -> None:
        draft = Draft(PackageSet(requirements=("a==1", "b==1", "C_d==1")))
        draft.next_layer()
        draft.require("a==2", "later")
        draft.require("b", "later")
        draft.require("c-d @ https://h/x.whl", "later")
        assert draft.freeze().requirements == ("b==1", "a==2", "c-d @ https://h/x.whl")
        assert any("a==1" in note for note in draft.notes)

    def test_soft_packages_give_way_to_requirements_of_the_same_name(self) -> None:
        draft = Draft(PackageSet(soft=("Pandas<2", "numpy<2")))
        draft.require("pandas", "here")
        assert draft.freeze().soft == ("numpy<2",)


def test_requirement_name() -> None:
    assert requirement_name("Foo_Bar[x]>=1 --hash=sha256:0") == "foo-bar"
    assert requirement_name("git+https://h/x") == ""
