//! What `event.proto` must keep to, whoever edits it.

use std::{collections::HashSet, fs, path::Path};

use prost::Message;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, MessageDescriptor,
    prost_types::{DescriptorProto, FileDescriptorProto, field_descriptor_proto::Type},
};
use real_streaming::schema::{self, Kind};
use serde_json::Value;

use super::{forms, random};

fn each_message(descriptor: &MessageDescriptor, check: &mut impl FnMut(&MessageDescriptor)) {
    check(descriptor);
    descriptor.child_messages().for_each(|nested| each_message(&nested, check));
}

#[test]
fn every_scalar_is_optional_or_repeated() {
    each_message(&random::descriptor(), &mut |message| {
        for field in message.fields() {
            let ok = field.is_list() || field.field_descriptor_proto().proto3_optional();
            assert!(ok, "`{}` cannot tell unset from zero", field.full_name());
        }
    });
}

#[test]
fn every_column_is_described_within_bigquerys_limit() {
    for (path, column) in schema::flatten() {
        let length = column.about.chars().count();
        assert!((10..=1024).contains(&length), "`{path}` has a description of {length} characters");
        assert!(column.about.ends_with('.'), "`{path}`: a description is a sentence");
        assert!(!column.about.contains(['\n', '\t']), "`{path}`: a description is one line");
    }
}

#[test]
fn names_are_lower_case_identifiers() {
    for (path, column) in schema::flatten() {
        let ok = column.name.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '_'));
        assert!(ok && column.name.len() <= 300, "`{path}` is no column name");
    }
}

#[test]
fn only_records_have_members() {
    for (path, column) in schema::flatten() {
        assert_eq!(column.kind == Kind::Record, !column.fields.is_empty(), "`{path}`");
    }
}

#[test]
fn the_table_is_the_export_with_ours_at_the_end() {
    fn compare(ours: &Value, export: &Value, path: &str) {
        let (ours, export) = (ours.as_array().unwrap(), export.as_array().unwrap());
        // What we add to our own record may only stand at its end.
        let comparable = if path == "rs_info" { export.len() } else { ours.len() };
        let names = |fields: &[Value]| fields.iter().map(|field| field["name"].clone()).collect::<Vec<_>>();
        assert_eq!(names(&ours[..comparable]), names(export), "members of `{path}`");
        for (ours, export) in ours.iter().zip(export) {
            let path = format!("{path}{}{}", if path.is_empty() { "" } else { "." }, export["name"].as_str().unwrap());
            assert_eq!(ours["type"], export["type"], "`{path}`");
            assert_eq!(ours["mode"], export["mode"], "`{path}`");
            assert_eq!(ours.get("fields").is_some(), export.get("fields").is_some(), "`{path}`");
            if let Some(fields) = export.get("fields") {
                compare(&ours["fields"], fields, &path);
            }
        }
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/schema/ga4_export.json");
    let export: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    compare(&schema::bigquery::table_schema(), &export, "");
}

#[test]
fn the_descriptor_is_clean_at_every_depth() {
    fn check(message: &DescriptorProto, types: &HashSet<&str>) {
        let rebuilt = DescriptorProto {
            name: message.name.clone(),
            field: message.field.clone(),
            nested_type: message.nested_type.clone(),
            ..DescriptorProto::default()
        };
        assert_eq!(*message, rebuilt, "`{}` has more than fields and nested types", message.name());
        for field in &message.field {
            let path = format!("{}.{}", message.name(), field.name());
            assert_eq!((field.proto3_optional, field.oneof_index), (None, None), "`{path}`");
            assert_eq!((&field.options, &field.default_value, &field.extendee), (&None, &None, &None), "`{path}`");
            match field.r#type() {
                Type::Message => assert!(types.contains(field.type_name()), "`{path}`: {}", field.type_name()),
                _ => assert_eq!(field.type_name, None, "`{path}`"),
            }
        }
        message.nested_type.iter().for_each(|nested| check(nested, types));
    }
    let root = schema::descriptor::self_contained();
    check(&root, &root.nested_type.iter().map(DescriptorProto::name).collect());
}

#[test]
fn the_descriptor_alone_reads_rows_as_proto2() {
    let file = FileDescriptorProto {
        name: Some("row.proto".to_owned()),
        message_type: vec![schema::descriptor::self_contained()],
        ..FileDescriptorProto::default()
    };
    let mut pool = DescriptorPool::new();
    pool.add_file_descriptor_proto(file).unwrap();
    let row = pool.get_message_by_name("Event").unwrap();
    let presence = |field: FieldDescriptor| field.is_list() || field.supports_presence();
    each_message(&row, &mut |message| assert!(message.fields().all(presence)));

    for seed in 0..50 {
        let event = random::event(seed, 40);
        let read = DynamicMessage::decode(row.clone(), event.encode_to_vec().as_slice()).unwrap();
        assert_eq!(read.unknown_fields().count(), 0);
        assert_eq!(forms::reference(&read), forms::reference(&event));
    }
}
