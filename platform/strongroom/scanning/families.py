"""Which types are the same thing under two names, which are alike, and which bytes of theirs cannot be mistaken."""

from __future__ import annotations

from strongroom.scanning.magics import DOS, ELF, MACH_O, PE, ZIP

NO_CLAIM = "application/octet-stream"
EMPTY_TYPE = "inode/x-empty"

_ALIASES = {
    "": NO_CLAIM,
    "*/*": NO_CLAIM,
    "application/binary": NO_CLAIM,
    "application/download": NO_CLAIM,
    "application/force-download": NO_CLAIM,
    "application/unknown": NO_CLAIM,
    "application/x-download": NO_CLAIM,
    "application/x-empty": EMPTY_TYPE,
    "application/x-www-form-urlencoded": NO_CLAIM,  # what curl -d says of any body
    "binary/octet-stream": NO_CLAIM,
    "application/csv": "text/csv",
    "application/ecmascript": "text/javascript",
    "application/javascript": "text/javascript",
    "application/x-javascript": "text/javascript",
    "text/ecmascript": "text/javascript",
    "application/markdown": "text/markdown",
    "text/x-markdown": "text/markdown",
    "text/json": "application/json",
    "text/xml": "application/xml",
    "text/yaml": "application/yaml",
    "text/x-yaml": "application/yaml",
    "application/x-yaml": "application/yaml",
    "text/rtf": "application/rtf",
    "text/richtext": "application/rtf",
    "text/x-script.python": "text/x-python",
    "application/x-python": "text/x-python",
    "application/x-gzip": "application/gzip",
    "application/x-tgz": "application/gzip",
    "application/x-compressed-tar": "application/gzip",
    "application/x-bzip": "application/x-bzip2",
    "application/x-gtar": "application/x-tar",
    "application/x-rar": "application/vnd.rar",
    "application/x-rar-compressed": "application/vnd.rar",
    "application/x-zip": ZIP,
    "application/x-zip-compressed": ZIP,
    "application/x-zstd": "application/zstd",
    "application/x-java-archive": "application/java-archive",
    "application/x-sqlite3": "application/vnd.sqlite3",
    "application/x-pdf": "application/pdf",
    "application/acrobat": "application/pdf",
    "audio/mp3": "audio/mpeg",
    "audio/x-mp3": "audio/mpeg",
    "audio/x-flac": "audio/flac",
    "audio/wav": "audio/x-wav",
    "audio/wave": "audio/x-wav",
    "audio/vnd.wave": "audio/x-wav",
    "audio/x-m4a": "audio/mp4",
    "audio/x-hx-aac-adts": "audio/aac",
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/x-png": "image/png",
    "image/apng": "image/png",
    "image/x-ms-bmp": "image/bmp",
    "image/x-icon": "image/vnd.microsoft.icon",
    "image/svg": "image/svg+xml",
    "video/avi": "video/x-msvideo",
    "video/x-m4v": "video/mp4",
}

_GROUPS = (
    {"image/heic", "image/heif", "image/heic-sequence", "image/heif-sequence", "image/avif"},
    {"image/tiff", "image/x-canon-cr2", "image/x-adobe-dng", "image/x-nikon-nef", "image/x-sony-arw"},
    {"video/mp4", "video/quicktime", "audio/mp4", "video/3gpp", "video/3gpp2", "audio/3gpp", "image/x-canon-cr3"},
    {"video/webm", "audio/webm", "video/x-matroska", "audio/x-matroska", "application/x-matroska"},
    {"audio/ogg", "video/ogg", "application/ogg", "audio/opus", "audio/vorbis"},
    {
        "application/x-tar",
        "application/gzip",
        "application/x-bzip2",
        "application/x-xz",
        "application/zstd",
        "application/x-lzma",
    },
    {"application/vnd.rar", "application/vnd.comicbook-rar"},
)
_GROUP_OF = {mime: number for number, group in enumerate(_GROUPS) for mime in group}

