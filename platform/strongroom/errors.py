"""The one catalogue of everything that can go wrong for a caller (RFC 9457 problem documents are made from it).

A service raises a `DomainError` subclass; the HTTP layer turns it into `application/problem+json`, the command line into
a message and exit code 1. `code` is stable and part of the outside contract; `title` (the docstring) says what happened, `hint`
what to do about it, `detail` (per instance) names the particular thing. Details must never carry another tenant's data.

The file is a list, and longer than others for that: who looks for an error looks here.
"""

from __future__ import annotations

from typing import ClassVar


class DomainError(Exception):
    """Base of all expected failures. `extra` members are added to the problem document as they are."""

    code: ClassVar[str]
    status: ClassVar[int]
    title: ClassVar[str]
    hint: ClassVar[str]

    def __init_subclass__(cls, *, code: str, status: int) -> None:
        super().__init_subclass__()
        cls.code, cls.status, cls.title = code, status, (cls.__doc__ or "").strip()

    def __init__(self, detail: str = "", *, retry_after_s: int | None = None, **extra: object) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.hint
        self.retry_after_s = retry_after_s
        self.extra = extra


# The request as such


class BadRequest(DomainError, code="bad_request", status=400):
    """The request cannot be understood"""

    hint = "Check the request against the API reference at /api/v1/docs."


class InvalidPath(DomainError, code="invalid_path", status=400):
    """This is not a path a file can have"""

    hint = "Use UTF-8, at most 1024 bytes, '/' between folders, and no '.', '..', backslash, control character or empty segment."


class InvalidCursor(DomainError, code="invalid_cursor", status=400):
    """This cursor does not belong to this listing"""

    hint = "Start over without a cursor."


class IncompleteBody(DomainError, code="incomplete_body", status=400):
    """The body ended before Content-Length bytes had arrived"""

    hint = "Nothing was stored. Send the file again."


class ChecksumMismatch(DomainError, code="checksum_mismatch", status=400):
    """The bytes received do not have the checksum that was announced"""

    hint = "Nothing was stored. Send the file again."


class NotFound(DomainError, code="not_found", status=404):
    """Not found"""

    hint = "Check the address and the id."


class UnknownHost(DomainError, code="unknown_host", status=404):
    """No tenant lives at this host"""

    hint = "Use the tenant's own address, for example https://acme.example.com."


class MethodNotAllowed(DomainError, code="method_not_allowed", status=405):
    """This address does not take that method"""

    hint = "See the Allow header for the methods it takes."


class NotAcceptable(DomainError, code="not_acceptable", status=406):
    """No representation you accept is available"""

    hint = "Send Accept: application/json."


class RequestTimeout(DomainError, code="request_timeout", status=408):
    """The body did not arrive in time"""

    hint = "Nothing was stored. Send the file again, or use a resumable upload."


class LengthRequired(DomainError, code="length_required", status=411):
    """Content-Length is missing"""

    hint = "Send the exact size of the file in Content-Length."


class HeadersTooLarge(DomainError, code="headers_too_large", status=431):
    """The request's headers are too large"""

    hint = "Send fewer or shorter headers."


class ExportRefused(DomainError, code="export_refused", status=422):
    """This is no archive of a tenant, or not a whole one"""

    hint = "Nothing was imported. Make the archive anew with 'strongroom tenant export', or fetch it again."


class UnsupportedMediaType(DomainError, code="unsupported_media_type", status=415):
    """The body is not of a type this address takes"""

    hint = "Send Content-Type: application/json."


class ValidationFailed(DomainError, code="validation_failed", status=422):
    """Some fields are missing or wrong"""

    hint = "See 'errors' for each field."


class IdempotencyConflict(DomainError, code="idempotency_conflict", status=409):
    """This Idempotency-Key was used for another request"""

    hint = "Use a new key for a new request."


