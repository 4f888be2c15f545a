"""kill -9 of the server's parts at moments and in an order that a seed decides."""

from __future__ import annotations

import random
import time
from typing import Any

from bench.server import Server, until
from tests.durability.load import PATIENCE_S, Submission

PARTS = (("control",), ("worker",), ("control", "worker"), ("supervisor",), ("supervisor", "control", "worker"))
RESET_EVERY = 4  # kills; a new supervisor starts parts without the pauses that grow with each end of one


class Killer:
    def __init__(self, server: Server, seed: int):
        self.server = server
        self.random = random.Random(seed)
        self.since_reset = 0
        self.done: list[str] = []

    def kill(self) -> None:
        time.sleep(self.random.uniform(0.05, 1.2))
        parts = self.random.choice(PARTS)
        if self.since_reset >= RESET_EVERY and parts[0] != "supervisor":
            parts = ("supervisor", *parts)
        until(lambda: set(parts) <= set(self.server.pids()), PATIENCE_S, what=self.server.logs)
        killed = self.server.kill(*parts)
        assert killed, parts
        self.done.append("+".join(killed))
        self.since_reset += 1
        if "supervisor" in killed:
            self.since_reset = 0
            time.sleep(self.random.uniform(0, 0.3))
            self.server.up()

    def storm(self, load: Any, kills: int, a_round: int) -> list[str]:
        """Rounds of the load, each submitted and waited for under up to a_round kills, until there have been `kills`. Their names."""
        rounds: list[str] = []
        while len(self.done) < kills:
            rounds.append(f"storm{len(rounds)}")
            background = Submission(load, rounds[-1])
            background.start()
            enough = min(kills, len(self.done) + a_round)
            while len(self.done) < enough and not background.over():
                self.kill()
            background.result()
        return rounds
