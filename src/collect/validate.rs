//! The contract's limits: what is too long is cut, what is too much is dropped, and the row says so. Only a missing
//! name ends an event here; in strict mode, so does every remark.

use std::borrow::Cow;

use super::{Claim, Code, Limits, Log, Micros, RemarkKind, echo};
use crate::schema::proto::event;

/// Bytes of an event identifier; a UUID has 36.
const MAX_EVENT_ID: usize = 64;
/// Bytes of a client's own visitor identifier.
const MAX_PSEUDO_ID: usize = 128;

/// Validates one claim, and repairs it. Violations and remarks stand in its log afterwards.
pub fn validate(claim: &mut Claim<'_>, limits: &Limits, received_at: Micros, strict: bool) {
    name(claim, limits);
    params(claim, limits);
    user_properties(claim, limits);
    items(claim, limits);
    texts(claim, limits);
    identifiers(claim, limits);
    time(claim, limits, received_at);
    if strict {
        claim.log.enforce();
    }
}

fn name(claim: &mut Claim<'_>, limits: &Limits) {
    let Claim { event_name, log, .. } = claim;
    if log.violations.iter().any(|violation| violation.path.is_empty() || violation.path == "event_name") {
        return; // it is no event, or its name is of the wrong type
    }
    let trimmed = event_name.as_deref().map(str::trim).unwrap_or_default();
    if trimmed.is_empty() {
        return log.violate("event_name", Code::ValueRequired, "`event_name` is missing");
    }
    let mut name = Cow::Borrowed(trimmed);
    if name.chars().any(char::is_control) {
        log.remark(RemarkKind::EventNameInvalid, "", "event_name");
        name = Cow::Owned(name.chars().filter(|char| !char.is_control()).collect());
    } else if limits.plain_event_names && !is_plain(&name) {
        log.remark(RemarkKind::EventNameInvalid, "", "event_name");
    }
    if let Some(cut) = limits.cut(&name, limits.event_name) {
        log.remark(RemarkKind::NameTruncated, "event_name", "event_name");
        name = Cow::Owned(cut.to_owned());
    }
    if event_name.as_deref() != Some(&*name) {
        *event_name = Some(Cow::Owned(name.into_owned()));
    }
}

