//! What the site is told about the request: who asked, how, for which host, under which identity. Pure.
//!
//! Forwarding headers are continued when they came from a trusted proxy and replaced otherwise, so the site may believe
//! them. Where a provider names the client in a header of its own and the lists lead elsewhere, the client is put at their
//! end: whoever reads them from the right, passing over our proxies, finds whom we found.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{
    client_ip::Client,
    hops::{X_FORWARDED_FOR, X_FORWARDED_PROTO},
    request::{RequestId, X_REQUEST_ID, ip_text},
};

/// `X-Forwarded-Host`.
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// What many frameworks read instead of the list.
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Says it in the `headers` that go to the site, of a request that was `sent` with others by this `client`. `authority` is
/// the requested host with its port; `host` replaces the `Host` header if the upstream wants its own.
pub fn tell(
    headers: &mut HeaderMap,
    sent: &HeaderMap,
    authority: Option<&HeaderValue>,
    client: &Client,
    id: &RequestId,
    host: Option<&HeaderValue>,
) {
    // These, `Forwarded` and `Via`: a map that grows bit by bit is moved as often.
    headers.reserve(8);
    let trusted = client.from_trusted_proxy;
    let peer = ip_text(client.peer);
    let before = if trusted { chain(sent, client) } else { String::new() };
    headers.insert(X_FORWARDED_FOR, text(before + &peer));
    headers.insert(X_REAL_IP, text(if client.ip == client.peer { peer } else { ip_text(client.ip) }));
    if !(trusted && sent.contains_key(X_FORWARDED_PROTO)) {
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(if client.secure { "https" } else { "http" }));
    }
    match authority {
        _ if trusted && sent.contains_key(X_FORWARDED_HOST) => {}
        Some(authority) => _ = headers.insert(X_FORWARDED_HOST, authority.clone()),
        None => _ = headers.remove(X_FORWARDED_HOST),
    }
    headers.insert(X_REQUEST_ID, text(String::from(&**id)));
    if let Some(host) = host {
        headers.insert(header::HOST, host.clone());
    }
    // RFC 9113, 8.2.3: over HTTP/2 browsers send each cookie on a line of its own, and sites that speak HTTP/1 know of one
    // line alone. Some join lines by commas.
    if sent.get_all(header::COOKIE).iter().nth(1).is_some() {
        let lines: Vec<&[u8]> = sent.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
        let line = HeaderValue::from_bytes(&lines.join(&b"; "[..]));
        headers.insert(header::COOKIE, line.expect("header values and what is between them are a header value"));
    }
    if !trusted {
        headers.remove(header::FORWARDED);
    } else if sent.contains_key(header::FORWARDED) {
        headers.insert(header::FORWARDED, continued(sent, client));
    }
}

/// What a trusted proxy said by `Forwarded`, and how it reached us.
fn continued(sent: &HeaderMap, client: &Client) -> HeaderValue {
    let mut list = String::new();
    for line in sent.get_all(header::FORWARDED).iter().filter_map(|line| line.to_str().ok()) {
        list.push_str(line);
        list.push_str(", ");
    }
    if client.unlisted {
        list.push_str(&node(client.ip));
        list.push_str(", ");
    }
    list.push_str(&node(client.peer));
    text(list)
}

/// `Forwarded` (RFC 7239), where no proxy has begun it.
pub fn begun(client: &Client, authority: Option<&HeaderValue>) -> HeaderValue {
    let mut list = node(client.ip);
    if let Some(authority) = authority.and_then(|authority| authority.to_str().ok()) {
        list.extend([";host=\"", authority, "\""]);
    }
    list.push_str(if client.secure { ";proto=https" } else { ";proto=http" });
    if client.ip != client.peer {
        list.extend([", ", &node(client.peer)]);
    }
    text(list)
}

