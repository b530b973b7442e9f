//! The row for a table that lacks some of its columns: a descriptor without them, and rows without their values.
//!
//! For tables that this process may not, or not yet, add columns to. Better a row without its newest column than no row.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use prost::encoding::{self, WireType};
use prost_reflect::prost_types::{DescriptorProto, FieldDescriptorProto, field_descriptor_proto::Type};

use super::{
    column::{self, Column, Kind},
    descriptor,
    wire::{Reader, Value, WireError},
};

/// The columns that a table has of ours, by field number.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Narrow(HashMap<u32, Keep>);

#[derive(Debug, PartialEq, Eq)]
enum Keep {
    All,
    Some(Narrow),
}

impl Narrow {
    /// For a table with these columns and members, as dotted paths in lower case (BigQuery's names ignore case). `None`
    /// when it has all of ours.
    pub fn to(table: &HashSet<String>) -> Option<Narrow> {
        match Narrow::record(column::columns(), "", table) {
            Keep::All => None,
            Keep::Some(narrow) => Some(narrow),
        }
    }

    fn record(columns: &[Column], prefix: &str, table: &HashSet<String>) -> Keep {
        let mut kept = HashMap::new();
        let mut all = true;
        for column in columns {
            let path = format!("{prefix}{}", column.name.to_lowercase());
            let keep = match column.kind {
                _ if !table.contains(&path) => None,
                Kind::Record => match Narrow::record(&column.fields, &format!("{path}."), table) {
                    // A record of which nothing is left is no record.
                    Keep::Some(Narrow(members)) if members.is_empty() => None,
                    keep => Some(keep),
                },
                _ => Some(Keep::All),
            };
            all &= keep == Some(Keep::All);
            kept.extend(keep.map(|keep| (column.number, keep)));
        }
        if all { Keep::All } else { Keep::Some(Narrow(kept)) }
    }

    /// The descriptor of what is left of a row. Each record has a type of its own, nested where it is used: columns that
    /// share one in the schema may have lost different members.
    pub fn descriptor(&self) -> DescriptorProto {
        let whole = descriptor::self_contained();
        self.record_type(&whole, whole.name().to_owned(), &whole.nested_type)
    }

    fn record_type(&self, whole: &DescriptorProto, name: String, types: &[DescriptorProto]) -> DescriptorProto {
        let mut part = DescriptorProto { name: Some(name), ..DescriptorProto::default() };
        for field in &whole.field {
            let Some(keep) = self.0.get(&(field.number() as u32)) else { continue };
            let mut field = field.clone();
            let of_record = types.iter().find(|nested| nested.name() == field.type_name());
            if let (Type::Message, Some(nested)) = (field.r#type(), of_record) {
                let name = format!("Record{}", field.number());
                field.type_name = Some(name.clone());
                part.nested_type.push(match keep {
                    Keep::Some(narrow) => narrow.record_type(nested, name, types),
                    Keep::All => Narrow::whole_type(nested, name, types),
                });
            }
            part.field.push(field);
        }
        part
    }

    fn whole_type(whole: &DescriptorProto, name: String, types: &[DescriptorProto]) -> DescriptorProto {
        let all = |field: &FieldDescriptorProto| (field.number() as u32, Keep::All);
        Narrow(whole.field.iter().map(all).collect()).record_type(whole, name, types)
    }

    /// The row without what the table lacks.
    pub fn row(&self, bytes: &[u8]) -> Result<Bytes, WireError> {
        let mut out = Vec::with_capacity(bytes.len());
        self.copy(bytes, &mut out)?;
        Ok(out.into())
    }

