"""The steps of a resolution that need no resolver. The whole of it is tested in test_environments.py."""

from __future__ import annotations

import pytest

from lazward.domain.package_set import PackageSet
from lazward.execution.resolve import _at_least, _name_only, _Request, explained, reason_of


class TestLevels:
    def test_an_image_beside_requirements_is_loosened_down_to_nothing(self) -> None:
        packages = PackageSet(requirements=("a==1",), soft=("a==2", "b==1.5.*", "c[x]<2"))
        levels = [soft for _, soft in _Request(packages, (), None).levels()]
        assert levels == [
            ("b==1.5.*", "c[x]<2", "pip", "setuptools<81"),
            ("b==1.5.*", "c[x]<2", "pip", "setuptools"),
            ("b>=1.5", "c[x]<2", "pip"),
            ("b", "c[x]", "pip"),
            ("pip",),
        ]

    def test_an_image_alone_is_never_left_out(self) -> None:
        levels = [soft for _, soft in _Request(PackageSet(soft=("b==1.5.*",)), (), None).levels()]
        assert levels[-1] == ("b", "pip")

    def test_tools_that_are_asked_for_are_not_added(self) -> None:
        levels = [soft for _, soft in _Request(PackageSet(requirements=("pip==20", "setuptools==50")), (), None).levels()]
        assert levels == [()]


@pytest.mark.parametrize(
    ("soft", "loosened"),
    [("x==1.5.*", "x>=1.5"), ("x~=1.5.0", "x>=1.5"), ("x==0.36.*", "x>=0.36"), ("x>=1.1,<2", "x>=1.1,<2"), ("x==10.0.*", "x>=10.0"), ("x", "x")],
)
def test_at_least(soft: str, loosened: str) -> None:
    assert _at_least(soft) == loosened


def test_name_only() -> None:
    assert _name_only("x[b,a]>=1; python_version>'3'") == "x[a,b]"


@pytest.mark.parametrize(
    "text",
    [
        "warning: w\nUsing Python 3\nerror: No solution found\n  cause: Because x==1 is not there,\n         y fails.\n\nhint: use `--pre`",
        "  × No solution found\n  ╰─▶ Because x==1 is not there,\n      y fails.\n",
    ],
)
def test_reason_is_one_paragraph_without_options_of_uv(text: str) -> None:
    assert reason_of(text) == "No solution found Because x==1 is not there, y fails."


def test_a_long_reason_keeps_both_ends() -> None:
    reason = reason_of("error: first " + "x " * 5000 + "last")
    assert reason.startswith("first")
    assert reason.endswith("last")
    assert len(reason) < 2000


class TestExplained:
    PACKAGES = PackageSet(requirements=("alpha-beta>=1", "beta==2"), origins={"beta": "line 3"})

    def test_names_the_requirement_that_the_reason_is_about(self) -> None:
        error = explained("Because beta==2 has no wheel", self.PACKAGES, "python 3.8 was asked for")
        assert error.target == "beta==2"
        assert error.message == (
            "The environment cannot be built: Because beta==2 has no wheel. It is asked for at line 3. Python 3.8 was asked for."
        )

    def test_without_a_known_name_there_is_no_target(self) -> None:
        assert explained("the disk is full", self.PACKAGES).target is None
