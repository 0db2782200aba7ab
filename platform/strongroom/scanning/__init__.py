"""Checks a file's bytes in one reading: virus scanners, digests, type and structure. Knows no HTTP, no database, no
provider.

`inspect` is the door for the worker, `sniff`, `resolve_type`, `agrees` and `allowed` are for whoever receives the first
bytes of an upload. What was not scanned whole by every engine is `unscanned`, and an engine that is down gives `error`:
neither is ever `clean`.
"""

from strongroom.scanning.clamd import ClamdScanner, ClamdVersion, find_clamd
from strongroom.scanning.clamd_wire import ClamdError
from strongroom.scanning.engine import inspect
from strongroom.scanning.models import (
    BytesChanged,
    Inspection,
    ScanContext,
    ScanLimits,
    Scanner,
    ScannerVerdict,
    ScanSession,
    Verdict,
)
from strongroom.scanning.types import agrees, allowed, resolve_type, sniff
from strongroom.scanning.yara import YaraScanner

__all__ = [
    "BytesChanged",
    "ClamdError",
    "ClamdScanner",
    "ClamdVersion",
    "Inspection",
    "ScanContext",
    "ScanLimits",
    "ScanSession",
    "Scanner",
    "ScannerVerdict",
    "Verdict",
    "YaraScanner",
    "agrees",
    "allowed",
    "find_clamd",
    "inspect",
    "resolve_type",
    "sniff",
]
