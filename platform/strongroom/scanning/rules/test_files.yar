// Files that exist to test scanners. Written so that this file does not contain what it finds.

rule eicar_test_file
{
    meta:
        threat = "Eicar-Test-Signature"
        source = "https://www.eicar.org/download-anti-malware-testfile/"
    strings:
        $text = /X5O!P%@AP\[4\\PZX54\(P\^\)7CC\)7\}\$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!\$H\+H\*/ ascii wide
    condition:
        $text
}

rule clamav_test_file
{
    meta:
        threat = "ClamAV-Test-File"
        source = "https://github.com/Cisco-Talos/clamav, unit_tests: the code of clam.exe"
    strings:
        $code = { BB 71 10 40 00 33 C0 50 50 8B F3 53 53 50 B0 29 40 30 04 66 AC 79 F9 BA 31 00 78 0D AD 50 FF 66 70 0E 1F BE 31 00 E9 E5 FF B4 09 CD 21 B4 4C CD 21 }
    condition:
        $code
}
