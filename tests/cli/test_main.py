import importlib
import subprocess
import sys

import pytest

from lazward import __version__
from lazward.cli import main as module
from lazward.cli.main import COMMANDS, VERBS, every, run
from lazward.cli.output import CliError


class TestCommands:
    @pytest.mark.parametrize("name", list(every()))
    def test_each_is_there_and_explains_itself_and_its_options(self, name, capsys):
        path, _, attribute = every()[name].partition(":")
        command = getattr(importlib.import_module(path), attribute)
        assert run([*name.split(), "--help"]) == 0
        shown = capsys.readouterr().out
        assert f"lazward {name}" in shown
        code = command.__code__
        for option in code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]:
            described = shown.split("--" + option.replace("_", "-"))[1]
            assert described.split(":", 1)[1].strip().split("\n")[0], option

    @pytest.mark.parametrize("argv", [[], ["--help"], ["-h"], ["help"]])
    def test_the_overview_names_all(self, argv, capsys):
        assert run(argv) == 0
        shown = capsys.readouterr().out
        assert all(f"  {name} " in shown for name in COMMANDS)


    @pytest.mark.parametrize("name", list(VERBS))
    @pytest.mark.parametrize("more", [[], ["--help"]])
    def test_a_group_names_its_verbs(self, name, more, capsys):
        assert run([name, *more]) == 0
        shown = capsys.readouterr().out
        assert all(verb in shown and what in " ".join(shown.split()) for verb, (_, what) in VERBS[name].items())

    def test_an_unknown_verb_has_a_neighbour(self, capsys):
        assert run(["principal", "creat"]) == 2
        assert "lazward principal create" in capsys.readouterr().err
        assert run(["keys", "xyzzy"]) == 2
        assert "lazward keys --help" in capsys.readouterr().err


class TestRun:
    def test_an_unknown_command_has_a_neighbour(self, capsys):
        assert run(["staus"]) == 2
        assert "lazward status" in capsys.readouterr().err
        assert run(["xyzzy"]) == 2
        assert "lazward --help" in capsys.readouterr().err

    @pytest.mark.parametrize("argv", [["env", "--colour"], ["env", "--shell", "cmd"], ["up", "--port", "x"], ["status", "extra"], ["backup"], ["up", "--no-detach"]])
    def test_wrong_use_is_one_line_and_a_next_step(self, argv, capsys):
        assert run(argv) == 2
        cause, next_step = capsys.readouterr().err.splitlines()
        assert cause.startswith("lazward: ") and next_step == f"  next: See `lazward {argv[0]} --help`."

    @pytest.mark.parametrize(("error", "code"), [(CliError("c", "n", 3), 3), (KeyboardInterrupt(), 130)])
    def test_how_a_command_ends_is_the_exit_code(self, monkeypatch, error, code):
        def dispatch(argv):
            raise error

        monkeypatch.setattr(module, "_dispatch", dispatch)
        assert run(["status"]) == code

    def test_a_reader_that_goes_away_is_no_fault_of_ours(self, install):
        done = subprocess.run(["sh", "-c", f"'{sys.executable}' -m lazward.cli.main settings | true"], env=install.environ, capture_output=True, text=True)
        assert "Traceback" not in done.stderr


class TestStartUp:
    """Import cost is what the user waits for: what is not needed must not be imported."""

    HEAVY = ("cyclopts", "msgspec", "cryptography", "asyncio", "sqlalchemy", "http.client", "rich", "lazward.cli.supervisor")

    @pytest.mark.parametrize("argv", [["--help"], ["env"], ["version"]])
    def test_the_quick_ones_import_nothing_heavy(self, install, argv):
        code = f"import sys; from lazward.cli.main import run; run({argv!r}); print([m for m in {self.HEAVY!r} if m in sys.modules], file=sys.stderr)"
        done = subprocess.run([sys.executable, "-c", code], env=install.environ, capture_output=True, text=True)
        assert done.stderr.splitlines()[-1] == "[]"


class TestVersion:
    def test_the_flag_too(self, capsys):
        assert run(["--version"]) == 0
        assert __version__ in capsys.readouterr().out
