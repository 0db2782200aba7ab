// Web shells: code that runs what a request brings. Each needs the language's opening mark right before the call, so that prose
// about such code, and code that merely reads a request, stays clean.

rule webshell_php_eval_request
{
    meta:
        threat = "Webshell.PHP.EvalRequest"
    strings:
        $eval = /<\?(php|=)?\s{0,16}@?(eval|assert|system|passthru|shell_exec)\s{0,4}\(\s{0,4}@?(stripslashes\s{0,4}\(\s{0,4})?\$_(POST|GET|REQUEST|COOKIE)\s{0,4}\[/ nocase
        $decoded = /<\?(php|=)?\s{0,16}@?eval\s{0,4}\(\s{0,4}(gzinflate|gzuncompress|str_rot13|base64_decode)\s{0,4}\(\s{0,4}(base64_decode|str_rot13|gzinflate)\s{0,4}\(/ nocase
        $decoded_request = /<\?(php|=)?\s{0,16}@?eval\s{0,4}\(\s{0,4}base64_decode\s{0,4}\(\s{0,4}\$_(POST|GET|REQUEST|COOKIE)\s{0,4}\[/ nocase
    condition:
        any of them
}

rule webshell_php_known
{
    meta:
        threat = "Webshell.PHP.Known"
    strings:
        $php = "<?php" nocase
        $wso = /\$default_action\s{0,4}=\s{0,4}['"]FilesMan['"]/
        $c99 = /\$sh?ver\s{0,4}=\s{0,4}['"][^'"]{0,40}c99(mad)?shell/ nocase
        $r57 = /\$(version|r57_?ver)\s{0,4}=\s{0,4}['"][^'"]{0,40}r57shell/ nocase
        $b374k = /\$GLOBALS\['(pass|ver)'\]\s{0,4}=.{0,200}b374k/ nocase
    condition:
        $php and any of ($wso, $c99, $r57, $b374k)
}

rule webshell_aspx_eval_request
{
    meta:
        threat = "Webshell.ASPX.EvalRequest"
    strings:
        $jscript = /<%@\s{0,4}Page\s{1,4}Language\s{0,4}=\s{0,4}["']?Jscript["']?\s{0,4}%>\s{0,16}<%\s{0,4}eval\s{0,4}\(\s{0,4}(System\.Text\.Encoding\.[^;]{0,120})?Request(\.Item)?\s{0,4}[\[(]/ nocase
        $classic = /<%\s{0,4}(eval|execute)(global)?\s{0,4}\(?\s{0,4}request(\.item|\.form)?\s{0,4}[\[(]/ nocase
    condition:
        any of them
}

rule webshell_jsp_exec_request
{
    meta:
        threat = "Webshell.JSP.ExecRequest"
    strings:
        $exec = /<%[^%]{0,400}Runtime\.getRuntime\(\)\.exec\(\s{0,4}request\.getParameter\(/
    condition:
        $exec
}
