//! Texts with places to fill: `https://{host}{uri}`.
//!
//! What is filled in was sent by a visitor. Paths, queries and hosts are put in as they came, which is safe in a header
//! and in a target because the request could not have been read otherwise; what an expression captured comes from a
//! path whose escapes are undone, so it is escaped again.

use std::{borrow::Cow, fmt, net::IpAddr, str::FromStr};

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use regex::Captures;

use super::{pattern::Pattern, router::Asked};
use crate::edge::tls::ClientCertificate;

/// What has to be escaped in a path, `%` included.
const PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// What has to be escaped in a parameter of a query, so that it stays one.
const PARAMETER: &AsciiSet = &PATH.add(b'&').add(b'=').add(b'+').add(b';');

/// A path without escapes, with them.
pub fn escaped(path: &str) -> Cow<'_, str> {
    utf8_percent_encode(path, PATH).into()
}

/// Everything that can be filled in.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The request.
    pub asked: Asked<'a>,
    /// Who asks.
    pub client: IpAddr,
    /// Whether over TLS.
    pub secure: bool,
    /// As told to the client.
    pub request_id: &'a str,
    /// What the client has shown, if we ended its TLS and asked for it.
    pub certificate: Option<&'a ClientCertificate>,
}

/// A text with places.
#[derive(Clone, Debug, Default)]
pub struct Template {
    text: Box<str>,
    parts: Box<[Part]>,
}

#[derive(Clone, Debug)]
enum Part {
    Literal(Box<str>),
    Place(Place),
    /// What an expression captured, by number or name.
    Capture(Box<str>),
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Host,
    Path,
    Query,
    Uri,
    Scheme,
    Method,
    ClientIp,
    RequestId,
    CertificateSubject,
    CertificateSerial,
    CertificateFingerprint,
}

const PLACES: [(&str, Place); 11] = [
    ("host", Place::Host),
    ("path", Place::Path),
    ("query", Place::Query),
    ("uri", Place::Uri),
    ("scheme", Place::Scheme),
    ("method", Place::Method),
    ("client_ip", Place::ClientIp),
    ("request_id", Place::RequestId),
    ("client_certificate_subject", Place::CertificateSubject),
    ("client_certificate_serial", Place::CertificateSerial),
    ("client_certificate_fingerprint", Place::CertificateFingerprint),
];

impl Template {
    /// Fills it. Captures come from `path`, which is the request's in its canonical form.
    pub fn fill(&self, view: &View<'_>, captures: Option<&Captures<'_>>) -> String {
        let mut out = String::with_capacity(self.text.len() + 64);
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Place(place) => place.fill(view, &mut out),
                Part::Capture(name) => {
                    let captured = captures.and_then(|captures| match name.parse() {
                        Ok(number) => captures.get(number),
                        Err(_) => captures.name(name),
                    });
                    let captured = captured.map_or("", |captured| captured.as_str());
                    if out.contains('?') {
                        out.extend(utf8_percent_encode(captured, PARAMETER));
                    } else {
                        out.push_str(&escaped(captured));
                    }
                }
            }
        }
        out
    }

    /// Whether it asks for what an expression captured.
    pub fn has_captures(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Capture(_)))
    }

    /// Whether it tells of the client's certificate.
    pub fn needs_certificate(&self) -> bool {
        self.parts.iter().any(|part| {
            let Part::Place(place) = part else { return false };
            matches!(place, Place::CertificateSubject | Place::CertificateSerial | Place::CertificateFingerprint)
        })
    }

    /// Its text up to the first place.
    pub fn beginning(&self) -> &str {
        match self.parts.first() {
            Some(Part::Literal(text)) => text,
            _ => "",
        }
    }

    /// Whether the first thing in it is the request's path.
    pub fn begins_with_path(&self) -> bool {
        matches!(self.parts.first(), Some(Part::Place(Place::Path | Place::Uri)))
    }

    /// Its own text, without the places.
    pub fn literals(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Literal(text) => Some(&**text),
            _ => None,
        })
    }

    /// What is wrong with the places, given the expression that captures for this template.
    pub fn check(&self, pattern: Option<&Pattern>) -> Result<(), String> {
        if self.needs_certificate() {
            return Err(format!("`{}` is for headers alone; hint: name it in `request_headers`", self.text));
        }
        self.check_header(pattern)
    }

    /// The same for the value of a header, which may tell of the client's certificate.
    pub fn check_header(&self, pattern: Option<&Pattern>) -> Result<(), String> {
        for part in &self.parts {
            let Part::Capture(name) = part else { continue };
            let known = pattern.is_some_and(|pattern| match name.parse::<usize>() {
                Ok(number) => number < pattern.captures_len(),
                Err(_) => pattern.capture_names().flatten().any(|known| *known == **name),
            });
            if !known {
                let places = PLACES.map(|(name, _)| format!("`{{{name}}}`")).join(", ");
                return Err(format!(
                    "there is nothing to put for `{{{name}}}`; hint: known are {places} and what the expression captures"
                ));
            }
        }
        Ok(())
    }
}

