//! What is said about an event: violations that end it, remarks that travel with it.

use std::fmt;

use serde::Serialize;

/// The seven validation codes of Google's Measurement Protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Code {
    /// A value has the wrong type or form.
    ValueInvalid,
    /// A value is missing.
    ValueRequired,
    /// A name has characters it must not have.
    NameInvalid,
    /// A name belongs to the system.
    NameReserved,
    /// A value is too long, too large or too old.
    ValueOutOfBounds,
    /// There are too many of something.
    ExceededMaxEntities,
    /// A name came twice.
    NameDuplicated,
}

/// One violation, as error bodies show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Detail {
    /// Where, for example `events[0].event_name`.
    pub path: String,
    /// Which rule.
    pub code: Code,
    /// What is wrong, for a human.
    pub message: String,
}

/// Something the collector repaired, cut or ignored. The row keeps it in `rs_info.notes` as `label:subject`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// What was done.
    pub kind: RemarkKind,
    /// To what: a key, or a count. May be empty.
    pub subject: String,
    /// Where, relative to the event.
    pub path: String,
}

/// Every kind of remark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemarkKind {
    /// Bytes that were not UTF-8, lone surrogates or NULs became U+FFFD.
    TextRepaired,
    /// A parameter without a value was dropped.
    ParamEmpty,
    /// A value named several types; all are kept.
    ValueAmbiguous,
    /// An integer member held a number no 64-bit integer can; it went to `double_value`.
    IntToDouble,
    /// A number stood where text belongs.
    NumberAsText,
    /// A key came twice; the last one counts.
    DuplicateKey,
    /// A name was cut to its limit.
    NameTruncated,
    /// The event name has characters it must not have.
    EventNameInvalid,
    /// A parameter's text was cut to its limit.
    ParamTruncated,
    /// A user property's text was cut to its limit.
    UserPropertyTruncated,
    /// Another text was cut to its limit.
    ValueTruncated,
    /// Parameters beyond the limit were dropped.
    ParamsDropped,
    /// Items beyond the limit were dropped.
    ItemsDropped,
    /// Item parameters beyond the limit were dropped.
    ItemParamsDropped,
    /// User properties beyond the limit were dropped.
    UserPropertiesDropped,
    /// An identifier that is too long or has foreign characters was dropped.
    IdentifierDropped,
    /// The client's time lay outside the window and was moved.
    TimestampClamped,
    /// A field only the server or a trusted caller may set was ignored.
    FieldIgnored,
    /// What was told of the browser has not the form it should have.
    HintUnreadable,
    /// Fields nobody knows were ignored.
    UnknownField,
}