class IdempotencyInProgress(DomainError, code="idempotency_in_progress", status=409):
    """The first request with this Idempotency-Key is still running"""

    hint = "Wait and try again."


# Who is asking


class Unauthenticated(DomainError, code="unauthenticated", status=401):
    """Sign in first"""

    hint = "Send Authorization: Bearer with an access token or an API key."


class InvalidCredentials(DomainError, code="invalid_credentials", status=401):
    """E-mail or password is wrong"""

    hint = "Check both and try again."


class TokenInvalid(DomainError, code="token_invalid", status=401):
    """This token is not valid here"""

    hint = "Sign in again."


class TokenExpired(DomainError, code="token_expired", status=401):
    """This token has expired"""

    hint = "Refresh it or sign in again."


class RefreshReused(DomainError, code="refresh_reused", status=401):
    """This refresh token was used before"""

    hint = "The session was ended for safety. Sign in again."


class PasswordSignInOff(DomainError, code="password_sign_in_off", status=403):
    """Only owners sign in with a password here"""

    hint = "Sign in with your identity provider: GET /api/v1/auth/oidc tells where."


class SsoStateInvalid(DomainError, code="sso_state_invalid", status=400):
    """This sign-in was begun elsewhere, was used already, or took too long"""

    hint = "Begin it again, and finish it in the same browser within ten minutes."


class SsoFailed(DomainError, code="sso_failed", status=403):
    """The identity provider did not sign you in"""

    hint = "Try again; if it stays, ask an administrator to test the connection."


class SsoRefused(DomainError, code="sso_refused", status=403):
    """You cannot come in this way"""

    hint = "Ask an administrator to invite you."


class SsoUnavailable(DomainError, code="sso_unavailable", status=502):
    """The identity provider does not answer as it should"""

    hint = "Try again in a moment; if it stays, ask an administrator to test the connection."


class SsoNotReady(DomainError, code="sso_not_ready", status=409):
    """This way to sign in is not set up yet"""

    hint = "An administrator has to give its client secret."


class TooManyConnections(DomainError, code="too_many_connections", status=409):
    """There are as many identity providers as a tenant may have"""

    hint = "Remove one that is not used."


class Forbidden(DomainError, code="forbidden", status=403):
    """You may not do this"""

    hint = "Ask an administrator of your tenant for a role or scope that allows it."


class CsrfFailed(DomainError, code="csrf_failed", status=403):
    """This form is out of date"""

    hint = "Reload the page and try again."


class TenantSuspended(DomainError, code="tenant_suspended", status=403):
    """This tenant is suspended"""

    hint = "Nothing is lost. Ask the operator of this service to resume it."


class SignUpClosed(DomainError, code="sign_up_closed", status=403):
    """Nobody can make an account here without an invitation"""

    hint = "Ask an administrator of this tenant to invite you, or to open sign-up in its settings."


class EmailDomainNotAllowed(DomainError, code="email_domain_not_allowed", status=403):
    """With an e-mail address of this domain nobody can make an account here"""

    hint = "Use an address of your organisation, or ask an administrator of this tenant for an invitation."


class TooManyRequests(DomainError, code="too_many_requests", status=429):
    """Too many requests"""

    hint = "Wait as long as Retry-After says."


class TooManyUploads(DomainError, code="too_many_uploads", status=429):
    """Too many uploads at the same time"""

    hint = "Wait until one of the running uploads is done."


class TenantBusy(DomainError, code="tenant_busy", status=429):
    """This tenant has too many requests under way"""

    hint = "Wait as long as Retry-After says."


# What is stored


class Conflict(DomainError, code="conflict", status=409):
    """This collides with something that exists"""

    hint = "Choose another name."


class AlreadyExists(DomainError, code="already_exists", status=409):
    """Something of that name exists already"""

    hint = "Choose another name."


class DomainTaken(DomainError, code="domain_taken", status=409):
    """Another tenant has proven this domain"""

    hint = "If it is yours now, remove the other tenant's TXT record: some days later the domain is free. The operator can free it at once."


