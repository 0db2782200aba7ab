"""A tenant's looks: what may be in them, so that no brand can carry code, and readable text on any colour."""

from __future__ import annotations

from collections.abc import Mapping

from strongroom.errors import ValidationFailed

from tenants.models import COLOUR_PATTERN

MAX_NAME = 80
MAX_LOGO_BYTES = 512 * 1024
LOGO_TYPES = ((b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"RIFF", "image/webp"))
WEBP_MARK = slice(8, 12)
DARK_INK, LIGHT_INK = "#10151f", "#ffffff"


def check_brand(changes: Mapping[str, str]) -> dict[str, str]:
    """Return the changes, colours in small letters.

    Raises:
        ValidationFailed
    """
    errors: dict[str, list[str]] = {}
    result: dict[str, str] = {}
    for field, value in changes.items():
        problem = _problem(field, value)
        if problem:
            errors[field] = [problem]
        result[field] = value.strip() if field == "name" else value.lower()
    if errors:
        raise ValidationFailed(errors=errors)
    return result


def _problem(field: str, value: str) -> str | None:
    if field == "name":
        usable = 0 < len(value.strip()) <= MAX_NAME and value.isprintable()
        return None if usable else f"Use 1 to {MAX_NAME} printable characters."
    if field in {"primary", "accent"}:
        return None if COLOUR_PATTERN.fullmatch(value.lower()) else "Write the colour as #rrggbb."
    return "Unknown field."


def check_logo(data: bytes) -> str:
    """Return the media type of a logo.

    Raises:
        ValidationFailed: too large, or neither PNG, JPEG nor WebP. SVG is refused: it can carry scripts.
    """
    if len(data) > MAX_LOGO_BYTES:
        raise ValidationFailed(f"A logo has at most {MAX_LOGO_BYTES} bytes.", errors={"logo": ["Too large."]})
    for magic, media_type in LOGO_TYPES:
        if data.startswith(magic) and (media_type != "image/webp" or data[WEBP_MARK] == b"WEBP"):
            return media_type
    raise ValidationFailed("A logo is a PNG, JPEG or WebP picture.", errors={"logo": ["Use PNG, JPEG or WebP."]})


def ink_for(colour: str) -> str:
    """Return the ink, dark or light, that is easier to read on `#rrggbb` (WCAG 2.2 contrast ratio)."""
    red, green, blue = (_linear(int(colour[start : start + 2], 16) / 255) for start in (1, 3, 5))
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    on_white, on_dark = 1.05 / (luminance + 0.05), (luminance + 0.05) / 0.0573
    return LIGHT_INK if on_white >= on_dark else DARK_INK


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4  # noqa: PLR2004 - sRGB, IEC 61966-2-1
