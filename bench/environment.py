"""The environment of a job, from its declaration to a Python that can be started: `python -m bench.environment`.

The curated `sklearn-1.5`, through the environment cache that jobs use: cold with an empty cache of uv (packages come over the network),
cold with uv's cache warm, and warm. In turn with `uv venv` and `uv pip install --no-deps` of the very lock that it resolved, with a cache of
uv in the same state: the peer does not resolve, Lazward does.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.measure import Row, alternate, main
from lazward.domain.curated import curated
from lazward.execution.environments import Environment, EnvironmentCache
from lazward.execution.uv_tool import find_uv

CURATED = "sklearn-1.5"


class Place:
    """Folders of one state each: environments, and uv's cache."""

    def __init__(self, folder: Path, quick: bool):
        self.folder = folder
        found = curated(CURATED)
        assert found is not None
        self.packages = found.packages
        self.warm_cache = None if quick else folder / "warm-uv"  # a quick run downloads nothing that this user has
        self.lock = folder / "lock.txt"
        self.built = self.build(self.warm_cache, folder / "kept")
        self.lock.write_text(self.built.lock)

    def environ(self, cache: Path | None) -> dict[str, str]:
        return {**os.environ, **({"UV_CACHE_DIR": str(cache)} if cache else {})}

    def build(self, cache: Path | None, root: Path) -> Environment:
        return asyncio.run(EnvironmentCache(root, environ=self.environ(cache), gpus=False).ensure(self.packages, lambda line: None))

    def ours(self, cache: Path | None) -> float:
        root = self.folder / "ours"
        began = time.perf_counter()
        self.build(cache, root)
        took = time.perf_counter() - began
        shutil.rmtree(root)
        return took

    def peer(self, cache: Path | None) -> float:
        venv, environ, uv = self.folder / "peer", self.environ(cache), str(find_uv())
        began = time.perf_counter()
        subprocess.run([uv, "venv", "-q", "--python", str(self.built.python.resolve()), str(venv)], env=environ, check=True)
        subprocess.run([uv, "pip", "install", "-q", "--python", str(venv / "bin" / "python"), "--no-deps", "-r", str(self.lock)], env=environ, check=True)
        took = time.perf_counter() - began
        shutil.rmtree(venv)
        return took

    def cold(self, what: str) -> float:
        cache = self.folder / "cold-uv"
        try:
            return getattr(self, what)(cache)
        finally:
            shutil.rmtree(cache, ignore_errors=True)

    def warm(self) -> float:
        began = time.perf_counter()
        self.build(self.warm_cache, self.folder / "kept")
        return time.perf_counter() - began

    def bare(self) -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-I", "-S", "-c", ""], check=True)
        return time.perf_counter() - began


def rows(quick: bool) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="lz") as folder:
        place = Place(Path(folder), quick)
        count = place.built.packages
        warm = alternate({"bare": place.bare, "ours": place.warm}, 3 if quick else 15)
        built = alternate({"peer": lambda: place.peer(place.warm_cache), "ours": lambda: place.ours(place.warm_cache)}, 1 if quick else 3)
        cold = {} if quick else alternate({"peer": lambda: place.cold("peer"), "ours": lambda: place.cold("ours")}, 2)
    what = f"environment `{CURATED}` ({count} packages)"
    against = "`uv venv && uv pip install` of its lock"
    out = [
        Row(f"{what}, warm", [x * 1000 for x in warm["ours"]], "start of an empty Python", [x * 1000 for x in warm["bare"]], aim="under 1 s"),
        Row(f"{what}, cold, uv's cache warm", built["ours"], against, built["peer"], "s"),
    ]
    return out + ([Row(f"{what}, cold, uv's cache empty", cold["ours"], against, cold["peer"], "s")] if cold else [])


if __name__ == "__main__":
    main(rows, __doc__)
