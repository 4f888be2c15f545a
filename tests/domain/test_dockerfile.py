"""Reading Dockerfiles and shell lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazward.contract.errors import ArmError
from lazward.domain.dockerfile import expand, key_values, parse_dockerfile, shell_commands, words_of


class TestParseDockerfile:
    def test_joins_continuations_and_drops_comments(self) -> None:
        text = "# syntax=x\nFROM python:3.10\nRUN a \\\n  # not this\n\n  b && \\\n  c\nrun d\n"
        assert [(i.name, i.value, i.line) for i in parse_dockerfile(text)] == [
            ("FROM", "python:3.10", 2),
            ("RUN", "a   b &&   c", 3),
            ("RUN", "d", 8),
        ]

    def test_here_documents(self) -> None:
        text = "FROM x\nRUN <<EOF\npip install six\nEOF\nCOPY <<-\"END\" /a.txt\nsix\nEND\nUSER me\n"
        found = parse_dockerfile(text)
        assert [i.body for i in found] == ["", "pip install six\n", "six\n", ""]
        assert found[-1].value == "me"

    def test_another_escape_character(self) -> None:
        assert parse_dockerfile("# escape=`\nFROM a`\nb\n")[0].value == "ab"

    def test_what_is_no_instruction_is_named_with_its_line(self) -> None:
        with pytest.raises(ArmError) as caught:
            parse_dockerfile("FROM x\nINSTALL y\n")
        assert "line 2" in caught.value.message
        assert "INSTALL" in caught.value.message
        assert caught.value.target == "build.dockerfilePath"

    @given(st.text(max_size=80))
    def test_any_text_is_read_or_refused(self, text: str) -> None:
        try:
            parse_dockerfile(text)
        except ArmError as error:
            assert error.status == 400


class TestExpand:
    @pytest.mark.parametrize(
        ("text", "result"),
        [
            ("$A/${A}x", "1/1x"),
            ("${B:-two} ${A:-two} ${B-two} ${A:+three} ${B:+three}", "two 1 two three "),
            ("$B ${B}", "$B ${B}"),
            (r"\$A", r"\$A"),
        ],
    )
    def test_variables(self, text: str, result: str) -> None:
        assert expand(text, {"A": "1"}) == result


class TestKeyValues:
    @pytest.mark.parametrize(
        ("text", "pairs"),
        [
            ("A=1 B='2 3' C=\"4=5\"", {"A": "1", "B": "2 3", "C": "4=5"}),
            ("A one two", {"A": "one two"}),
            ("A", {}),
            ("A=", {"A": ""}),
        ],
    )
    def test_both_forms(self, text: str, pairs: dict[str, str]) -> None:
        assert dict(key_values(text)) == pairs


class TestShellCommands:
    @pytest.mark.parametrize(
        ("text", "commands"),
        [
            ("a b && c || d; e | f & g", [["a", "b"], ["c"], ["d"], ["e"], ["f"], ["g"]]),
            ("pip install 'a<2' \"b>=1\"", [["pip", "install", "a<2", "b>=1"]]),
            ("pip install a>=1.2 b<3", [["pip", "install", "a>=1.2", "b<3"]]),
            ("pip install a > log.txt 2>&1 && b", [["pip", "install", "a"], ["b"]]),
            ("echo hi>file", [["echo", "hi"]]),
            (r"a\ b c\&d", [["a b", "c&d"]]),
            ("X=$(pip show x | grep V) && b", [["X=$(pip show x | grep V)"], ["b"]]),
            ("pip install git+https://h/a#egg=b # comment", [["pip", "install", "git+https://h/a#egg=b"]]),
            ("(cd a && b)", [["cd", "a"], ["b"]]),
            ("''", [[""]]),
            ("", []),
        ],
    )
    def test_splits(self, text: str, commands: list[list[str]]) -> None:
        assert shell_commands(text) == commands

    @given(st.text(max_size=60))
    def test_never_fails(self, text: str) -> None:
        assert isinstance(shell_commands(text), list)

    @given(st.lists(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=12), min_size=1, max_size=4))
    def test_quoted_words_come_back_as_they_are(self, words: list[str]) -> None:
        words = [w.replace("'", "").replace("#", "") or "x" for w in words]
        assert shell_commands(" ".join(f"'{w}'" for w in words)) == [words]


def test_words_of_json_form() -> None:
    assert words_of('["pip", "install", "a b"]') == ["pip", "install", "a b"]
    assert words_of("[ -f x ]") == ["[", "-f", "x", "]"]
