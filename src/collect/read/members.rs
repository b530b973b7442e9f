//! Scalar fields, and members of object fields, on their way into a claim.

use super::{Field, Scalar};
use crate::{
    collect::{Claim, RemarkKind, echo},
    schema::proto::event,
};

impl<'t> Claim<'t> {
    /// Takes over a scalar field; `false` when its type is wrong.
    pub(super) fn take(&mut self, field: Field, value: Scalar<'t>) -> bool {
        let int = |slot: &mut Option<i64>| value.int().map(|int| *slot = int).is_ok();
        match field {
            Field::EventTimestamp => match micros(&value) {
                Ok(micros) => self.timestamp = micros,
                Err(()) => return false,
            },
            Field::BatchPageId => return int(&mut self.batch_page_id),
            Field::BatchOrderingId => return int(&mut self.batch_ordering_id),
            Field::BatchEventIndex => return int(&mut self.batch_event_index),
            Field::EngagementTime => match value.int() {
                Ok(Some(int)) => self.imply("engagement_time_msec", event::Value::int(int)),
                Ok(None) => {}
                Err(_) => return false,
            },
            Field::Platform => match &value {
                Scalar::Null => {}
                Scalar::Text(text) => {
                    let known = ["WEB", "IOS", "ANDROID"];
                    self.platform = known.into_iter().find(|platform| platform.eq_ignore_ascii_case(text));
                    return self.platform.is_some();
                }
                _ => return false,
            },
            Field::EventName => match value {
                Scalar::Text(text) => self.event_name = Some(text),
                Scalar::Null => self.event_name = None,
                _ => return false,
            },
            Field::EventId | Field::UserId | Field::UserPseudoId => return self.take_identifier(field, value),
            _ => return false,
        }
        true
    }

    /// Identifiers are text; numbers are common and unmistakable, so they are taken, with a remark.
    fn take_identifier(&mut self, field: Field, value: Scalar<'t>) -> bool {
        let name = match field {
            Field::EventId => "event_id",
            Field::UserId => "user_id",
            _ => "user_pseudo_id",
        };
        match value {
            Scalar::Int(_) | Scalar::Unsigned(_) | Scalar::Float(_) => {
                self.log.remark(RemarkKind::NumberAsText, name, name);
            }
            Scalar::Bool(_) => return false,
            _ => {}
        }
        let Ok(text) = value.into_text() else { return false };
        match field {
            Field::EventId => self.event_id = text,
            Field::UserId => self.user_id = Some(text),
            _ => self.user_pseudo_id = text,
        }
        true
    }

    /// Takes over one member of an object field; `false` when its type is wrong.
    pub(super) fn take_member(&mut self, field: Field, member: &str, value: Scalar<'t>) -> bool {
        match field {
            Field::AppInfo => {
                let app = self.app_info.get_or_insert_default();
                let column = match member {
                    "id" => &mut app.id,
                    "version" => &mut app.version,
                    "install_store" => &mut app.install_store,
                    "firebase_app_id" => &mut app.firebase_app_id,
                    "install_source" => &mut app.install_source,
                    _ => return self.unknown("app_info", member),
                };
                value.into_text().map(|text| *column = text).is_ok()
            }
            Field::Page => {
                let key = match member {
                    "location" => "page_location",
                    "title" => "page_title",
                    "referrer" => "page_referrer",
                    "path" => "page_path",
                    _ => return self.unknown("page", member),
                };
                self.imply_text(key, value)
            }
            Field::Session => match (member, &value) {
                ("id" | "number", _) => {
                    let key = if member == "id" { "ga_session_id" } else { "ga_session_number" };
                    let Ok(int) = value.int() else { return false };
                    int.into_iter().for_each(|int| self.imply(key, event::Value::int(int)));
                    true
                }
                ("engaged", Scalar::Null) => true,
                ("engaged", Scalar::Bool(true) | Scalar::Int(1)) => self.imply_engaged(true),
                ("engaged", Scalar::Bool(false) | Scalar::Int(0)) => self.imply_engaged(false),
                ("engaged", Scalar::Text(text)) if text == "1" || text == "0" => self.imply_engaged(text == "1"),
                ("engaged", _) => false,
                _ => self.unknown("session", member),
            },
            Field::Ecommerce => self.take_ecommerce(member, value),
            _ => {
                self.consent.take(member.into(), &value, &mut self.log);
                true
            }
        }
    }

