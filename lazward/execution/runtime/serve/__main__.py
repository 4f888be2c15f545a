"""`python <this folder>` starts the master, `python <this folder> worker N` one worker (done by the master).

The folder is loaded as a package under a private name: its modules must not shadow the `app.py` or `scoring.py` of the user.
"""

import importlib.util
import os
import sys

PACKAGE = "_lazward_serve"


def load_package(folder):
    """Makes this folder importable as PACKAGE and takes it off sys.path."""
    sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry or os.curdir) != folder]
    spec = importlib.util.spec_from_file_location(
        PACKAGE, os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
    )
    assert spec is not None and spec.loader is not None  # for a file that is there
    package = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = package
    spec.loader.exec_module(package)


def main():
    folder = os.path.dirname(os.path.realpath(__file__))
    load_package(folder)
    if sys.argv[1:2] == ["worker"]:
        worker = importlib.import_module(PACKAGE + ".worker")
        return worker.main(int(sys.argv[2]))
    master = importlib.import_module(PACKAGE + ".master")
    return master.main()


if __name__ == "__main__":
    sys.exit(main())