EXECUTABLES = frozenset(
    {
        *(PE, DOS, ELF, MACH_O),
        *("application/x-sharedlib", "application/x-pie-executable", "application/x-object", "application/x-coredump"),
        *("application/x-java-applet", "application/java-vm", "application/x-elf", "application/x-appimage"),
        *("application/x-msdownload", "application/x-ms-dos-executable", "application/x-msdos-program"),
    }
)
UNMISTAKABLE = frozenset(
    {
        *(
            "image/png",
            "image/jpeg",
            "image/gif",
            "image/webp",
            "image/bmp",
            "image/tiff",
            "image/heic",
            "image/heif",
            "image/avif",
        ),
        *("application/pdf", "application/gzip", "application/x-tar", "application/x-bzip2", "application/x-xz"),
        *("application/vnd.rar", "application/x-7z-compressed", "application/vnd.sqlite3"),
        *("video/mp4", "audio/mp4", "video/quicktime", "video/webm", "video/x-matroska", "video/x-msvideo"),
        *("audio/x-wav", "audio/flac", "audio/ogg", "video/ogg"),
    }
)
"""Real files of these types are always recognised, so an unrecognised one is none of them."""

ACTIVE = frozenset({"text/html", "application/xhtml+xml", "image/svg+xml"})
"""Types a browser would run as a page."""

_OLE_CLAIMS = frozenset(
    {
        *(
            "application/msword",
            "application/vnd.ms-excel",
            "application/vnd.ms-powerpoint",
            "application/vnd.ms-outlook",
        ),
        *("application/x-msi", "application/vnd.visio", "application/vnd.ms-project", "application/vnd.ms-office"),
    }
)
_OLE_DETECTED = _OLE_CLAIMS | {
    "application/cdfv2",
    "application/x-ole-storage",
    "application/encrypted",
    "application/vnd.ms-works",
}
_TEXTUAL = frozenset(
    {
        *("application/json", "application/x-ndjson", "application/xml", "application/yaml", "application/toml"),
        *("application/sql", "application/rtf", "application/x-sh", "application/x-shellscript", "application/x-csh"),
        *(
            "application/postscript",
            "application/x-perl",
            "application/x-ruby",
            "application/x-php",
            "application/x-httpd-php",
        ),
        *(
            "application/typescript",
            "application/graphql",
            "application/x-tex",
            "application/x-latex",
            "application/pgp-signature",
        ),
        *(
            "application/pgp-keys",
            "application/pem-certificate-chain",
            "application/x-pem-file",
            "application/x-subrip",
        ),
        *(
            "application/vnd.apple.mpegurl",
            "application/x-mpegurl",
            "audio/x-mpegurl",
            "audio/mpegurl",
            "application/mbox",
        ),
        *(
            "application/x-wine-extension-ini",
            "application/x-setupscript",
            "application/x-bat",
            "application/x-gnuplot",
        ),
        *("application/x-bittorrent", "application/node", "application/x-ipynb+json", "message/rfc822", "message/news"),
        *(
            "image/x-xpixmap",
            "image/x-xbitmap",
            "image/x-portable-bitmap",
            "image/x-portable-graymap",
            "image/x-portable-pixmap",
        ),
        *("model/gltf+json", "model/obj", "application/x-info", "application/dxf", "image/vnd.dxf"),
    }
)
_ZIP_PREFIXES = (
    "application/vnd.openxmlformats-",
    "application/vnd.oasis.opendocument.",
    "application/vnd.sun.xml.",
    "application/vnd.apple.pages",
    "application/vnd.apple.numbers",
    "application/vnd.apple.keynote",
    "application/vnd.android.",
)
_ZIP_TYPES = frozenset({ZIP, "application/java-archive", "application/epub+zip", "application/x-xpinstall"})


def canonical(mime: str) -> str:
    """Lower case, without parameters, under the one name used here."""
    bare = mime.partition(";")[0].strip().lower()
    return _ALIASES.get(bare, bare)


def family(mime: str) -> str:
    """The part before the slash."""
    return mime.partition("/")[0]


def same_group(one: str, other: str) -> bool:
    """Whether two types are the same container or kind, so that tools often name one for the other."""
    return one == other or (one in _GROUP_OF and _GROUP_OF[one] == _GROUP_OF.get(other))


def is_textual(mime: str) -> bool:
    """Whether files of this type are text that a person could read."""
    return family(mime) == "text" or mime in _TEXTUAL or mime in ACTIVE or mime.endswith(("+json", "+xml", "+yaml"))


def is_zip_based(mime: str) -> bool:
    """Whether files of this type are zip archives."""
    return mime in _ZIP_TYPES or mime.startswith(_ZIP_PREFIXES) or mime.endswith(("+zip", ".macroenabled.12"))


def is_ole_claim(mime: str) -> bool:
    """Whether the claim is one of the old office formats, under which programs also save RTF, HTML, CSV and zip."""
    return mime in _OLE_CLAIMS


def is_ole(mime: str) -> bool:
    """Whether libmagic's answer is an OLE compound file."""
    return mime in _OLE_DETECTED
