//! What becomes of a hit, and where each value came from: the pipeline with somebody looking on.
//!
//! The columns that a claim fills are explained here, beside [`super::begin`], which fills them; those of the steps by
//! the steps themselves.

use std::{collections::BTreeMap, ops::ControlFlow};

use super::{Pipeline, commerce, watch::Watch};
use crate::{
    collect::{Caller, Claim, DropReason, Hit, IdSource, Redaction, Refusal, Reply, Visitor},
    enrich::{Enricher, Origins, values},
    schema::{Encode, Event, Leaf, Row, json, leaves},
};

/// What became of a hit.
#[derive(Debug)]
pub struct Explanation {
    /// The refusal of the whole hit.
    pub refusal: Option<Refusal>,
    /// The answer that its client would get once the rows are durable.
    pub reply: Reply,
    /// The events, in the order sent; of a refused hit none.
    pub events: Vec<Explained>,
    /// Events beyond those, of which an explanation would be too long.
    pub more: usize,
}

/// What became of one event.
#[derive(Clone, Debug)]
pub struct Explained {
    /// Why it is not kept, when it is not.
    pub dropped: Option<DropReason>,
    /// The row as JSON on one line, or the event as far as it came.
    pub row: String,
    /// The row's values with their origins, in the order of the schema; no value is without.
    pub values: Vec<(Leaf, String)>,
    /// What is to be said besides: repairs, violations, and why columns stayed empty.
    pub notes: Vec<String>,
}

/// Bytes, about, of all explanations of one hit: a small body may be a large one that is compressed.
const ROOM: usize = 1 << 20;

/// Stands where nobody knows where a value came from, which is a mistake of ours: the tests look for it.
const UNKNOWN: &str = "unknown";

impl Pipeline {
    /// Collects a hit, as [`Pipeline::collect`] does, and tells how. `request_id` is what an error body shows.
    pub fn explain(&self, hit: &Hit<'_>, request_id: &str) -> Explanation {
        let mut witness = Witness { room: ROOM, ..Witness::default() };
        let admission = self.admission(hit.stream, hit.headers);
        match admission.and_then(|admission| self.run(hit, &admission, &mut witness)) {
            Ok(collected) => {
                let Witness { events, more, .. } = witness;
                Explanation { refusal: None, reply: collected.reply, events, more }
            }
            Err(refusal) => Explanation::of(refusal, request_id),
        }
    }
}

impl Explanation {
    /// That of a hit which was refused.
    pub fn of(refusal: Refusal, request_id: &str) -> Explanation {
        Explanation { reply: refusal.reply(request_id), refusal: Some(refusal), events: Vec::new(), more: 0 }
    }
}

/// Notes what it sees.
#[derive(Default)]
struct Witness {
    events: Vec<Explained>,
    more: usize,
    /// What is left of [`ROOM`]; without any, it looks away.
    room: usize,
    /// Header by which the browser objects.
    objection: Option<&'static str>,
    /// Where each claim was redacted; claims are redacted first, all of them.
    redacted: Vec<Vec<String>>,
    origins: Origins,
    notes: Vec<String>,
}

impl Watch for Witness {
    fn redact(&mut self, redaction: &Redaction, claim: &mut Claim<'_>) {
        let sent = texts(claim);
        redaction.apply(claim);
        let known: BTreeMap<_, _> = sent.iter().map(|leaf| (&leaf.path, &leaf.value)).collect();
        let changed = texts(claim).into_iter().filter(|leaf| known.get(&leaf.path) != Some(&&leaf.value));
        self.redacted.push(changed.map(|leaf| leaf.path).collect());
    }

    fn object(&mut self, header: &'static str, claims: &mut [Claim<'_>]) {
        claims.iter_mut().for_each(|claim| claim.consent.object());
        self.objection = Some(header);
    }

    fn begin(&mut self, claim: &Claim<'_>, hit: &Hit<'_>, caller: Caller, visitor: &Visitor<'_>, cookie: &str) {
        if self.room == 0 {
            return;
        }
        let sender = match caller {
            Caller::Ordinary => "sent by the client",
            Caller::Trusted => "sent by the caller (API key)",
        };
        self.origins = Origins::default();
        self.notes.clear();
        sent(&mut self.origins, claim, sender);
        made(&mut self.origins, claim, hit, sender);
        self.consent(claim, sender);
        let id = match visitor.source(claim) {
            Some(IdSource::Cookie) => format!("cookie {cookie}"),
            Some(IdSource::Ga) => "cookie _ga of Google Analytics, adopted".to_owned(),
            Some(IdSource::Claim) => format!("{sender}; it counts where no cookie of ours came"),
            Some(IdSource::Minted) => "minted for this request".to_owned(),
            None => String::new(),
        };
        self.origins.note("user_pseudo_id", id);
        for path in self.redacted.get(self.events.len()).into_iter().flatten() {
            self.origins.note(path.as_str(), format!("{sender}, redacted"));
        }
        self.notes.extend(claim.log.violations.iter().map(|detail| note(&detail.path, &detail.message)));
        self.notes.extend(claim.log.remarks.iter().map(|remark| note(&remark.path, &remark.to_string())));
    }

    fn derive(&mut self, event: &mut Event<'_>) {
        if self.room == 0 {
            return commerce::derive(event);
        }
        let before = event.spelled_out();
        commerce::derive(event);
        self.origins.note_new(&before, event, |leaf| Some(derived(&leaf.column).to_owned()));
    }

    fn step<'h>(&mut self, step: &dyn Enricher, hit: &'h Hit<'h>, event: &mut Event<'h>) -> ControlFlow<DropReason> {
        if self.room == 0 {
            return step.enrich(hit, event);
        }
        let before = event.spelled_out();
        let flow = step.enrich(hit, event);
        step.explain(hit, &before, event, &mut self.origins);
        flow
    }

    fn keep(&mut self, row: &Row) {
        self.end(None, row.bytes());
    }

    fn drop(&mut self, reason: DropReason, event: Option<&Event<'_>>) {
        self.end(Some(reason), &event.map(Event::encode_to_vec).unwrap_or_default());
    }
}

