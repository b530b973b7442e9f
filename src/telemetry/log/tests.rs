//! What becomes of lines, from the macros to the bytes that are written.

#![allow(clippy::unwrap_used)]

use std::io::Write;

use parking_lot::Mutex;
use serde_json::Value;
use tracing_log::log::{self, Log};

use super::{bridge::Bridge, entries::Entry, *};

#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn lines(format: Format, filter: Option<&str>, speak: impl FnOnce()) -> Vec<String> {
    let paper = Paper::default();
    let writer = paper.clone();
    let subscriber = subscriber(format, parse(filter).unwrap(), move || writer.clone());
    tracing::subscriber::with_default(subscriber, speak);
    let text = String::from_utf8(paper.0.lock().clone()).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn speak() {
    let span = tracing::info_span!("batch", sink = "local", rows = 7);
    let _inside = span.enter();
    tracing::warn!(attempt = 3, error = %"disk\nfull", ratio = 0.5, ok = true, "append failed");
}

#[test]
fn people_get_one_line_an_event() {
    let lines = lines(Format::Human { colour: false }, None, speak);
    assert_eq!(lines.len(), 1, "{lines:?}");
    let (head, rest) = lines[0].split_once(" - ").unwrap();
    assert_eq!(&head[..10], "WARNING   ");
    assert_eq!(head.len(), "WARNING   2024-01-15 10:30:46.456".len());
    let (rest, place) = rest.rsplit_once(" - ").unwrap();
    assert!(place.starts_with("[src/telemetry/log/tests.rs:") && place.ends_with(']'), "{place}");
    assert_eq!(
        rest,
        "telemetry::log::tests - append failed attempt=3 error=\"disk\\nfull\" ratio=0.5 ok=true rows=7 sink=local"
    );
}

