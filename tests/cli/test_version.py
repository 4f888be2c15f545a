import json
import platform

from lazward import __version__
from lazward.cli.version import version


class TestVersion:
    def test_for_people(self, capsys):
        assert version() == 0
        assert capsys.readouterr().out.startswith(f"lazward {__version__} (Python {platform.python_version()},")

    def test_for_programs(self, capsys):
        version(json=True)
        assert json.loads(capsys.readouterr().out).keys() == {"lazward", "python", "platform"}
