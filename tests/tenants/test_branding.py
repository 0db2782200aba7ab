"""A tenant's looks: no brand carries code, whatever is in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strongroom.errors import ValidationFailed

from tenants.branding import DARK_INK, LIGHT_INK, check_brand, ink_for
from tests.factories import PNG, Client, World, ok, problem

BRAND, LOGO = "/api/v1/tenant/branding", "/api/v1/tenant/branding/logo"


@pytest.mark.usefixtures("tenant")
def test_change(world: World, client: Client) -> None:
    changed = ok(client.patch(BRAND, json={"name": " Ä & Co <b> ", "primary": "#FF0000"}))
    assert changed == {"name": "Ä & Co <b>", "primary": "#ff0000", "accent": "#ff0000", "logo_url": None}
    assert ok(client.patch(BRAND, json={"accent": "#00ff00"}))["primary"] == "#ff0000"
    assert ok(client.get("/api/v1/tenant"))["branding"]["accent"] == "#00ff00"
    world.runtime.registry.forget()
    assert ok(client.get(BRAND))["name"] == "Ä & Co <b>"


COLOURS = [
    "red",
    "#fff",
    "#12345",
    "#1234567",
    "#gggggg",
    "url(x)",
    "#000000;}",
    "#000000\n",
    "expression(1)",
    "",
    " #000000",
    "#٠٠٠٠٠٠",
    "</style>",
]


@pytest.mark.parametrize("colour", COLOURS)
def test_what_is_no_colour(client: Client, colour: str) -> None:
    for field in ("primary", "accent"):
        answer = problem(client.patch(BRAND, json={field: colour}), 422, "validation_failed")
        assert list(answer["errors"]) == [field]


@pytest.mark.parametrize("name", ["", " ", "x" * 81, "a\nb", "a\0b", "a\u202eb", "a\u2028b", "\x1b[31m"], ids=ascii)
def test_what_is_no_name(client: Client, name: str) -> None:
    assert client.patch(BRAND, json={"name": name}).status_code in {400, 422}
    problem(client.patch(BRAND, json={"unknown": "x"}), 422, "validation_failed")


def test_logo(world: World, client: Client) -> None:
    door = client.as_(None)
    problem(door.get(LOGO), 404, "not_found")
    shown = ok(client.put(LOGO, data=PNG))
    assert shown["logo_url"].startswith(f"{LOGO}?v=")
    for address in (LOGO, shown["logo_url"]):
        response = door.get(address)
        assert (response.status_code, response.data, response.content_type) == (200, PNG, "image/png")
        assert "sandbox" in response.headers["Content-Security-Policy"]
        assert response.headers["X-Content-Type-Options"] == "nosniff"
    problem(world.client(world.create_tenant()).get(LOGO), 404, "not_found")
    ok(client.delete(LOGO), 204)
    problem(door.get(LOGO), 404, "not_found")
    assert ok(client.get(BRAND))["logo_url"] is None


@pytest.mark.parametrize("data", [
    b"", b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>", b"GIF89a", b"RIFF....WAVE", b"<html>", b"\x89PNG", PNG[1:],
], ids=ascii)  # fmt: skip
def test_what_is_no_logo(client: Client, data: bytes) -> None:
    problem(client.put(LOGO, data=data, environ_overrides={"CONTENT_LENGTH": str(len(data))}), 422, "validation_failed")


def test_a_logo_that_is_too_large(client: Client) -> None:
    problem(client.put(LOGO, data=PNG + b"\0" * 512 * 1024), 413, "body_too_large")
    problem(client.put(LOGO, environ_overrides={"CONTENT_LENGTH": None}), 411, "length_required")


@given(st.from_regex(r"\A#[0-9a-f]{6}\Z"))
def test_ink_is_readable_on_every_colour(colour: str) -> None:
    def luminance(text: str) -> float:
        parts = [int(text[start : start + 2], 16) / 255 for start in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(ink: str) -> float:
        high, low = sorted((luminance(ink), luminance(colour)), reverse=True)
        return (high + 0.05) / (low + 0.05)

    chosen = ink_for(colour)
    assert chosen in {DARK_INK, LIGHT_INK}
    assert contrast(chosen) >= 4.2
    assert contrast(chosen) >= max(contrast(DARK_INK), contrast(LIGHT_INK)) - 0.1


@given(st.dictionaries(st.sampled_from(["name", "primary", "accent"]), st.text(max_size=100)))
def test_no_brand_carries_code(brand: dict[str, str]) -> None:
    try:
        checked = check_brand(brand)
    except ValidationFailed:
        return
    for field, value in checked.items():
        assert value.isprintable()
        if field != "name":
            assert len(value) == 7
            assert value.isascii()
