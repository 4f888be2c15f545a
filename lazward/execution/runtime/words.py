"""How the keeper words signals and sizes for people. Standard library only."""

from __future__ import annotations


def signal_name(number: int) -> str:
    import signal  # not before it is needed: see keeper.py

    try:
        return signal.Signals(number).name
    except ValueError:
        return "a real-time signal"


def size(count: int) -> str:
    return f"{count / 2**30:.2f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"
