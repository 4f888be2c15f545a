"""What pip reads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazward.contract.errors import ArmError
from lazward.domain.package_set import Draft
from lazward.domain.requirements_file import PipReader, Place, logical_lines

HERE = Place("field", "here")


def read(text: str, **files: str) -> Draft:
    draft = Draft()
    named = {"main.txt": text, **{k.replace("__", "."): v for k, v in files.items()}}
    PipReader(draft, named.get, lambda path: path if path.endswith(".whl") else None).file("main.txt", HERE)
    return draft


class TestLogicalLines:
    def test_numbers_continuations_and_comments(self) -> None:
        text = "\ufeffa==1 # one\n# two\n\nb \\\n  --hash=sha256:1 \\\n  --hash=sha256:2\nhttps://x/y#egg=z\nc \\"
        assert list(logical_lines(text)) == [
            (1, "a==1"), (4, "b   --hash=sha256:1   --hash=sha256:2"), (7, "https://x/y#egg=z"), (8, "c"),
        ]  # fmt: skip

    @given(st.text(max_size=80))
    def test_never_fails(self, text: str) -> None:
        assert all(line for _, line in logical_lines(text))


class TestPipReader:
    def test_requirements_keep_extras_markers_urls_and_hashes(self) -> None:
        digest = "a" * 64
        draft = read(
            f"a[b,c] >= 1 ; python_version<'3.9'\nd==1 --hash=sha256:{digest}\ne @ https://h/e.whl\n"
            "git+ssh://git@h/r.git@v1#egg=f\n-e git+https://h/r#egg=g\nlocal.whl\n"
        )
        assert draft.freeze().requirements == (
            'a[b,c]>=1; python_version < "3.9"', f"d==1 --hash=sha256:{digest}", "e @ https://h/e.whl",
            "git+ssh://git@h/r.git@v1#egg=f", "git+https://h/r#egg=g", "context:local.whl",
        )  # fmt: skip

    def test_options(self) -> None:
        draft = read(
            "-i https://one/?a=b\n--extra-index-url=https://two\n-fhttps://three\n--pre\n--no-index\n--prefer-binary\n"
            "--only-binary :all:\n--no-binary=numpy\n--trusted-host h\n--global-option x\n"
        )
        assert draft.options == [
            "--index-url https://one/?a=b", "--extra-index-url https://two", "--find-links https://three", "--pre", "--no-index",
            "--only-binary :all:", "--no-binary numpy", "--trusted-host h",
        ]  # fmt: skip
        assert any("--global-option" in note for note in draft.notes)

    def test_nested_files_and_constraints(self) -> None:
        draft = read("-r b.txt\n-c c.txt\n", b__txt="six\n", c__txt="idna<4\n-r d.txt", d__txt="x<1")
        assert draft.freeze().requirements == ("six",)
        assert draft.constraints == ["idna<4", "x<1"]

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("six\nnot a requirement\n", ("main.txt line 2", "not a requirement")),
            ("a==1.*.2\n", ("main.txt line 1",)),
            ("-r gone.txt\n", ("gone.txt", "not in the build context")),
            ("-r main.txt\n", ("includes itself",)),
            ("-r https://h/r.txt\n", ("build context only",)),
            ("--index-url\n", ("needs a value",)),
            ("./folder\n", ("./folder",)),
        ],
    )
    def test_errors_name_the_line(self, text: str, words: tuple[str, ...]) -> None:
        with pytest.raises(ArmError) as caught:
            read(text)
        assert caught.value.target == "field"
        for word in words:
            assert word in caught.value.message

    @given(st.text(max_size=60))
    def test_any_file_is_read_or_refused(self, text: str) -> None:
        try:
            read(text)
        except ArmError as error:
            assert (error.status, error.target) == (400, "field")
