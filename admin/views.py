"""The base of all our Flask-Admin views."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask_admin import BaseView


class PlainView(BaseView):  # type: ignore[misc]  # Flask-Admin has no types
    """A view that calls its functions once. Flask-Admin's own calls again after a TypeError, which hides mistakes."""

    def _run_view(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return fn(self, *args, **kwargs)
