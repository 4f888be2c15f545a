"""MLflow's search language: filter and order_by strings into a tree. Values only ever leave this module as parameters (S22).

MLflow's own grammar is comparisons joined by AND. Beyond it (U14): OR, NOT, parentheses, IN for every string, BETWEEN, IS NULL for
everything, NOT LIKE, and ISO dates where a time is compared. A string quoted with ' or " may hold its own quote doubled or after \\.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import msgspec

from lazward.contract.mlflow import MlflowError, invalid
from lazward.domain.tracking import patterns

MAX_LENGTH, MAX_CLAUSES, MAX_DEPTH, MAX_PATTERN = 100_000, 100, 20, 1000

STRING_OPS = frozenset({"=", "!=", "LIKE", "ILIKE", "IN"})
_EQUAL = frozenset({"="})
NUMBER_OPS = frozenset({"=", "!=", "<", "<=", ">", ">="})


class Compare(msgspec.Struct, frozen=True):
    """kind: attribute | metric | param | tag | dataset, or of a trace metadata | span | feedback | expectation | issue. op: = != < <= > >=
    LIKE ILIKE RLIKE IN, NOT LIKE, NOT ILIKE, NOT RLIKE, NOT IN, NULL. value: str, float, int, a tuple of str for IN, None for NULL (key is
    absent). All but NULL speak of a key that is there."""

    kind: str
    key: str
    op: str
    value: Any = None


class Not(msgspec.Struct, frozen=True):
    item: Node


class All(msgspec.Struct, frozen=True):
    items: tuple[Node, ...]


class AnyOf(msgspec.Struct, frozen=True):
    items: tuple[Node, ...]


Node = Compare | Not | All | AnyOf


class Order(msgspec.Struct, frozen=True):
    kind: str
    key: str
    ascending: bool


class Grammar(msgspec.Struct, frozen=True):
    """What may be searched: attribute spelling -> name; which of the names are times or numbers; entities beside attributes, and how they
    are written; what strings are compared by. free: entities whose values are strings or numbers, as they are compared. ordered: attributes
    that are strings, and have an order of their own. flags: attributes that are only 'true' or 'false'."""

    attributes: dict[str, str]
    numbers: frozenset[str]
    kinds: frozenset[str] = frozenset({"metric", "param", "tag"})
    entities: dict[str, str] = msgspec.field(default_factory=lambda: _ENTITIES)
    strings: frozenset[str] = STRING_OPS
    free: frozenset[str] = frozenset()
    ordered: frozenset[str] = frozenset()
    flags: frozenset[str] = frozenset()


_ENTITIES = {
    "metric": "metric", "metrics": "metric", "parameter": "param", "parameters": "param", "param": "param", "params": "param", "tag": "tag", "tags": "tag",
    "attribute": "attribute", "attributes": "attribute", "attr": "attribute", "run": "attribute", "dataset": "dataset", "datasets": "dataset",
}


def _names(*names: str, **aliases: str) -> dict[str, str]:
    return {**{n: n for n in names}, **aliases}


RUNS = Grammar(
    _names(
        "artifact_uri", "end_time", "run_id", "run_name", "start_time", "status", "user_id", created="start_time", Created="start_time",
        **{"run name": "run_name", "Run name": "run_name", "Run Name": "run_name"},
    ),
    frozenset({"start_time", "end_time"}),
    frozenset({"metric", "param", "tag", "dataset"}),
)
EXPERIMENTS = Grammar(
    _names("name", "experiment_id", "creation_time", "last_update_time"), frozenset({"creation_time", "last_update_time"}), frozenset({"tag"}),
)
LOGGED_MODELS = Grammar(
    _names(
        "model_id", "experiment_id", "name", "creation_timestamp", "last_updated_timestamp", "status", "lifecycle_stage", "model_type", "source_run_id",
        creation_time="creation_timestamp", creation_timestamp_ms="creation_timestamp", last_updated_timestamp_ms="last_updated_timestamp",
    ),
    frozenset({"creation_timestamp", "last_updated_timestamp"}),
)
REGISTERED_MODELS = Grammar(
    _names("name", creation_timestamp="timestamp", timestamp="timestamp", last_updated_timestamp="last_updated_timestamp"),
    frozenset({"timestamp", "last_updated_timestamp"}), frozenset({"tag"}),
)
MODEL_VERSIONS = Grammar(
    _names(
        "name", "version_number", "run_id", "source_path", "creation_timestamp", "last_updated_timestamp", "current_stage",
        version="version_number", timestamp="creation_timestamp",
    ),
    frozenset({"version_number", "creation_timestamp", "last_updated_timestamp"}), frozenset({"tag"}),
)
_ASSESSED = frozenset({"feedback", "expectation"})
TRACES = Grammar(
    _names(
        "request_id", "timestamp", "execution_time", "end_time", "status", "client_request_id", "name", "run_id", "prompt", "text", "experiment_id",
        trace_id="request_id", timestamp_ms="timestamp", execution_time_ms="execution_time", end_time_ms="end_time",
    ),
    frozenset({"timestamp", "execution_time", "end_time"}),
    frozenset({"tag", "metadata", "span", "issue", *_ASSESSED}),
    {
        **_names("tag", "metadata", "attribute", "span", "feedback", "expectation", "issue"), "tags": "tag", "attributes": "attribute", "trace": "attribute",
        "request_metadata": "metadata",
    },
    STRING_OPS | {"RLIKE"},
    _ASSESSED,
)
_KEYS = {"dataset": ("name", "digest", "context"), "span": ("name", "type", "status", "content"), "issue": ("id",)}
# What is compared in few ways only.
_ONLY = {
    ("attribute", "prompt"): _EQUAL, ("issue", "id"): _EQUAL, ("attribute", "text"): frozenset({"LIKE", "ILIKE"}),
    ("span", "content"): frozenset({"LIKE", "ILIKE"}),
}

# Nothing here may try a second way through a long run of characters: a filter of 100,000 blanks once took minutes (S19). Hence the
# possessive ++ and *+, and blanks that are skipped apart.
_BLANKS = re.compile(r"\s*+")
_TOKEN = re.compile(
    r"""(?:
      (?P<number>[-+]?(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][-+]?\d++)?+(?![\w.`"]))
    | (?P<string>'(?:''|\\'|[^'])*'|"(?:""|\\"|[^"])*")
    | (?P<op><=|>=|!=|=|<|>)
    | (?P<punct>[(),])
    | (?P<word>(?:`[^`]*`|(?<=\.)"[^"]*"|[^\s'"`()<>=!,;])+)
    | (?P<bad>\S)
    )""",
    re.VERBOSE,
)


class _Tokens:
    def __init__(self, text: str):
        self.text = text
        self.found: list[tuple[str, str]] = []
        self.at = 0
        self.clauses = 0
        place = _BLANKS.match(text).end()  # type: ignore[union-attr]
        while (match := _TOKEN.match(text, place)) is not None:
            kind, token = match.lastgroup or "bad", match.group()
            if kind == "bad":
                raise self.error(f"'{token}' at {place} is not part of the search language")
            self.found.append((kind, token))
            place = _BLANKS.match(text, match.end()).end()  # type: ignore[union-attr]

    def error(self, why: str) -> MlflowError:
        return invalid(f"Invalid filter string {self.text[:300]!r}: {why}.", "filter")

    def peek(self) -> tuple[str, str]:
        return self.found[self.at] if self.at < len(self.found) else ("end", "")

    def next(self) -> tuple[str, str]:
        token = self.peek()
        self.at += 1
        return token

    def word(self, *words: str) -> bool:
        """Takes the next token if it is one of these keywords."""
        kind, token = self.peek()
        if kind == "word" and token.upper() in words:
            self.at += 1
            return True
        return False

    def expect(self, what: str) -> None:
        kind, token = self.next()
        if token.upper() != what or kind == "string":
            raise self.error(f"expected {what}, found {token or 'the end'!r}")


def parse_filter(text: str | None, grammar: Grammar) -> Node | None:
    """None for an absent filter; INVALID_PARAMETER_VALUE saying what is wrong and where."""
    if not text:
        return None
    if len(text) > MAX_LENGTH or "\0" in text:
        raise invalid(f"The filter is longer than {MAX_LENGTH} characters or holds a NUL character.", "filter")
    tokens = _Tokens(text)
    if not tokens.found:
        raise tokens.error("it is blank")
    node = _either(tokens, grammar, 0)
    kind, token = tokens.peek()
    if kind != "end":
        raise tokens.error(f"expected AND, OR or the end, found {token!r}")
    return node


def parse_order(text: Any, grammar: Grammar) -> Order:
    """One element of order_by: "metrics.loss DESC"."""
    if not isinstance(text, str) or not text.strip() or len(text) > 1000:
        raise invalid(f"Invalid order_by clause '{str(text)[:100]}'.", "order_by")
    tokens = _Tokens(text)
    tokens.error = lambda why: invalid(f"Invalid order_by clause '{text[:200]}': {why}.", "order_by")  # type: ignore[method-assign]
    kind, key = _identifier(tokens, grammar)
    ascending = not tokens.word("DESC")
    if ascending:
        tokens.word("ASC")
    if tokens.peek()[0] != "end":
        raise tokens.error("it is a name, then ASC or DESC")
    if kind in _KEYS or (kind, key) in _ONLY:
        raise tokens.error(f"nothing is ordered by {kind} {key}")
    return Order(kind, key, ascending)


def parse_orders(texts: list[Any] | None, grammar: Grammar) -> list[Order]:
    orders = [parse_order(text, grammar) for text in texts or []]
    seen = [(o.kind, o.key) for o in orders]
    if len(set(seen)) != len(seen):
        raise invalid(f"`order_by` contains duplicate fields: {[str(t)[:60] for t in texts or []]}", "order_by")
    if len(orders) > 20:
        raise invalid("`order_by` has more than 20 fields.", "order_by")
    return orders


def _either(tokens: _Tokens, grammar: Grammar, depth: int) -> Node:
    items = [_both(tokens, grammar, depth)]
    while tokens.word("OR"):
        items.append(_both(tokens, grammar, depth))
    return items[0] if len(items) == 1 else AnyOf(tuple(items))


def _both(tokens: _Tokens, grammar: Grammar, depth: int) -> Node:
    items = [_term(tokens, grammar, depth)]
    while tokens.word("AND"):
        items.append(_term(tokens, grammar, depth))
    return items[0] if len(items) == 1 else All(tuple(items))


def _term(tokens: _Tokens, grammar: Grammar, depth: int) -> Node:
    if depth > MAX_DEPTH:
        raise tokens.error(f"it is nested deeper than {MAX_DEPTH}")
    if tokens.word("NOT"):
        return Not(_term(tokens, grammar, depth + 1))
    if tokens.peek() == ("punct", "("):
        tokens.next()
        node = _either(tokens, grammar, depth + 1)
        tokens.expect(")")
        return node
    return _comparison(tokens, grammar)


def _comparison(tokens: _Tokens, grammar: Grammar) -> Node:
    tokens.clauses += 1
    if tokens.clauses > MAX_CLAUSES:
        raise tokens.error(f"it has more than {MAX_CLAUSES} comparisons")
    kind, key = _identifier(tokens, grammar)
    numeric = kind == "metric" or (kind == "attribute" and key in grammar.numbers)
    if tokens.word("IS"):
        negated = tokens.word("NOT")
        tokens.expect("NULL")
        node = Compare(kind, key, "NULL")
        return Not(node) if negated else node
    negated = tokens.word("NOT")
    sort, word = tokens.next()
    op = word.upper() if sort in ("op", "word") else ""
    free = kind in grammar.free
    if free:
        numeric = op in ("<", "<=", ">", ">=", "BETWEEN") or (op in ("=", "!=") and tokens.peek()[0] == "number")
    ordered, flag = kind == "attribute" and key in grammar.ordered, kind == "attribute" and key in grammar.flags
    if op == "BETWEEN" and (numeric or ordered):
        low = _value(tokens, kind, key, numeric)
        tokens.expect("AND")
        node = All((Compare(kind, key, ">=", low), Compare(kind, key, "<=", _value(tokens, kind, key, numeric))))
        return Not(node) if negated else node
    allowed = NUMBER_OPS | grammar.strings if free else NUMBER_OPS if numeric or ordered else _EQUAL if flag else _ONLY.get((kind, key), grammar.strings)
    if op not in allowed or (negated and sort == "op"):
        raise tokens.error(f"{kind} '{key}' is compared with one of {', '.join(sorted(allowed))}, not {word!r}")
    value = _strings(tokens) if op == "IN" else _value(tokens, kind, key, numeric)
    if flag and (value := str(value).lower()) not in ("true", "false"):
        raise tokens.error(f"attribute '{key}' is 'true' or 'false'")
    if op.endswith("LIKE") and len(value) > MAX_PATTERN:
        raise tokens.error(f"a pattern has at most {MAX_PATTERN} characters")
    if op == "RLIKE" and (why := patterns.fault(str(value))):
        raise tokens.error(f"the pattern {value[:60]!r} is no regular expression: {why}")
    return Compare(kind, key, f"NOT {op}" if negated else op, value)


def _identifier(tokens: _Tokens, grammar: Grammar) -> tuple[str, str]:
    sort, word = tokens.next()
    if sort == "string" and word[0] == '"':
        return _attribute(tokens, grammar, word[1:-1])
    if sort != "word":
        raise tokens.error(f"expected a name such as metrics.accuracy, found {word or 'the end'!r}")
    head, dot, rest = word.partition(".")
    if word[0] == "`" and "`" in word[1:]:
        end = word.index("`", 1) + 1
        head, dot, rest = word[:end], word[end : end + 1], word[end + 1 :]
    if not dot:
        return _attribute(tokens, grammar, _bare(head))
    kind = grammar.entities.get(_bare(head))
    if kind != "attribute" and kind not in grammar.kinds:
        names = ", ".join(sorted({"attribute", *grammar.kinds}))
        raise tokens.error(f"Invalid entity type '{_bare(head)}'. Valid values are {names}")
    key = _bare(rest)
    if not key:
        raise tokens.error(f"a key is missing after '{head}.'")
    if kind == "attribute":
        return _attribute(tokens, grammar, key)
    if kind == "span" and key.startswith("attributes."):
        name = _bare(key.removeprefix("attributes."))
        if not name:
            raise tokens.error("a name is missing after 'attributes.'")
        return kind, f"attributes.{name}"
    if kind in _KEYS and key not in _KEYS[kind]:
        more = ", attributes.NAME" if kind == "span" else ""
        raise tokens.error(f"Invalid {kind} key '{key[:60]}' specified. Valid keys are {', '.join(_KEYS[kind])}{more}")
    return kind, key


def _attribute(tokens: _Tokens, grammar: Grammar, key: str) -> tuple[str, str]:
    if key not in grammar.attributes:
        raise tokens.error(f"Invalid attribute key '{key[:60]}' specified. Valid keys are {', '.join(sorted(grammar.attributes))}")
    return "attribute", grammar.attributes[key]


def _bare(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "`\"" else text


def _value(tokens: _Tokens, kind: str, key: str, numeric: bool) -> Any:
    sort, word = tokens.next()
    if not numeric:
        if sort == "string":
            return _unquoted(word)
        raise tokens.error(f"Expected a quoted string value for {kind} '{key}' (e.g. 'my-value'). Got value {word or 'the end'}")
    if sort == "number":
        return float(word) if kind == "metric" or not word.lstrip("+-").isdigit() or len(word) > 18 else int(word)
    if sort == "string" and kind == "attribute":
        return _milliseconds(tokens, _unquoted(word), key)
    raise tokens.error(f"Expected numeric value type for {kind} '{key}'. Found {word or 'the end'}")


def _strings(tokens: _Tokens) -> tuple[str, ...]:
    tokens.expect("(")
    out = []
    while True:
        sort, word = tokens.next()
        if sort != "string":
            raise tokens.error(f"While parsing a list, expected a non-empty list of quoted strings, but got {word or 'the end'}")
        out.append(_unquoted(word))
        sort, word = tokens.next()
        if word == ")" and sort == "punct":
            return tuple(out)
        if word != "," or sort != "punct":
            raise tokens.error("While parsing a list, expected ',' or ')'")
        if tokens.peek() == ("punct", ")"):
            tokens.next()
            return tuple(out)


def _unquoted(word: str) -> str:
    quote = word[0]
    return word[1:-1].replace(quote * 2, quote).replace("\\" + quote, quote)


def _milliseconds(tokens: _Tokens, text: str, key: str) -> int:
    """An ISO date or time, UTC unless it says otherwise."""
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise tokens.error(f"Expected numeric value type for attribute '{key}', or an ISO date. Found '{text[:40]}'") from None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp() * 1000)