    fn copy(&self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), WireError> {
        for field in Reader::new(bytes) {
            let (number, value) = field?;
            let Some(keep) = self.0.get(&number) else { continue };
            match value {
                Value::Varint(value) => {
                    encoding::encode_key(number, WireType::Varint, out);
                    encoding::encode_varint(value, out);
                }
                Value::Fixed64(bits) => {
                    encoding::encode_key(number, WireType::SixtyFourBit, out);
                    out.extend(bits.to_le_bytes());
                }
                Value::Fixed32(bits) => {
                    encoding::encode_key(number, WireType::ThirtyTwoBit, out);
                    out.extend(bits.to_le_bytes());
                }
                Value::Bytes(bytes) => {
                    let member = match keep {
                        Keep::All => None,
                        Keep::Some(narrow) => Some(narrow.row(bytes)?),
                    };
                    let bytes = member.as_deref().unwrap_or(bytes);
                    encoding::encode_key(number, WireType::LengthDelimited, out);
                    encoding::encode_varint(bytes.len() as u64, out);
                    out.extend_from_slice(bytes);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::schema::{Date, Event, Row, flatten, proto::event::RsInfo};

    fn all() -> HashSet<String> {
        flatten().into_iter().map(|(path, _)| path).collect()
    }

    fn without(gone: &[&str]) -> HashSet<String> {
        all()
            .into_iter()
            .filter(|path| !gone.iter().any(|gone| path == gone || path.starts_with(&format!("{gone}."))))
            .collect()
    }

    /// Every field of the descriptor, by dotted path.
    fn paths(message: &DescriptorProto, prefix: &str, found: &mut HashSet<String>) {
        for field in &message.field {
            let path = format!("{prefix}{}", field.name());
            if let Some(record) = message.nested_type.iter().find(|record| record.name() == field.type_name()) {
                paths(record, &format!("{path}."), found);
            }
            found.insert(path);
        }
    }

    fn described(narrow: &Narrow) -> HashSet<String> {
        let mut found = HashSet::new();
        paths(&narrow.descriptor(), "", &mut found);
        found
    }

    #[test]
    fn a_table_with_all_columns_needs_nothing() {
        assert_eq!(Narrow::to(&all()), None);
        let more: HashSet<_> = all().into_iter().chain(["their_own".to_owned()]).collect();
        assert_eq!(Narrow::to(&more), None);
    }

    #[test]
    fn each_column_and_each_member_can_be_left_out() {
        for (path, _) in flatten() {
            let table = without(&[&path]);
            let narrow = Narrow::to(&table).unwrap_or_else(|| panic!("{path} is missing"));
            let mut expected = table;
            // A record without members goes with its last one.
            let parents: Vec<_> = path.rmatch_indices('.').map(|(at, _)| path[..at].to_owned()).collect();
            for parent in parents {
                if !expected.iter().any(|kept| kept.starts_with(&format!("{parent}."))) {
                    expected.remove(&parent);
                }
            }
            assert_eq!(described(&narrow), expected, "without {path}");
        }
    }

    #[test]
    fn rows_lose_exactly_the_values_of_what_is_missing() {
        let event = Event {
            event_name: Some("page_view".into()),
            event_value_in_usd: Some(1.5),
            user_pseudo_id: Some("1.2".into()),
            rs_info: Some(RsInfo { event_id: Some("e".into()), ip: Some("192.0.2.0".into()), ..RsInfo::default() }),
            ..Event::default()
        };
        let row = Row::freeze(&event, Date(1), "1".into());
        let narrow = Narrow::to(&without(&["user_pseudo_id", "rs_info.ip"])).unwrap();
        let rs_info = Some(RsInfo { event_id: Some("e".into()), ..RsInfo::default() });
        let expected = Event { user_pseudo_id: None, rs_info, ..event };
        assert_eq!(narrow.row(row.bytes()).unwrap(), Row::freeze(&expected, Date(1), "1".into()).bytes());
    }

    proptest! {
        #[test]
        fn foreign_bytes_are_copied_or_refused(bytes: Vec<u8>) {
            let narrow = Narrow::to(&without(&["user_pseudo_id", "device.browser"])).unwrap();
            if let Ok(row) = narrow.row(&bytes) {
                prop_assert!(row.len() <= bytes.len());
                prop_assert_eq!(narrow.row(&row), Ok(row));
            }
        }
    }
}
