"""conda files in the words of pip."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from lazward.contract.errors import ArmError
from lazward.domain.conda_file import parse_match_spec
from lazward.domain.environments import EnvironmentSpec, PackageSet, translate
from lazward.domain.requirements_file import Place

HERE = Place("condaFile", "condaFile")


def conda(text: str | dict, **files: str) -> PackageSet:
    context = {name.replace("__", "."): content for name, content in files.items()}
    return translate(EnvironmentSpec(conda_file=text, context_files=context))


def listed(*entries: str) -> PackageSet:
    return conda({"dependencies": list(entries)})


class TestMatchSpec:
    @pytest.mark.parametrize(
        ("spec", "requirement"),
        [
            ("numpy", "numpy"),
            ("numpy=1.21", "numpy==1.21.*"),
            ("numpy =1.21", "numpy==1.21.*"),
            ("numpy==1.21", "numpy==1.21"),
            ("numpy 1.21", "numpy==1.21"),
            ("numpy 1.21.*", "numpy==1.21.*"),
            ("numpy=1.21.*", "numpy==1.21.*"),
            ("numpy=1.21*", "numpy==1.21.*"),
            ("numpy=1.21.6=py38_0", "numpy==1.21.6"),
            ("numpy 1.21.6 py38h1d_0", "numpy==1.21.6"),
            ("numpy=*", "numpy"),
            ("pandas>=1.1,<2", "pandas>=1.1,<2"),
            ("pandas >=1.1, <2", "pandas>=1.1,<2"),
            ("pandas>=1.1.*", "pandas>=1.1"),
            ("pandas!=1.5", "pandas!=1.5"),
            ("pandas~=1.5.3", "pandas~=1.5.3"),
            ("pandas~=1", "pandas>=1,<2"),
            ("scikit-learn==1.2.2", "scikit-learn==1.2.2"),
            ("conda-forge::xgboost", "xgboost"),
            ("conda-forge/linux-64::xgboost=1.7", "xgboost==1.7.*"),
            ("pytorch::pytorch=2.1", "torch==2.1.*"),
            ("pytorch=2.1=py3.10_cpu_0", "torch==2.1"),
            ("numpy[version='>=1.8,<2',build=py38*]", "numpy>=1.8,<2"),
            ("xgboost[channel=conda-forge]", "xgboost"),
            ("dask[complete]", "dask[complete]"),
            ("scikit-learn=1.0rc1", "scikit-learn==1.0rc1"),
            ("Pillow=9", "pillow==9.*"),
            ("matplotlib-base", "matplotlib"),
            ("py-opencv>=4", "opencv-python-headless>=4"),
            ("tensorflow-gpu=2.9", "tensorflow==2.9.*"),
            ("msgpack-python", "msgpack"),
            ("ruamel_yaml", "ruamel_yaml"),
            ("librosa=0.10", "librosa==0.10.*"),
        ],
    )
    def test_a_match_spec_becomes_a_requirement(self, spec: str, requirement: str) -> None:
        assert [Requirement(r) for r in listed(spec).requirements] == [Requirement(requirement)]

    def test_of_alternatives_the_last_is_taken_and_noted(self) -> None:
        packages = listed("numpy=1.20|1.21")
        assert packages.requirements == ("numpy==1.21.*",)
        assert any("alternatives" in note and "condaFile.dependencies[0]" in note for note in packages.notes)

    @given(
        name=st.from_regex(r"[a-z][a-z0-9]{1,8}x", fullmatch=True).filter(lambda n: not n.startswith("lib")),
        release=st.lists(st.integers(0, 30), min_size=1, max_size=3),
        operator=st.sampled_from(["=", "==", ">=", "<=", "<", ">", "!=", " "]),
        spaced=st.booleans(),
    )
    def test_what_comes_out_is_always_a_valid_requirement(
        self, name: str, release: list[int], operator: str, spaced: bool
    ) -> None:
        version = ".".join(map(str, release))
        spec = parse_match_spec(f"{name}{' ' if spaced else ''}{operator}{version}", HERE)
        requirement = Requirement(f"{spec.name}{spec.clauses}")
        assert requirement.name == name
        accepts = Version(version) in SpecifierSet(str(requirement.specifier))
        assert accepts is (operator in ("=", "==", ">=", "<=", " "))


class TestPython:
    @pytest.mark.parametrize(
        ("spec", "python"),
        [
            ("python", ""),
            ("python=3", ""),
            ("python=3.10", "3.10"),
            ("python==3.9.*", "3.9"),
            ("python 3.8", "3.8"),
            ("python=3.8.5", "3.8.5"),
            ("python=3.8=h0371630_0", "3.8"),
            ("python>=3.8,<3.12", ">=3.8,<3.12"),
            ("conda-forge::python=3.11", "3.11"),
        ],
    )
    def test_the_python_entry_is_the_python_asked_for(self, spec: str, python: str) -> None:
        assert listed(spec).python == python
        assert listed(spec).requirements == ()


class TestWholeFiles:
    def test_a_usual_file(self) -> None:
        packages = conda(
            """
name: model-env
channels: [conda-forge]
dependencies:
  - python=3.12
  - numpy=2.3.1   # fast
  - pip=25.1.1
  - cudatoolkit=11.8
  - pip:
    - azureml-inference-server-http==1.4.1
    - inference-schema[numpy-support]
    - mlflow; python_version >= "3.9"
    - git+https://example.org/a.git@main#egg=a
    - --extra-index-url https://example.org/simple
    - -f https://example.org/wheels
    # - not this
variables:
  MODE: fast
  LEVEL: 3
