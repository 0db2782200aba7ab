"""The look of both consoles: Flask-Admin themes, static assets, Jinja filters and colour helpers.

`register(app)` is all an application needs to call. Templates live in `admin/templates`, files in `admin/static`; the
latter are served under `/assets/{digest of all of them}/…`, so browsers may keep them for ever and relative imports
between our scripts and style sheets carry the digest on.
"""

import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from urllib.parse import quote

from flask import Blueprint, Flask, Response, send_from_directory
from flask_admin.theme import Theme
from markupsafe import Markup
from strongroom.http.pace import limiter
from strongroom.http.permissions import anywhere
from strongroom.security.passwords import MIN_LENGTH

_HERE = Path(__file__).parent
_STATIC = _HERE / "static"

CONSOLE_THEME = Theme(folder="console", base_template="layout/shell.html")
OPERATOR_THEME = Theme(folder="operator", base_template="layout/shell.html")

OPERATOR_BRAND: dict[str, str | None] = {
    "name": "Strongroom",
    "logo_url": None,
    "primary": "#10594b",
    "ink": "#ffffff",
    "accent": "#b98a2f",
}
"""The operator console's own `brand`; the tenants' come from their branding settings."""

_HEX_COLOUR = re.compile(r"#[0-9a-fA-F]{6}\Z")
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_WEEK = 7 * _DAY


def register(app: Flask) -> None:
    """Add our templates, static files, filters and globals to the application."""
    assets = Blueprint("assets", __name__, template_folder="templates")
    assets.add_url_rule("/assets/<digest>/<path:filename>", "file", _asset)
    app.register_blueprint(assets)
    app.jinja_env.filters.update(
        bytes=format_bytes,
        number=format_number,
        percent=percent,
        ago=ago,
        datetime=format_datetime,
        date=format_date,
        initials=initials,
        sparkline=sparkline,
        kind_of_file=kind_of_file,
        favicon=favicon,
    )
    app.jinja_env.globals.update(asset=asset_url, min_password=MIN_LENGTH)


