"""The one place where the HTTP application is put together: `create_app(settings)`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask
from flask_smorest import Api
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import BaseConverter

from admin.consoles import install_consoles
from strongroom import __version__
from strongroom.api_keys.api import blueprint as api_keys
from strongroom.auth.api import blueprint as auth
from strongroom.auth.gate import install_gate
from strongroom.auth.jwt import install_jwt
from strongroom.buckets.api import blueprint as buckets
from strongroom.config import Settings
from strongroom.domains.api import blueprint as domains
from strongroom.domains.tls_api import blueprint as tls
from strongroom.files.api import blueprint as files
from strongroom.files.archive_api import blueprint as archives
from strongroom.health.api import blueprint as health
from strongroom.http.body import install_body_rules
from strongroom.http.context import install_runtime
from strongroom.http.headers import install_headers
from strongroom.http.idempotency import install_idempotency
from strongroom.http.json import StrictJSON
from strongroom.http.pace import ThreadShares, install_pace
from strongroom.http.permissions import check_all_views
from strongroom.http.problems import CONTENT_TYPE, ProblemSchema, install_problem_handlers
from strongroom.imports.api import blueprint as imports
from strongroom.isolation.api import blueprint as isolation
from strongroom.mirrors.api import blueprint as hosts
from strongroom.objects.api import blueprint as objects
from strongroom.operating.domains_api import blueprint as operator_domains
from strongroom.operating.fleet_api import blueprint as operator_fleet
from strongroom.operating.life_api import blueprint as operator_api
from strongroom.operating.plans_api import blueprint as operator_plans
from strongroom.own_providers.api import blueprint as own_providers
from strongroom.runtime import Runtime
from strongroom.sharex.api import blueprint as sharex
from strongroom.signup.api import blueprint as signup
from strongroom.sso.api import blueprint as sso
from strongroom.sso.sign_in_api import blueprint as oidc
from strongroom.takeout.api import blueprint as exports
from strongroom.tenant_settings.api import blueprint as tenant
from strongroom.tenant_settings.settings_api import blueprint as tenant_settings
from strongroom.tus.api import blueprint as tus
from strongroom.uploads.blocks_api import blueprint as blocks
from strongroom.uploads.direct_api import blueprint as direct_uploads
from strongroom.usage.api import blueprint as stats
from strongroom.users.api import blueprint as users

API_BLUEPRINTS = (
    auth, oidc, signup, users, api_keys, buckets, archives, files, blocks, objects, imports, direct_uploads, tus, sharex, stats, tenant,
    tenant_settings, own_providers, sso, hosts, domains, exports, isolation, operator_api, operator_fleet, operator_domains,
    operator_plans,
)  # fmt: skip


class RestOfPath(BaseConverter):
    """Everything up to the end of the path, whatever bytes it is made of; what it may be is decided later."""

    regex = "(?s:.*)"
    part_isolating = False


class Application(Flask):
    """Flask without coroutines: none of our functions is one, and asking each of them costs a request as much as routing does."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function."""
        return func


class ProblemApi(Api):  # type: ignore[misc]  # flask-smorest has no types
    """flask-smorest without its own error handlers: errors are problem documents, and described as such."""

    ERROR_SCHEMA = ProblemSchema

    def _register_error_handlers(self) -> None:
        return

    def _register_responses(self) -> None:
        self.DEFAULT_RESPONSE_CONTENT_TYPE = CONTENT_TYPE
        super()._register_responses()
        del self.DEFAULT_RESPONSE_CONTENT_TYPE  # the class's own comes back


def create_app(settings: Settings, runtime: Runtime | None = None) -> Flask:
    """Return the application. Connects to nothing; refuses to start with a view that carries no permission."""
    app = Application("strongroom", static_folder=None)
    app.config.update(_flask_config(settings))
    app.url_map.converters["rest"] = RestOfPath
    app.url_map.merge_slashes = False
    app.url_map.strict_slashes = False
    app.json = StrictJSON(app)
    install_runtime(app, runtime or Runtime(settings))
    install_problem_handlers(app)
    install_jwt(app, settings)
    install_gate(app, ThreadShares(settings))
    install_pace(app, settings)
    install_idempotency(app)
    install_headers(app, settings)
    install_body_rules(app)
    _register(app)
    install_consoles(app)
    check_all_views(app)
    if settings.trusted_proxies:
        count = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=count, x_proto=count, x_host=count, x_port=count)  # type: ignore[method-assign]  # as Flask says to add middleware
    return app


def _register(app: Flask) -> None:
    api = ProblemApi(app)
    scheme = {"type": "http", "scheme": "bearer", "description": "An access token or an API key."}
    api.spec.components.security_scheme("bearer", scheme)
    for blueprint in API_BLUEPRINTS:
        api.register_blueprint(blueprint)
    app.register_blueprint(health)
    app.register_blueprint(tls)


def _flask_config(settings: Settings) -> dict[str, Any]:
    return {
        "API_TITLE": "Strongroom",
        "API_VERSION": __version__,
        "OPENAPI_VERSION": "3.1.0",
        "API_SPEC_OPTIONS": {"security": [{"bearer": []}]},
        "MAX_CONTENT_LENGTH": settings.max_json_bytes,
        "MAX_FORM_MEMORY_SIZE": settings.max_json_bytes,
        "PROPAGATE_EXCEPTIONS": False,
        "TRAP_HTTP_EXCEPTIONS": False,
    }
