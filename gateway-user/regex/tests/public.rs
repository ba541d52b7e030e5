//! Expressions as people write them: from the Gateway API's conformance suite, from manuals of gateways and
//! proxies, and the usual shapes of paths, headers and parameters. All are accepted and match what they are
//! for.

use gateway_regex::Library;

/// An expression, a value that it matches, and one that it does not.
const PUBLIC: &[(&str, &str, &str)] = &[
    // Gateway API: conformance manifests and documentation.
    ("/status/2\\d\\d", "/status/204", "/status/404"),
    ("/v[12]/.*", "/v2/x", "/v3/x"),
    ("/bar[0-9]*", "/bar12", "/barx"),
    ("b.*", "blue", "green"),
    ("/foo|/bar", "/bar", "/baz"),
    ("[A-Za-z]+", "Red", "Red1"),
    // Paths.
    ("/api/v[0-9]+/.*", "/api/v12/users", "/api/vx/users"),
    ("/api/(v1|v2)/users/[^/]+", "/api/v2/users/7", "/api/v2/users/7/x"),
    ("^/api/v\\d+(\\.\\d+)?/(users|orders)(/.*)?$", "/api/v1.2/orders/3", "/api/v1.2/order"),
    ("/(?P<lang>[a-z]{2}(-[A-Z]{2})?)/docs/.*", "/de-AT/docs/a", "/deu/docs/a"),
    (".*\\.(jpe?g|png|gif|webp|svg|ico|css|js|woff2?)", "/a/b.woff2", "/a/b.txt"),
    ("(?i).*\\.(php|asp|aspx|jsp|cgi)$", "/INDEX.PHP", "/index.html"),
    (
        "/users/[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
        "/users/123e4567-e89b-12d3-a456-426614174000",
        "/users/1",
    ),
    ("/blog/\\d{4}/(0[1-9]|1[0-2])/[\\w-]+/?", "/blog/2024/05/a-post/", "/blog/2024/13/a-post"),
    ("/((?:[^/]*/)*)(.*)", "/a/b/c", "a"),
    ("/[^/]+/[^/]+/(info/refs|git-(upload|receive)-pack)", "/a/b/info/refs", "/a/info/refs"),
    ("/(@[a-z0-9-~][a-z0-9-._~]*(/|%2F))?[a-z0-9-~][a-z0-9-._~]*", "/@types%2Fnode", "/@/node"),
    (
        "/v2/(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)+manifests/[\\w.:-]{1,128}",
        "/v2/library/nginx/manifests/1.27",
        "/v2/Nginx/manifests/1",
    ),
    ("/(\\.well-known/acme-challenge|healthz?|livez|readyz)(/.*)?", "/healthz", "/healthzz"),
    ("/something(/|$)(.*)", "/something/x", "/somethingx"),
    ("/(wp-admin|wp-login\\.php|xmlrpc\\.php|\\.env|\\.git).*", "/.git/config", "/git"),
    // Versions, dates, numbers, addresses.
    (
        "v?(0|[1-9]\\d*)\\.(0|[1-9]\\d*)\\.(0|[1-9]\\d*)(?:-((?:0|[1-9]\\d*|\\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\\.(?:0|[1-9]\\d*|\\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?(?:\\+([0-9a-zA-Z-]+(?:\\.[0-9a-zA-Z-]+)*))?",
        "1.2.3-rc.1+b7",
        "1.2",
    ),
    (
        "\\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\\d|3[01])(T([01]\\d|2[0-3]):[0-5]\\d(:[0-5]\\d(\\.\\d+)?)?(Z|[+-]\\d\\d:\\d\\d)?)?",
        "2024-02-29T12:30:00Z",
        "2024-2-29",
    ),
    (
        "((25[0-5]|2[0-4]\\d|1?\\d?\\d)\\.){3}(25[0-5]|2[0-4]\\d|1?\\d?\\d)(,.*)?",
        "192.168.0.1, 10.0.0.1",
        "256.1.1.1",
    ),
    ("(10\\.|192\\.168\\.|172\\.(1[6-9]|2\\d|3[01])\\.).*", "172.20.1.1", "172.32.1.1"),
    ("([0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}", "2001:db8:0:0:0:0:0:1", "2001:db8::1"),
    ("[+-]?(\\d+(\\.\\d*)?|\\.\\d+)([eE][+-]?\\d+)?", "-1.5e10", "e10"),
    ("[1-9][0-9]{0,9}", "4294967295", "0"),
    ("#?([a-f0-9]{6}|[a-f0-9]{3})", "#c0ffee", "#c0ffe"),
    // Names and tokens.
    (
        "[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*",
        "a.b@example.com",
        "a@",
    ),
    (".+@(example\\.com|example\\.org)", "x@example.org", "x@example.net"),
    (
        "([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\\.)*[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?",
        "a.b-c.example",
        "-a.example",
    ),
    (
        "https?://([a-z0-9-]+\\.)*example\\.com(:[0-9]{1,5})?",
        "https://a.b.example.com:8443",
        "https://example.org",
    ),
    ("Bearer [A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]*", "Bearer ab.cd.ef", "Bearer abcd"),
    ("(?i)basic\\s+[a-z0-9+/]+={0,2}", "Basic dXNlcg==", "Bearer x"),
    ("(?i:bearer|token)\\s.*", "BEARER x", "bearerx"),
    ("[0-7][0-9A-HJKMNP-TV-Z]{25}", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "01ARZ"),
    ("00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-x"),
    ("(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?", "YWJj", "YWJ"),
    // Cookies and headers.
    ("^(.*?;)?\\s*(user=jason)(;.*)?$", "a=1; user=jason; b", "user=jasonx"),
    (".*(^|;\\s*)canary=(always|true|1)(;.*|$)", "a=b; canary=1", "xcanary=2"),
    ("(^|.*; )session=[0-9a-f]{32}(;.*|$)", "session=0123456789abcdef0123456789abcdef", "session=0"),
    ("(?i)en(-(us|gb|au|ca))?(,.*)?", "en-GB,en;q=0.9", "de"),
    ("(en|de|fr|es|it|pt|nl|pl|ru|ja|zh|ko)(-[A-Za-z]{2,4})?([,;].*)?", "zh-Hant,zh;q=0.8", "xx"),
    ("multipart/form-data;\\s*boundary=.*", "multipart/form-data; boundary=x", "multipart/mixed"),
    (
        "application/(grpc(-web)?(\\+[a-z]+)?|json(; ?charset=utf-8)?|vnd\\.[a-z0-9.-]+\\+json)",
        "application/grpc-web+proto",
        "application/xml",
    ),
    (".*\\bgzip\\b.*", "br, gzip", "gzipped"),
    ("bytes=\\d*-\\d*(, ?\\d*-\\d*)*", "bytes=0-99, 200-", "items=1"),
    ("beta-.*|canary|(alpha[0-9]{1,3})", "alpha12", "alpha1234"),
    ("(staging|prod)-(eu|us)-(east|west)-[1-3]", "prod-us-east-2", "prod-us-east-4"),
    // User agents.
    (
        ".*(iPhone|iPad|iPod|Android|BlackBerry|IEMobile|Opera Mini).*",
        "Mozilla/5.0 (Linux; Android 14)",
        "curl/8",
    ),
    (
        "(?i).*(googlebot|bingbot|slurp|duckduckbot|baiduspider|yandexbot|ahrefsbot|semrushbot|mj12bot|dotbot|petalbot|bytespider|gptbot|ccbot|claudebot|amazonbot|applebot|facebookexternalhit|twitterbot|linkedinbot|pinterestbot|rogerbot|embedly|quora link preview|showyoubot|outbrain|slackbot|vkshare|w3c_validator|whatsapp|telegrambot|discordbot).*",
        "Mozilla/5.0 (compatible; GPTBot/1.0)",
        "Mozilla/5.0 Firefox",
    ),
    (
        "(?i).*((android|bb\\d+|meego).+mobile|avantgo|bada/|blackberry|blazer|compal|elaine|fennec|hiptop|iemobile|ip(hone|od)|iris|kindle|lge |maemo|midp|mmp|mobile.+firefox|netfront|opera m(ob|in)i|palm( os)?|phone|p(ixi|re)/|plucker|pocket|psp|series(4|6)0|symbian|treo|up\\.(browser|link)|vodafone|wap|windows ce|xda|xiino).*",
        "Opera Mobi",
        "Lynx",
    ),
    (
        ".*Chrome/(8[0-9]|9[0-9]|1[0-9]{2})\\..*Safari.*",
        "Mozilla Chrome/124.0 Safari/537",
        "Chrome/79.0 Safari",
    ),
    (
        "Mozilla/5\\.0 \\((Windows NT (6\\.[1-3]|10\\.0)|Macintosh; Intel Mac OS X [0-9_]+).*\\).*",
        "Mozilla/5.0 (Windows NT 10.0; Win64) x",
        "curl",
    ),
    (
        "(?i)(curl|wget|python-requests|go-http-client|libwww-perl|java|okhttp)/.*",
        "Go-http-client/2.0",
        "Firefox/1",
    ),
    // Attacks, as rule sets of firewalls look for them.
    (
        "(?i).*(union(\\s|/\\*.*\\*/)+(all(\\s|/\\*.*\\*/)+)?select|information_schema|sleep\\s*\\(|benchmark\\s*\\(|'\\s*or\\s+'?1'?\\s*=\\s*'?1).*",
        "id=1 UNION  SELECT x",
        "id=1",
    ),
    ("(?i).*(<script|javascript:|on(error|load|click)\\s*=|document\\.cookie).*", "<SCRIPT>", "script"),
    (".*(\\.\\./|\\.\\.\\\\|%2e%2e%2f|/etc/passwd|/proc/self).*", "/a/%2e%2e%2f", "/a/b"),
    (".*\\$\\{(jndi|env|lower|upper):.*", "${jndi:ldap://x}", "$jndi"),
    // Unicode, asked for.
    ("(?u)[\\p{L}\\p{N} _-]{1,8}", "żółć 1", "a/b"),
    ("(?u:\\w+)(?:-\\d+)?", "größe-12", "größe-x"),
    ("(ä|ö|ü|ß)+|a", "üß", "u"),
];

#[test]
fn expressions_found_in_public_are_accepted_and_match() {
    let library = Library::default();
    let mut faults = Vec::new();
    for (text, yes, no) in PUBLIC {
        match library.get(text).verdict() {
            Err(error) => faults.push(error.to_string()),
            Ok(matcher) => {
                for (value, want) in [(yes, true), (no, false)] {
                    if matcher.is_match(value.as_bytes()) != want {
                        faults.push(format!("{text}: {value:?} should be {want}"));
                    }
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// All of them together are a small part of what one route may have.
#[test]
fn all_of_them_fit_one_route() {
    let library = Library::default();
    let cost: usize = PUBLIC.iter().map(|(text, ..)| library.get(text).cost()).sum();
    assert!(cost < 4 << 20, "{cost}");
}
