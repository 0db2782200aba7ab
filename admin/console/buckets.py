"""/console/buckets/: buckets and their policies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response
from strongroom.access import Role
from strongroom.buckets import service
from strongroom.buckets.models import Bucket
from strongroom.buckets.schemas import NewBucketSchema, PolicySchema
from strongroom.errors import BucketNotEmpty, DomainError, ValidationFailed
from strongroom.http.context import current_principal, current_tenant, runtime
from strongroom.tenant_settings.schemas import BUCKET_DEFAULTS

from admin.console.bucket_policy import in_units, typed_size
from admin.console.frame import ConsoleView, acts, shows
from admin.forms import checked, errors_of, field, ticked
from admin.notices import say
from admin.pages import CONSOLE, go

HERE = f"{CONSOLE}/buckets/"
NAMES = {"max_size_bytes": "max_size", "serve_unscanned": "allow_unscanned"}
FORM = ("GET", "POST")


class Buckets(ConsoleView):
    """The buckets."""

    @shows("/", role=Role.ADMIN)
    def index(self) -> Response:
        """Show all buckets."""
        return self.show("buckets.html", buckets=[_row(each) for each in service.list_buckets(runtime(), current_tenant())])

    @shows("/new", role=Role.ADMIN)
    def new(self) -> Response:
        """Ask for a new bucket's name and policy, which begins as the tenant's settings say."""
        values = _shown({**BUCKET_DEFAULTS, "public": False, **current_tenant().settings.bucket_defaults})
        return self.show("bucket_form.html", bucket=None, values=values)

    @acts("/new", role=Role.ADMIN)
    def create(self) -> Response:
        """Make a bucket."""
        try:
            body = checked(NewBucketSchema(), {"name": field("name"), **_policy()})
            bucket = service.create_bucket(runtime(), current_tenant(), current_principal(), **body)
        except DomainError as error:
            return self.show(
                "bucket_form.html", error.status, bucket=None, values=_typed(), errors=errors_of(error, otherwise="name", names=NAMES)
            )
        return say(go(HERE), "good", f"The bucket {bucket.name} is ready.")

    @shows("/<bucket>/edit", role=Role.ADMIN)
    def edit(self, bucket: str) -> Response:
        """Show a bucket's policy."""
        found = service.get_bucket(runtime(), current_tenant(), bucket)
        return self.show("bucket_form.html", bucket=_row(found), values=_values(found))

    @acts("/<bucket>/edit", role=Role.ADMIN)
    def update(self, bucket: str) -> Response:
        """Change a bucket's policy."""
        found = service.get_bucket(runtime(), current_tenant(), bucket)
        try:
            body = checked(PolicySchema(), _policy())
            service.update_bucket(runtime(), current_tenant(), current_principal(), bucket, **body)
        except DomainError as error:
            errors = errors_of(error, otherwise="allowed_types", names=NAMES)
            return self.show("bucket_form.html", error.status, bucket=_row(found), values=_typed(), errors=errors)
        return say(go(HERE), "good", f"The settings of {bucket} were saved. They hold for what comes from now on.")

    @acts("/<bucket>/delete", role=Role.ADMIN)
    def delete(self, bucket: str) -> Response:
        """Remove an empty bucket."""
        if field("confirm") != bucket:
            return say(go(f"{HERE}{bucket}/edit"), "bad", "The bucket was not deleted: its name was not typed.")
        try:
            service.delete_bucket(runtime(), current_tenant(), current_principal(), bucket)
        except BucketNotEmpty as error:
            return say(go(f"{HERE}{bucket}/edit"), "bad", error.detail)
        return say(go(HERE), "good", f"The bucket {bucket} was deleted.")


def _row(bucket: Bucket) -> dict[str, Any]:
    return {
        **vars(bucket), "files": bucket.used_files, "stored_bytes": bucket.used_bytes, "allow_unscanned": bucket.serve_unscanned,
    }  # fmt: skip


def _values(bucket: Bucket) -> dict[str, Any]:
    return _shown(vars(bucket))


def _shown(policy: Mapping[str, Any]) -> dict[str, Any]:
    size, unit = in_units(policy["max_size_bytes"])
    return {
        "allowed_types": "\n".join(policy["allowed_types"]), "max_size": size, "max_size_unit": unit, "versioning": policy["versioning"],
        "trash_days": policy["trash_days"], "allow_unscanned": policy["serve_unscanned"], "public": policy["public"],
        "cache_max_age_s": policy["cache_max_age_s"], "redirect_downloads": policy["redirect_downloads"],
    }  # fmt: skip


def _typed() -> dict[str, Any]:
    texts = {name: field(name) for name in ("name", "allowed_types", "max_size", "max_size_unit", "trash_days", "cache_max_age_s")}
    switches = {name: ticked(name) for name in ("versioning", "allow_unscanned", "public", "redirect_downloads")}
    return {**texts, **switches}


def _policy() -> dict[str, Any]:
    return {
        "allowed_types": [line.strip().lower() for line in field("allowed_types").splitlines() if line.strip()],
        "max_size_bytes": typed_size(field("max_size"), field("max_size_unit")),
        "versioning": ticked("versioning"), "trash_days": _whole("trash_days"), "serve_unscanned": ticked("allow_unscanned"),
        "public": ticked("public"),
        "cache_max_age_s": _whole("cache_max_age_s"), "redirect_downloads": ticked("redirect_downloads"),
    }  # fmt: skip


def _whole(name: str) -> int:
    number = field(name)
    if not (number.isascii() and number.isdigit()):
        raise ValidationFailed(errors={name: ["Write a whole number."]})
    return int(number)
