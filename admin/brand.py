"""A tenant's brand as the templates take it."""

from __future__ import annotations

from strongroom.tenant_settings.api import shown_brand

from tenants.branding import ink_for
from tenants.models import Tenant


def brand_of(tenant: Tenant) -> dict[str, str | None]:
    """Return name, logo and colours; `accent` None where the tenant chose none of its own, so that the theme's is taken."""
    shown = shown_brand(tenant)
    accent = None if shown["accent"] == shown["primary"] else shown["accent"]
    return {**shown, "accent": accent, "ink": ink_for(tenant.brand.primary)}
