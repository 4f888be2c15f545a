import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lazward.contract.errors import ArmError
from lazward.domain.commands import Value, check_command, render

TEXT = st.text(st.characters(blacklist_characters="\0", blacklist_categories=("Cs",)), max_size=40)


def run(command: str) -> list[str]:
    """What a program sees as its arguments: bash prints them NUL-separated."""
    script = "show() { printf '%s\\0' \"$@\"; }\n" + command
    out = subprocess.run(["bash", "-c", script], capture_output=True, check=True).stdout
    return out.decode("utf-8", "surrogateescape").split("\0")[:-1]


class TestRender:
    def test_puts_values_in(self):
        out = render("python x.py --a ${{inputs.a}} --out ${{outputs.o}}", {"a": Value("1")}, {"o": Value("/tmp/o", True)})
        assert out == "python x.py --a 1 --out /tmp/o"

    def test_unquoted_literals_are_split_at_blanks(self):
        assert run(render("show ${{inputs.args}}", {"args": Value("--lr 0.1  --n 3")}, {})) == ["--lr", "0.1", "--n", "3"]

    def test_paths_are_never_split(self):
        assert run(render("show ${{inputs.p}}", {"p": Value("/my data/x", True)}, {})) == ["/my data/x"]

    def test_an_optional_piece_stays_only_with_its_inputs(self):
        command = "x $[[--a ${{inputs.a}}]] $[[--b ${{inputs.b}}]]"
        assert render(command, {"a": Value("1")}, {}).split() == ["x", "--a", "1"]

    def test_comments_swallow_nothing(self):
        out = render("show a # ${{inputs.x}}\nshow b", {"x": Value("1\nshow injected")}, {})
        assert run(out) == ["a", "b"]

    @settings(max_examples=60, deadline=None)
    @given(TEXT)
    def test_s10_in_double_quotes_a_value_is_itself(self, text):
        assert run(render('show "${{inputs.x}}"', {"x": Value(text)}, {})) == [text]

    @settings(max_examples=60, deadline=None)
    @given(TEXT)
    def test_s10_in_single_quotes_a_value_is_itself(self, text):
        assert run(render("show '${{inputs.x}}'", {"x": Value(text)}, {})) == [text]

    @settings(max_examples=60, deadline=None)
    @given(TEXT.filter(bool))
    def test_s10_a_whole_value_is_one_word(self, text):
        assert run(render("show a${{inputs.x}}b", {"x": Value(text, True)}, {})) == [f"a{text}b"]

    @settings(max_examples=60, deadline=None)
    @given(TEXT)
    def test_s10_a_bare_value_is_words_and_nothing_else(self, text):
        words = run(render("show ${{inputs.x}} end", {"x": Value(text)}, {}))
        assert words[-1] == "end"
        assert "".join(words[:-1]) == text.replace(" ", "").replace("\t", "").replace("\n", "")


class TestCheckCommand:
    def test_names_what_is_missing(self):
        with pytest.raises(ArmError, match=r"inputs\.nope"):
            check_command("x ${{inputs.nope}}", {"a"}, set())

    def test_optional_pieces_may_miss_their_inputs(self):
        check_command("x $[[--a ${{inputs.nope}}]]", set(), set())

    def test_other_bindings_are_refused(self):
        with pytest.raises(ArmError, match="not a binding"):
            check_command("x ${{parent.inputs.a}}", set(), set())
