"""Names of custom domains: their one form, and those that nobody can have."""

from __future__ import annotations

import pytest
from strongroom.errors import ValidationFailed

from tenants.domain_names import check_claimable, normalise, shown

OWN = ("tenants.example.com", "console.example.net", "127.0.0.1", "::1")


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("files.example.com", "files.example.com"),
        (" Files.EXAMPLE.com. ", "files.example.com"),
        ("Bücher.example", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("straße.example", "xn--strae-oqa.example"),
        ("files。example。com", "files.example.com"),
        ("example.com\n", "example.com"),
        ("ﬁles.example.com", "files.example.com"),
    ],
)
def test_one_form(typed: str, name: str) -> None:
    assert normalise(typed) == name
    assert normalise(shown(name)) == name


@pytest.mark.parametrize(
    "typed",
    [
        "", ".", "com", "localhost", "*.example.com", "*", "example.*", "a..example.com", "-a.example.com", "a-.example.com",
        "a_b.example.com", "https://example.com", "example.com/path", "example.com:443", "user@example.com", "exa mple.com",
        "example.com..", "xn--a.com", "a" * 64 + ".com", ".".join(["abcdefg"] * 31), "127.0.0.1", "10.1", "127.1", "0x7f.0.0.1",
            "1.2.3.4.5",
        "[::1]", "::1", "2001:db8::1", "１２７.0.0.1", "a\0.example.com", "%65xample.com",
    ],
)  # fmt: skip
def test_what_is_no_domain(typed: str) -> None:
    with pytest.raises(ValidationFailed) as caught:
        normalise(typed)
    assert list(caught.value.extra["errors"]) == ["domain"]  # type: ignore[call-overload]  # a dictionary of lists


@pytest.mark.parametrize(
    "name",
    [
        "co.uk", "github.io", "s3.amazonaws.com", "tenants.example.com", "acme.tenants.example.com",
        "console.example.net", "x.console.example.net", "a.localhost", "printer.local", "1.0.0.127.in-addr.arpa", "secret.onion",
    ],
)  # fmt: skip
def test_what_nobody_can_have(name: str) -> None:
    with pytest.raises(ValidationFailed):
        check_claimable(name, own_names=OWN)


@pytest.mark.parametrize("name", ["example.co.uk", "files.example.com", "user.github.io", "eviltenants.example.com", "xn--bcher-kva.de"])
def test_what_somebody_can_have(name: str) -> None:
    check_claimable(name, own_names=OWN)