#[test]
fn cloud_logging_gets_its_own_field_names() {
    let lines = lines(Format::Json, None, speak);
    assert_eq!(lines.len(), 1, "{lines:?}");
    let json: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(json["severity"], "WARNING");
    assert_eq!(json["message"], "append failed");
    assert_eq!(json["attempt"], 3);
    assert_eq!(json["error"], "disk\nfull");
    assert_eq!(json["ratio"], 0.5);
    assert_eq!(json["ok"], true);
    assert_eq!(json["sink"], "local");
    assert_eq!(json["rows"], 7);
    assert_eq!(json["module"], "real_streaming::telemetry::log::tests");
    assert!(json["time"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    let location = &json["logging.googleapis.com/sourceLocation"];
    assert!(location["file"].as_str().unwrap().ends_with("telemetry/log/tests.rs"), "{location}");
    assert!(location["line"].as_str().unwrap().parse::<u32>().is_ok());
}

#[test]
fn a_line_holds_each_value_once_in_its_place() {
    let lines = lines(Format::Json, None, || {
        let span = tracing::info_span!("batch", handler = "outer", sink = "l\"o\"cal", ratio = f64::NAN);
        let _inside = span.enter();
        tracing::info!(
            status = 200,
            trace = None::<&str>,
            latency = %"0.1s",
            handler = ?"pro\nxy",
            time = 1.0,
            sampled = Some(true),
            "GET {}",
            "/ä\u{1}",
        );
    });
    let (before, after) = lines[0].split_once(r#","message":"#).unwrap();
    assert!(before.starts_with(r#"{"severity":"INFO","time":"20"#) && before.ends_with("Z\""), "{before}");
    let (message, after) = after.split_once(r#","module""#).unwrap();
    assert_eq!(message, r#""GET /ä\u0001""#);
    let (_, after) = after.split_once("},").unwrap();
    let expected = [
        r#""status":200,"latency":"0.1s","#,
        r#""handler":"\"pro\\nxy\"","field_time":1.0,"sampled":true,"ratio":"NaN","sink":"l\"o\"cal"}"#,
    ];
    assert_eq!(after, expected.concat());
}

fn access_line(format: Format, access: &Access<&str>) -> String {
    let mut line = String::new();
    Entry::access(false, *access).write(format, &mut line).unwrap();
    line
}

#[test]
fn cloud_logging_gets_requests_as_it_knows_them() {
    let line = access_line(Format::Json, &access::tests::full());
    let (before, after) = line.split_once(r#","message":"#).unwrap();
    assert!(before.starts_with(r#"{"severity":"INFO","time":"20"#) && before.ends_with("Z\""), "{before}");
    let time = &before[r#"{"severity":"INFO","time":""#.len()..before.len() - 1];
    assert_eq!(time.len(), "2024-01-15T10:30:46.456789Z".len());
    let age = jiff::Timestamp::now().duration_since(time.parse().unwrap());
    assert!(age.as_secs_f64().abs() < 60.0, "{time}");
    let expected = [
        r#""GET http://a.example/?q=\"1\" 200 in 12.3ms","module":"real_streaming::access","httpRequest":{"#,
        r#""status":200,"remoteIp":"203.0.113.0","requestMethod":"GET","requestUrl":"http://a.example/?q=\"1\"","#,
        r#""requestSize":"7","responseSize":"5120","latency":"0.012345s","protocol":"HTTP/1.1","#,
        r#""userAgent":"Tester/1 (a b)"},"bytes":5120,"logging.googleapis.com/trace":"projects/p/traces/t","#,
        r#""logging.googleapis.com/spanId":"b7ad6b7169203331","logging.googleapis.com/trace_sampled":true,"#,
        r#""route":"*/ all","upstream":"10.0.0.7:3000","attempts":1,"aborted":true,"request_id":"r-1","#,
        r#""handler":"proxy","client":"203.0.113.0"}"#,
        "\n",
    ];
    assert_eq!(after, expected.concat());
    let line = access_line(Format::Json, &access::tests::bare());
    let json: Value = serde_json::from_str(&line).unwrap();
    assert!(json.get("client").is_none() && json.get("attempts").is_none(), "{line}");
    let about = About::Unreadable("slow_header");
    let line = access_line(Format::Json, &Access { status: 408, about, ..access::tests::full() });
    let json: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(json["httpRequest"], serde_json::json!({"status": 408, "remoteIp": "203.0.113.0"}));
    assert_eq!((&json["reason"], &json["client"]), (&"slow_header".into(), &"203.0.113.0".into()));
}

#[test]
fn people_get_requests_as_they_read_them() {
    let line = |access: &Access<&str>| {
        let line = access_line(Format::Human { colour: false }, access);
        line.split_once(" - access - ").unwrap().1.to_owned()
    };
    assert_eq!(
        line(&access::tests::full()),
        "GET http://a.example/?q=\"1\" 200 in 12.3ms bytes=5120 handler=proxy route=\"*/ all\" \
         upstream=10.0.0.7:3000 attempts=1 aborted=true client=203.0.113.0 request_id=r-1\n"
    );
    assert_eq!(
        line(&access::tests::bare()),
        "GET http://a.example/?q=\"1\" 200 in 12.3ms bytes=5120 handler=proxy request_id=r-1\n"
    );
    let about = About::Unreadable("slow_header");
    assert_eq!(
        line(&Access { status: 408, client: None, about, ..access::tests::full() }),
        "a request without a readable header 408 handler=proxy reason=slow_header\n"
    );
}

#[test]
fn fields_never_hide_the_ones_that_cloud_logging_reads() {
    let lines = lines(Format::Json, None, || {
        tracing::info!(severity = "none", time = "never", "still here");
    });
    let json: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!((&json["severity"], &json["field_severity"]), (&"INFO".into(), &"none".into()));
    assert_eq!(json["field_time"], "never");
    assert_eq!(lines[0].matches("\"severity\"").count(), 1);
}

#[test]
fn the_filter_is_the_users_and_chatter_is_quiet_until_asked_for() {
    let speak = || {
        tracing::info!("one");
        tracing::debug!("two");
        tracing::info!(target: "pingora_core::server", "three");
        tracing::debug!(target: "pingora_core::server", "four");
    };
    let human = Format::Human { colour: false };
    for (filter, expected) in
        [(None, 1), (Some("warn"), 0), (Some("debug"), 2), (Some("pingora=debug"), 3), (Some("off"), 0)]
    {
        assert_eq!(lines(human, filter, speak).len(), expected, "{filter:?}");
    }
    let error = parse(Some("a=b=c")).unwrap_err().to_string();
    assert!(error.starts_with("`RUST_LOG=a=b=c` is not a log filter"), "{error}");
}

#[test]
fn a_client_that_breaks_off_is_no_error() {
    let shown = |filter, target, message: &str| {
        let lines = lines(Format::Json, filter, || {
            let mut record = log::Record::builder();
            record.level(log::Level::Error).target(target);
            Bridge::default().log(&record.args(format_args!("{message}")).build());
        });
        let severity = |line: &String| serde_json::from_str::<Value>(line).unwrap()["severity"].to_string();
        lines.iter().map(severity).collect::<String>()
    };
    let reset = "Fail to proxy: Downstream ReadError context: while reading request headers cause: reset by peer";
    let cut = "Error finish sending body to downstream:  WriteError context: while writing last chunk";
    for message in [reset, cut, "failed to send error response to downstream: Downstream WriteError"] {
        assert_eq!(shown(None, "pingora_proxy", message), "", "{message}");
        assert_eq!(shown(Some("pingora=debug"), "pingora_proxy", message), r#""DEBUG""#, "{message}");
        assert_eq!(shown(None, "pingora_core", message), r#""ERROR""#, "{message}");
    }
    let reach = "failed to acquire reusable stream";
    assert_eq!(shown(None, "pingora_core::connectors", reach), "");
    assert_eq!(shown(None, "pingora_core::connectors", "Connect error"), r#""ERROR""#);
    let stopped_short = "Error finish sending body to downstream:  PrematureBodyEnd context: 3 of 9 bytes";
    for message in [stopped_short, "Fail to proxy: Upstream ConnectRefused", "Fail to proxy: Internal error"] {
        assert_eq!(shown(None, "pingora_proxy", message), r#""ERROR""#, "{message}");
    }
}

#[test]
fn only_qa_is_for_people() {
    assert_eq!(Format::of("QA", true), Format::Human { colour: true });
    assert_eq!(Format::of("qa", false), Format::Human { colour: false });
    assert_eq!(Format::of("PROD", true), Format::Json);
}
