"""The difference of two texts as a unified diff, by Myers' algorithm, within a budget of work.

Texts come from users, and a server answers others meanwhile: whatever they hold, a comparison ends after a bounded number of steps. Two
texts that are too different for what is left of the budget are shown as one replaced by the other, which is true, if not short.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass

CONTEXT = 3
MAX_EDITS = 1500  # of two texts; finding more takes time and memory by their square
BUDGET = 3_000_000  # steps for all texts together, about a second

Block = tuple[int, int, int]  # lines i..i+n of the one text are lines j..j+n of the other


@dataclass
class Budget:
    steps: int = BUDGET


def split(text: str) -> list[str]:
    """Lines with their ends; only a newline ends a line."""
    pieces = text.split("\n")
    return [f"{piece}\n" for piece in pieces[:-1]] + ([pieces[-1]] if pieces[-1] else [])


def unified(old: str, new: str, old_name: str, new_name: str, budget: Budget | None = None) -> str:
    """"" when they are the same. The names are those in the heading, such as "a/train.py"; "/dev/null" for a file that is not there."""
    if old == new:
        return ""
    a, b = split(old), split(new)
    out = [f"--- {old_name}\n", f"+++ {new_name}\n"]
    for group in _hunks(_changes(matches(a, b, budget or Budget()), len(a), len(b)), len(a)):
        out += _hunk(a, b, group)
    return "".join(out)


def matches(a: list[str], b: list[str], budget: Budget) -> list[Block]:
    """The blocks of lines that both have, in order; all that is between them differs."""
    start = 0
    while start < min(len(a), len(b)) and a[start] == b[start]:
        start += 1
    end = 0
    while end < min(len(a), len(b)) - start and a[-1 - end] == b[-1 - end]:
        end += 1
    ids: dict[str, int] = {}
    x, y = ([ids.setdefault(line, len(ids)) for line in lines[start : len(lines) - end]] for lines in (a, b))
    blocks = [(start + i, start + j, n) for i, j, n in _middle(x, y, budget)]
    ends = [(0, 0, start), *blocks, (len(a) - end, len(b) - end, end)]
    return [block for block in ends if block[2]]


def _middle(a: list[int], b: list[int], budget: Budget) -> list[Block]:
    """Myers' greedy search for the fewest edits; [] when that takes more than MAX_EDITS or the budget."""
    if not a or not b:
        return []
    most = min(len(a) + len(b), MAX_EDITS)
    middle = most + 1  # where diagonal 0 is in `furthest`
    furthest = array("i", bytes(4 * (2 * most + 3)))
    trace: list[array[int]] = []  # of each round: diagonals -edits - 1 to edits + 1, as they were before it
    for edits in range(most + 1):
        if budget.steps <= 0:
            return []
        trace.append(furthest[middle - edits - 1 : middle + edits + 2])
        budget.steps -= 2 * edits + 1
        for diagonal in range(-edits, edits + 1, 2):
            left, right = furthest[middle + diagonal - 1], furthest[middle + diagonal + 1]
            i = right if diagonal == -edits or (diagonal != edits and left < right) else left + 1
            j = i - diagonal
            before = i
            while i < len(a) and j < len(b) and a[i] == b[j]:
                i, j = i + 1, j + 1
            budget.steps -= i - before
            furthest[middle + diagonal] = i
            if i >= len(a) and j >= len(b):
                return _walk_back(trace, len(a), len(b))
    return []


def _walk_back(trace: list[array[int]], i: int, j: int) -> list[Block]:
    blocks: list[Block] = []
    for edits in range(len(trace) - 1, 0, -1):
        round_, diagonal = trace[edits], i - j
        left, right = round_[edits + diagonal], round_[edits + diagonal + 2]
        down = diagonal == -edits or (diagonal != edits and left < right)
        start = right if down else left + 1
        if i > start:
            blocks.append((start, start - diagonal, i - start))
        i, j = (right, right - diagonal - 1) if down else (left, left - diagonal + 1)
    if i:
        blocks.append((0, 0, i))
    return blocks[::-1]


def _changes(blocks: list[Block], old: int, new: int) -> Iterator[tuple[int, int, int, int]]:
    """(from, to) of the lines that go, (from, to) of those that come."""
    i = j = 0
    for a, b, n in [*blocks, (old, new, 0)]:
        if a > i or b > j:
            yield i, a, j, b
        i, j = a + n, b + n


def _hunks(changes: Iterator[tuple[int, int, int, int]], old: int) -> Iterator[list[tuple[int, int, int, int]]]:
    """Changes so near to each other that their surroundings would touch are told together."""
    group: list[tuple[int, int, int, int]] = []
    for change in changes:
        if group and change[0] - group[-1][1] > 2 * CONTEXT:
            yield group
            group = []
        group.append(change)
    if group:
        yield group


def _hunk(a: list[str], b: list[str], group: list[tuple[int, int, int, int]]) -> Iterator[str]:
    before = min(CONTEXT, group[0][0])
    after = min(CONTEXT, len(a) - group[-1][1])
    i, j = group[0][0] - before, group[0][2] - before
    i_end, j_end = group[-1][1] + after, group[-1][3] + after
    yield f"@@ -{_place(i, i_end - i)} +{_place(j, j_end - j)} @@\n"
    for old_from, old_to, new_from, new_to in group:
        yield from _lines(" ", a[i:old_from])
        yield from _lines("-", a[old_from:old_to])
        yield from _lines("+", b[new_from:new_to])
        i = old_to
    yield from _lines(" ", a[i:i_end])


def _lines(sign: str, lines: list[str]) -> Iterator[str]:
    for line in lines:
        yield sign + line if line.endswith("\n") else f"{sign}{line}\n\\ No newline at end of file\n"


def _place(start: int, count: int) -> str:
    """As diff writes it: from 1, and the line before where there is none."""
    return f"{start + 1 if count else start},{count}"
