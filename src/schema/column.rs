//! The column tree: `proto/event.proto` as the rest of the house sees it.
//!
//! Names, numbers and types come from the compiled descriptor set, descriptions from the comments in it, and what
//! protobuf has no type for from our own field option (`proto/column.proto`).

use std::{collections::HashMap, ops::Deref, sync::LazyLock};

use prost_reflect::{Cardinality, DescriptorPool, FieldDescriptor, FileDescriptor, MessageDescriptor, Value};

use super::reference::DESCRIPTOR_SET;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// UTF-8 text.
    String,
    /// Signed 64-bit integer.
    Integer,
    /// Double precision number.
    Float,
    /// True or false.
    Boolean,
    /// Calendar day; on the wire days since 1970-01-01.
    Date,
    /// Instant; on the wire microseconds since the Unix epoch, UTC.
    Timestamp,
    /// Members of their own.
    Record,
}

/// How often a column may occur in its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// At most once; absent is null.
    Nullable,
    /// Any number of times; absent is the empty list, there is no null.
    Repeated,
}

/// One column, or one member of a record.
#[derive(Clone, Debug)]
pub struct Column {
    /// Name in every form of the schema.
    pub name: String,
    /// Field number on the wire.
    pub number: u32,
    /// Type.
    pub kind: Kind,
    /// Nullable or repeated.
    pub mode: Mode,
    /// Description: the comment of the field on one line, at most 1024 characters (BigQuery's limit).
    pub about: String,
    /// Members of a [`Kind::Record`] in declaration order; empty for every other kind.
    pub fields: Fields,
}

/// The columns of one record in declaration order, found by field number in one step.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    columns: Vec<Column>,
    /// Index into `columns` by field number; [`Fields::NONE`] where no column has the number.
    positions: Vec<u16>,
}

impl Fields {
    const NONE: u16 = u16::MAX;

    fn new(columns: Vec<Column>) -> Fields {
        let highest = columns.iter().map(|column| column.number as usize).max().unwrap_or(0);
        let mut positions = vec![Fields::NONE; highest + 1];
        for (position, column) in columns.iter().enumerate() {
            positions[column.number as usize] = position as u16;
        }
        Fields { columns, positions }
    }

    /// Index of the column with this field number; `None` for a column that a newer version added.
    #[inline]
    pub fn position(&self, number: u32) -> Option<usize> {
        match self.positions.get(number as usize) {
            None | Some(&Fields::NONE) => None,
            Some(&position) => Some(usize::from(position)),
        }
    }
}

impl Deref for Fields {
    type Target = [Column];

    fn deref(&self) -> &[Column] {
        &self.columns
    }
}

/// The columns of the table, in declaration order.
pub fn columns() -> &'static [Column] {
    root()
}

/// The column or member at a dotted path, for example `device.web_info.browser`.
pub fn column(path: &str) -> Option<&'static Column> {
    let mut names = path.split('.');
    let first = names.next()?;
    let top = columns().iter().find(|column| column.name == first)?;
    names.try_fold(top, |record, name| record.fields.iter().find(|column| column.name == name))
}

/// Every column and member with its dotted path: a record first, then its members.
pub fn flatten() -> Vec<(String, &'static Column)> {
    fn walk(prefix: &str, columns: &'static [Column], all: &mut Vec<(String, &'static Column)>) {
        for column in columns {
            let path = format!("{prefix}{}", column.name);
            let members = format!("{path}.");
            all.push((path, column));
            walk(&members, &column.fields, all);
        }
    }
    let mut all = Vec::new();
    walk("", columns(), &mut all);
    all
}

/// The columns of the table as a record.
pub(super) fn root() -> &'static Fields {
    static ROOT: LazyLock<Fields> = LazyLock::new(|| {
        let event = event();
        let comments = Comments::of(&event.parent_file());
        fields(&event, &comments, &mut Vec::new())
    });
    &ROOT
}

/// The descriptor of `message Event`.
pub(super) fn event() -> MessageDescriptor {
    POOL.get_message_by_name("real_streaming.Event").expect("event.proto declares it")
}

// Everything below reads a file that is compiled in and covered by tests: what it does not expect is a mistake in
// `event.proto`, found by the first test that runs, and never depends on input.
static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(DESCRIPTOR_SET).expect("build.rs wrote a descriptor set"));

