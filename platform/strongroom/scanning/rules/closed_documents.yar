// Not threats: documents whose inside cannot be read. They carry `unscanned` in place of `threat`.

rule office_encrypted_package
{
    meta:
        unscanned = "document_encrypted"
        source = "https://learn.microsoft.com/openspecs/office_file_formats/ms-offcrypto"
    strings:
        $compound = { D0 CF 11 E0 A1 B1 1A E1 }
        $stream = "EncryptedPackage" wide
        $info = "EncryptionInfo" wide
    condition:
        all of them
}
