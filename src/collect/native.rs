//! The house's own dialect, `POST /api/v1/streaming/{stream_id}`, in its five shapes: one event, an array of events,
//! `{"events": [..]}` with common fields beside it, newline-delimited JSON, and Measurement Protocol bodies.

mod document;

use document::{Failure, Parsed};

use super::{Caller, Claim, Code, Limits, Refusal, RemarkKind, text::Text};

/// The claims of one request.
#[derive(Debug)]
pub struct Claims<'t> {
    /// In the order sent; at least one, at most as many as the limit.
    pub list: Vec<Claim<'t>>,
    /// The body was one event, not a list of one.
    pub single: bool,
    /// The client asks for strict validation (`validation_behavior: ENFORCE_RECOMMENDATIONS`).
    pub enforce: bool,
}

/// Reads a body. `lines` says that its media type is newline-delimited JSON.
pub fn read<'t>(text: &'t Text<'_>, lines: bool, caller: Caller, limits: &Limits) -> Result<Claims<'t>, Refusal> {
    // What follows a document is read byte by byte, so that padding is taken off first, in larger steps.
    let mut json = &*text.text;
    while let Some(rest) = json.strip_suffix("        ") {
        json = rest;
    }
    let json = json.trim_ascii_end();
    let parsed = if lines { parse_lines(json, caller, limits) } else { parse(json, caller, limits) };
    let Parsed { claims: mut list, single, enforce, beyond, swollen } = parsed?;
    if swollen {
        return Err(Refusal::BodyTooLarge);
    }
    let events = list.len() + beyond;
    if events > limits.events {
        return Err(Refusal::TooManyEvents { events, limit: limits.events });
    }
    if list.is_empty() {
        let mut nothing = Claim::default();
        nothing.log.violate("events", Code::ValueRequired, "there is no event in the request");
        return Err(Refusal::InvalidEvent { details: nothing.log.violations });
    }
    if text.repaired {
        for claim in &mut list {
            claim.log.remark(RemarkKind::TextRepaired, "", "");
        }
    }
    Ok(Claims { list, single, enforce })
}

fn parse<'t>(text: &'t str, caller: Caller, limits: &Limits) -> Result<Parsed<'t>, Refusal> {
    match document::parse(text, caller, limits) {
        Err(Failure::Trailing) if looks_like_lines(text) => parse_lines(text, caller, limits),
        Err(failure) => Err(failure.refusal(limits)),
        Ok(parsed) => Ok(parsed),
    }
}

/// Each line on its own: a broken one is that event's failure, unless no line can be read.
fn parse_lines<'t>(text: &'t str, caller: Caller, limits: &Limits) -> Result<Parsed<'t>, Refusal> {
    let mut all = Parsed::default();
    let (mut readable, mut first_refusal) = (false, None);
    for line in text.lines().filter(|line| !line.trim_ascii().is_empty()) {
        if all.claims.len() >= limits.events {
            all.beyond += 1; // the request is refused anyway
            continue;
        }
        match document::parse(line, caller, limits) {
            Ok(mut parsed) => {
                readable = true;
                all.claims.append(&mut parsed.claims);
                all.beyond += parsed.beyond;
                all.enforce |= parsed.enforce;
                all.swollen |= parsed.swollen;
            }
            Err(failure) => {
                let refusal = failure.refusal(limits);
                all.claims.push(unreadable(&refusal));
                first_refusal.get_or_insert(refusal);
            }
        }
    }
    match first_refusal {
        Some(refusal) if !readable => Err(refusal),
        None if all.claims.is_empty() => Err(Refusal::MalformedJson("the body is empty".into())),
        _ => Ok(all),
    }
}

/// Clients send newline-delimited JSON as plain text, too. One object a line is all that counts as such: anything
/// else after a document is garbage.
fn looks_like_lines(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim_ascii).filter(|line| !line.is_empty());
    lines.next().is_some_and(|first| first.starts_with('{') && first.ends_with('}'))
        && lines.next().is_some_and(|second| second.starts_with('{'))
}

