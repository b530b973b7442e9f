//! The binary from the outside: what it prints where, and its exit codes.

#![allow(clippy::unwrap_used)]

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    process::{Command, Output},
    thread,
};

use tempfile::TempDir;

/// The binary in an empty folder and an empty environment: no `.env`, no `PORT`.
fn binary(folder: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_real-streaming"));
    command.current_dir(folder.path()).env_clear();
    command
}

fn run(folder: &TempDir, arguments: &[&str]) -> (i32, String, String) {
    seen(binary(folder).args(arguments).output().unwrap())
}

fn seen(output: Output) -> (i32, String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn help_and_version_go_to_standard_output() {
    let folder = TempDir::new().unwrap();
    let (code, out, err) = run(&folder, &["--help"]);
    assert_eq!((code, err.as_str()), (0, ""));
    for command in ["serve", "demo", "check", "setup", "schema", "explain", "dead-letters", "health"] {
        assert!(out.contains(&format!("\n  {command} ")), "{command}: {out}");
        let (code, out, _) = run(&folder, &[command, "--help"]);
        assert_eq!(code, 0, "{command}");
        assert!(out.contains("Usage: real-streaming"), "{command}: {out}");
    }
    let (code, out, _) = run(&folder, &["--version"]);
    assert_eq!((code, out.as_str()), (0, concat!("real-streaming ", env!("CARGO_PKG_VERSION"), "\n")));
}

/// A linker that found another `malloc` first would cost a tenth of every request, and say nothing.
#[test]
fn memory_is_that_of_mimalloc() {
    let folder = TempDir::new().unwrap();
    let output = binary(&folder).arg("--version").env("MIMALLOC_VERBOSE", "1").output().unwrap();
    let (code, _, err) = seen(output);
    assert!(code == 0 && err.starts_with("mimalloc: v2."), "{err}");
}

#[test]
fn wrong_usage_is_exit_code_2_on_standard_error() {
    let folder = TempDir::new().unwrap();
    for arguments in [
        &[][..],
        &["srve"],
        &["serve", "--confg", "x"],
        &["schema"],
        &["schema", "--format", "avro"],
        &["dead-letters"],
        &["dead-letters", "replay"],
        &["dead-letters", "replay", "--all", "a"],
        &["demo", "--port", "x"],
        &["health", "--url", "not a url"],
    ] {
        let (code, out, err) = run(&folder, arguments);
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}");
        assert!(!err.is_empty(), "{arguments:?}");
        assert!(!err.contains('\x1b'), "{arguments:?}: colours are for terminals");
    }
}

#[test]
fn check_says_ok_or_everything_that_is_wrong() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("good.yaml"), "environment: QA\n").unwrap();
    fs::write(folder.path().join("bad.yaml"), "writers:\n  stratgy: local\nserver:\n  admin: nowhere\n").unwrap();

    assert_eq!(run(&folder, &["check", "--config", "good.yaml"]), (0, "ok\n".into(), "".into()));

    let (code, out, err) = run(&folder, &["check", "--config", "bad.yaml"]);
    assert_eq!(code, 2);
    assert!(out.starts_with("bad.yaml:2: writers.stratgy: unknown key\n  hint: did you mean `strategy`?\n"), "{out}");
    assert!(out.contains("bad.yaml:4: server.admin: "), "{out}");
    assert_eq!(err, "2 problems\n");

    let (code, out, _) = run(&folder, &["check", "--config", "gone.yaml"]);
    assert_eq!((code, out.as_str()), (2, "gone.yaml: there is no such file\n"));
}

#[test]
fn the_environment_and_the_env_file_count() {
    let folder = TempDir::new().unwrap();
    let output = binary(&folder).args(["check"]).env("APP_CONFIG__SERVER__ADMN", "x").output().unwrap();
    let (code, out, _) = seen(output);
    assert_eq!(code, 2);
    assert_eq!(out, "APP_CONFIG__SERVER__ADMN: server.admn: unknown key\n  hint: did you mean `admin`?\n");

    fs::write(folder.path().join(".env"), "APP_CONFIG__X=1\n").unwrap();
    let (code, out, _) = run(&folder, &["check"]);
    assert_eq!(code, 2);
    assert!(out.starts_with(".env:1: APP_CONFIG__X: x: unknown key"), "{out}");

    fs::write(folder.path().join("other.env"), "APP_CONFIG__ENVIRONMENT=QA\n").unwrap();
    assert_eq!(run(&folder, &["check", "--env-file", "other.env"]).0, 0, "a named file takes the place of `.env`");
    assert_eq!(run(&folder, &["check", "--env-file", "gone.env"]).0, 2, "a named file must be there");
}

#[test]
fn serve_refuses_a_wrong_configuration_before_it_begins() {
    let folder = TempDir::new().unwrap();
    for arguments in [&["serve", "--upstream", "nonsense"][..], &["serve", "--config", "gone.yaml"]] {
        let (code, out, err) = run(&folder, arguments);
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}");
        assert!(!err.is_empty());
    }
    let output = binary(&folder).args(["serve"]).env("RUST_LOG", "a=b=c").output().unwrap();
    let (code, _, err) = seen(output);
    assert_eq!(code, 2);
    assert!(err.starts_with("`RUST_LOG=a=b=c` is not a log filter"), "{err}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was written");
}

#[test]
fn a_taken_port_stops_the_demo_with_a_hint() {
    let folder = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (code, out, err) = run(&folder, &["demo", "--port", &port]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains(&format!("port {port} cannot be used")) && err.contains("`--port`"), "{err}");
}

