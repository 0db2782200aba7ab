"""Doing the same at several providers, of which one may be gone for good."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TypeVar
from uuid import UUID

log = logging.getLogger(__name__)
T = TypeVar("T")


def at_each(provider_ids: Iterable[UUID], act: Callable[[UUID], T]) -> list[T]:
    """Do something at every provider and return what came of it. One that fails holds up no other.

    Raises:
        Exception: the first one that was raised, after all have had their turn. Each is logged.
    """
    done: list[T] = []
    failures: list[Exception] = []
    for provider_id in provider_ids:
        try:
            done.append(act(provider_id))
        except Exception as error:
            log.warning("a provider does not answer", extra={"provider_id": str(provider_id)}, exc_info=True)
            failures.append(error)
    if failures:
        raise failures[0]
    return done
