// Programs hidden in text, and commands that fetch and run one.

rule html_ramnit_dropper
{
    meta:
        threat = "Dropper.HTML.Ramnit"
    strings:
        $name = "DropFileName = \"svchost.exe\""
        $data = /WriteData = "4D5A[0-9A-F]{60}/
    condition:
        all of them
}

rule script_base64_program
{
    meta:
        threat = "Dropper.Script.Base64Program"
    strings:
        // the usual first 32 bytes of a Windows program, in Base64
        $program = { 54 56 71 51 41 41 4D 41 41 41 41 45 41 41 41 41 2F 2F 38 41 41 4C 67 41 41 41 41 41 41 41 41 41 51 41 41 41 41 41 41 41 41 41 41 }
        $stream = /CreateObject\(\s{0,4}["']ADODB\.Stream["']/ nocase
        $save = "SaveToFile" nocase
        $load = /\[(System\.)?Reflection\.Assembly\]::Load\(/ nocase
        $decode = "FromBase64String(" nocase
    condition:
        $program and (($stream and $save) or ($load and $decode))
}

rule script_hidden_encoded_powershell
{
    meta:
        threat = "Dropper.PowerShell.HiddenEncoded"
    strings:
        $command = /powershell(\.exe)?["']?\s{1,4}[^\r\n]{0,80}-w(in|indowstyle)?\s{1,4}(hidden|1)\s[^\r\n]{0,80}-e(c|nc|ncodedcommand)?\s{1,4}["']?[A-Za-z0-9+\/]{200}/ nocase
    condition:
        $command
}

rule program_mimikatz
{
    meta:
        threat = "HackTool.Win.Mimikatz"
    strings:
        $author = "gentilkiwi" wide
        $module = "kuhl_m_sekurlsa" wide
        $command = "sekurlsa::logonpasswords" wide nocase
    condition:
        $author and ($module or $command)
}

rule script_coinhive_miner
{
    meta:
        threat = "Miner.JS.Coinhive"
    strings:
        $start = /new\s{1,4}CoinHive\.(Anonymous|User)\(\s{0,4}['"][A-Za-z0-9]{32}['"]/
    condition:
        $start
}