#[test]
fn every_form_of_the_schema_can_be_printed() {
    let folder = TempDir::new().unwrap();
    for format in real_streaming::schema::Format::ALL {
        let (code, out, err) = run(&folder, &["schema", "--format", format.name()]);
        assert_eq!((code, err.as_str()), (0, ""), "{}", format.name());
        assert_eq!(out, format.render(), "{}", format.name());
        if format.name() == "bigquery" {
            serde_json::from_str::<serde_json::Value>(&out).unwrap();
        }
    }
}

#[test]
fn health_is_the_status_of_the_admin_listener() {
    let folder = TempDir::new().unwrap();
    for (status, code) in [("200 OK", 0), ("503 Service Unavailable", 1), ("nonsense", 1)] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/readyz?x=1", listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                request.push(byte[0]);
            }
            write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").unwrap();
            String::from_utf8(request).unwrap()
        });
        let (seen, out, err) = run(&folder, &["health", "--url", &url]);
        let request = server.join().unwrap();
        assert!(request.starts_with("GET /readyz?x=1 HTTP/1.1\r\nhost: 127.0.0.1:"), "{request}");
        assert_eq!(seen, code, "{status}: {out}{err}");
        assert_eq!(out == "ok\n", code == 0);
    }
    let (code, out, err) = run(&folder, &["health", "--url", "http://127.0.0.1:1/healthz"]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.starts_with("error: `http://127.0.0.1:1/healthz` does not answer"), "{err}");
}

#[test]
fn without_dead_letters_there_is_nothing_to_list_show_or_replay() {
    let folder = TempDir::new().unwrap();
    assert_eq!(run(&folder, &["dead-letters", "list"]), (0, "".into(), "no dead letters\n".into()));
    let (code, out, err) = run(&folder, &["dead-letters", "show", "x"]);
    assert_eq!((code, out.as_str(), err.as_str()), (1, "", "error: there is no dead letter `x`\n"));
    let (code, out, err) = run(&folder, &["dead-letters", "replay", "x"]);
    assert_eq!((code, out.as_str(), err.as_str()), (1, "", "error: there is no dead letter `x`\n"));
    let (code, out, err) = run(&folder, &["dead-letters", "replay", "--all"]);
    assert_eq!((code, out.as_str(), err.as_str()), (0, "", "0 replayed, 0 had been before\n"));
}

#[test]
fn user_agents_are_explained_line_by_line() {
    let folder = TempDir::new().unwrap();
    let phone = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36";
    let hints = r#"{"sec-ch-ua-model": "\"Pixel 8\"", "sec-ch-ua-platform": "\"Android\"", "sec-ch-ua-platform-version": "\"14.0.0\""}"#;
    let lines = [
        format!(r#"{{"ua": "{phone}", "headers": {hints}, "weight": 7}}"#),
        r#"{"ua": "curl/8.5.0"}"#.to_owned(),
        "no JSON".to_owned(),
        String::new(),
        r#"{"ua": ""}"#.to_owned(),
    ];
    fs::write(folder.path().join("agents.jsonl"), lines.join("\n")).unwrap();
    let (code, out, err) = run(&folder, &["explain", "--user-agents", "agents.jsonl"]);
    assert_eq!((code, err.as_str()), (1, ""), "one line cannot be read");
    let answers: Vec<serde_json::Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), 4);
    assert_eq!(
        answers[0],
        serde_json::json!({
            "browser": "Chrome", "browser_version": "126.0.0.0", "os": "Android", "os_version": "14", "category": "mobile",
            "brand": "Google", "model": "Pixel 8", "marketing_name": "Pixel 8", "bot": false, "bot_name": null,
            "bot_category": null,
        })
    );
    assert_eq!((&answers[1]["bot_name"], &answers[1]["bot_category"]), (&"curl".into(), &"library".into()));
    assert!(answers[2]["error"].as_str().unwrap().contains("line 1"), "{}", answers[2]);
    assert_eq!((&answers[3]["browser"], &answers[3]["bot"]), (&serde_json::Value::Null, &false.into()));

    let mut child = binary(&folder)
        .args(["explain", "--user-agents", "-"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let many = "{\"ua\": \"curl/8.5.0\"}\n".repeat(10_000);
    let feeding = thread::spawn(move || stdin.write_all(many.as_bytes()));
    let output = child.wait_with_output().unwrap();
    feeding.join().unwrap().unwrap();
    assert_eq!(output.stdout.iter().filter(|byte| **byte == b'\n').count(), 10_000);

    let list = "Retail Branding,Marketing Name,Device,Model\nFoundry,Bellows,x,BLW-1\n";
    fs::write(folder.path().join("list.csv"), list).unwrap();
    fs::write(folder.path().join("c.yaml"), "device: {play_devices: list.csv, cold_parses: 1}\n").unwrap();
    let of = |number| format!("{{\"ua\": \"Mozilla/5.0 (Linux; Android 13; BLW-{number}) Chrome/1.0\"}}\n");
    fs::write(folder.path().join("agents.jsonl"), (0..3).map(of).collect::<String>()).unwrap();
    let ask = ["explain", "--user-agents", "agents.jsonl", "--config", "c.yaml"];
    let (code, out, err) = run(&folder, &ask);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.lines().nth(1).unwrap().contains(r#""brand":"Foundry","model":"BLW-1","marketing_name":"Bellows""#));
    fs::remove_file(folder.path().join("list.csv")).unwrap();
    let (code, out, err) = run(&folder, &ask);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("c.yaml:1: device.play_devices: there is no file `list.csv`"), "{err}");

    let (code, _, err) = run(&folder, &["explain", "--user-agents", "nowhere.jsonl"]);
    assert_eq!(code, 1);
    assert!(err.contains("nowhere.jsonl"), "{err}");
}