impl Witness {
    fn end(&mut self, dropped: Option<DropReason>, row: &[u8]) {
        if self.room == 0 {
            self.more += 1;
            return;
        }
        let readable = "what was encoded here can be read";
        let origin = |leaf: Leaf| {
            let origin = self.origins.of(&leaf).unwrap_or(UNKNOWN).to_owned();
            (leaf, origin)
        };
        let values: Vec<_> = leaves(row).expect(readable).into_iter().map(origin).collect();
        let row = json::row(row).expect(readable);
        let size: usize = values.iter().map(|(leaf, origin)| leaf.path.len() + origin.len()).sum();
        self.room = self.room.saturating_sub(2 * row.len() + size);
        let mut notes = std::mem::take(&mut self.notes);
        notes.extend_from_slice(self.origins.remarks());
        self.events.push(Explained { dropped, row, values, notes });
    }

    fn consent(&mut self, claim: &Claim<'_>, sender: &str) {
        let origin = match self.objection {
            Some(header) => format!("header {header}: the browser objects"),
            None => sender.to_owned(),
        };
        for column in ["privacy_info", "rs_info.consent"] {
            self.origins.note(column, origin.as_str());
        }
        let token = if claim.consent.uses_transient_token.is_some() { sender } else { "as GA4 writes it by default" };
        self.origins.note("privacy_info.uses_transient_token", token);
        if claim.consent.denies_identity() {
            self.notes.push(format!("no user_pseudo_id, session and cookie: analytics storage is denied, {origin}"));
        }
    }
}

/// Columns that are what the request says.
fn sent(origins: &mut Origins, claim: &Claim<'_>, sender: &str) {
    const COLUMNS: [&str; 10] = [
        "event_name",
        "event_params",
        "event_original_occurrence_timestamp",
        "user_id",
        "user_properties",
        "app_info",
        "items",
        "ecommerce",
        "batch_page_id",
        "batch_ordering_id",
    ];
    const OVERRIDES: [&str; 5] = ["device", "geo", "traffic_source", "collected_traffic_source", "event_dimensions"];
    COLUMNS.iter().for_each(|column| origins.note(*column, sender));
    if claim.overrides.is_some() {
        OVERRIDES.iter().for_each(|column| origins.note(*column, sender));
    }
}

/// Columns that are made at receipt, unless the request has them.
fn made(origins: &mut Origins, claim: &Claim<'_>, hit: &Hit<'_>, sender: &str) {
    let or = |sent: bool, made: &str| if sent { sender.to_owned() } else { made.to_owned() };
    let time = match (claim.timestamp, claim.happened_at) {
        (Some(sent), Some(moved)) if sent != moved => format!("{sender}, moved into the window of accepted times"),
        (_, happened_at) => or(happened_at.is_some(), "time of receipt"),
    };
    let columns = [
        ("event_timestamp", time),
        ("event_date", "day of event_timestamp in the stream's time zone".into()),
        ("date", "day of event_timestamp in the stream's time zone".into()),
        ("synced_at_utc_", "time of receipt".into()),
        ("synced_at_micros_", "time of receipt".into()),
        ("stream_id", format!("path {}", hit.path)),
        ("platform", or(claim.platform.is_some(), "default")),
        ("event_bundle_sequence_id", "random, one for all events of the request".into()),
        ("batch_event_index", or(claim.batch_event_index.is_some(), "place in the request")),
        ("user_first_touch_timestamp", "time in user_pseudo_id".into()),
        ("rs_info.event_id", or(claim.event_id.is_some(), "made at receipt")),
        ("rs_info.protocol", "path of the collector".into()),
        ("rs_info.host", "host of the request".into()),
        ("rs_info.notes", "what was repaired or left out while reading".into()),
    ];
    for (column, origin) in columns {
        origins.note(column, origin);
    }
    for property in &claim.user_properties {
        let (Some(key), Some(value)) = (&property.key, &property.value) else { continue };
        let origin = or(value.set_timestamp_micros.is_some(), "event_timestamp");
        origins.note(format!("user_properties[{key}].set_timestamp_micros"), origin);
    }
}

/// What an order value of the event is derived from.
fn derived(column: &str) -> &'static str {
    match column.rsplit('.').next().unwrap_or_default() {
        name if name.ends_with("_in_usd") => "the value itself, whose currency is USD",
        "total_item_quantity" | "unique_items" => "counted from items",
        "item_revenue" | "item_refund" => "price times quantity",
        "purchase_revenue" | "refund_value" => "parameter value",
        "shipping_value" => "parameter shipping",
        "tax_value" => "parameter tax",
        "transaction_id" => "parameter transaction_id",
        _ => "parameter of the event",
    }
}

fn note(path: &str, message: &str) -> String {
    if path.is_empty() { message.to_owned() } else { format!("{path}: {message}") }
}

/// The texts of a claim where secrets may be.
fn texts(claim: &Claim<'_>) -> Vec<Leaf> {
    let mut event = Event::default();
    event.event_params.clone_from(&claim.params);
    event.user_properties.clone_from(&claim.user_properties);
    event.items.clone_from(&claim.items);
    values(&event)
}
