//! Where the values of one event came from, for people who wonder why a column holds what it holds.
//!
//! Nothing of this runs for events that are only collected. Whoever explains an event lets every step do its work as
//! ever, and asks it afterwards ([`super::Enricher::explain`]); steps answer with the functions and tables they work
//! with, and by comparing what stood in the event before and after.

use std::collections::BTreeMap;

use crate::schema::{Encode, Event, Leaf, leaves};

/// What is known about the origins of one event's values.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    by_path: BTreeMap<String, String>,
    remarks: Vec<String>,
}

impl Origins {
    /// The value at `path` came from `origin`; the latest word counts. A path is that of a [`Leaf`], or of a record
    /// that came as a whole.
    pub fn note(&mut self, path: impl Into<String>, origin: impl Into<String>) {
        self.by_path.insert(path.into(), origin.into());
    }

    /// The same for the columns of `after` that were empty or different in `before`.
    pub fn note_new(&mut self, before: &Event<'_>, after: &Event<'_>, origin: impl Fn(&Leaf) -> Option<String>) {
        for leaf in new_values(before, after) {
            if let Some(origin) = origin(&leaf) {
                self.note(leaf.path, origin);
            }
        }
    }

    /// Something worth knowing that is no value, such as why there is none.
    pub fn remark(&mut self, remark: impl Into<String>) {
        self.remarks.push(remark.into());
    }

    /// Where a value came from: what was said of it, else of the record that it is in.
    pub fn of(&self, leaf: &Leaf) -> Option<&str> {
        let mut record = leaf.column.as_str();
        let mut found = self.by_path.get(&leaf.path);
        while found.is_none() {
            found = self.by_path.get(record);
            let Some((outer, _)) = record.rsplit_once('.') else { break };
            record = outer;
        }
        found.map(String::as_str)
    }

    /// All remarks.
    pub fn remarks(&self) -> &[String] {
        &self.remarks
    }
}

/// The values of an event.
pub fn values(event: &Event<'_>) -> Vec<Leaf> {
    leaves(&event.encode_to_vec()).expect("what is encoded here can be read")
}

/// The values that are in `after` and were not, or were others, in `before`.
pub fn new_values(before: &Event<'_>, after: &Event<'_>) -> Vec<Leaf> {
    let known: BTreeMap<String, Leaf> = values(before).into_iter().map(|leaf| (leaf.path.clone(), leaf)).collect();
    let mut new = values(after);
    new.retain(|leaf| known.get(&leaf.path).is_none_or(|known| known.value != leaf.value));
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_of_a_value_counts_before_what_was_said_of_its_record() {
        let mut event = Event::default();
        event.device_mut().category = Some("mobile".into());
        event.web_info_mut().browser = Some("Safari".into());
        event.info_mut().is_bot = Some(false);
        let mut origins = Origins::default();
        origins.note("device", "the caller");
        origins.note("device.category", "the text");
        let told: Vec<_> = values(&event).iter().map(|leaf| origins.of(leaf).map(str::to_owned)).collect();
        assert_eq!(told, [Some("the text".to_owned()), Some("the caller".to_owned()), None]);
    }

    #[test]
    fn only_what_changed_is_new() {
        let mut before = Event { event_name: Some("a".into()), platform: Some("WEB".into()), ..Event::default() };
        let after = Event { event_name: Some("b".into()), user_id: Some("u".into()), ..before.clone() };
        before.stream_id = Some("gone".into());
        let new: Vec<_> = new_values(&before, &after).into_iter().map(|leaf| leaf.path).collect();
        assert_eq!(new, ["event_name", "user_id"]);
    }
}
