"""The kinds of providers as people choose them, and which fields each kind's form has, in which words.

A tenant's form has fewer fields: those that a provider of a tenant's own may have.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from strongroom.storage.providers import TENANTS_FIELDS

SEALED = "Kept sealed, never shown again."


@dataclass(frozen=True)
class Field:
    """A field of a form. `name`: as in the configuration or among the secrets, or `part_name` for one of an object within it.

    `choices`: (value, label); the first one is what holds when nothing is said. `half`: it stands beside another one.
    """

    name: str
    label: str
    hint: str = ""
    type: str = "text"
    required: bool = False
    secret: bool = False
    choices: tuple[tuple[str, str], ...] = ()
    half: bool = False

    @property
    def optional(self) -> bool:
        """Whether the label says so."""
        return not (self.required or self.choices or self.secret) or self.name == "session_token"

    @property
    def options(self) -> list[dict[str, str]]:
        """The choices as a template wants them."""
        return [{"value": value, "label": label} for value, label in self.choices]


@dataclass(frozen=True)
class Section:
    """Fields under a heading."""

    title: str
    text: str
    fields: tuple[Field, ...]


@dataclass(frozen=True)
class Kind:
    """A kind of provider as people choose it."""

    name: str
    title: str
    text: str
    icon: str
    sections: tuple[Section, ...]


S3 = Kind("s3", "S3", "Amazon S3, Ceph, MinIO and others that speak it", "database", (
    Section("Where it is", "The bucket must exist already; its versioning must be off.", (
        Field("bucket", "Bucket", "Its name, without a prefix.", required=True),
        Field("endpoint_url", "Endpoint", "Such as https://s3.example.com. Empty for Amazon S3 itself."),
        Field("region", "Region", "Such as eu-central-1. us-east-1 if empty.", half=True),
        Field("addressing", "Address style", "Few servers but Amazon’s know the host name.", "select", half=True, choices=(
            ("auto", "Automatic"), ("path", "Bucket in the path (path style)"), ("virtual", "Bucket in the host name"))),
    )),
    Section("Who may reach it", "Keys with rights on this bucket alone are enough.", (
        Field("credentials", "Keys", "Those of the machine: its environment, profile or instance role.", "select", choices=(
            ("stored", "The keys below"), ("environment", "Those of this machine"))),
        Field("access_key_id", "Access key id", "", secret=True, half=True),
        Field("secret_access_key", "Secret access key", SEALED, "password", secret=True, half=True),
        Field("session_token", "Session token", "Only for keys that expire. New keys without one remove it.", "password", secret=True),
    )),
    Section("A role for each tenant", "With a role, all that happens for a tenant happens with keys that reach its prefix alone.", (
        Field("sts_role_arn", "Role", "Such as arn:aws:iam::123456789012:role/tenants. Empty: without a role."),
        Field("sts_endpoint_url", "Endpoint of STS", "The same as above if empty.", half=True),
        Field("sts_duration_s", "Keys of a session last", "Seconds, from 900 to 43200. 3600 if empty.", "number", half=True),
    )),
    Section("Connection", "Seldom needed.", (
        Field("ca_file", "Certificates", "A file on this machine (PEM) with the authorities that the server’s certificate comes from."),
        Field("verify_parts", "Check each part’s MD5", "Automatic: where no TLS vouches for the bytes.", "select", half=True, choices=(
            ("auto", "Automatic"), ("md5", "Always"), ("none", "Never"))),
        Field("timeout_s", "Time limit", "Seconds for one request. 30 if empty.", "number", half=True),
    )),
))  # fmt: skip
GCS = Kind("gcs", "Google Cloud Storage", "A bucket at Google", "database", (
    Section("Where it is", "The bucket must exist already; soft delete and versioning should be off.", (
        Field("bucket", "Bucket", "Its name, without gs://.", required=True),
        Field("project", "Project", "Its id; only needed where the key does not tell."),
        Field("endpoint_url", "Endpoint", "Google’s if empty."),
    )),
    Section("Who may reach it", "The account needs the role Storage Object Admin on this bucket.", (
        Field("credentials", "Account", "Without a key of a service account there are no direct uploads and downloads.", "select", choices=(
            ("service_account", "The key below"), ("environment", "That of this machine"), ("anonymous", "None, for an emulator"))),
        Field("service_account", "Key of the service account", f"The whole JSON file as Google gives it. {SEALED}", "area", secret=True),
    )),
    Section("Connection", "Seldom needed.", (Field("timeout_s", "Time limit", "Seconds for one request. 30 if empty.", "number"),)),
))  # fmt: skip
FOLDER = Kind("filesystem", "Folder", "On a disk or a network mount of this machine", "folder", (
    Section("Where it is", "Every machine that runs Strongroom must see the same folder under the same path.", (
        Field("root", "Folder", "An absolute path, such as /srv/strongroom. It must exist and be writable.", required=True),
    )),
))  # fmt: skip
OPENDAL = Kind("opendal", "Other services", "Azure, Backblaze B2, WebDAV, FTP and more, by OpenDAL", "plug-connected", (
    Section("Connection", "Seldom needed.", (Field("timeout_s", "Time limit", "Seconds for one request. 60 if empty.", "number"),)),
))  # fmt: skip
KINDS: dict[str, Kind] = {kind.name: kind for kind in (S3, FOLDER, GCS, OPENDAL)}


def kind_of(name: str) -> Kind:
    """Return the kind of that name; for one that this version does not know, one without fields: what it was made with is still listed."""
    return KINDS.get(name) or Kind(name, name, "Not known to this version", "plug-connected", ())


def _tenants(kind: Kind) -> Kind:
    """What of a form a tenant gets."""
    allowed = TENANTS_FIELDS[kind.name]
    sections = [replace(each, fields=tuple(one for one in each.fields if one.secret or one.name in allowed)) for each in kind.sections]
    return replace(kind, sections=tuple(each for each in sections if each.fields))


TENANTS_KINDS: dict[str, Kind] = {name: _tenants(KINDS[name]) for name in KINDS if name in TENANTS_FIELDS}


def fields_of(kind: Kind) -> list[Field]:
    """Return all fields of a form."""
    return [each for section in kind.sections for each in section.fields]