fn fields(record: &MessageDescriptor, comments: &Comments, outer: &mut Vec<String>) -> Fields {
    let name = record.full_name().to_owned();
    assert!(!outer.contains(&name), "`{name}` contains itself: a table has no recursive columns");
    outer.push(name);
    // Descriptors list fields by number, tables by declaration.
    let mut declared: Vec<FieldDescriptor> = record.fields().collect();
    declared.sort_by_key(|field| field.path().last().copied());
    let columns = declared.iter().map(|field| column_of(field, comments, outer)).collect();
    outer.pop();
    Fields::new(columns)
}

fn column_of(field: &FieldDescriptor, comments: &Comments, outer: &mut Vec<String>) -> Column {
    use prost_reflect::Kind as Proto;
    let mode = match field.cardinality() {
        Cardinality::Optional => Mode::Nullable,
        Cardinality::Repeated => Mode::Repeated,
        Cardinality::Required => panic!("`{}`: no column is required", field.full_name()),
    };
    let kind = match (field.kind(), option(field).as_deref()) {
        (Proto::String, None) => Kind::String,
        (Proto::Int64, None) => Kind::Integer,
        (Proto::Double, None) => Kind::Float,
        (Proto::Bool, None) => Kind::Boolean,
        (Proto::Int32, Some("DATE")) => Kind::Date,
        (Proto::Int64, Some("TIMESTAMP")) => Kind::Timestamp,
        (Proto::Message(_), None) => Kind::Record,
        (proto, option) => panic!("`{}`: {proto:?} with option {option:?} is no column type", field.full_name()),
    };
    // Protobuf packs repeated numbers into one value, which the readers of this house do not unpack.
    let packs = mode == Mode::Repeated && !matches!(kind, Kind::String | Kind::Record);
    assert!(!packs, "`{}`: only strings and records are repeated", field.full_name());
    let members = match field.kind() {
        Proto::Message(record) => fields(&record, comments, outer),
        _ => Fields::default(),
    };
    Column {
        name: field.name().to_owned(),
        number: field.number(),
        kind,
        mode,
        about: comments.about(field),
        fields: members,
    }
}

/// The name in `(column).kind`, when it says more than the protobuf type.
fn option(field: &FieldDescriptor) -> Option<String> {
    let extension = POOL.get_extension_by_name("real_streaming.column").expect("column.proto declares it");
    let options = field.options();
    if !options.has_extension(&extension) {
        return None;
    }
    let column = options.get_extension(&extension).into_owned();
    let kind = column.as_message()?.get_field_by_name("kind")?.into_owned();
    let Value::EnumNumber(number) = kind else { return None };
    let names = POOL.get_enum_by_name("real_streaming.Kind").expect("column.proto declares it");
    names.get_value(number).filter(|value| value.number() != 0).map(|value| value.name().to_owned())
}

/// The comments above the fields of one file, by the path of the field in its descriptor.
struct Comments(HashMap<Vec<i32>, String>);

impl Comments {
    fn of(file: &FileDescriptor) -> Comments {
        let source = file.file_descriptor_proto().source_code_info.as_ref();
        let locations = source.expect("build.rs keeps source information").location.iter();
        Comments(locations.map(|location| (location.path.clone(), one_line(location.leading_comments()))).collect())
    }

    fn about(&self, field: &FieldDescriptor) -> String {
        self.0.get(field.path()).cloned().unwrap_or_default()
    }
}

fn one_line(comment: &str) -> String {
    comment.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn options_and_comments_survive_compilation() {
        let date = column("date").unwrap();
        assert_eq!((date.kind, date.number), (Kind::Date, 101));
        assert!(!date.about.is_empty());
        assert_eq!(column("synced_at_utc_").unwrap().kind, Kind::Timestamp);
        assert_eq!(column("synced_at_micros_").unwrap().kind, Kind::Integer);
        assert_eq!(column("items.item_params.value.int_value").unwrap().kind, Kind::Integer);
        assert_eq!(column("rs_info.notes").unwrap().mode, Mode::Repeated);
    }

    #[test]
    fn columns_are_found_by_number_and_unknown_numbers_are_not() {
        fn check(fields: &Fields) {
            for (position, column) in fields.iter().enumerate() {
                assert_eq!(fields.position(column.number), Some(position), "{}", column.name);
                check(&column.fields);
            }
            assert_eq!(fields.position(0), None);
            assert_eq!(fields.position(u32::MAX >> 3), None);
        }
        check(root());
        assert_eq!(root().position(50), None);
        assert!(column("device.nothing").is_none() && column("").is_none());
    }
}
