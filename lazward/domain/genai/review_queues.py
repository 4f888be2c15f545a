"""Review queues: traces that wait for somebody's answers. Names, users and limits are MLflow's."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from lazward.contract.mlflow import invalid

TYPES, STATUSES, ITEMS = ("USER", "CUSTOM"), ("PENDING", "COMPLETE", "DECLINED"), ("TRACE",)
MAX_NAME, MAX_USER, MAX_SCHEMA, MAX_ITEM, MAX_USERS, MAX_ITEMS, MAX_SCHEMAS = 250, 250, 36, 50, 10, 10_000, 1000
RESERVED = "default"


class Draft(NamedTuple):
    name: str
    users: list[str]
    schemas: list[str]


def user_key(user: str, path: str = "user") -> str:
    """How a user is compared: without regard to case."""
    return _text(user.strip().lower(), path, MAX_USER)


def users_of(given: list[str]) -> list[str]:
    found = _each(given, lambda user: user_key(user, "users"))
    if len(found) > MAX_USERS:
        raise invalid(f"A review queue can have at most {MAX_USERS} assigned users; got {len(found)}.", "users")
    return found


def schemas_of(given: list[str]) -> list[str]:
    if len(given) > MAX_SCHEMAS:
        raise invalid(f"A review queue can ask at most {MAX_SCHEMAS} questions; got {len(given)}.", "schema_ids")
    return _each(given, lambda one: _text(one.strip(), "schema_ids", MAX_SCHEMA))


def items_of(given: list[str]) -> list[str]:
    if not given or len(given) > MAX_ITEMS:
        raise invalid(f"`item_ids` must be a list of 1 to {MAX_ITEMS} ids.", "item_ids")
    return _each(given, item_of)


def item_of(given: str) -> str:
    return _text(given.strip(), "item_id", MAX_ITEM)


def custom_name(given: str) -> str:
    name = _text(given.strip(), "name", MAX_NAME)
    if name.lower() == RESERVED:
        raise invalid(f"`{name}` is a reserved queue name and cannot be used for a custom queue.", "name")
    return name


def owner_of(given: str) -> str:
    return _text(given.strip(), "new_owner", MAX_USER)


def draft(type_: str, name: str, users: list[str], schemas: list[str]) -> Draft:
    """A user's queue is named by the user, who alone is assigned, and asks all questions of the experiment."""
    found, asked = users_of(users), schemas_of(schemas)
    if type_ == "CUSTOM":
        return Draft(custom_name(name), found, asked)
    own = user_key(name, "name")
    if found not in ([], [own]):
        raise invalid(f"A user queue must have exactly one assigned user equal to its name; got name={own!r} and users={found!r}.", "users")
    if asked:
        raise invalid("A user queue cannot have explicitly-attached schemas; it resolves to all of the experiment's label schemas.", "schema_ids")
    return Draft(own, [own], [])


def _text(value: str, path: str, most: int) -> str:
    if not 0 < len(value) <= most:
        raise invalid(f"`{path}` must be a string of 1 to {most} characters; got {len(value)}.", path)
    return value


def _each(given: list[str], check: Callable[[str], str]) -> list[str]:
    """Checked, each once, in their order."""
    return list(dict.fromkeys(check(one) for one in given))