"""
        )
        assert packages.python == "3.12"
        assert packages.requirements == (
            "numpy==2.3.1.*",
            "pip==25.1.1.*",
            "azureml-inference-server-http==1.4.1",
            "inference-schema[numpy-support]",
            'mlflow; python_version >= "3.9"',
            "git+https://example.org/a.git@main#egg=a",
        )
        assert packages.options == ("--extra-index-url https://example.org/simple", "--find-links https://example.org/wheels")
        assert packages.env == {"MODE": "fast", "LEVEL": "3"}
        assert any("cudatoolkit" in note and "line 8" in note for note in packages.notes)
        assert any("conda-forge" in note for note in packages.notes)
        assert packages.origins["numpy"] == "condaFile line 6 (`numpy=2.3.1`)"

    def test_requirement_files_come_from_the_context(self) -> None:
        entries = {"dependencies": [{"pip": ["-r requirements.txt"]}]}
        packages = conda(entries, requirements__txt="six==1.16\n-c limits.txt\n", limits__txt="idna<4")
        assert packages.requirements == ("six==1.16",)
        assert packages.constraints == ("idna<4",)
        assert packages.origins["six"] == "requirements.txt line 1 (`six==1.16`)"

    def test_pip_replaces_what_conda_asked_for(self) -> None:
        packages = conda({"dependencies": ["numpy=1.21", "pandas=1.3", {"pip": ["numpy==1.22", "pandas"]}]})
        assert packages.requirements == ("pandas==1.3.*", "numpy==1.22")
        assert any("replaces" in note for note in packages.notes)

    def test_cpu_builds_are_asked_for(self) -> None:
        assert listed("pytorch", "cpuonly").cpu_only
        assert listed("pytorch=2.1=*cpu*").cpu_only
        assert not listed("pytorch").cpu_only

    @pytest.mark.parametrize("empty", ["dependencies:", "name: x", "dependencies: []", "dependencies:\n- pip:\n"])
    def test_nothing_asked_is_a_plain_python(self, empty: str) -> None:
        assert conda(empty).requirements == ()

    def test_an_image_beside_a_conda_file_gives_a_note_only(self) -> None:
        image = "mcr.microsoft.com/azureml/curated/sklearn-1.5:1"
        packages = translate(EnvironmentSpec(image=image, conda_file={"dependencies": ["python=3.9"]}))
        assert packages.soft == ()
        assert packages.python == "3.9"
        assert any(image in note for note in packages.notes)

    @given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=8),
                        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
                            ["dependencies", "pip", "channels", "variables", "name", "numpy"]), inner, max_size=3), max_leaves=12))  # fmt: skip
    def test_any_document_translates_or_says_why_not(self, document: object) -> None:
        for content in (yaml.safe_dump(document), document if isinstance(document, dict) else "a: b"):
            try:
                assert isinstance(conda(content), PackageSet)
            except ArmError as error:
                assert error.status == 400
                assert error.code == "InvalidEnvironment"
                assert error.target

    @given(st.text(max_size=60))
    def test_any_text_translates_or_says_why_not(self, text: str) -> None:
        try:
            assert isinstance(conda(text), PackageSet)
        except ArmError as error:
            assert (error.status, error.code) == (400, "InvalidEnvironment")


class TestErrors:
    @pytest.mark.parametrize(
        ("text", "target", "words"),
        [
            ("dependencies:\n- python=3.8\n- r-base=4.1\n", "condaFile.dependencies[1]", ("line 3", "r-base=4.1")),
            ("dependencies:\n- numpy=9e_1!\n", "condaFile.dependencies[0]", ("line 2", "9e_1!")),
            ("dependencies:\n- openbabel=1.1.1k\n", "condaFile.dependencies[0]", ("line 2", "1.1.1k")),
            ("dependencies:\n- https://a.b/x-1.0-0.tar.bz2\n", "condaFile.dependencies[0]", ("archive",)),
            ("dependencies:\n- pip:\n  - six=1.0\n", "condaFile.dependencies[0].pip[0]", ("line 3", "`==`")),
            ("dependencies:\n- pip:\n  - six==not a version\n", "condaFile.dependencies[0].pip[0]", ("line 3",)),
            ("dependencies:\n- pip:\n  - -r nothing.txt\n", "condaFile.dependencies[0].pip[0]", ("nothing.txt",)),
            ("dependencies:\n- pip:\n  - ./here\n", "condaFile.dependencies[0].pip[0]", ("./here",)),
            ("dependencies:\n- numpy: 1.2\n", "condaFile.dependencies[0]", ("line 2", "numpy=")),
            ("dependencies:\n- [a]\n", "condaFile.dependencies[0]", ("text",)),
            ("dependencies: numpy\n", "condaFile.dependencies", ("list",)),
            ("variables: [1]\n", "condaFile.variables", ("mapping",)),
            ("- numpy\n", "condaFile", ("mapping",)),
            ("dependencies:\n- a\n  - b: [\n", "condaFile", ("line", "YAML")),
            ("python:\n- a\n", "condaFile", ("no conda file",)),
        ],
    )
    def test_the_line_and_the_entry_are_named(self, text: str, target: str, words: tuple[str, ...]) -> None:
        with pytest.raises(ArmError) as caught:
            conda(text)
        assert caught.value.status == 400
        assert caught.value.target == target
        for word in words:
            assert word in caught.value.message

    def test_a_huge_file_is_refused(self) -> None:
        with pytest.raises(ArmError, match="larger"):
            conda("# " + "x" * 600_000)

    def test_a_file_that_includes_itself_is_refused(self) -> None:
        with pytest.raises(ArmError, match="includes itself"):
            conda({"dependencies": [{"pip": ["-r a.txt"]}]}, a__txt="-r a.txt")
