import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazward.cli import output


class TestDuration:
    @pytest.mark.parametrize(("seconds", "shown"), [(-1, "0 s"), (59.9, "59 s"), (60, "1 min"), (7500, "2 h 5 min"), (266400, "3 d 2 h")])
    def test_is_short(self, seconds, shown):
        assert output.duration(seconds) == shown


class TestSize:
    @pytest.mark.parametrize(("count", "shown"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (2**30, "1.0 GiB"), (2**50, "1024.0 TiB")])
    def test_is_short(self, count, shown):
        assert output.size(count) == shown


class TestColumns:
    @given(st.lists(st.tuples(st.text(alphabet="abc"), st.text(alphabet="abc", min_size=1)), min_size=1))
    def test_line_up(self, rows):
        lines = output.columns(rows).split("\n")
        width = max(len(first) for first, _ in rows) + 2
        assert [line[width:] for line in lines] == [second for _, second in rows]


class TestForShell:
    @given(st.text(alphabet="ab /'$~\\", min_size=1))
    def test_a_shell_reads_the_path_back(self, path):
        shown = output.for_shell("/" + path, home="/home/u")
        assert shlex.split(shown) == ["/" + path]

    def test_home_is_a_tilde(self):
        assert output.for_shell("/home/u/x", home="/home/u/") == "~/x"
        assert output.for_shell("/home/user2/x", home="/home/u") == "/home/user2/x"
        assert output.for_shell("/home/u/a b", home="/home/u") == "'/home/u/a b'"


class TestErrors:
    def test_cause_and_next_step(self, capsys):
        with pytest.raises(output.CliError) as caught:
            output.fail("It broke.", "Mend it.", 2)
        output.show_error(caught.value)
        assert capsys.readouterr() == ("", "lazward: It broke.\n  next: Mend it.\n")
