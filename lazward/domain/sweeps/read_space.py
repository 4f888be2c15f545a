"""A search space as the wire has it, {name: [kind, arguments]}, read and checked: every fault at once, each with its place."""

from __future__ import annotations

import math
from typing import Any

from lazward.contract.errors import ArmError, bad_request
from lazward.domain.sweeps.space import NAME, Branch, Expression, Scalar, Space
from lazward.domain.tracking.names import MAX_KEY

# Names of the arguments, in the order of the wire.
ARGUMENTS = {
    "choice": ("values",), "randint": ("upper",),
    "uniform": ("min_value", "max_value"), "loguniform": ("min_value", "max_value"),
    "quniform": ("min_value", "max_value", "q"), "qloguniform": ("min_value", "max_value", "q"),
    "normal": ("mu", "sigma"), "lognormal": ("mu", "sigma"),
    "qnormal": ("mu", "sigma", "q"), "qlognormal": ("mu", "sigma", "q"),
}
MAX_DEPTH = 20  # of conditional parameters
MAX_EXPRESSIONS, MAX_OPTIONS = 1000, 10_000
MAX_INTEGER = 2.0**53
MAX_VALUE = 1e300
_FAR = 8.3  # standard deviations: the farthest the inverse of the normal distribution goes in double precision


def read_space(raw: Any, base: float = math.e, target: str = "properties.searchSpace") -> tuple[Space, list[ArmError]]:
    """The space and all that is wrong with it; with faults the space is not to be used. Its parameters are in the order of their names:
    not every database keeps that of the document, and samplers that number them must number them alike."""
    reader = _Reader(base)
    if not isinstance(raw, dict) or not raw:
        return Space({}), [bad_request("A sweep needs a search space: at least one parameter with an expression such as ['uniform', [0, 1]].", target, "InvalidSearchSpace")]
    parameters = {}
    for name, given in sorted(raw.items()):
        at = f"{target}.{name[:80]}"
        if not NAME.fullmatch(name) or len(name) > MAX_KEY:
            reader.fault(at, f"'{name[:80]}' is not a valid parameter name (up to {MAX_KEY} letters, digits and '_').")
        found = reader.expression(given, at, 0)
        if found:
            parameters[name] = found
    space = Space(parameters, base)
    if not reader.faults and sum(1 for _ in space.expressions()) > MAX_EXPRESSIONS:
        reader.fault(target, f"A search space has at most {MAX_EXPRESSIONS} expressions.")
    return space, reader.faults


class _Reader:
    def __init__(self, base: float):
        self.base = base
        self.faults: list[ArmError] = []

    def fault(self, target: str, message: str) -> None:
        self.faults.append(bad_request(message, target[:500], "InvalidSearchSpace"))

    def expression(self, raw: Any, at: str, depth: int) -> Expression | None:
        if not (isinstance(raw, list) and len(raw) == 2 and isinstance(raw[0], str) and isinstance(raw[1], list)):
            self.fault(at, f"An expression is [kind, [arguments]], such as ['uniform', [0, 1]], not {_shown(raw)}.")
            return None
        kind, args = raw[0].lower(), raw[1]
        if kind not in ARGUMENTS:
            self.fault(at, f"'{raw[0][:40]}' is no search space expression: it is one of {', '.join(ARGUMENTS)}.")
            return None
        wanted = ARGUMENTS[kind]
        if len(args) != len(wanted):
            self.fault(at, f"{kind} takes {len(wanted)} argument{'s' if len(wanted) > 1 else ''} ({', '.join(wanted)}), not {len(args)}.")
            return None
        if kind == "choice":
            return self._choice(args[0], at, depth)
        numbers = [self._number(value, f"{at}.{name}") for name, value in zip(wanted, args, strict=True)]
        if None in numbers:
            return None
        expression = Expression(kind, tuple(float(n) for n in numbers if n is not None))
        before = len(self.faults)
        self._check(expression, at)
        return expression if len(self.faults) == before else None

    def _number(self, value: Any, at: str) -> float | None:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            self.fault(at, f"A finite number is wanted here, not {_shown(value)}.")
            return None
        return float(value)

    def _check(self, expression: Expression, at: str) -> None:
        kind, args = expression.kind, expression.args
        if kind == "randint":
            if args[0] != int(args[0]) or not 1 <= args[0] <= MAX_INTEGER:
                self.fault(f"{at}.upper", f"The upper bound of randint is a whole number above 0 (values are 0 to upper - 1), not {args[0]:g}.")
            return
        if kind.endswith("normal"):
            if args[1] <= 0:
                self.fault(f"{at}.sigma", f"sigma is greater than 0, not {args[1]:g}.")
                return
        elif args[0] > args[1]:
            self.fault(f"{at}.min_value", f"min_value ({args[0]:g}) is greater than max_value ({args[1]:g}).")
            return
        if kind.startswith("q") and args[2] <= 0:
            self.fault(f"{at}.q", f"q is greater than 0, not {args[2]:g}.")
            return
        self._check_reach(expression, at)

    def _check_reach(self, expression: Expression, at: str) -> None:
        """No value may be too great for a number: exponents given where values were meant, or a q that is too small."""
        kind, args = expression.kind, expression.args
        ends = (args[0] - _FAR * args[1], args[0] + _FAR * args[1]) if kind.endswith("normal") else args[:2]
        if "log" in kind:
            limit = math.log(MAX_VALUE) / abs(math.log(self.base))
            if max(abs(e) for e in ends) > limit:
                self.fault(at, f"{kind} takes exponents: its values would go beyond {self.base:.6g}^{limit:.0f}. For values between a and b give log(a) and log(b).")
                return
            ends = tuple(self.base**e for e in ends)
        if kind.startswith("q") and max(abs(e) for e in ends) > MAX_VALUE * min(args[2], 1.0):
            self.fault(f"{at}.q", f"q ({args[2]:g}) is too small for values up to {max(abs(e) for e in ends):.3g}.")

    def _choice(self, values: Any, at: str, depth: int) -> Expression | None:
        if not isinstance(values, list) or not values:
            self.fault(f"{at}.values", f"choice takes a list with at least one value, not {_shown(values)}.")
            return None
        if len(values) > MAX_OPTIONS or depth >= MAX_DEPTH:
            self.fault(f"{at}.values", f"choice takes at most {MAX_OPTIONS} values, and choices are nested at most {MAX_DEPTH} deep.")
            return None
        before = len(self.faults)
        options: list[Scalar | Branch] = []
        for place, value in enumerate(values):
            here = f"{at}.values[{place}]"
            if isinstance(value, dict):
                options.append(self._branch(value, here, depth))
            elif self._scalar(value, here):
                options.append(value)
        return Expression("choice", (), tuple(options)) if len(self.faults) == before else None

    def _branch(self, raw: dict[str, Any], at: str, depth: int) -> Branch:
        members: list[tuple[str, Scalar | Expression]] = []
        if not raw:
            self.fault(at, "An object among the values of a choice has at least one member.")
        for name, value in sorted(raw.items()):
            here = f"{at}.{name[:80]}"
            if isinstance(value, list):
                found = self.expression(value, here, depth + 1)
                if found:
                    members.append((name, found))
            elif self._scalar(value, here):
                members.append((name, value))
        return Branch(tuple(members))

    def _scalar(self, value: Any, at: str) -> bool:
        if isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value)):
            return True
        self.fault(at, f"A value of a choice is a text, a number, true, false or an object, not {_shown(value)}.")
        return False


def _shown(value: Any) -> str:
    return "null" if value is None else f"'{str(value)[:60]}'"