@cache
def assets_digest() -> str:
    """Twelve hex digits that change whenever any static file does."""
    digest = hashlib.sha256()
    for path in sorted(p for p in _STATIC.rglob("*") if p.is_file()):
        digest.update(f"{path.relative_to(_STATIC).as_posix()}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def asset_url(filename: str) -> str:
    """The address of a file in `admin/static`."""
    return f"/assets/{assets_digest()}/{filename}"


@anywhere  # also where no tenant lives: the page that says so has a look, too
@limiter.exempt
def _asset(digest: str, filename: str) -> Response:
    response = send_from_directory(_STATIC, filename)
    if digest == assets_digest():
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    else:  # an old page after an upgrade: serve what we have, but do not let it be kept under the old name
        response.headers["Cache-Control"] = "no-store"
    return response


# --- numbers and sizes ---


def format_bytes(size_bytes: float | None) -> str:
    """A size in decimal units with three figures at most: `1.4 GB`, `2 TB`, `142 MB`, `0 bytes`."""
    if size_bytes is None:
        return "–"
    if abs(size_bytes) < 1000:  # noqa: PLR2004 - from here on no decimal is shown  the step between two units
        return "1 byte" if size_bytes == 1 else f"{size_bytes:.0f} bytes"
    size = float(size_bytes)
    for unit in ("KB", "MB", "GB", "TB", "PB"):
        size /= 1000
        if abs(size) < 999.5 or unit == "PB":  # noqa: PLR2004  from here on it would round to 1,000
            break
    return f"{f'{size:.1f}'.removesuffix('.0') if abs(size) < 99.95 else f'{size:,.0f}'} {unit}"  # noqa: PLR2004 - no decimal from 100 on


def format_number(value: float | None) -> str:
    """A whole number with thousands separated: `12,480`."""
    return "–" if value is None else f"{value:,.0f}"


def percent(part: float | None, whole: float | None) -> float:
    """How much of `whole` is `part`, 0 to 100 with one decimal at most; 0 when there is no whole."""
    if not part or not whole:
        return 0
    share = round(min(100.0, 100 * part / whole), 1)
    return int(share) if share.is_integer() else share


# --- times ---


def _moment(value: datetime | str) -> datetime:
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _time_element(moment: datetime, text: str, kind: str) -> Markup:
    title = f"{moment.day} {moment:%b %Y, %H:%M:%S} UTC"
    stamp = moment.isoformat(timespec="seconds").replace("+00:00", "Z")
    return Markup('<time datetime="{}" title="{}" data-time="{}">{}</time>').format(stamp, title, kind, text)


def format_datetime(value: datetime | str | None) -> Markup | str:
    """A `<time>` element such as `20 Nov 2026, 19:35 UTC`; the browser turns it into local time."""
    if value is None:
        return "–"
    moment = _moment(value)
    return _time_element(moment, f"{moment.day} {moment:%b %Y, %H:%M} UTC", "datetime")


def format_date(value: datetime | str | None) -> Markup | str:
    """A `<time>` element such as `20 Nov 2026`."""
    if value is None:
        return "–"
    moment = _moment(value)
    return _time_element(moment, f"{moment.day} {moment:%b %Y}", "date")


def ago(value: datetime | str | None) -> Markup | str:
    """A `<time>` element such as `5 minutes ago`; after a week the date."""
    if value is None:
        return "never"
    moment = _moment(value)
    return _time_element(moment, _distance(moment), "ago")


def _distance(moment: datetime) -> str:
    seconds = (datetime.now(UTC) - moment).total_seconds()
    if abs(seconds) >= _WEEK:
        return f"{moment.day} {moment:%b %Y}"
    if abs(seconds) < _MINUTE:
        return "just now"
    step, unit = next((s, u) for s, u in ((_DAY, "day"), (_HOUR, "hour"), (_MINUTE, "minute")) if abs(seconds) >= s)
    count = int(abs(seconds) // step)
    phrase = f"{count} {unit}{'' if count == 1 else 's'}"
    return f"{phrase} ago" if seconds > 0 else f"in {phrase}"


# --- pictures ---


def initials(name: str | None) -> str:
    """One or two capital letters that stand for a name: `Ada Lovelace` → `AL`."""
    words = re.findall(r"\w+", (name or "").split("@")[0])
    letters = [words[0][0], words[-1][0]] if len(words) > 1 else [words[0][0]] if words else ["?"]
    return "".join(letters).upper()


def sparkline(values: Sequence[float], width: int = 96, height: int = 28) -> str:
    """The `points` of an SVG polyline through the values, scaled to the box with 2 px of air above and below."""
    if not values:
        return ""
    top = max(values) or 1
    step = width / max(len(values) - 1, 1)
    return " ".join(f"{i * step:.1f},{height - 2 - (height - 4) * value / top:.1f}" for i, value in enumerate(values))


_KINDS = (
    ("image/", "photo"),
    ("video/", "video"),
    ("audio/", "music"),
    ("font/", "typography"),
    ("application/pdf", "file-type-pdf"),
    ("text/csv", "table"),
    ("text/html", "code"),
    ("text/x-", "code"),
    ("text/", "file-text"),
    ("application/json", "code"),
    ("application/xml", "code"),
    ("application/javascript", "code"),
    ("application/msword", "file-text"),
)
_KIND_WORDS = (
    ("spreadsheet", "table"),
    ("ms-excel", "table"),
    ("presentation", "presentation"),
    ("wordprocessing", "file-text"),
    ("opendocument.text", "file-text"),
    ("zip", "file-zip"),
    ("tar", "file-zip"),
    ("compressed", "file-zip"),
    ("executable", "binary"),
    ("octet-stream", "file"),
)


def kind_of_file(content_type: str | None) -> str:
    """The name of the icon that shows a content type."""
    declared = content_type or ""
    for prefix, icon in _KINDS:
        if declared.startswith(prefix):
            return icon
    return next((icon for word, icon in _KIND_WORDS if word in declared), "file")


def is_colour(value: str) -> bool:
    """Whether the value is `#rrggbb`, the only form of colour that a page may be given."""
    return _HEX_COLOUR.match(value) is not None


def favicon(name: str, primary: str = "#57606a", ink: str = "#ffffff") -> str:
    """A `data:` address of a rounded square in the brand's colour with its first letter."""
    fill, text = (primary if is_colour(primary) else "#57606a"), (ink if is_colour(ink) else "#ffffff")
    letter = Markup.escape(initials(name)[:1])
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">'
        f'<rect width="32" height="32" rx="8" fill="{fill}"/>'
        f'<text x="16" y="22.5" font-family="Inter,Arial,sans-serif" font-size="19" font-weight="700" fill="{text}"'
        f' text-anchor="middle">{letter}</text></svg>'
    )
    return "data:image/svg+xml," + quote(svg)