/// GA4's grammar of names.
fn is_plain(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Cuts `text` to `max`; says whether it had to.
pub(super) fn shorten(text: &mut Cow<'_, str>, max: usize, limits: &Limits) -> bool {
    let Some(end) = limits.cut(text, max).map(str::len) else { return false };
    match text {
        Cow::Borrowed(text) => *text = &text[..end],
        Cow::Owned(text) => text.truncate(end),
    }
    true
}

fn params(claim: &mut Claim<'_>, limits: &Limits) {
    let Claim { params, log, .. } = claim;
    drop_beyond(params, limits.params, RemarkKind::ParamsDropped, "event_params", log);
    for param in params {
        bound_param(param, limits, "event_params", log);
    }
}

/// Lists are kept to their limit while they are read; common and implied parameters may have come on top.
fn drop_beyond<T>(list: &mut Vec<T>, max: usize, kind: RemarkKind, place: &str, log: &mut Log) {
    if list.len() > max {
        log.remark(kind, list.len() - max, place);
        list.truncate(max);
    }
}

fn bound_param(param: &mut event::Param<'_>, limits: &Limits, place: &str, log: &mut Log) {
    let Some(key) = &mut param.key else { return };
    if shorten(key, limits.param_name, limits) {
        log.remark(RemarkKind::NameTruncated, echo(key), format_args!("{place}.{}", echo(key)));
    }
    let text = param.value.as_mut().and_then(|value| value.string_value.as_mut());
    if text.is_some_and(|text| shorten(text, limits.param_value(key), limits)) {
        log.remark(RemarkKind::ParamTruncated, echo(key), format_args!("{place}.{}", echo(key)));
    }
}

fn user_properties(claim: &mut Claim<'_>, limits: &Limits) {
    let Claim { user_properties, log, .. } = claim;
    let kind = RemarkKind::UserPropertiesDropped;
    drop_beyond(user_properties, limits.user_properties, kind, "user_properties", log);
    for property in user_properties {
        let Some(key) = &mut property.key else { continue };
        if shorten(key, limits.user_property_name, limits) {
            log.remark(RemarkKind::NameTruncated, echo(key), format_args!("user_properties.{}", echo(key)));
        }
        let text = property.value.as_mut().and_then(|value| value.string_value.as_mut());
        if text.is_some_and(|text| shorten(text, limits.user_property_value, limits)) {
            log.remark(RemarkKind::UserPropertyTruncated, echo(key), format_args!("user_properties.{}", echo(key)));
        }
    }
}

fn items(claim: &mut Claim<'_>, limits: &Limits) {
    let Claim { items, log, .. } = claim;
    for (index, item) in items.iter_mut().enumerate() {
        for param in &mut item.item_params {
            // The path is only written when there is something to say.
            if param.key().len() > limits.param_name || param.value.as_ref().is_some_and(is_long(limits)) {
                bound_param(param, limits, &format!("items[{index}].item_params"), log);
            }
        }
        for text in item_texts(item).into_iter().flatten() {
            if shorten(text, limits.value, limits) {
                log.remark(RemarkKind::ValueTruncated, format_args!("items[{index}]"), format_args!("items[{index}]"));
            }
        }
    }
}

fn is_long(limits: &Limits) -> impl Fn(&event::Value<'_>) -> bool {
    let shortest = limits.value.min(limits.page_title).min(limits.page_referrer).min(limits.page_location);
    move |value| value.string_value.as_ref().is_some_and(|text| text.len() > shortest)
}

/// Every text column of an item.
pub(super) fn item_texts<'i, 't>(item: &'i mut event::Item<'t>) -> [Option<&'i mut Cow<'t, str>>; 19] {
    [
        item.item_id.as_mut(),
        item.item_name.as_mut(),
        item.item_brand.as_mut(),
        item.item_variant.as_mut(),
        item.item_category.as_mut(),
        item.item_category2.as_mut(),
        item.item_category3.as_mut(),
        item.item_category4.as_mut(),
        item.item_category5.as_mut(),
        item.coupon.as_mut(),
        item.affiliation.as_mut(),
        item.location_id.as_mut(),
        item.item_list_id.as_mut(),
        item.item_list_name.as_mut(),
        item.item_list_index.as_mut(),
        item.promotion_id.as_mut(),
        item.promotion_name.as_mut(),
        item.creative_name.as_mut(),
        item.creative_slot.as_mut(),
    ]
}

fn texts(claim: &mut Claim<'_>, limits: &Limits) {
    let Claim { app_info: Some(app), log, .. } = claim else { return };
    let members = [
        ("id", &mut app.id),
        ("version", &mut app.version),
        ("install_store", &mut app.install_store),
        ("firebase_app_id", &mut app.firebase_app_id),
        ("install_source", &mut app.install_source),
    ];
    for (name, member) in members {
        if member.as_mut().is_some_and(|text| shorten(text, limits.value, limits)) {
            log.remark(RemarkKind::ValueTruncated, name, format_args!("app_info.{name}"));
        }
    }
}

fn identifiers(claim: &mut Claim<'_>, limits: &Limits) {
    let Claim { event_id, user_id, user_pseudo_id, log, .. } = claim;
    drop_unless(event_id, "event_id", log, |id| id.len() <= MAX_EVENT_ID && !id.chars().any(char::is_control));
    if let Some(user_id) = user_id {
        drop_unless(user_id, "user_id", log, |id| limits.cut(id, limits.user_id).is_none());
    }
    if let Some(id) = user_pseudo_id
        && let Some(inner) = ga_client_id(id)
    {
        *id = Cow::Owned(inner.to_owned());
    }
    drop_unless(user_pseudo_id, "user_pseudo_id", log, is_pseudo_id);
}

/// Empties an identifier that `fits` does not like; an empty one says nothing and goes without a word.
fn drop_unless(id: &mut Option<Cow<'_, str>>, name: &str, log: &mut Log, fits: impl Fn(&str) -> bool) {
    let Some(text) = id else { return };
    if text.trim().is_empty() {
        *id = None;
    } else if !fits(text) {
        *id = None;
        log.remark(RemarkKind::IdentifierDropped, name, name);
    }
}

/// 1 to 128 of `[A-Za-z0-9._-]`: what may be a visitor's identifier, and stand in a cookie.
pub fn is_pseudo_id(id: &str) -> bool {
    (1..=MAX_PSEUDO_ID).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// The client id inside a whole `_ga` cookie, `GA1.<n>.<random>.<seconds>`; the digits vary with version and domain.
pub fn ga_client_id(cookie: &str) -> Option<&str> {
    let rest = cookie.strip_prefix("GA")?;
    let (version, rest) = rest.split_once('.')?;
    let (depth, id) = rest.split_once('.')?;
    let digits = |text: &str| (1..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let id_digits = |text: &str| (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let (random, seconds) = id.split_once('.')?;
    // Deep domains show as `2-2`.
    let depth_fits = depth.split('-').all(digits);
    (digits(version) && depth_fits && id_digits(random) && id_digits(seconds)).then_some(id)
}

/// Moves a client's time into the window, to its nearer end.
fn time(claim: &mut Claim<'_>, limits: &Limits, received_at: Micros) {
    let Some(claimed) = claim.timestamp else { return };
    let micros = |span: std::time::Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    let earliest = received_at.saturating_sub(micros(limits.past));
    let latest = received_at.saturating_add(micros(limits.future));
    let moved = claimed.max(earliest).min(latest);
    if moved != claimed {
        claim.log.remark(RemarkKind::TimestampClamped, "", "event_timestamp");
    }
    claim.happened_at = Some(moved);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::collect::{Caller, LimitsConfig, read, read_text};

    const NOW: Micros = 1_750_000_000_000_000;
    const HOUR: Micros = 3_600_000_000;

    fn validated(body: &str, limits: &str, strict: bool) -> Claim<'static> {
        let limits = serde_json::from_str::<LimitsConfig>(limits).unwrap().resolve();
        let text = read_text(body.as_bytes());
        let mut claim = read(&text, false, Caller::Ordinary, &limits).unwrap().list.remove(0);
        validate(&mut claim, &limits, NOW, strict);
        claim.into_owned()
    }

    #[track_caller]
    fn check(body: &str, limits: &str, notes: &[&str]) -> Claim<'static> {
        let claim = validated(body, limits, false);
        assert_eq!(claim.log.notes(), notes, "{body}");
        assert_eq!(claim.log.violations, [], "{body}");
        let strict = validated(body, limits, true);
        assert_eq!(strict.log.violations.is_empty(), notes.is_empty(), "{body} in strict mode");
        claim
    }

    #[test]
    fn an_event_needs_a_name() {
        for body in ["{}", r#"{"event_name":null}"#, r#"{"event_name":"  "}"#] {
            let claim = validated(body, "{}", false);
            assert_eq!(claim.log.violations[0].code, Code::ValueRequired, "{body}");
        }
        let claim = validated(r#"{"event_name":5}"#, "{}", false);
        assert_eq!(claim.log.violations.len(), 1, "one sentence is enough");
    }

    #[test]
    fn names_are_trimmed_cleaned_and_cut() {
        let claim = check(r#"{"event_name":" add to cart "}"#, "{}", &[]);
        assert_eq!(claim.event_name.unwrap(), "add to cart");
        let claim = check(r#"{"event_name":"a\nb"}"#, "{}", &["event_name_invalid"]);
        assert_eq!(claim.event_name.unwrap(), "ab");
        let claim = check(r#"{"event_name":"abcdef"}"#, r#"{"event_name":3}"#, &["name_truncated:event_name"]);
        assert_eq!(claim.event_name.unwrap(), "abc");
        check(r#"{"event_name":"add to cart"}"#, r#"{"profile":"ga4"}"#, &["event_name_invalid"]);
    }

    #[test]
    fn what_is_too_long_is_cut_and_noted() {
        let limits = r#"{"value":3,"page_title":5,"param_name":8,"user_property_value":2}"#;
        let claim = check(
            r#"{"event_name":"e","event_params":{"a":"abcd","long_long_name":1},
                "user_properties":{"p":{"value":"xyz"}},"items":[{"item_name":"abcde","colour":"green"}]}"#,
            limits,
            &[
                "param_truncated:a",
                "name_truncated:long_lon",
                "user_property_truncated:p",
                "param_truncated:colour",
                "value_truncated:items[0]",
            ],
        );
        assert_eq!(claim.param("a").unwrap().string_value.as_deref(), Some("abc"));
        assert_eq!(claim.items[0].item_name.as_deref(), Some("abc"));
    }

    #[test]
    fn what_is_too_much_is_dropped_and_noted() {
        let limits = r#"{"params":2,"items":1,"item_params":1,"user_properties":1}"#;
        let claim = check(
            r#"{"event_name":"e","event_params":{"a":1,"b":2,"c":3,"d":4},"user_properties":{"p":1,"q":{"value":1},"r":{"value":2}},
                "items":[{"x":1,"y":2},{},{}]}"#,
            limits,
            &["params_dropped:2", "user_properties_dropped:2", "item_params_dropped:1", "items_dropped:2"],
        );
        assert_eq!((claim.params.len(), claim.items.len(), claim.user_properties.len()), (2, 1, 1));
    }

    #[test]
    fn identifiers_that_do_not_fit_are_dropped() {
        let long = "x".repeat(257);
        let claim = check(
            &format!(r#"{{"event_name":"e","user_id":"{long}","event_id":"{long}","client_id":"a b"}}"#),
            "{}",
            &["identifier_dropped:event_id", "identifier_dropped:user_id", "identifier_dropped:user_pseudo_id"],
        );
        assert_eq!((claim.user_id, claim.event_id, claim.user_pseudo_id), (Some(None), None, None));
        let claim = check(r#"{"event_name":"e","client_id":"GA1.2.11.22"}"#, "{}", &[]);
        assert_eq!(claim.user_pseudo_id.as_deref(), Some("11.22"));
    }

    #[test]
    fn times_outside_the_window_are_moved_into_it() {
        for (claimed, happened, noted) in [
            (NOW - 71 * HOUR, NOW - 71 * HOUR, false),
            (NOW - 73 * HOUR, NOW - 72 * HOUR, true),
            (NOW + HOUR / 20, NOW + HOUR / 20, false),
            (NOW + HOUR, NOW + HOUR / 12, true),
            (-1, NOW - 72 * HOUR, true),
            (i64::MIN, NOW - 72 * HOUR, true),
            (i64::MAX, NOW + HOUR / 12, true),
        ] {
            let notes: &[&str] = if noted { &["timestamp_clamped"] } else { &[] };
            let claim = check(&format!(r#"{{"event_name":"e","event_timestamp":{claimed}}}"#), "{}", notes);
            assert_eq!((claim.timestamp, claim.happened_at), (Some(claimed), Some(happened)));
        }
    }
}
