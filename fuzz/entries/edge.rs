//! What the edge reads of a request before anyone else does: who asks, for which host and path, from which page.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::LazyLock,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use real_streaming::{
    cli::status_in,
    edge::{
        CorsConfig, RouteConfig, TrustedProxy,
        foreign::{
            Action, Asked, Asset, Client, Cors, Inject, Injection, RequestId, Router, Trace, Trust, Verdict, canonical,
            host, tell,
        },
    },
};

use super::{hit, lines};

/// By networks, by providers, and by counting.
static TRUSTS: LazyLock<[Trust; 3]> = LazyLock::new(|| {
    let trust = |proxies: &[&str], hops| {
        let proxies: Vec<TrustedProxy> = proxies.iter().map(|it| it.parse().expect("these are proxies")).collect();
        Trust::new(&proxies, hops)
    };
    let networks = ["10.0.0.0/8", "127.0.0.0/8", "::1", "fd00::/8"];
    let providers = ["gcp", "cloudflare", "fastly", "cloudfront"];
    [trust(&networks, 0), trust(&[&networks[..], &providers].concat(), 0), trust(&[], HOPS)]
});

/// As many as are counted.
const HOPS: usize = 2;

/// As many as are walked, the forwarded one aside.
const MAX_HOPS: usize = 31;

/// A byte for the TCP peer and whom we trust, then headers, one a line: `x` and an `X-Forwarded-For`, `f` and a
/// `Forwarded`, `p` and an `X-Forwarded-Proto`; `c`, `t`, `y` and `v` and what a provider says of the client.
pub fn client_ip(data: &[u8]) {
    let Some((choice, rest)) = data.split_first() else { return };
    const PEERS: [&str; 6] = ["10.1.2.3", "::1", "::ffff:10.0.0.7", "203.0.113.9", "2001:db8::5", "::ffff:192.0.2.4"];
    const PROVIDERS: [&str; 6] = ["172.64.0.9", "2606:4700::9", "151.101.0.9", "15.158.0.9", "35.191.0.9", "10.1.2.3"];
    let (peer, who) = (usize::from(*choice) % PEERS.len(), usize::from(*choice) / PEERS.len() % TRUSTS.len());
    let peer = if who == 1 { PROVIDERS[peer] } else { PEERS[peer] };
    let (peer, trust): (IpAddr, _) = (peer.parse().expect("these are addresses"), &TRUSTS[who]);
    let line = |line: &'_ [u8]| {
        let (kind, value) = line.split_first()?;
        let name = match kind {
            b'x' => "x-forwarded-for",
            b'f' => "forwarded",
            b'p' => "x-forwarded-proto",
            b'c' => "cf-connecting-ip",
            b't' => "true-client-ip",
            b'y' => "fastly-client-ip",
            b'v' => "cloudfront-viewer-address",
            _ => return None,
        };
        Some((name, value.to_vec()))
    };
    let pairs: Vec<(&str, Vec<u8>)> = lines(rest).filter_map(line).collect();
    let headers = hit::headers(pairs.iter().map(|(name, value)| (*name, value.as_slice())));

    let client = trust.client(peer, &headers);
    assert_eq!(client, trust.client(peer, &headers), "the same headers give the same client");
    assert_eq!(client.ip, client.ip.to_canonical(), "IPv4 is written as IPv4");
    assert_eq!(client.peer, peer.to_canonical());
    if !client.from_trusted_proxy {
        assert_eq!((client.ip, client.secure), (client.peer, false), "a stranger's headers count for nothing");
    }
    let entries: usize = headers
        .get_all("x-forwarded-for")
        .iter()
        .map(|line| 1 + line.as_bytes().iter().filter(|byte| **byte == b',').count())
        .sum();
    let complete = if who == 2 { entries >= HOPS } else { !trust.trusts(client.ip) };
    if client.from_trusted_proxy && complete {
        let name = if headers.contains_key("x-forwarded-for") { "x-forwarded-for" } else { "forwarded" };
        assert_eq!(trust.client(peer, &behind(&headers, name)).ip, client.ip, "what a client makes up changes nothing");
    }
    if who == 0 {
        forwarded(&headers, &client);
    }
}

