"""How an image's packages are loosened beside what must hold."""

from __future__ import annotations

import pytest

from lazward.domain.package_set import PackageSet
from lazward.execution.resolution import Request, _at_least, _name_only


class TestLevels:
    def test_an_image_beside_requirements_is_loosened_down_to_nothing(self) -> None:
        packages = PackageSet(requirements=("a==1",), soft=("a==2", "b==1.5.*", "c[x]<2"))
        levels = [soft for _, soft in Request(packages, (), None).levels()]
        assert levels == [
            ("b==1.5.*", "c[x]<2", "pip", "setuptools<81"),
            ("b==1.5.*", "c[x]<2", "pip", "setuptools"),
            ("b>=1.5", "c[x]<2", "pip"),
            ("b", "c[x]", "pip"),
            ("pip",),
        ]

    def test_an_image_alone_is_never_left_out(self) -> None:
        levels = [soft for _, soft in Request(PackageSet(soft=("b==1.5.*",)), (), None).levels()]
        assert levels[-1] == ("b", "pip")

    def test_tools_that_are_asked_for_are_not_added(self) -> None:
        levels = [soft for _, soft in Request(PackageSet(requirements=("pip==20", "setuptools==50")), (), None).levels()]
        assert levels == [()]


@pytest.mark.parametrize(
    ("soft", "loosened"),
    [("x==1.5.*", "x>=1.5"), ("x~=1.5.0", "x>=1.5"), ("x==0.36.*", "x>=0.36"), ("x>=1.1,<2", "x>=1.1,<2"), ("x==10.0.*", "x>=10.0"), ("x", "x")],
)
def test_at_least(soft: str, loosened: str) -> None:
    assert _at_least(soft) == loosened


def test_name_only() -> None:
    assert _name_only("x[b,a]>=1; python_version>'3'") == "x[a,b]"
