//! The two lanes of an event: the express one for what is plain, Pingora's for the rest. Nobody can tell which it was.

use std::{thread, time::Duration};

use super::{EVENT, STREAM, World, event};
use crate::{client::Client, site::Site};

/// The same event in a form that only Pingora reads.
fn in_chunks(request: &str) -> String {
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<&str> = head.lines().filter(|line| !line.starts_with("Content-Length")).collect();
    lines.push("Transfer-Encoding: chunked");
    format!("{}\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", lines.join("\r\n"), body.len())
}

/// Status, names and values of an answer's head; what differs from request to request is blanked out, and so is the case of names.
fn form(client: &mut Client, request: &str) -> (Vec<String>, String) {
    client.send(request);
    let head = client.head();
    let headers = crate::client::headers(&head);
    let body = String::from_utf8(client.body(&headers).unwrap().unwrap()).unwrap();
    let mut lines: Vec<String> = head.trim_end().lines().map(str::to_owned).collect();
    for line in &mut lines {
        let (name, value) = line.split_once(": ").unwrap_or((line, ""));
        let same = match name {
            "Date" => "",
            "Set-Cookie" => value.split_once(';').unwrap().1,
            // Pingora closes after a refusal when it has not read the body.
            "Connection" => "",
            _ => value,
        };
        *line = format!("{}: {same}", name.to_lowercase());
    }
    let id = body.split_once("\"request_id\":\"").map(|(_, rest)| rest.split('"').next().unwrap().to_owned());
    // The order of headers says nothing.
    lines[1..].sort();
    (lines, id.map_or(body.clone(), |id| body.replace(&id, "")))
}

#[test]
fn both_lanes_answer_alike() {
    let world = World::alone();
    let requests = [
        event(""),
        event("Cookie: __uid__=1234567890.1700000000\r\nUser-Agent: x\r\n"),
        event("Origin: https://site.example\r\n"),
        event("Origin: https://other.example\r\n"),
        event("Content-Type: text/csv\r\n"),
        event("Content-Encoding: gzip\r\n"),
        event("").replace("event_name", "event_nome"),
        event("").replace("streaming/1", "streaming/1/2"),
        event("").replace("streaming/1", "streaming/1?debug=1"),
    ];
    for request in requests {
        let express = form(&mut world.connect(), &request);
        let pingora = form(&mut world.connect(), &in_chunks(&request));
        assert_eq!(express, pingora, "{request}");
    }
}

#[test]
fn one_connection_changes_lanes_as_it_likes() {
    let world = World::fronting(&[Site::start().url]);
    let mut client = world.connect();
    let page = "GET /page HTTP/1.1\r\nHost: a\r\n\r\n".to_owned();
    let upload =
        format!("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{}", 20_000, "x".repeat(20_000));
    let plain = || event("");
    for request in [plain(), page.clone(), plain(), upload.clone(), plain(), in_chunks(&plain()), plain(), page, upload]
    {
        client.send(&request);
        let answer = client.answer(false);
        assert_eq!(answer.status, 200, "{}", request.lines().next().unwrap());
        assert_eq!(answer.header("connection"), Some("keep-alive"));
    }
    world.metric(r#"real_streaming_http_requests_total{handler="collect",status="2xx"} 5"#);
    world.metric(r#"real_streaming_http_requests_total{handler="proxy",status="2xx"} 4"#);
}

#[test]
fn requests_in_a_row_are_answered_in_order_across_lanes() {
    let world = World::fronting(&[Site::start().url]);
    let mut client = world.connect();
    let health = || "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n".to_owned();
    let requests =
        [health(), event(""), event(""), in_chunks(&event("")), health(), event(""), in_chunks(&event("")), health()];
    client.send(requests.concat());
    for request in requests {
        let expected = if request.starts_with("GET") { "ok" } else { r#"{"status":"ok"}"# };
        assert_eq!(client.answer(false).text(), expected);
    }
    world.metric(r#"real_streaming_http_requests_total{handler="collect",status="2xx"} 5"#);
    world.metric(r#"real_streaming_http_requests_total{handler="health",status="2xx"} 3"#);
}

#[test]
fn an_event_may_come_byte_by_byte_or_late() {
    let world = World::alone();
    let mut client = world.connect();
    for byte in event("").as_bytes() {
        client.send([*byte]);
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(client.answer(false).status, 200);
    // Longer than the express lane waits.
    client.send(format!("POST {STREAM} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", EVENT.len()));
    thread::sleep(Duration::from_millis(1200));
    client.send(EVENT);
    assert_eq!(client.answer(false).text(), r#"{"status":"ok"}"#);
}