/// The headers as they are when the client itself has sent the list that the proxies continue.
fn behind(headers: &HeaderMap, name: &str) -> HeaderMap {
    let mut all = headers.clone();
    let mut made_up = "198.51.100.1, ::1";
    if name == "forwarded" {
        made_up = "for=198.51.100.1;proto=https, for=\"[::1]\"";
    }
    all.remove(name);
    all.append(name.parse::<header::HeaderName>().expect("it is a name"), HeaderValue::from_static(made_up));
    headers.get_all(name).iter().for_each(|line| {
        all.append(name.parse::<header::HeaderName>().expect("it is a name"), line.clone());
    });
    all
}

/// The site, which trusts us, sees the client that we saw.
fn forwarded(headers: &HeaderMap, client: &Client) {
    let id = RequestId::fresh();
    let mut sent = headers.clone();
    tell(&mut sent, headers, Some(&HeaderValue::from_static("www.example.com")), client, &id, None);
    assert_eq!(sent["x-real-ip"], client.ip.to_string().as_str());
    let list = sent["x-forwarded-for"].to_str().expect("addresses are text");
    assert_eq!(list.rsplit(", ").next(), Some(client.peer.to_string().as_str()), "the peer is the last hop");
    // What nobody can read is not passed on, and who is beyond the last hop walked is not known.
    let readable = headers.get_all("x-forwarded-for").iter().all(|line| line.to_str().is_ok());
    if readable && list.matches(',').count() < MAX_HOPS {
        let seen = TRUSTS[0].client(IpAddr::V4(Ipv4Addr::LOCALHOST), &sent);
        assert_eq!(seen.ip, client.ip, "forwarded as {list:?}");
        assert!(client.from_trusted_proxy || seen.secure == client.secure);
    }
}

/// The first line of the answer to a health check.
pub fn status_line(data: &[u8]) {
    let line = String::from_utf8_lossy(data);
    if let Some(status) = status_in(&line) {
        assert!(line.starts_with("HTTP/1.") && line.contains(&status.to_string()), "{line:?} says {status}");
    }
}

static ROUTER: LazyLock<Router> = LazyLock::new(|| {
    let route = |hosts: &[&str], path: &str| RouteConfig {
        hosts: hosts.iter().map(|host| host.parse().expect("these are hosts")).collect(),
        path: path.into(),
        ..RouteConfig::default()
    };
    let mut routes = vec![route(&["shop.example"], "/"), route(&["*.example.com", "[::1]"], "/app/")];
    let conditions = r#"[{"path":{"regex":"^/app.*x$"},"headers":{"origin":{"regex":"a"}},"query":{"a b":"c"}}]"#;
    routes.extend(serde_json::from_str::<Vec<RouteConfig>>(conditions).expect("these are conditions"));
    Router::new("/api/v1/streaming", "/v6.js", &routes)
});

static CORS: LazyLock<Cors> = LazyLock::new(|| {
    let origins = ["https://shop.example", "http://localhost:3000"];
    let allowed_origins = origins.iter().map(|origin| origin.parse().expect("these are origins")).collect();
    Cors::new(&CorsConfig { allowed_origins, allow_credentials: true })
});

static SCRIPT: LazyLock<Asset> = LazyLock::new(Asset::script);

/// The request's target, then the headers of the list below, one a line.
pub fn request(data: &[u8]) {
    const NAMES: [&str; 7] = [
        "host",
        "origin",
        "x-request-id",
        "accept-encoding",
        "if-none-match",
        "access-control-request-method",
        "access-control-request-headers",
    ];
    let mut lines = lines(data);
    let Ok(uri) = Uri::try_from(lines.next().unwrap_or_default()) else { return };
    let headers = hit::headers(NAMES.into_iter().zip(lines));

    let host = host(&uri, &headers);
    assert!(!host.bytes().any(|byte| byte.is_ascii_uppercase()), "{host:?} is lower case");
    let (path, query) = (uri.path(), uri.query());
    let canonical = canonical(path);
    assert!(!path.starts_with('/') || canonical.starts_with('/') && !canonical.contains("//"), "{canonical}");
    assert!(!canonical.split('/').any(|segment| matches!(segment, "." | "..")), "{canonical}");
    match ROUTER.action(&Asked { method: &Method::GET, host: &host, path, query, headers: &headers }) {
        Action::Collect { stream } => assert!(uri.path().trim_end_matches('/').ends_with(stream.trim_end_matches('/'))),
        Action::Site { route } => assert!(route == 0 && host == "shop.example" || canonical.starts_with("/app")),
        Action::Script | Action::Health | Action::NotFound => {}
    }
    cors(&headers, &host);
    script(&headers);

    let id = RequestId::given(&headers);
    let fit = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(&byte);
    assert!((1..=128).contains(&id.len()) && id.bytes().all(fit), "{id} is fit for logs, JSON and HTML");
}

