"""The `lazward` command: the table of commands, and how errors become exit codes.

Start-up time counts (`lazward env` stands in people's shell profiles): a command's module is imported when it is called, the parser only when
there is something to parse. A command is a function whose parameters are its options and whose docstring is its help; it returns the exit code.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from difflib import get_close_matches

from lazward import __version__
from lazward.cli.output import FAILED, INTERRUPTED, OK, USAGE, CliError, show, show_error

# name: (where it is, what it does)
COMMANDS: dict[str, tuple[str, str]] = {
    "up": ("lazward.cli.up:up", "Start the server."),
    "env": ("lazward.cli.env:env", 'Print the variables that point clients here: eval "$(lazward env)".'),
    "status": ("lazward.cli.status:status", "Show how each part of the server is."),
    "down": ("lazward.cli.down:down", "Stop the server; running jobs survive."),
    "demo": ("lazward.cli.demo:demo", "Train, track, register, deploy and score a real model."),
    "sync": ("lazward.cli.sync:sync", "Send what was logged while the tracking server was away."),
    "relaunch": ("lazward.cli.jobs:relaunch", "Run a job again, with other inputs or settings."),
    "diff": ("lazward.cli.jobs:diff", "Show what is different between two jobs or runs."),
    "settings": ("lazward.cli.settings:settings", "Show every setting and where its value comes from."),
    "backup": ("lazward.cli.backup:backup", "Write the whole state to a file."),
    "restore": ("lazward.cli.restore:restore", "Make a data dir from a backup."),
    "export": ("lazward.cli.moving.commands:export", "Write a workspace's experiments, runs, models and their files to one file."),
    "import": ("lazward.cli.moving.commands:import_file", "Bring what `lazward export` wrote into a workspace."),
    "import-mlflow": ("lazward.cli.moving.commands:import_mlflow", "Bring the data of an MLflow server or an mlruns folder into a workspace."),
    "principal": ("", "Make and manage the identities that may sign in."),
    "keys": ("", "Replace the keys that sign tokens."),
    "environments": ("", "Look into and prune the cache of built environments."),
    "trash": ("", "Restore deleted experiments, runs and logged models, or remove them for good."),
    "version": ("lazward.cli.version:version", "Print the version."),
}
# The verbs of those that stand for several commands.
VERBS: dict[str, dict[str, tuple[str, str]]] = {
    "principal": {
        "create": ("lazward.cli.principal:create", "Make a service principal and print its secret once."),
        "list": ("lazward.cli.principal:list_all", "Show every principal and its roles."),
        "disable": ("lazward.cli.principal:disable", "End its sign-ins, and refuse it."),
        "enable": ("lazward.cli.principal:enable", "Let a disabled one sign in again."),
        "delete": ("lazward.cli.principal:delete", "Remove it and its role assignments."),
        "secret": ("lazward.cli.principal:secret", "Replace its secret and print the new one once."),
    },
    "keys": {"rotate": ("lazward.cli.keys:rotate", "Replace the key that signs tokens.")},
    "environments": {
        "list": ("lazward.cli.environments:list_all", "Show every built environment."),
        "prune": ("lazward.cli.environments:prune", "Remove environments that nothing uses."),
    },
    "trash": {
        "list": ("lazward.cli.trash:list_all", "Show what was deleted and can be restored."),
        "restore": ("lazward.cli.trash:restore", "Take something out of the bin again."),
        "empty": ("lazward.cli.trash:empty", "Remove for good, and free the room."),
    },
}


def main(argv: Sequence[str] | None = None) -> None:
    """Runs one command and exits with its code."""
    sys.exit(run(list(sys.argv[1:] if argv is None else argv)))


def run(argv: list[str]) -> int:
    """Runs one command; returns the exit code: 0 done, 1 failed, 2 wrong use or settings, 3 not running, 130 interrupted."""
    if not argv or argv[0] in ("--help", "-h", "help"):
        show(overview())
        return OK
    if argv[0] == "--version":
        argv[0] = "version"
    try:
        if argv[0] not in COMMANDS:
            near = get_close_matches(argv[0], COMMANDS, 1)
            raise CliError(f"There is no command {argv[0]!r}.", f"Did you mean `lazward {near[0]}`?" if near else "See `lazward --help`.", USAGE)
        return _dispatch(argv)
    except CliError as error:
        show_error(error)
        return error.code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone, as with `lazward status | head -1`
        return FAILED


def every() -> dict[str, str]:
    """Each command as it is typed, and where it is: {"principal create": "lazward.cli.principal:create"}."""
    found = {name: where for name, (where, _) in COMMANDS.items() if name not in VERBS}
    return found | {f"{name} {verb}": where for name, verbs in VERBS.items() for verb, (where, _) in verbs.items()}


def _dispatch(argv: list[str]) -> int:
    name = argv[0]
    where, what = COMMANDS[name]
    if len(argv) == 1 and name not in VERBS:
        module, _, attribute = where.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        if command.__code__.co_argcount == 0:  # options only, each with a default: nothing to parse, and the parser costs 0.15 s
            return command()
    from cyclopts import App, CycloptsError, Parameter

    def parser(name: str, help: str = "") -> App:
        return App(
            name=name, help=help, version=__version__, help_formatter="plain", help_format="plaintext", result_action="return_value",
            default_parameter=Parameter(negative=()),
        )

    app = parser("lazward")
    typed = name
    if name in VERBS:
        verbs = VERBS[name]
        if len(argv) > 1 and argv[1] not in verbs and argv[1] not in ("--help", "-h"):
            near = get_close_matches(argv[1], verbs, 1)
            raise CliError(f"`lazward {name}` knows no {argv[1]!r}.", f"Did you mean `lazward {name} {near[0]}`?" if near else f"See `lazward {name} --help`.", USAGE)
        group = parser(name, what)
        for verb, (place, does) in verbs.items():
            group.command(place, name=verb, help=does)
        app.command(group)
        typed = " ".join(argv[:2]) if len(argv) > 1 and argv[1] in verbs else name
    else:
        app.command(where, name=name, help=what)
    try:
        code = app(argv, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        raise CliError(" ".join(str(error).split()), f"See `lazward {typed} --help`.", USAGE) from None
    return code if isinstance(code, int) else OK


def overview() -> str:
    width = max(map(len, COMMANDS))
    return "\n".join([
        f"Lazward {__version__}: self-hosted Azure Machine Learning.",
        "",
        "Usage: lazward COMMAND [OPTIONS]",
        "",
        *(f"  {name.ljust(width)}  {what}" for name, (_, what) in COMMANDS.items()),
        "",
        "lazward COMMAND --help shows its options. Start with: lazward up",
    ])


if __name__ == "__main__":
    main()
