"""A check's codes in plain words, for people. The API keeps the codes."""

from __future__ import annotations

from strongroom.files.models import Scan, Verdict

REASONS = {
    "type_mismatch": "Its bytes are of another type than it claims.",
    "png_truncated": "The picture ends too early.", "png_broken": "The picture is damaged.",
    "jpeg_truncated": "The picture ends too early.", "gif_truncated": "The picture ends too early.",
    "gif_broken": "The picture is damaged.", "pdf_truncated": "The document ends too early.",
    "zip_truncated": "The archive ends too early.",
    "archive_encrypted": "The archive is encrypted.", "archive_too_deep": "It holds archives within archives, deeper than is looked.",
    "archive_unsupported": "The archive is packed in a way that cannot be opened.", "archive_broken": "The archive is damaged.",
    "archive_memory": "The archive needs too much memory to be opened.", "archive_bomb_ratio": "The archive unpacks to suspiciously much.",
    "archive_bomb_size": "The archive unpacks to suspiciously much.", "archive_too_large": "The archive is too large to be looked through.",
    "archive_too_many_entries": "The archive holds too many files to be looked through.",
    "archive_inconsistent": "The archive contradicts itself.", "archive_overlap": "The archive contradicts itself.",
    "clamav_encrypted": "It is encrypted.", "clamav_limit_exceeded": "It is beyond the virus scanner’s limits.",
    "clamav_size_limit": "It is too large for the virus scanner.", "clamav_limits_silent": "The virus scanner does not tell what it skips.",
    "clamav_unreachable": "The virus scanner could not be reached.", "clamav_failed": "The virus scanner failed.",
    "clamav_connection_lost": "The virus scanner failed.", "yara_timeout": "Scanning it took too long.",
    "no_scanner": "There is no virus scanner.",
}  # fmt: skip


def reason_in_words(scan: Scan) -> str | None:
    """Return why a check ended as it did; what was found is told by its name."""
    if not scan.reason:
        return None
    if scan.verdict == Verdict.INFECTED:
        return f"Found: {scan.reason}"
    codes = scan.reason.split(", ")
    return " ".join(dict.fromkeys(REASONS.get(code, code) for code in codes))