    /// The members of the export's record are columns; what the export keeps in parameters becomes one.
    fn take_ecommerce(&mut self, member: &str, value: Scalar<'t>) -> bool {
        let order = self.ecommerce.get_or_insert_default();
        let column = match member {
            "purchase_revenue" => &mut order.purchase_revenue,
            "purchase_revenue_in_usd" => &mut order.purchase_revenue_in_usd,
            "refund_value" => &mut order.refund_value,
            "refund_value_in_usd" => &mut order.refund_value_in_usd,
            "shipping_value" => &mut order.shipping_value,
            "shipping_value_in_usd" => &mut order.shipping_value_in_usd,
            "tax_value" => &mut order.tax_value,
            "tax_value_in_usd" => &mut order.tax_value_in_usd,
            "total_item_quantity" => return value.int().map(|int| order.total_item_quantity = int).is_ok(),
            "unique_items" => return value.int().map(|int| order.unique_items = int).is_ok(),
            "transaction_id" => return self.imply_text("transaction_id", value),
            "currency" => return self.imply_text("currency", value),
            "coupon" => return self.imply_text("coupon", value),
            "affiliation" => return self.imply_text("affiliation", value),
            "value" => return self.imply_number("value", &value),
            "tax" => return self.imply_number("tax", &value),
            "shipping" => return self.imply_number("shipping", &value),
            _ => return self.unknown("ecommerce", member),
        };
        value.number().map(|number| *column = number).is_ok()
    }

    fn imply_text(&mut self, key: &'static str, value: Scalar<'t>) -> bool {
        let Ok(text) = value.into_text() else { return false };
        if let Some(text) = text {
            self.imply(key, event::Value::text(text));
        }
        true
    }

    /// Whole JSON numbers stay whole, as for any parameter.
    fn imply_number(&mut self, key: &'static str, value: &Scalar<'_>) -> bool {
        let Ok(number) = value.number() else { return false };
        if let Some(number) = number {
            let whole = if let Scalar::Int(int) = value { Some(event::Value::int(*int)) } else { None };
            let value = whole.unwrap_or(event::Value { double_value: Some(number), ..Default::default() });
            self.imply(key, value);
        }
        true
    }

    fn imply_engaged(&mut self, engaged: bool) -> bool {
        let text = if engaged { "1" } else { "0" };
        self.imply("session_engaged", event::Value::text(text));
        if engaged {
            self.imply("engaged_session_event", event::Value::int(1));
        }
        true
    }

    pub(in crate::collect) fn unknown(&mut self, object: &str, member: &str) -> bool {
        let member = echo(member);
        self.log.remark(RemarkKind::UnknownField, member, format_args!("{object}.{member}"));
        true
    }
}

/// A client's time in microseconds. Seconds (10 digits) and milliseconds (13 digits) are recognised by their size:
/// as microseconds they would lie in January 1970.
fn micros(value: &Scalar<'_>) -> Result<Option<i64>, ()> {
    const SECONDS: std::ops::Range<i64> = 1_000_000_000..10_000_000_000;
    const MILLIS: std::ops::Range<i64> = 1_000_000_000_000..10_000_000_000_000;
    if let Ok(int) = value.int() {
        return Ok(int.map(|int| match int {
            int if SECONDS.contains(&int) => int * 1_000_000,
            int if MILLIS.contains(&int) => int * 1_000,
            int => int,
        }));
    }
    match value.number() {
        Ok(Some(number)) if SECONDS.contains(&(number as i64)) => Ok(Some((number * 1e6) as i64)),
        Ok(Some(number)) if MILLIS.contains(&(number as i64)) => Ok(Some((number * 1e3) as i64)),
        _ => Err(()),
    }
}
