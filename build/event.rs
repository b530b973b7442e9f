//! Generates the types that a row is filled in: one struct per message of `event.proto`, with texts that may be
//! borrowed, and the code that encodes it. prost's own types own every text, and measure each record once per level
//! that it is nested.

use std::fmt::Write;

use protox::prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};

/// Records that may come, in part or as a whole, encoded from elsewhere: what is remembered about a client or a place is
/// the same in every row.
const READY: &[&str] = &["Device", "WebInfo", "Geo"];

/// The message that a row is.
const ROOT: &str = "real_streaming.Event";

/// The source text of module `proto`.
pub fn generate(pool: &DescriptorPool) -> Result<String, Box<dyn std::error::Error>> {
    let root = pool.get_message_by_name(ROOT).ok_or_else(|| format!("event.proto has no message `{ROOT}`"))?;
    let mut out = String::new();
    message(&root, "event::", &mut out)?;
    out.push_str("/// The records inside an event.\npub mod event {\nuse super::*;\n");
    for record in root.child_messages() {
        message(&record, "", &mut out)?;
    }
    out.push_str("}\n");
    Ok(out)
}

/// `records` is how the records inside an event are reached from where the message stands.
fn message(message: &MessageDescriptor, records: &str, out: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let (name, borrows) = (message.name(), borrows(message));
    let (generic, elided) = if borrows { ("<'a>", "<'_>") } else { ("", "") };
    writeln!(out, "/// `{}` of `event.proto`.", message.full_name())?;
    writeln!(out, "#[derive(Clone, Debug, Default, PartialEq)]\npub struct {name}{generic} {{")?;
    let mut fields: Vec<_> = message.fields().collect();
    fields.sort_by_key(FieldDescriptor::number);
    for field in &fields {
        writeln!(out, "pub {}: {},", member(field), rust_type(field, records)?)?;
    }
    if is_ready(message) {
        out.push_str(
            "/// Further fields, encoded. None of them stands above as well.\npub ready: Option<Arc<[u8]>>,\n",
        );
    }
    writeln!(out, "}}\nimpl Encode for {name}{elided} {{\nfn encode(&self, out: &mut Backwards) {{")?;
    for field in fields.iter().rev() {
        let (name, number) = (member(field), field.number());
        let put = put(&field.kind(), number)?;
        if field.is_list() {
            writeln!(out, "for value in self.{name}.iter().rev() {{ {put} }}")?;
        } else {
            writeln!(out, "if let Some(value) = &self.{name} {{ {put} }}")?;
        }
    }
    if is_ready(message) {
        out.push_str("if let Some(ready) = &self.ready { out.fields(ready); }\n");
    }
    out.push_str("}\n}\n");
    if borrows {
        into_owned(message, &fields, out)?;
    }
    from_reference(message, &fields, out)
}

/// What prost has decoded.
fn from_reference(
    message: &MessageDescriptor,
    fields: &[FieldDescriptor],
    out: &mut String,
) -> Result<(), Box<dyn std::error::Error>> {
    let (name, fixed) = (message.name(), if borrows(message) { "<'static>" } else { "" });
    let path = if message.parent_message().is_some() { "event::" } else { "" };
    writeln!(out, "impl From<reference::{path}{name}> for {name}{fixed} {{")?;
    writeln!(out, "fn from(from: reference::{path}{name}) -> {name}{fixed} {{\n{name} {{")?;
    for field in fields {
        let own = match field.kind() {
            Kind::String => "Cow::Owned(value)",
            Kind::Message(_) => "value.into()",
            _ => "value",
        };
        let (begin, end) = if field.is_list() { (".into_iter()", ".collect()") } else { ("", "") };
        writeln!(out, "{0}: from.{0}{begin}.map(|value| {own}){end},", member(field))?;
    }
    if is_ready(message) {
        out.push_str("ready: None,\n");
    }
    out.push_str("}\n}\n}\n");
    Ok(())
}

/// A record that outlives what it borrowed from.
fn into_owned(
    message: &MessageDescriptor,
    fields: &[FieldDescriptor],
    out: &mut String,
) -> Result<(), std::fmt::Error> {
    let name = message.name();
    writeln!(
        out,
        "impl {name}<'_> {{\n/// The same, borrowing nothing.\npub fn into_owned(self) -> {name}<'static> {{"
    )?;
    writeln!(out, "{name} {{")?;
    for field in fields {
        let own = match field.kind() {
            Kind::String => "Cow::Owned(value.into_owned())",
            Kind::Message(inner) if borrows(&inner) => "value.into_owned()",
            _ => {
                writeln!(out, "{0}: self.{0},", member(field))?;
                continue;
            }
        };
        let (from, to) = if field.is_list() { (".into_iter()", ".collect()") } else { ("", "") };
        writeln!(out, "{0}: self.{0}{from}.map(|value| {own}){to},", member(field))?;
    }
    if is_ready(message) {
        out.push_str("ready: self.ready,\n");
    }
    out.push_str("}\n}\n}\n");
    Ok(())
}

fn is_ready(message: &MessageDescriptor) -> bool {
    READY.contains(&message.name())
}

/// The field's name as prost writes it: some columns end with an underscore.
fn member(field: &FieldDescriptor) -> String {
    field.name().trim_end_matches('_').to_owned()
}

/// Whether there is a text in it, at any depth.
fn borrows(message: &MessageDescriptor) -> bool {
    message.fields().any(|field| match field.kind() {
        Kind::String => true,
        Kind::Message(inner) => borrows(&inner),
        _ => false,
    })
}

fn rust_type(field: &FieldDescriptor, records: &str) -> Result<String, String> {
    let one = match field.kind() {
        Kind::String => "Cow<'a, str>".to_owned(),
        Kind::Int64 => "i64".to_owned(),
        Kind::Int32 => "i32".to_owned(),
        Kind::Double => "f64".to_owned(),
        Kind::Bool => "bool".to_owned(),
        Kind::Message(inner) if borrows(&inner) => format!("{records}{}<'a>", inner.name()),
        Kind::Message(inner) => format!("{records}{}", inner.name()),
        kind => return Err(format!("`{}` has a type that rows do not have: {kind:?}", field.full_name())),
    };
    Ok(if field.is_list() { format!("Vec<{one}>") } else { format!("Option<{one}>") })
}

fn put(kind: &Kind, number: u32) -> Result<String, String> {
    Ok(match kind {
        Kind::String => format!("out.text({number}, value);"),
        // An int32 travels sign-extended to 64 bits.
        Kind::Int64 | Kind::Int32 => format!("out.varint({number}, i64::from(*value) as u64);"),
        Kind::Bool => format!("out.varint({number}, u64::from(*value));"),
        Kind::Double => format!("out.double({number}, *value);"),
        Kind::Message(_) => format!("out.record({number}, value);"),
        kind => return Err(format!("rows have no {kind:?}")),
    })
}
