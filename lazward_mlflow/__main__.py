"""`python -m lazward_mlflow sync`, where there is no `lazward` command: sends what was left behind (docs/guides/outages.md)."""

from __future__ import annotations

import argparse
import os
import sys

from lazward_mlflow.places import find
from lazward_mlflow.senders import PlainSender, authorization
from lazward_mlflow.settings import Settings, default_folder
from lazward_mlflow.sync import LEFT, Progress, sync, words


def main(argv: list[str]) -> int:
    """0 when all was sent, 1 when something is left or was refused."""
    parser = argparse.ArgumentParser(prog="python -m lazward_mlflow")
    verb = parser.add_subparsers(dest="verb", required=True).add_parser("sync", help="send what processes have left behind")
    verb.add_argument("folder", nargs="?", default=default_folder(os.environ), help="a spool, or a part of one")
    verb.add_argument("--to", default="", metavar="URI", help="another server than the one that was logged to")
    verb.add_argument("--dry-run", action="store_true", help="only say what would be sent")
    verb.add_argument("--again", action="store_true", help="try what was refused once more")
    asked = parser.parse_args(argv)
    return run(asked.folder, asked.to, asked.dry_run, asked.again)


def run(folder: str, to: str, dry_run: bool, again: bool) -> int:
    timeout = max(Settings(os.environ).timeout, 30.0)
    progress = Progress(lambda text: print(text, file=sys.stderr, flush=True))
    code, any_ = 0, False
    alone = bool(to) or len({place.base for place in find(folder)}) < 2

    def sender(base: str) -> PlainSender:
        return PlainSender(base, authorization(os.environ, base, alone), os.environ, timeout)

    for result in sync(folder, sender, to, dry_run, again, progress):
        any_ = True
        print("\n".join(words(result)), flush=True)
        code = code or int(result.how == LEFT or result.refused > 0)
    if not any_:
        print(f"{folder}: nothing was left behind", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