impl Place {
    fn fill(self, view: &View<'_>, out: &mut String) {
        use fmt::Write;
        let asked = &view.asked;
        match self {
            Place::Host => out.push_str(asked.host),
            Place::Path => out.push_str(asked.path),
            Place::Query => out.push_str(asked.query.unwrap_or_default()),
            Place::Uri => {
                out.push_str(asked.path);
                if let Some(query) = asked.query {
                    out.push('?');
                    out.push_str(query);
                }
            }
            Place::Scheme => out.push_str(if view.secure { "https" } else { "http" }),
            Place::Method => out.push_str(asked.method.as_str()),
            Place::ClientIp => write!(out, "{}", view.client).expect("a String takes everything"),
            Place::RequestId => out.push_str(view.request_id),
            Place::CertificateSubject | Place::CertificateSerial | Place::CertificateFingerprint => {
                let Some(certificate) = view.certificate else { return };
                out.push_str(match self {
                    Place::CertificateSubject => &certificate.subject,
                    Place::CertificateSerial => &certificate.serial,
                    _ => &certificate.fingerprint,
                });
            }
        }
    }
}

impl FromStr for Template {
    type Err = String;
    fn from_str(text: &str) -> Result<Template, String> {
        let wrong = |why: String| format!("`{text}` is not a text with places such as `{{host}}`: {why}");
        if text.chars().any(char::is_control) {
            return Err(wrong("control characters are not allowed".into()));
        }
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            literal.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                literal.push_str(brace);
                rest = after;
                continue;
            }
            let Some((name, after)) = rest.split_once('}').filter(|_| brace == "{") else {
                return Err(wrong("a brace has no other; hint: write `{{` for a brace itself".into()));
            };
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                return Err(wrong(format!("`{{{name}}}` is no place")));
            }
            rest = after;
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal).into()));
            }
            let place = PLACES.iter().find(|(known, _)| *known == name);
            parts.push(place.map_or_else(|| Part::Capture(name.into()), |(_, place)| Part::Place(*place)));
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal.into()));
        }
        Ok(Template { text: text.into(), parts: parts.into() })
    }
}

impl PartialEq for Template {
    fn eq(&self, other: &Template) -> bool {
        self.text == other.text
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A request to fill templates with, for tests.
#[cfg(test)]
pub fn view(path: &str) -> View<'_> {
    use std::sync::LazyLock;

    use http::{HeaderMap, Method};

    static HEADERS: LazyLock<HeaderMap> = LazyLock::new(HeaderMap::new);
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    let asked = Asked { method: &Method::GET, host: "www.example", path, query, headers: &HEADERS };
    View { asked, client: [192, 0, 2, 1].into(), secure: false, request_id: "id", certificate: None }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled() {
        for (template, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("https://{host}{uri}", "https://www.example/a%20b?q=1"),
            ("{path}|{query}|{scheme}|{method}", "/a%20b|q=1|http|GET"),
            ("{client_ip} {request_id}", "192.0.2.1 id"),
            ("{{host}} }}{{", "{host} }{"),
        ] {
            let template: Template = template.parse().unwrap();
            assert_eq!(template.fill(&view("/a%20b?q=1"), None), expected, "{template}");
        }
        assert_eq!("{uri}".parse::<Template>().unwrap().fill(&view("/"), None), "/");
    }

    #[test]
    fn captures_are_escaped() {
        let pattern: Pattern = "^/(?<what>.*)/(.*)$".parse().unwrap();
        let captures = pattern.captures("/a?b\r\n%#/\u{e4}").unwrap();
        let template: Template = "/{what}/{2}".parse().unwrap();
        assert_eq!(template.fill(&view("/"), Some(&captures)), "/a%3Fb%0D%0A%25%23/%C3%A4");
        assert!(template.check(Some(&pattern)).is_ok());
        assert!(template.check(None).unwrap_err().contains("nothing to put for `{what}`"));
        assert!("{3}".parse::<Template>().unwrap().check(Some(&pattern)).is_err());
        assert!("{hots}".parse::<Template>().unwrap().check(Some(&pattern)).unwrap_err().contains("`{host}`"));
    }

    #[test]
    fn broken_templates_are_refused() {
        for bad in ["{", "}", "a{host", "{}", "{a b}", "{host}}", "a\r\nb", "\u{0}"] {
            assert!(bad.parse::<Template>().is_err(), "{bad:?}");
        }
    }
}