impl RemarkKind {
    /// The first part of the note in the row.
    pub const fn label(self) -> &'static str {
        match self {
            RemarkKind::TextRepaired => "text_repaired",
            RemarkKind::ParamEmpty => "param_empty",
            RemarkKind::ValueAmbiguous => "value_ambiguous",
            RemarkKind::IntToDouble => "int_to_double",
            RemarkKind::NumberAsText => "number_as_text",
            RemarkKind::DuplicateKey => "duplicate_key",
            RemarkKind::NameTruncated => "name_truncated",
            RemarkKind::EventNameInvalid => "event_name_invalid",
            RemarkKind::ParamTruncated => "param_truncated",
            RemarkKind::UserPropertyTruncated => "user_property_truncated",
            RemarkKind::ValueTruncated => "value_truncated",
            RemarkKind::ParamsDropped => "params_dropped",
            RemarkKind::ItemsDropped => "items_dropped",
            RemarkKind::ItemParamsDropped => "item_params_dropped",
            RemarkKind::UserPropertiesDropped => "user_properties_dropped",
            RemarkKind::IdentifierDropped => "identifier_dropped",
            RemarkKind::TimestampClamped => "timestamp_clamped",
            RemarkKind::FieldIgnored => "field_ignored",
            RemarkKind::HintUnreadable => "hint_unreadable",
            RemarkKind::UnknownField => "unknown_field",
        }
    }

    /// The validation code shown in debug answers, and in refusals when the mode is strict.
    pub const fn code(self) -> Code {
        match self {
            RemarkKind::ParamEmpty => Code::ValueRequired,
            RemarkKind::TextRepaired
            | RemarkKind::ValueAmbiguous
            | RemarkKind::NumberAsText
            | RemarkKind::FieldIgnored
            | RemarkKind::HintUnreadable
            | RemarkKind::UnknownField => Code::ValueInvalid,
            RemarkKind::DuplicateKey => Code::NameDuplicated,
            RemarkKind::EventNameInvalid | RemarkKind::NameTruncated => Code::NameInvalid,
            RemarkKind::IntToDouble
            | RemarkKind::ParamTruncated
            | RemarkKind::UserPropertyTruncated
            | RemarkKind::ValueTruncated
            | RemarkKind::IdentifierDropped
            | RemarkKind::TimestampClamped => Code::ValueOutOfBounds,
            RemarkKind::ParamsDropped
            | RemarkKind::ItemsDropped
            | RemarkKind::ItemParamsDropped
            | RemarkKind::UserPropertiesDropped => Code::ExceededMaxEntities,
        }
    }

    /// Whether strict mode refuses the event for it. Repairs of the transport and fields that are merely not the
    /// client's to set are nobody's violation.
    pub const fn breaks_strict(self) -> bool {
        !matches!(self, RemarkKind::TextRepaired | RemarkKind::FieldIgnored)
    }

    /// What is wrong.
    const fn fault(self) -> &'static str {
        match self {
            RemarkKind::TextRepaired => "text that is not valid Unicode",
            RemarkKind::ParamEmpty => "no value",
            RemarkKind::ValueAmbiguous => "more than one typed value",
            RemarkKind::IntToDouble => "not a 64-bit integer",
            RemarkKind::NumberAsText => "a number where text is expected",
            RemarkKind::DuplicateKey => "given more than once",
            RemarkKind::NameTruncated => "the name is too long",
            RemarkKind::EventNameInvalid => "the event name has characters that are not allowed",
            RemarkKind::ParamTruncated | RemarkKind::UserPropertyTruncated | RemarkKind::ValueTruncated => {
                "the text is too long"
            }
            RemarkKind::ParamsDropped => "too many parameters",
            RemarkKind::ItemsDropped => "too many items",
            RemarkKind::ItemParamsDropped => "too many item parameters",
            RemarkKind::UserPropertiesDropped => "too many user properties",
            RemarkKind::IdentifierDropped => "the identifier is too long or malformed",
            RemarkKind::TimestampClamped => "outside the accepted time window",
            RemarkKind::FieldIgnored => "not the client's to set",
            RemarkKind::HintUnreadable => "a hint of the wrong type or length",
            RemarkKind::UnknownField => "unknown field",
        }
    }

    /// What was done about it.
    const fn repair(self) -> &'static str {
        match self {
            RemarkKind::TextRepaired => "replaced by U+FFFD",
            RemarkKind::ParamEmpty => "the parameter is dropped",
            RemarkKind::ValueAmbiguous => "all are kept",
            RemarkKind::IntToDouble => "kept as `double_value`",
            RemarkKind::NumberAsText => "kept as text",
            RemarkKind::DuplicateKey => "the last one counts",
            RemarkKind::EventNameInvalid => "control characters are taken out",
            RemarkKind::NameTruncated
            | RemarkKind::ParamTruncated
            | RemarkKind::UserPropertyTruncated
            | RemarkKind::ValueTruncated => "cut",
            RemarkKind::ParamsDropped
            | RemarkKind::ItemsDropped
            | RemarkKind::ItemParamsDropped
            | RemarkKind::UserPropertiesDropped => "the number beyond the limit is dropped",
            RemarkKind::IdentifierDropped => "dropped",
            RemarkKind::TimestampClamped => "moved into it",
            RemarkKind::FieldIgnored | RemarkKind::HintUnreadable | RemarkKind::UnknownField => "ignored",
        }
    }
}

