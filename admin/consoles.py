"""The two web consoles, put onto the application."""

from __future__ import annotations

from flask import Flask, Response, g
from flask_admin import Admin
from strongroom.http.permissions import shared
from strongroom.http.problems import show_as_pages

from admin import theme
from admin.console import views as console_views
from admin.console.door import door as console_door
from admin.console.signup import signup as console_signup
from admin.operator import views as operator_views
from admin.operator.door import door as operator_door
from admin.pages import CONSOLE, OPERATOR, go
from admin.problem_pages import page_for


def install_consoles(app: Flask) -> None:
    """Add the operator's and the tenants' console, and show their problems as pages."""
    theme.register(app)
    app.add_url_rule("/", "start", _start)
    app.register_blueprint(console_door)
    app.register_blueprint(console_signup)
    app.register_blueprint(operator_door)
    tenants = Admin(app, name="Console", index_view=console_views.home(), theme=theme.CONSOLE_THEME)
    tenants.add_views(*console_views.pages())
    operators = Admin(app, name="Operator", index_view=operator_views.home(), theme=theme.OPERATOR_THEME)
    operators.add_views(*operator_views.pages())
    show_as_pages(app, page_for)


@shared
def _start() -> Response:
    """Lead whoever typed only the host to the console that lives there."""
    return go(f"{OPERATOR if g.get('tenant') is None else CONSOLE}/")
