//! The row's protobuf type in the one form that BigQuery's Storage Write API takes: a single message descriptor that
//! needs no other file and is read as proto2.
//!
//! So: nested types only, named relative to the root; no package, no options, no defaults, no oneofs and no
//! `proto3_optional` at any depth (each proto3 `optional` brings a oneof of one member along, which in proto2 would be
//! a different thing). Wire bytes are the same under both descriptors.

use std::{collections::BTreeMap, fmt::Write};

use prost_reflect::prost_types::{
    DescriptorProto, FieldDescriptorProto,
    field_descriptor_proto::{Label, Type},
};

use super::column;

/// The descriptor of one row.
pub fn self_contained() -> DescriptorProto {
    let event = column::event();
    clean(event.descriptor_proto(), &format!(".{}.", event.full_name()))
}

/// `root` is the prefix of all absolute type names inside the root message.
fn clean(message: &DescriptorProto, root: &str) -> DescriptorProto {
    DescriptorProto {
        name: message.name.clone(),
        field: message.field.iter().map(|field| clean_field(field, root)).collect(),
        nested_type: message.nested_type.iter().map(|nested| clean(nested, root)).collect(),
        ..DescriptorProto::default()
    }
}

fn clean_field(field: &FieldDescriptorProto, root: &str) -> FieldDescriptorProto {
    let relative = |name: &String| name.strip_prefix(root).unwrap_or(name).to_owned();
    FieldDescriptorProto {
        name: field.name.clone(),
        number: field.number,
        label: field.label,
        r#type: field.r#type,
        type_name: field.type_name.as_ref().map(relative),
        ..FieldDescriptorProto::default()
    }
}

/// The descriptor as proto2 source, for readers and for tools that want a file of their own.
pub fn text() -> String {
    let mut out = String::from("syntax = \"proto2\";\n\n");
    message(&mut out, 0, &self_contained());
    out
}

fn message(out: &mut String, indent: usize, descriptor: &DescriptorProto) {
    let mut line = |indent: usize, text: std::fmt::Arguments<'_>| {
        writeln!(out, "{:indent$}{text}", "").expect("a String takes all");
    };
    line(indent, format_args!("message {} {{", descriptor.name()));
    for field in &descriptor.field {
        let label = match field.label() {
            Label::Optional => "optional",
            Label::Required => "required",
            Label::Repeated => "repeated",
        };
        let scalar = field.r#type().as_str_name().trim_start_matches("TYPE_").to_lowercase();
        let type_name = if field.r#type() == Type::Message { field.type_name() } else { &scalar };
        line(indent + 2, format_args!("{label} {type_name} {} = {};", field.name(), field.number()));
    }
    for nested in &descriptor.nested_type {
        out.push('\n');
        message(out, indent + 2, nested);
    }
    writeln!(out, "{:indent$}}}", "").expect("a String takes all");
}

/// Deepest nesting that [`fields`] reads, and the longest name of a message: each field is noted by all of them.
const MAX_DEPTH: usize = 16;
const MAX_NAME: usize = 128;

/// The fields of a definition in the form of [`text`]: `optional string = 3` by `Event.Param.key`. `None` for any other form,
/// were it the same to a compiler: a definition that somebody else wrote is theirs.
pub fn fields(definition: &str) -> Option<BTreeMap<String, String>> {
    let mut fields = BTreeMap::new();
    let mut path: Vec<&str> = Vec::new();
    for line in definition.lines().map(str::trim) {
        let words: Vec<_> = line.split_whitespace().take(6).collect();
        match words[..] {
            [] | ["syntax", "=", "\"proto2\";"] => {}
            ["message", name, "{"] if path.len() < MAX_DEPTH && name.len() <= MAX_NAME => path.push(name),
            ["}"] => drop(path.pop()?),
            [label @ ("optional" | "required" | "repeated"), kind, name, "=", number] if !path.is_empty() => {
                let number = number.strip_suffix(';')?.parse::<u32>().ok()?;
                fields.insert(format!("{}.{name}", path.join(".")), format!("{label} {kind} = {number}"));
            }
            _ => return None,
        }
    }
    path.is_empty().then_some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let found = fields(&text()).unwrap();
        let count = |descriptor: &DescriptorProto| -> usize {
            fn all(descriptor: &DescriptorProto) -> usize {
                descriptor.field.len() + descriptor.nested_type.iter().map(all).sum::<usize>()
            }
            all(descriptor)
        };
        assert_eq!(found.len(), count(&self_contained()));
        assert_eq!(found["Event.event_name"].split_once(" = ").unwrap().0, "optional string");
        for other in [
            "syntax = \"proto3\";\nmessage Event {\n}\n",
            "message Event {\n  optional string a = 1 [deprecated = true];\n}\n",
            "message Event {\n  optional string a = one;\n}\n",
            "message Event {\n",
            "}\n",
            "optional string a = 1;\n",
            "import \"other.proto\";\n",
        ] {
            assert_eq!(fields(other), None, "{other}");
        }
        assert_eq!(fields(&"message M {\n".repeat(MAX_DEPTH + 1)), None);
    }
}