class DomainNotProven(DomainError, code="domain_not_proven", status=422):
    """The domain's TXT record is not there, or has another value"""

    hint = "Set the TXT record that the domain shows, wait until your DNS provider has published it, and ask again."


class TooManyDomains(DomainError, code="too_many_domains", status=409):
    """There are as many domains as a tenant may have"""

    hint = "Remove one that is not used."


class BucketNotEmpty(DomainError, code="bucket_not_empty", status=409):
    """The bucket still holds files"""

    hint = "Delete its files and empty its trash first."


class LastOwner(DomainError, code="last_owner", status=409):
    """A tenant needs at least one owner"""

    hint = "Make somebody else an owner first."


class PreconditionFailed(DomainError, code="precondition_failed", status=412):
    """The file is not in the state that you named"""

    hint = "Get its current ETag and decide again."


class RangeNotSatisfiable(DomainError, code="range_not_satisfiable", status=416):
    """The file has no such range"""

    hint = "Ask for a range within its size."


class FilePending(DomainError, code="file_pending", status=409):
    """The file has not been checked yet"""

    hint = "Try again in a few seconds."


class FileQuarantined(DomainError, code="file_quarantined", status=403):
    """The file did not pass its check and cannot be downloaded"""

    hint = "See its scan field for the reason. An administrator can delete it."


class FileUnscanned(DomainError, code="file_unscanned", status=403):
    """The file could not be checked whole and this bucket does not give out such files"""

    hint = "See its scan field for the reason. The bucket's policy can allow it."


class LinkUsed(DomainError, code="link_used", status=410):
    """This link was good for one download, and has had it"""

    hint = "Ask whoever gave it to you for a new one."


class LinkExpired(DomainError, code="link_expired", status=410):
    """This link is no longer good"""

    hint = "Its time is over, or whoever made it may not have the file any more. Ask for a new one."


class ArchiveTooLarge(DomainError, code="archive_too_large", status=422):
    """These are more files than one archive takes"""

    hint = "Ask for several archives of smaller folders."


class FileTooLarge(DomainError, code="file_too_large", status=413):
    """The file is larger than allowed"""

    hint = "See the bucket's max_size_bytes and your plan."


class BodyTooLarge(DomainError, code="body_too_large", status=413):
    """The request's body is too large"""

    hint = "Send less at once."


class TypeNotAllowed(DomainError, code="type_not_allowed", status=415):
    """This bucket does not take files of that type"""

    hint = "See the bucket's allowed_types."


class TypeMismatch(DomainError, code="type_mismatch", status=415):
    """The bytes are not of the type that was declared"""

    hint = "Send the Content-Type that the file really has."


class QuotaExceeded(DomainError, code="quota_exceeded", status=507):
    """The tenant's quota is used up"""

    hint = "'resource' names what is used up: delete some of it (files also from the trash), or ask the operator for another plan."


class TransferExceeded(DomainError, code="transfer_exceeded", status=429):
    """The tenant has used up its transfer of this month"""

    hint = "Wait until the next month begins (UTC), as Retry-After says, or ask the operator for another plan."


class StorageFull(DomainError, code="storage_full", status=507):
    """The storage provider has no room left"""

    hint = "Nothing was stored. Tell your administrator."


# Uploads that take more than one request


class UploadLocked(DomainError, code="upload_locked", status=423):
    """Another request is writing to this upload right now"""

    hint = "Wait as long as Retry-After says, ask for the offset again and go on from there."


class OffsetConflict(DomainError, code="offset_conflict", status=409):
    """The upload is at another offset"""

    hint = "Ask for the offset with HEAD and go on from there."


class UploadGone(DomainError, code="upload_gone", status=410):
    """This upload has expired or was ended"""

    hint = "Begin a new one."


class UploadChecksumMismatch(DomainError, code="upload_checksum_mismatch", status=460):
    """The bytes of this request do not have the checksum that was announced with them"""

    hint = "Nothing of this request was kept. Send it again from the same offset."