fn cors(headers: &HeaderMap, host: &str) {
    let verdict = CORS.verdict(headers, host);
    let mut answer = verdict.preflight(headers);
    verdict.decorate(&mut answer);
    let allowed = answer.iter().find(|(name, _)| *name == header::ACCESS_CONTROL_ALLOW_ORIGIN);
    match &verdict {
        Verdict::Allowed { origin, .. } => {
            assert_eq!(allowed.map(|(_, value)| value), Some(origin));
            assert_eq!(headers.get(header::ORIGIN), Some(origin), "the answer names who asked");
            let text = origin.to_str().expect("an origin that may is text").to_ascii_lowercase();
            let name = text.split_once("://").map_or("", |(_, rest)| rest);
            let known = name.starts_with("shop.example") || name.starts_with("localhost:3000");
            assert!(known || !host.is_empty() && name.starts_with(host), "{text} may ask {host}");
        }
        Verdict::Denied | Verdict::NotAsked => assert_eq!(allowed, None, "nobody else is let in"),
    }
    let size: usize = answer.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    assert!(size <= 4096 + headers.get(header::ORIGIN).map_or(0, HeaderValue::len), "the answer is bounded");
}

fn script(headers: &HeaderMap) {
    let reply = SCRIPT.reply(&Method::GET, headers);
    let find = |name| reply.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value);
    let coding = find(header::CONTENT_ENCODING).and_then(|value| value.to_str().ok());
    match reply.status {
        StatusCode::OK => assert!(!reply.body.is_empty()),
        status => assert_eq!((status, reply.body.len()), (StatusCode::NOT_MODIFIED, 0)),
    }
    if let Some(coding) = coding {
        let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let accepted = accepted.to_ascii_lowercase();
        assert!(accepted.contains(coding) || accepted.contains('*'), "{coding} was not asked for: {accepted}");
    }
}

/// A line for each of the two headers that name a trace.
pub fn trace(data: &[u8]) {
    let names = ["traceparent", "x-cloud-trace-context"];
    let headers = hit::headers(names.into_iter().zip(lines(data)));
    let Some(trace) = Trace::of(&headers) else { return };
    let is_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    assert!(trace.id.len() == 32 && is_hex(&trace.id));
    assert!(trace.span.is_none_or(|span| span.len() == 16 && is_hex(&span)));
}

/// A page: a byte that says how long its pieces are, a line with a content security policy, and the page. The tag stands
/// in it once or not at all, in the same place however the page is cut, and nothing else changes.
pub fn inject(data: &[u8]) {
    let Some((size, rest)) = data.split_first() else { return };
    let (policy, page) = rest.split_at(rest.iter().position(|byte| *byte == b'\n').unwrap_or(0));
    let injection = Injection::new("/static/v6.js", &Inject::Stream("7".into())).expect("it is switched on");
    let through = |size: usize| {
        let policy = HeaderValue::from_bytes(policy).ok().filter(|policy| !policy.is_empty());
        let mut injector = injection.page("a.example", true, policy.as_ref())?;
        let mut out = Vec::new();
        for piece in page.chunks(size) {
            out.extend(injector.piece(Some(Bytes::copy_from_slice(piece)), false).unwrap_or_default());
        }
        out.extend(injector.piece(None, true).unwrap_or_default());
        Some(out)
    };
    let Some(cut) = through(usize::from(*size).max(1)) else { return };
    let added = cut.len() - page.len();
    if added == 0 {
        assert_eq!(cut, page);
        return;
    }
    let at = cut.iter().zip(page).take_while(|(a, b)| a == b).count();
    // What the tag begins with may be what stands behind it.
    let begins =
        (at.saturating_sub(added)..=at).find(|at| cut[*at..].starts_with(b"<script async src=\"/static/v6.js\""));
    let begins = begins.expect("what was added is the tag");
    assert_eq!([&cut[..begins], &cut[begins + added..]].concat(), page);
    assert!(cut[begins..begins + added].ends_with(b"></script>"));
    // Whoever sees more of the page at once may see that the script is there already.
    let whole = through(page.len()).expect("the policies are the same");
    assert!(whole == cut || whole == page);
}
