//! Headers that a route sets, adds and removes.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue, header};
use pingora::http::{RequestHeader, ResponseHeader};
use serde::{Deserialize, Serialize};

use super::{
    config::Name,
    template::{Template, View},
};
use crate::problem::Problem;

/// Headers that belong to the connection or frame the body: setting one would only break what Pingora makes of them.
static FRAMING: [HeaderName; 7] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TE,
    header::TRAILER,
    HeaderName::from_static("keep-alive"),
];

/// `routes[].request_headers:`, `routes[].response_headers:` - in this order: remove, set, add. Values are templates.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HeaderChanges {
    /// In place of all values there are.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<Name, Template>,
    /// Beside the values there are.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub add: BTreeMap<Name, Template>,
    /// All values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<Name>,
}

impl HeaderChanges {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == HeaderChanges::default()
    }

    /// Finds what parsing cannot see.
    pub fn check(&self, path: &str, problems: &mut Vec<Problem>) {
        let set = self.set.iter().map(|(name, value)| (format!("{path}.set.{name}"), name, Some(value)));
        let add = self.add.iter().map(|(name, value)| (format!("{path}.add.{name}"), name, Some(value)));
        let remove =
            self.remove.iter().enumerate().map(|(index, name)| (format!("{path}.remove[{index}]"), name, None));
        for (path, name, value) in set.chain(add).chain(remove) {
            if FRAMING.contains(&name.0) {
                problems.push(Problem::new(path, format!("`{name}` belongs to the connection, not to the route")));
            } else if let Some(Err(message)) = value.map(|value| value.check_header(None)) {
                let (message, hint) = message.split_once("; hint: ").unwrap_or((&message, ""));
                problems.push(Problem::new(path, message).hint(hint));
            }
        }
    }

    /// Changes an answer of the site.
    pub fn change_response(&self, view: &View<'_>, header: &mut ResponseHeader) {
        for Name(name) in &self.remove {
            header.remove_header(name);
        }
        for (name, value) in filled(&self.set, view) {
            header.remove_header(&name);
            if let Some(value) = value {
                let _ = header.insert_header(name, value);
            }
        }
        for (name, value) in filled(&self.add, view) {
            let _ = value.map(|value| header.append_header(name, value));
        }
    }

    /// Changes an answer of ours.
    pub fn change_reply(&self, view: &View<'_>, headers: &mut Vec<(HeaderName, HeaderValue)>) {
        headers.retain(|(name, _)| !self.remove.iter().any(|removed| removed.0 == *name));
        for (name, value) in filled(&self.set, view) {
            headers.retain(|(known, _)| *known != name);
            headers.extend(value.map(|value| (name, value)));
        }
        headers.extend(filled(&self.add, view).filter_map(|(name, value)| Some((name, value?))));
    }
}

/// Changes of requests, and what can be told of them before there is a request.
#[derive(Debug)]
pub struct RequestChanges {
    changes: HeaderChanges,
    /// Every name that it has its own say about, `_` being `-`.
    settled: Vec<HeaderName>,
    /// What goes of what the client says: what is removed or set, and what many servers take for the same name.
    gone: Vec<HeaderName>,
}

impl RequestChanges {
    /// Those that a route's configuration asks for.
    pub fn new(changes: &HeaderChanges) -> RequestChanges {
        let HeaderChanges { set, add, remove } = changes;
        let mut gone: Vec<_> =
            remove.iter().chain(set.keys()).flat_map(|Name(name)| [name.clone(), dashed(name)]).collect();
        gone.dedup();
        let settled = set.keys().chain(add.keys()).chain(remove).map(|Name(name)| dashed(name)).collect();
        RequestChanges { changes: changes.clone(), settled, gone }
    }

    /// Whether it says what a request has under this name, in lower case, `_` being `-`.
    pub fn settles(&self, name: &str) -> bool {
        self.settled.iter().any(|own| own.as_str() == name)
    }

    /// Changes a request.
    pub fn change(&self, view: &View<'_>, header: &mut RequestHeader) {
        // What a client says in a header that is ours to set must not pass for what we say.
        for name in &self.gone {
            header.remove_header(name);
        }
        for (name, value) in filled(&self.changes.set, view) {
            if let Some(value) = value {
                // Fails for a name that HTTP/1.1 does not have, which no parsed name is.
                let _ = header.insert_header(name, value);
            }
        }
        for (name, value) in filled(&self.changes.add, view) {
            let _ = value.map(|value| header.append_header(name, value));
        }
    }
}

/// The name that many servers take this one for.
fn dashed(name: &HeaderName) -> HeaderName {
    let dashed = name.as_str().replace('_', "-");
    dashed.parse().expect("a name with a dash in place of a mark is a name")
}

/// No value where it would tell of a certificate that nobody has shown, and where it is none that a header can have
/// (nothing that a request can hold makes one so).
fn filled(
    changes: &BTreeMap<Name, Template>,
    view: &View<'_>,
) -> impl Iterator<Item = (HeaderName, Option<HeaderValue>)> {
    changes.iter().map(|(Name(name), value)| {
        let is_there = view.certificate.is_some() || !value.needs_certificate();
        let value = is_there.then(|| HeaderValue::try_from(value.fill(view, None)).ok()).flatten();
        (name.clone(), value)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{super::template::view, *};

    #[test]
    fn removing_comes_first_and_adding_last() {
        let json = r#"{"remove":["a","b"],"set":{"B":"{host}","c":"1"},"add":{"C":"2","d":"{client_ip}"}}"#;
        let changes: HeaderChanges = serde_json::from_str(json).unwrap();
        let mut headers = Vec::new();
        for (name, value) in [("a", "x"), ("b", "x"), ("b", "y"), ("c", "x"), ("d", "x")] {
            headers.push((HeaderName::from_static(name), HeaderValue::from_static(value)));
        }
        changes.change_reply(&view("/"), &mut headers);
        let lines: Vec<_> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        assert_eq!(lines, ["d: x", "b: www.example", "c: 1", "c: 2", "d: 192.0.2.1"]);
    }

    #[test]
    fn what_servers_take_for_a_name_of_ours_goes_with_it() {
        let json = r#"{"remove":["x_a"],"set":{"x_b":"1","c":"1"},"add":{"x_d":"1"}}"#;
        let changes = RequestChanges::new(&serde_json::from_str(json).unwrap());
        let mut header = RequestHeader::build("GET", b"/", None).unwrap();
        for name in ["x_a", "x-a", "x_b", "x-b", "c", "x_d", "x-d"] {
            header.insert_header(name, "theirs").unwrap();
        }
        changes.change(&view("/"), &mut header);
        let mut lines: Vec<_> =
            header.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        lines.sort();
        assert_eq!(lines, ["c: 1", "x-d: theirs", "x_b: 1", "x_d: 1", "x_d: theirs"]);
        assert!(["x-a", "x-b", "c", "x-d"].iter().all(|name| changes.settles(name)) && !changes.settles("x-e"));
    }

    #[test]
    fn framing_is_not_to_be_touched_and_places_are_known() {
        let json = r#"{"remove":["Transfer-Encoding"],"set":{"Content-Length":"1","x":"{1}"}}"#;
        let mut problems = Vec::new();
        serde_json::from_str::<HeaderChanges>(json).unwrap().check("h", &mut problems);
        let paths: Vec<_> = problems.iter().map(|problem| &*problem.path).collect();
        assert_eq!(paths, ["h.set.content-length", "h.set.x", "h.remove[0]"]);
    }
}