/// The claim in place of a line that cannot be read.
fn unreadable(refusal: &Refusal) -> Claim<'static> {
    let mut claim = Claim::default();
    match refusal {
        Refusal::MalformedJson(reason) => {
            claim.log.violate("", Code::ValueInvalid, format_args!("not valid JSON: {reason}"));
        }
        _ => claim.log.violate("", Code::ValueOutOfBounds, refusal),
    }
    claim
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::collect::{limits::LimitsConfig, read_text};

    fn try_read(body: &str, lines: bool) -> Result<Claims<'static>, Refusal> {
        let (text, limits) = (read_text(body.as_bytes()), LimitsConfig::default().resolve());
        let Claims { list, single, enforce } = read(&text, lines, Caller::Ordinary, &limits)?;
        Ok(Claims { list: list.into_iter().map(Claim::into_owned).collect(), single, enforce })
    }

    fn claims(body: &str) -> Claims<'static> {
        try_read(body, false).unwrap()
    }

    fn claim(body: &str) -> Claim<'static> {
        claims(body).list.remove(0)
    }

    #[track_caller]
    fn check_names(body: &str, single: bool, expected: &[&str]) {
        let claims = claims(body);
        let names: Vec<_> = claims.list.iter().map(|claim| claim.event_name.as_deref().unwrap_or("?")).collect();
        assert_eq!((claims.single, names.as_slice()), (single, expected), "{body}");
    }

    #[test]
    fn five_shapes_are_read() {
        check_names(r#"{"event_name":"a"}"#, true, &["a"]);
        check_names(r#"[{"event_name":"a"},{"name":"b"}]"#, false, &["a", "b"]);
        check_names(r#"{"events":[{"event_name":"a"}],"event_name":"c"}"#, false, &["a"]);
        check_names(r#"{"event_name":"c","events":[{"event_name":"a"},{}]}"#, false, &["a", "c"]);
        check_names("{\"event_name\":\"a\"}\r\n\n{\"event_name\":\"b\"}\n", false, &["a", "b"]);
        check_names(r#"{"client_id":"1.2","events":[{"name":"a","params":{"x":1}}]}"#, false, &["a"]);
        let lines = try_read("{\"event_name\":\"a\"}\nnonsense\n[{\"event_name\":\"b\"}]", true).unwrap();
        assert_eq!(lines.list.len(), 3);
        assert_eq!(lines.list[1].log.violations.len(), 1);
    }

    #[test]
    fn common_fields_fill_what_events_leave_open() {
        let batch = claims(
            r#"{"events":[{"event_name":"a","event_params":{"x":1},"user_id":null},{"event_name":"b"}],
                "event_params":{"x":2,"y":3},"user_id":"u","privacy_info":{"ad_storage":0}}"#,
        );
        let [a, b] = batch.list.as_slice() else { panic!("{batch:?}") };
        assert_eq!(a.param("x").unwrap().int_value, Some(1));
        assert_eq!(a.param("y").unwrap().int_value, Some(3));
        assert_eq!(b.param("x").unwrap().int_value, Some(2));
        assert_eq!((a.user_id.clone(), b.user_id.clone()), (Some(None), Some(Some("u".into()))));
        assert!(a.consent.ads_storage.is_some() && b.consent.ads_storage.is_some());
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for body in
            ["", " ", "{", "{} x", "{}\nx", "[1,2", "nul", "{'a':1}", r#"{"a":1,}"#, "{\"a\":\"\u{1}\"}", "\u{0}"]
        {
            assert!(matches!(try_read(body, false), Err(Refusal::MalformedJson(_))), "{body:?}");
        }
        assert!(matches!(try_read("x\ny", true), Err(Refusal::MalformedJson(_))));
        assert!(matches!(try_read("\n\n", true), Err(Refusal::MalformedJson(_))));
    }

    #[test]
    fn what_is_no_event_is_that_events_fault() {
        for body in ["null", "5", "\"x\"", "[null]", "[[]]", r#"{"events":{}}"#, r#"{"events":[7]}"#] {
            let claims = claims(body);
            assert_eq!(claims.list.len(), 1, "{body}");
            assert_eq!(claims.list[0].log.violations.len(), 1, "{body}");
        }
        for body in ["[]", r#"{"events":[]}"#] {
            assert!(matches!(try_read(body, false), Err(Refusal::InvalidEvent { .. })), "{body}");
        }
    }

    #[test]
    fn wrong_types_name_their_place_and_spare_the_rest() {
        for (body, path) in [
            (r#"{"event_name":5}"#, "event_name"),
            (r#"{"event_params":"x"}"#, "event_params"),
            (r#"{"event_params":[{"key":"a","value":1},7]}"#, "event_params[1]"),
            (r#"{"event_params":[{"key":"a","value":{"int_value":"x"}}]}"#, "event_params[0].value.int_value"),
            (r#"{"event_params":[{"value":1}]}"#, "event_params[0].key"),
            (r#"{"event_params":{"":1}}"#, "event_params..key"),
            (r#"{"event_timestamp":"soon"}"#, "event_timestamp"),
            (r#"{"user_id":[1]}"#, "user_id"),
            (r#"{"user_properties":5}"#, "user_properties"),
            (r#"{"privacy_info":{"ad_storage":"perhaps"}}"#, "privacy_info.ad_storage"),
            (r#"{"app_info":{"id":{}}}"#, "app_info.id"),
            (r#"{"ecommerce":{"value":"much"}}"#, "ecommerce.value"),
            (r#"{"items":{"item_id":"a"}}"#, "items"),
            (r#"{"items":[{"price":"9.5"},{"quantity":"two"}]}"#, "items[1].quantity"),
            (r#"{"platform":"PDP-11"}"#, "platform"),
            (r#"{"session":{"id":"x"}}"#, "session.id"),
            (r#"{"page":[]}"#, "page"),
            (r#"{"batch_page_id":1.5}"#, "batch_page_id"),
        ] {
            let claim = claim(body);
            let paths: Vec<_> = claim.log.violations.iter().map(|violation| violation.path.as_str()).collect();
            assert_eq!(paths, [path], "{body}");
        }
    }

    #[test]
    fn times_are_understood_in_their_usual_units() {
        for (value, micros) in [
            ("1700000000123456", 1_700_000_000_123_456),
            ("\"1700000000123456\"", 1_700_000_000_123_456),
            ("1700000000123", 1_700_000_000_123_000),
            ("1700000000", 1_700_000_000_000_000),
            ("1700000000.5", 1_700_000_000_500_000),
            ("1.7e15", 1_700_000_000_000_000),
        ] {
            assert_eq!(claim(&format!(r#"{{"event_timestamp":{value}}}"#)).timestamp, Some(micros), "{value}");
        }
    }

    #[test]
    fn the_last_of_two_counts_and_is_remarked() {
        let claim = claim(r#"{"event_name":"a","event_params":{"x":1,"x":2},"name":"b"}"#);
        assert_eq!(claim.event_name.as_deref(), Some("b"));
        assert_eq!(claim.param("x").unwrap().int_value, Some(2));
        assert_eq!(claim.log.notes(), ["duplicate_key:x", "duplicate_key:name"]);
    }

    #[test]
    fn depth_is_counted_wherever_it_hides() {
        let nest = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        for place in ["x", "user_id", "device", "event_params", "items", "privacy_info"] {
            let body = |levels| format!(r#"{{"{place}":{}}}"#, nest(levels));
            assert!(!matches!(try_read(&body(15), false), Err(Refusal::TooDeep(_))), "{place}");
            assert_eq!(try_read(&body(16), false).unwrap_err(), Refusal::TooDeep(16), "{place}");
        }
        for (open, close) in [(r#"{"event_params":{"a":"#, "}}"), (r#"{"items":[{"a":"#, "}]}")] {
            assert_eq!(try_read(&format!("{open}{}{close}", nest(15)), false).unwrap_err(), Refusal::TooDeep(16));
        }
        assert_eq!(try_read(&"[".repeat(1_000_000), false).unwrap_err(), Refusal::TooDeep(16));
        let lines = try_read(&format!("{{\"event_name\":\"a\"}}\n{}", nest(17)), false);
        assert!(lines.is_err(), "an array is not a line");
        let lines = try_read(&format!("{{\"event_name\":\"a\"}}\n{}", nest(17)), true).unwrap();
        assert_eq!(lines.list.len(), 2);
    }

    #[test]
    fn numbers_beyond_a_double_do_not_cost_the_batch() {
        let batch = claims(
            r#"[{"event_name":"a","event_params":{"x":1e999}},
                {"event_name":"b","event_params":[{"key":"x","value":{"double_value":1e999}}]}]"#,
        );
        assert_eq!(batch.list[0].param("x").unwrap().string_value.as_deref(), Some("1e999"));
        assert_eq!(batch.list[1].log.violations[0].path, "event_params[0].value.double_value");
    }

    #[test]
    fn too_many_events_are_counted_not_read() {
        let body = format!("[{}]", vec![r#"{"event_name":"a"}"#; 101].join(","));
        assert_eq!(try_read(&body, false).unwrap_err(), Refusal::TooManyEvents { events: 101, limit: 100 });
        let body = vec![r#"{"event_name":"a"}"#; 102].join("\n");
        assert_eq!(try_read(&body, false).unwrap_err(), Refusal::TooManyEvents { events: 102, limit: 100 });
    }

    #[test]
    fn other_fields_become_parameters_unless_there_are_such() {
        let claim = claim(
            r#"{"page":{"location":"https://e.com/","title":"T"},"session":{"id":"5","engaged":true},
                "engagement_time_msec":12,"event_params":{"page_title":"own"},
                "ecommerce":{"transaction_id":7,"value":"9.5","currency":"EUR","items":[{"item_id":1,"index":3,"size":"L"}]}}"#,
        );
        let text = |key: &str| claim.param(key).unwrap().string_value.clone().unwrap();
        assert_eq!(text("page_location"), "https://e.com/");
        assert_eq!(text("page_title"), "own");
        assert_eq!(text("session_engaged"), "1");
        assert_eq!(text("transaction_id"), "7");
        assert_eq!(claim.param("ga_session_id").unwrap().int_value, Some(5));
        assert_eq!(claim.param("engagement_time_msec").unwrap().int_value, Some(12));
        assert_eq!(claim.param("value").unwrap().double_value, Some(9.5));
        let item = &claim.items[0];
        assert_eq!((item.item_id.as_deref(), item.item_list_index.as_deref()), (Some("1"), Some("3")));
        assert_eq!(item.item_params[0].key(), "size");
    }

    #[test]
    fn built_in_parameters_have_one_type() {
        let claim = claim(
            r#"{"event_params":[{"key":"ga_session_id","value":{"string_value":"77"}},
                {"key":"debug_mode","value":true},{"key":"page_title","value":404},{"key":"custom","value":"77"}]}"#,
        );
        assert_eq!(claim.param("ga_session_id").unwrap().int_value, Some(77));
        assert_eq!(claim.param("debug_mode").unwrap().int_value, Some(1));
        assert_eq!(claim.param("page_title").unwrap().string_value.as_deref(), Some("404"));
        assert_eq!(claim.param("custom").unwrap().string_value.as_deref(), Some("77"));
        assert!(claim.debug_mode());
    }

    #[test]
    fn measurement_protocol_sessions_are_renamed() {
        let batch = claims(
            r#"{"client_id":"1.2","non_personalized_ads":true,"validation_behavior":"ENFORCE_RECOMMENDATIONS",
                "events":[{"name":"a","params":{"session_id":"123","items":[{"item_id":"i"}]}}]}"#,
        );
        assert!(batch.enforce);
        let claim = &batch.list[0];
        assert_eq!(claim.param("ga_session_id").unwrap().int_value, Some(123));
        assert_eq!(claim.items.len(), 1);
        assert_eq!(claim.user_pseudo_id.as_deref(), Some("1.2"));
        assert_eq!(claim.consent.ad_personalization, Some(crate::collect::Grant::No));
    }
}
