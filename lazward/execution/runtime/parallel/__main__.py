"""`python <this folder> ARGUMENTS` starts the driver, which starts `python <this folder> --lazward-worker FD` for each worker.

The folder is loaded as a package under a private name: its modules must not shadow those of the user.
"""

import importlib.util
import os
import sys

PACKAGE = "_lazward_parallel"
WORKER = "--lazward-worker"


def load_package(folder):
    """Makes this folder importable as PACKAGE and takes it off sys.path."""
    sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry or os.curdir) != folder]
    spec = importlib.util.spec_from_file_location(
        PACKAGE, os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
    )
    assert spec is not None and spec.loader is not None, folder
    package = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = package
    spec.loader.exec_module(package)


def main():
    load_package(os.path.dirname(os.path.realpath(__file__)))
    if sys.argv[1:2] == [WORKER]:
        return importlib.import_module(PACKAGE + ".worker").main(int(sys.argv[2]), sys.argv[3:])
    return importlib.import_module(PACKAGE + ".driver").main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