/// What `X-Forwarded-For` of a trusted proxy says, up to the proxy itself.
fn chain(headers: &HeaderMap, client: &Client) -> String {
    let mut chain = String::new();
    for line in headers.get_all(X_FORWARDED_FOR).iter().filter_map(|line| line.to_str().ok()) {
        if !line.trim_ascii().is_empty() {
            chain.push_str(line);
            chain.push_str(", ");
        }
    }
    // The proxy told of the client by `Forwarded` only: whoever reads this list must not take the proxy for it.
    let is_told_elsewhere = !headers.contains_key(X_FORWARDED_FOR) && client.ip != client.peer;
    if client.unlisted || is_told_elsewhere {
        chain.push_str(&ip_text(client.ip));
        chain.push_str(", ");
    }
    chain
}

/// An element of `Forwarded`.
fn node(address: IpAddr) -> String {
    if address.is_ipv6() { format!("for=\"[{address}]\"") } else { format!("for={address}") }
}

/// Everything put together above consists of header values and of addresses.
fn text(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("parts of header values and addresses are a header value")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{super::client_ip::Trust, *};

    fn forwarded(trusted: bool, sent: &[(HeaderName, &str)], name: HeaderName) -> Option<String> {
        let ip: IpAddr = [1, 1, 1, 1].into();
        let peer: IpAddr = [10, 0, 0, 1].into();
        sent_on(
            &Client { ip, peer, from_trusted_proxy: trusted, named_in: None, unlisted: false, secure: false },
            sent,
            name,
        )
    }

    fn sent_on(client: &Client, sent: &[(HeaderName, &str)], name: HeaderName) -> Option<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            headers.append(name.clone(), HeaderValue::from_str(value).unwrap());
        }
        let (authority, before) = (HeaderValue::from_static("www.example:81"), headers.clone());
        tell(&mut headers, &before, Some(&authority), client, &RequestId::Given("id".into()), None);
        assert!(headers.get_all(&name).iter().count() < 2);
        headers.get(name).map(|value| value.to_str().unwrap().to_string())
    }

    #[test]
    fn a_stranger_cannot_forge_its_past() {
        let sent = &[
            (X_FORWARDED_FOR, "6.6.6.6"),
            (X_FORWARDED_FOR, "7.7.7.7"),
            (X_FORWARDED_PROTO, "https"),
            (X_FORWARDED_HOST, "evil.example"),
            (X_REAL_IP, "6.6.6.6"),
            (X_REQUEST_ID, "mine"),
            (header::FORWARDED, "for=6.6.6.6"),
        ][..];
        for (name, value) in [
            (X_FORWARDED_FOR, Some("10.0.0.1")),
            (X_FORWARDED_PROTO, Some("http")),
            (X_FORWARDED_HOST, Some("www.example:81")),
            (X_REAL_IP, Some("1.1.1.1")),
            (X_REQUEST_ID, Some("id")),
            (header::FORWARDED, None),
        ] {
            assert_eq!(forwarded(false, sent, name.clone()).as_deref(), value, "{name}");
        }
    }

    #[test]
    fn a_trusted_proxys_word_is_continued() {
        let sent = &[
            (X_FORWARDED_FOR, "1.1.1.1"),
            (X_FORWARDED_PROTO, "https"),
            (X_FORWARDED_HOST, "shop.example"),
            (header::FORWARDED, "for=1.1.1.1"),
        ][..];
        for (name, value) in [
            (X_FORWARDED_FOR, "1.1.1.1, 10.0.0.1"),
            (X_FORWARDED_PROTO, "https"),
            (X_FORWARDED_HOST, "shop.example"),
            (header::FORWARDED, "for=1.1.1.1, for=10.0.0.1"),
        ] {
            assert_eq!(forwarded(true, sent, name.clone()).as_deref(), Some(value), "{name}");
        }
        let told = &[(header::FORWARDED, "for=1.1.1.1")];
        assert_eq!(forwarded(true, told, X_FORWARDED_FOR).as_deref(), Some("1.1.1.1, 10.0.0.1"));
        assert_eq!(forwarded(true, &[], X_FORWARDED_PROTO).as_deref(), Some("http"));
    }

    #[test]
    fn cookies_on_lines_of_their_own_become_one_line() {
        let lines = &[(header::COOKIE, "a=1"), (header::COOKIE, "b=2; c=3"), (header::COOKIE, "d=4")];
        for trusted in [false, true] {
            assert_eq!(forwarded(trusted, lines, header::COOKIE).as_deref(), Some("a=1; b=2; c=3; d=4"));
            assert_eq!(forwarded(trusted, &lines[..1], header::COOKIE).as_deref(), Some("a=1"));
        }
    }

    #[test]
    fn a_client_named_by_its_provider_is_the_end_of_every_list() {
        let connecting = HeaderName::from_static("cf-connecting-ip");
        let trust = Trust::new(&["cloudflare".parse().unwrap(), "10.0.0.0/8".parse().unwrap()], 0);
        let peer: IpAddr = [172, 64, 0, 9].into();
        for (named, sent, chain, forwarded) in [
            // The list says the same: nothing is said twice.
            ("1.1.1.1", &[(X_FORWARDED_FOR, "6.6.6.6, 1.1.1.1")][..], "6.6.6.6, 1.1.1.1, 172.64.0.9", None),
            ("1.1.1.1", &[(X_FORWARDED_FOR, "1.1.1.1, 10.0.0.2")], "1.1.1.1, 10.0.0.2, 172.64.0.9", None),
            // It leads elsewhere, or nowhere.
            ("1.1.1.1", &[(X_FORWARDED_FOR, "8.8.8.8")], "8.8.8.8, 1.1.1.1, 172.64.0.9", None),
            ("1.1.1.1", &[(X_FORWARDED_FOR, "1.1.1.1, 8.8.8.8")], "1.1.1.1, 8.8.8.8, 1.1.1.1, 172.64.0.9", None),
            ("1.1.1.1", &[(X_FORWARDED_FOR, "unknown")], "unknown, 1.1.1.1, 172.64.0.9", None),
            ("1.1.1.1", &[(X_FORWARDED_FOR, " ")], "1.1.1.1, 172.64.0.9", None),
            ("2001:db8::1", &[], "2001:db8::1, 172.64.0.9", None),
            (
                "2001:db8::1",
                &[(header::FORWARDED, "for=8.8.8.8")],
                "2001:db8::1, 172.64.0.9",
                Some("for=8.8.8.8, for=\"[2001:db8::1]\", for=172.64.0.9"),
            ),
            (
                "1.1.1.1",
                &[(header::FORWARDED, "for=1.1.1.1;proto=https")],
                "1.1.1.1, 172.64.0.9",
                Some("for=1.1.1.1;proto=https, for=172.64.0.9"),
            ),
            // Unreadable: the list decides.
            ("unknown", &[(X_FORWARDED_FOR, "8.8.8.8")], "8.8.8.8, 172.64.0.9", None),
        ] {
            let sent = [&[(connecting.clone(), named)][..], sent].concat();
            let headers =
                sent.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect();
            let client = trust.client(peer, &headers);
            assert_eq!(sent_on(&client, &sent, X_FORWARDED_FOR).as_deref(), Some(chain), "{named} beside {sent:?}");
            assert_eq!(sent_on(&client, &sent, header::FORWARDED).as_deref(), forwarded, "{named} beside {sent:?}");
            assert_eq!(sent_on(&client, &sent, X_REAL_IP), Some(client.ip.to_string()));
            // The site, which trusts us and the same proxies but no header of a provider, finds the same client.
            let list = HeaderValue::from_str(chain).unwrap();
            let seen = [(X_FORWARDED_FOR, list)].into_iter().collect();
            let networks: Vec<_> =
                ["172.64.0.0/13", "10.0.0.0/8", "192.168.0.0/16"].map(|it| it.parse().unwrap()).into();
            assert_eq!(Trust::new(&networks, 0).client([192, 168, 0, 1].into(), &seen).ip, client.ip, "{chain}");
        }
    }
}
