//! The values of a row one by one, each with a path that people can read and search for.

use serde_json::Value;

use super::{
    column::{self, Column, Kind, Mode},
    decode::DecodeError,
    json,
};

/// One value of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Leaf {
    /// Where it stands: `device.category`, `event_params[page_title]`, `items[0].item_id`. Elements that have a key are
    /// called by it, others by their number.
    pub path: String,
    /// Path of its column in the schema: `event_params.value.string_value`.
    pub column: String,
    /// Its JSON form; a list for a repeated text.
    pub value: Value,
}

/// Every value of an encoded row, in the order of the schema.
pub fn leaves(bytes: &[u8]) -> Result<Vec<Leaf>, DecodeError> {
    Ok(leaves_of(&json::value(bytes)?))
}

/// The same of a row's JSON form.
pub fn leaves_of(row: &Value) -> Vec<Leaf> {
    let mut leaves = Vec::new();
    record(column::columns(), row, "", "", &mut leaves);
    leaves
}

fn record(columns: &[Column], record: &Value, path: &str, column: &str, leaves: &mut Vec<Leaf>) {
    for member in columns {
        let Some(value) = record.get(&member.name) else { continue };
        let column = within(column, &member.name);
        // A keyed element has its key in the path, and is its value.
        let path = match member.name.as_str() {
            "key" => continue,
            "value" | "string_value" | "int_value" | "float_value" | "double_value" if path.ends_with(']') => {
                path.to_owned()
            }
            name => within(path, name),
        };
        match (member.kind, member.mode, value) {
            (Kind::Record, Mode::Repeated, Value::Array(elements)) => {
                for (index, element) in elements.iter().enumerate() {
                    let key = element.get("key").and_then(Value::as_str);
                    let label = key.map_or_else(|| index.to_string(), str::to_owned);
                    self::record(&member.fields, element, &format!("{path}[{label}]"), &column, leaves);
                }
            }
            (Kind::Record, ..) => self::record(&member.fields, value, &path, &column, leaves),
            _ => leaves.push(Leaf { path, column, value: value.clone() }),
        }
    }
}

fn within(record: &str, member: &str) -> String {
    if record.is_empty() { member.to_owned() } else { format!("{record}.{member}") }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::schema::{
        Encode, Event,
        proto::event::{Item, Param, Value as ParamValue},
    };

    #[test]
    fn every_value_has_a_path_and_a_column() {
        let mut event = Event { event_name: Some("purchase".into()), ..Event::default() };
        event.push_param("page_title", "Home");
        event.event_params.push(Param::new("value", ParamValue::int(3)));
        let item_params = vec![Param::new("size", ParamValue::text("L"))];
        event.items.push(Item { item_id: Some("a".into()), item_params, ..Item::default() });
        event.web_info_mut().browser = Some("Firefox".into());
        event.info_mut().notes = vec!["one".into(), "two".into()];
        let leaves = leaves(&event.encode_to_vec()).unwrap();
        let told: Vec<_> = leaves.iter().map(|leaf| (&*leaf.path, &*leaf.column, leaf.value.to_string())).collect();
        let told: Vec<_> = told.iter().map(|(path, column, value)| (*path, *column, &**value)).collect();
        assert_eq!(
            told,
            [
                ("event_name", "event_name", r#""purchase""#),
                ("event_params[page_title]", "event_params.value.string_value", r#""Home""#),
                ("event_params[value]", "event_params.value.int_value", "3"),
                ("device.web_info.browser", "device.web_info.browser", r#""Firefox""#),
                ("items[0].item_id", "items.item_id", r#""a""#),
                ("items[0].item_params[size]", "items.item_params.value.string_value", r#""L""#),
                ("rs_info.notes", "rs_info.notes", r#"["one","two"]"#),
            ]
        );
    }
}
