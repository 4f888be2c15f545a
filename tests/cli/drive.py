"""The `lazward` command with the stand-in for its parts: python drive.py up ..."""

from lazward.cli import children
from lazward.cli.main import main

children.MODULE = "standin_app"
main()
