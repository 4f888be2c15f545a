"""translate(): which part of an environment document decides."""

from __future__ import annotations

from lazward.domain.environments import EnvironmentSpec, translate


class TestTranslate:
    def test_nothing_is_a_plain_python(self) -> None:
        packages = translate(EnvironmentSpec())
        assert (packages.python, packages.requirements, packages.soft) == ("", (), ())

    def test_an_image(self) -> None:
        assert translate(EnvironmentSpec(image="python:3.9")).python == "3.9"

    def test_an_empty_conda_file_counts_as_none(self) -> None:
        assert translate(EnvironmentSpec(image="python:3.9", conda_file="")).python == "3.9"

    def test_a_build_context_wins_over_the_image(self) -> None:
        packages = translate(EnvironmentSpec(image="python:3.9", dockerfile="FROM python:3.11\nENV A=1\nRUN pip install six\n"))
        assert packages.python == "3.11"
        assert packages.requirements == ("six",)

    def test_a_conda_file_beside_a_build_context_keeps_its_variables(self) -> None:
        packages = translate(EnvironmentSpec(conda_file="dependencies: [python=3.8]", dockerfile="FROM python:3.11\nENV A=1\n"))
        assert packages.python == "3.8"
        assert packages.env == {"A": "1"}