class TusVersionUnsupported(DomainError, code="tus_version_unsupported", status=412):
    """This version of the tus protocol is not spoken here"""

    hint = "Send Tus-Resumable: 1.0.0."


class PartInvalid(DomainError, code="part_invalid", status=422):
    """The parts are not what this upload needs"""

    hint = "Send the missing or wrong parts again, then complete."


class PartUrlExpired(DomainError, code="part_url_expired", status=403):
    """The URL of this part is no longer good"""

    hint = "Ask for a new one with POST /api/v1/uploads/{id}/parts; what was sent already stays."


class NotSupported(DomainError, code="not_supported", status=422):
    """The tenant's storage provider cannot do this"""

    hint = "Use another way; the documentation of the route names it."


# What we depend on


class TenantBehind(DomainError, code="tenant_behind", status=503):
    """This tenant's data is being brought up to date"""

    hint = "Nothing was changed. Try again in a few seconds."


class TenantMoving(DomainError, code="tenant_moving", status=503):
    """This tenant is being moved: for some seconds it can only be read"""

    hint = "Nothing was changed. Send it again after as long as Retry-After says."


class StorageUnavailable(DomainError, code="storage_unavailable", status=503):
    """The storage provider does not answer"""

    hint = "Nothing was lost. Try again in a moment."


class DatabaseUnavailable(DomainError, code="database_unavailable", status=503):
    """The database does not answer"""

    hint = "Nothing was lost. Try again in a moment."


class MailUnavailable(DomainError, code="mail_unavailable", status=503):
    """The mail server does not take mail now"""

    hint = "It is tried again. Check the settings of the mail server."


class MailRefused(DomainError, code="mail_refused", status=422):
    """The mail server does not take this mail"""

    hint = "Check the address."


class MailNotSetUp(DomainError, code="mail_not_set_up", status=503):
    """This deployment sends no mail"""

    hint = "Ask the operator to name a mail server by STRONGROOM_SMTP_HOST; until then, administrators can invite people."


class DnsUnavailable(DomainError, code="dns_unavailable", status=503):
    """The domain's name servers gave no answer"""

    hint = "This says nothing about the record. Try again later; see that the domain's name servers answer from outside."


class OutboundRefused(DomainError, code="outbound_refused", status=422):
    """This address may not be asked from here"""

    hint = "Use an http or https URL of a public host, on a usual port, without a user name or password."


class SourceRefused(DomainError, code="source_refused", status=422):
    """The source does not give out what was asked of it"""

    hint = "Open the URL yourself and see that it leads to the file."


class SourceUnavailable(DomainError, code="source_unavailable", status=502):
    """The source does not answer as it should"""

    hint = "Try again later."


class InternalError(DomainError, code="internal_error", status=500):
    """Something went wrong on our side"""

    hint = "Try again; if it stays, give the request_id to your administrator."


# Operator's side


class UnknownProviderKind(DomainError, code="unknown_provider_kind", status=422):
    """There is no provider of this kind"""

    hint = "Kinds are listed by 'strongroom provider add --help'."


class PlanInUse(DomainError, code="plan_in_use", status=409):
    """Tenants still have this plan"""

    hint = "Give them another plan first."


class ProviderInUse(DomainError, code="provider_in_use", status=409):
    """Tenants still keep bytes at this provider"""

    hint = "Move them first."


class CellsFull(DomainError, code="cells_full", status=507):
    """No cell takes another tenant"""

    hint = "Add a cell with 'strongroom cell add', or raise a cell's limit or open it with 'strongroom cell set'."


class ConfigurationError(DomainError, code="configuration_error", status=500):
    """The configuration is wrong"""

    hint = "Run 'strongroom doctor'."


CATALOGUE: dict[str, type[DomainError]] = {error.code: error for error in DomainError.__subclasses__()}
