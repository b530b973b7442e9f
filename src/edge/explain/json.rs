//! Explanations for machines: one JSON object on a line for each event, or for a request that has none.

use std::fmt::Write;

use http::header;
use serde::{Serialize, Serializer};
use serde_json::{json, value::RawValue};

use super::{Explained, Fate, Outcome};
use crate::{
    collect::{Detail, DropReason, Refusal, Reply},
    pipeline,
};

/// One line.
#[derive(Serialize)]
struct Line<'a> {
    request: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<serde_json::Value>,
    #[serde(flatten)]
    answer: Option<Answer<'a>>,
    #[serde(flatten)]
    fate: Option<EventFate<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<Refused<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    notes: Vec<&'a str>,
}

#[derive(Serialize)]
struct Answer<'a> {
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    set_cookie: Option<&'a str>,
}

#[derive(Serialize)]
struct EventFate<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped: Option<&'static str>,
    /// A kept event.
    #[serde(skip_serializing_if = "Option::is_none")]
    row: Option<&'a RawValue>,
    /// A dropped one, as far as it came.
    #[serde(skip_serializing_if = "Option::is_none")]
    unfinished: Option<&'a RawValue>,
    origins: InOrder<'a>,
}

#[derive(Serialize)]
struct Refused<'a> {
    code: &'static str,
    message: String,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    details: &'a [Detail],
}

/// Origins by path, in the order of the schema.
struct InOrder<'a>(&'a pipeline::Explained);

impl Serialize for InOrder<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.values.iter().map(|(leaf, origin)| (&leaf.path, origin)))
    }
}

impl Explained {
    /// The lines, each with its end.
    pub fn json_lines(&self) -> String {
        let mut lines = String::new();
        let mut add = |line: &Line<'_>| {
            let text = serde_json::to_string(line).expect("plain structs with text keys always serialize");
            writeln!(lines, "{text}").expect("a String takes all");
        };
        let plain = Line {
            request: self.number,
            event: None,
            client: None,
            answer: None,
            fate: None,
            refusal: None,
            error: None,
            notes: Vec::new(),
        };
        let (client, fate) = match &self.outcome {
            Outcome::Unreadable(why) => {
                add(&Line { error: Some(why.to_string()), ..plain });
                return lines;
            }
            Outcome::Read { client, fate, .. } => (client, fate),
        };
        let who = json!({ "ip": client.ip, "from_trusted_proxy": client.from_trusted_proxy, "tls": client.secure });
        let explanation = match fate {
            Fate::Elsewhere(whose) => {
                add(&Line { client: Some(who), notes: vec![whose], ..plain });
                return lines;
            }
            Fate::Event(explanation) => explanation,
        };
        let answer =
            || Some(Answer { status: explanation.reply.status.as_u16(), set_cookie: cookie(&explanation.reply) });
        for (index, event) in explanation.events.iter().enumerate() {
            let notes = event.notes.iter().map(String::as_str).collect();
            let fate = Some(fate_of(event));
            let (event, client) = (Some(index), Some(who.clone()));
            add(&Line {
                event,
                client,
                answer: answer(),
                fate,
                refusal: None,
                error: None,
                notes,
                request: self.number,
            });
        }
        if explanation.events.is_empty() || explanation.more > 0 {
            let refusal = explanation.refusal.as_ref().map(refused);
            let more = (explanation.more > 0).then(|| format!("{} more events, not explained", explanation.more));
            let notes = more.as_deref().into_iter().collect();
            add(&Line { client: Some(who), answer: answer(), refusal, notes, ..plain });
        }
        lines
    }
}

fn fate_of(event: &pipeline::Explained) -> EventFate<'_> {
    let row = serde_json::from_str(&event.row).ok();
    let (row, unfinished) = if event.dropped.is_some() { (None, row) } else { (row, None) };
    EventFate { dropped: event.dropped.map(DropReason::label), row, unfinished, origins: InOrder(event) }
}

fn refused(refusal: &Refusal) -> Refused<'_> {
    let details = match refusal {
        Refusal::InvalidEvent { details } => details.as_slice(),
        _ => &[],
    };
    Refused { code: refusal.code(), message: refusal.message(), details }
}

/// The cookie that the client would get.
pub(super) fn cookie(reply: &Reply) -> Option<&str> {
    let (_, value) = reply.headers.iter().find(|(name, _)| *name == header::SET_COOKIE)?;
    value.to_str().ok()
}