impl Remark {
    /// What is wrong, with the subject in backticks.
    fn fault(&self) -> String {
        match self.subject.as_str() {
            "" => self.kind.fault().to_owned(),
            subject => format!("{}: `{subject}`", self.kind.fault()),
        }
    }
}

/// What is wrong, and what was done about it.
impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.fault(), self.kind.repair())
    }
}

/// What was said about one event while it was read and validated.
///
/// Both lists are bounded: a hostile event can break a thousand rules, nobody wants to read a thousand sentences.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// Violations: the event is not kept.
    pub violations: Vec<Detail>,
    /// Remarks: the event is kept.
    pub remarks: Vec<Remark>,
    /// Unknown fields met, including those that found no place in `remarks`.
    pub unknown_fields: u32,
}

/// Entries per list and event.
const MAX_ENTRIES: usize = 32;
/// Bytes of a client's key repeated in an answer or a note.
const MAX_ECHO: usize = 64;

impl Log {
    /// Adds a violation at `path`, which is relative to the event.
    pub fn violate(&mut self, path: impl fmt::Display, code: Code, message: impl fmt::Display) {
        if self.violations.len() < MAX_ENTRIES {
            self.violations.push(Detail { path: path.to_string(), code, message: message.to_string() });
        }
    }

    /// Adds a remark at `path`, which is relative to the event.
    pub fn remark(&mut self, kind: RemarkKind, subject: impl fmt::Display, path: impl fmt::Display) {
        if kind == RemarkKind::UnknownField {
            self.unknown_fields += 1;
        }
        if self.remarks.len() < MAX_ENTRIES {
            self.remarks.push(Remark { kind, subject: subject.to_string(), path: path.to_string() });
        }
    }

    /// Turns every remark that strict mode does not forgive into a violation.
    pub fn enforce(&mut self) {
        for remark in std::mem::take(&mut self.remarks) {
            if remark.kind.breaks_strict() {
                self.violate(&remark.path, remark.kind.code(), remark.fault());
            } else {
                self.remarks.push(remark);
            }
        }
    }

    /// The notes of the row: one per remark, except that unknown fields are only counted.
    pub fn notes(&self) -> Vec<String> {
        let mut notes: Vec<String> = self
            .remarks
            .iter()
            .filter(|remark| remark.kind != RemarkKind::UnknownField)
            .map(|Remark { kind, subject, .. }| match subject.as_str() {
                "" => kind.label().to_owned(),
                subject => format!("{}:{subject}", kind.label()),
            })
            .collect();
        if self.unknown_fields > 0 {
            notes.push(format!("unknown_fields:{}", self.unknown_fields));
        }
        notes
    }
}

/// A client's text, short enough to be repeated to it.
pub fn echo(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_ECHO)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strict_mode_forgives_only_what_is_nobodys_fault() {
        let mut log = Log::default();
        log.remark(RemarkKind::TextRepaired, "", "");
        log.remark(RemarkKind::UnknownField, "colour", "colour");
        log.enforce();
        assert_eq!(log.remarks.len(), 1);
        assert_eq!(log.violations[0].code, Code::ValueInvalid);
        assert_eq!(log.violations[0].message, "unknown field: `colour`");
    }

    #[test]
    fn notes_count_unknown_fields_and_stay_bounded() {
        let mut log = Log::default();
        for i in 0..1_000 {
            log.remark(RemarkKind::UnknownField, i, i);
        }
        log.remark(RemarkKind::ParamEmpty, "a", "a");
        assert_eq!(log.notes(), ["unknown_fields:1000"]);
    }
}
