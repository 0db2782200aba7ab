"""What type a file's bytes are, and whether that agrees with what was claimed and with what a bucket allows.

Own checks first, then the libmagic that the wheel pylibmagic bundles, so that every machine answers alike.
"""

from __future__ import annotations

import fnmatch
import functools
from collections.abc import Sequence
from typing import Any

import pylibmagic  # noqa: F401 - must come before magic: it points that to the bundled library and database

# isort: split
import magic

from strongroom.scanning.extensions import type_by_name
from strongroom.scanning.families import (
    ACTIVE,
    EMPTY_TYPE,
    EXECUTABLES,
    NO_CLAIM,
    UNMISTAKABLE,
    canonical,
    family,
    is_ole,
    is_ole_claim,
    is_textual,
    is_zip_based,
    same_group,
)
from strongroom.scanning.magics import ZIP, own_sniff

SNIFF_BYTES = 64 * 1024
"""How many first bytes `sniff` wants; it takes fewer."""

_MEDIA = ("image", "audio", "video")
_PRINTABLE_FROM_BYTES = 14
"""From this length on even the smallest GIF has a byte that no text has."""
_CONTROLS = bytes(code for code in range(32) if code not in b"\t\n\v\f\r\x1b")


_MARKUP = b"<"
"""In every page, drawing or feed that a browser would run."""
_MARKED_BEGINNINGS = (b"#!", b"%", b"{", b"[", b"@", b"\\")
"""How scripts, PostScript, RTF, JSON, batch files and TeX begin."""


@functools.cache
def _libmagic() -> Any:
    return magic.Magic(mime=True)  # locks itself, so threads may share it


@functools.cache
def _libmagic_of_letters() -> Any:
    """The same without its database: what is left tells CSV from other text."""
    made = magic.Magic(mime=True)
    magic.magic_setflags(made.cookie, made.flags | magic.MAGIC_NO_CHECK_SOFT)
    return made


def sniff(first_bytes: bytes) -> str:
    """The type that a file's first bytes show, as one canonical MIME type; `inode/x-empty` for none. Safe in
    threads.
    """
    head = first_bytes[:SNIFF_BYTES]
    if not head:
        return EMPTY_TYPE
    detected = canonical(own_sniff(head) or _ask_libmagic(head))
    if _cannot_be_text(detected) and len(head) >= _PRINTABLE_FROM_BYTES and _is_printable(head):
        return "text/plain"  # e.g. a script that begins with GIF89a, or prose that begins with MZ
    return detected


def sniff_quickly(first_bytes: bytes) -> str:
    """As `sniff`, but prose may be told as `text/plain` that `sniff` knows better (as the source of a program, say).

    libmagic tries hundreds of regular expressions on text, which takes milliseconds. Never another answer for what a browser
    would run, nor for what is no text.
    """
    head = first_bytes[:SNIFF_BYTES]
    if not head or _MARKUP in head or head.startswith(_MARKED_BEGINNINGS) or not _is_printable(head) or own_sniff(head):
        return sniff(head)
    return canonical(_ask_libmagic(head, _libmagic_of_letters()))


def _ask_libmagic(head: bytes, libmagic: Any = None) -> str:
    try:
        return str((libmagic or _libmagic()).from_buffer(head))
    except magic.MagicException:
        return NO_CLAIM


def _cannot_be_text(detected: str) -> bool:
    return (family(detected) in _MEDIA and not is_textual(detected)) or detected in EXECUTABLES


def _is_printable(head: bytes) -> bool:
    if head.translate(None, _CONTROLS) != head:
        return False
    try:
        head[:-3].decode()  # the cut may split the last letter
    except UnicodeDecodeError:
        return False
    return True


def resolve_type(declared: str, name: str) -> str:
    """What the sender claims: the declared type if it says anything, else what the name's extension stands for."""
    claim = canonical(declared)
    return claim if claim != NO_CLAIM else type_by_name(name) or NO_CLAIM


def agrees(declared: str, detected: str, name: str) -> bool:
    """Whether bytes detected as `detected` may honestly be declared as `declared` and named `name`.

    Vague claims (`application/octet-stream`) agree with everything the name allows. A name is believed less than a
    declaration: it is held only against programs, and against text under the name of a picture, sound, film or PDF.
    """
    found = canonical(detected)
    if found == EMPTY_TYPE:
        return True
    return _claim_agrees(canonical(declared), found) and _name_agrees(type_by_name(name), found)


def _name_agrees(claim: str | None, found: str) -> bool:
    if claim is None:
        return True
    suspicious = found in EXECUTABLES or (is_textual(found) and (family(claim) in _MEDIA or claim == "application/pdf"))
    return not suspicious or _claim_agrees(claim, found)


def _claim_agrees(claim: str, found: str) -> bool:
    if claim == NO_CLAIM or same_group(claim, found):
        return True
    if found in EXECUTABLES or claim in EXECUTABLES:
        return claim in EXECUTABLES and (found in EXECUTABLES or found == NO_CLAIM or is_textual(found))
    if is_textual(claim):
        return _text_agrees(claim, found)
    if is_zip_based(claim) or is_ole_claim(claim):
        return _office_agrees(claim, found)
    return claim not in UNMISTAKABLE and (family(claim) not in _MEDIA or _media_agrees(claim, found))


def _office_agrees(claim: str, found: str) -> bool:
    if is_zip_based(found) or is_ole(found):  # an encrypted docx is an OLE file, and people rename .xlsx to .xls
        return True
    return is_ole_claim(claim) and (is_textual(found) or found == NO_CLAIM)


def _text_agrees(claim: str, found: str) -> bool:
    """Text is told apart by its letters at best, so one kind passes for another, save that a page is no picture."""
    if claim == "image/svg+xml":
        return found in ("application/xml", "text/plain")
    return is_textual(found) or found == NO_CLAIM


def _media_agrees(claim: str, found: str) -> bool:
    """Rare media formats are often unrecognised, but never text or something else that is recognised."""
    if claim == "video/mp2t" and is_textual(found):
        return found not in ACTIVE  # what browsers call TypeScript
    return found == NO_CLAIM or (family(found) in _MEDIA and found not in ACTIVE)


def allowed(detected: str, declared: str, allowed_types: Sequence[str]) -> bool:
    """Whether a bucket that takes `allowed_types` (patterns such as `image/*`; none = everything) takes such a file.

    Both the claim, if there is one, and the bytes must fit. Where bytes tell too little (a CSV is but text to libmagic,
    a docx may be but a zip) the claim decides, as long as the bytes do not contradict it.
    """
    patterns = [pattern if "*" in pattern else canonical(pattern) for pattern in map(str.lower, allowed_types)]
    claim, found = canonical(declared), canonical(detected)
    if not patterns or "*" in patterns or "*/*" in patterns:
        return True
    if claim != NO_CLAIM and not _matches(claim, patterns):
        return False
    if found == EMPTY_TYPE or _matches(found, patterns):
        return True
    return claim != NO_CLAIM and (_is_vague(found) or same_group(claim, found)) and _claim_agrees(claim, found)


def _matches(mime: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(mime, pattern) for pattern in patterns)


def _is_vague(found: str) -> bool:
    return found in (NO_CLAIM, ZIP) or is_ole(found) or (is_textual(found) and found not in ACTIVE)
