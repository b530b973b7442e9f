//! What an operator writes: the YAML file, the environment file, variables, and the texts in them.

use std::{
    ffi::{OsStr, OsString},
    fmt::{Debug, Display},
    os::unix::ffi::OsStrExt,
    str::FromStr,
};

use real_streaming::{
    config::{Config, Contents, Problems, parse_dotenv, read_contents},
    edge::{AllowedOrigin, HostPattern, TrustedProxy, UpstreamUrl},
    units::Span,
};

use super::lines;

/// The YAML file.
pub fn yaml(data: &[u8]) {
    check(Some(("rs.yaml".into(), data.to_vec())), None, &[]);
}

/// The environment file: laid over an empty configuration, and each of its values written and read again.
pub fn dotenv(data: &[u8]) {
    let file = ".env".into();
    let mut found = Vec::new();
    let lines = data.iter().filter(|byte| **byte == b'\n').count() + 1;
    for assignment in parse_dotenv(&file, data, &mut found) {
        let name = &assignment.name;
        assert!((1..=lines).contains(&assignment.line), "{assignment:?} stands in the file");
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)), "{name:?}");

        let value = assignment.value.replace('\\', "\\\\").replace('"', "\\\"");
        let text = format!("{name}=\"{value}\" # {name}");
        let again = parse_dotenv(&file, text.as_bytes(), &mut Vec::new());
        assert_eq!(again.len(), 1, "{text:?}");
        assert_eq!((&again[0].name, &again[0].value), (name, &assignment.value), "{text:?}");
    }
    check(None, Some((file, data.to_vec())), &[]);
}

/// Variables of the process, one `NAME=value` a line; a name that begins with `_` is one of ours.
pub fn variables(data: &[u8]) {
    let variable = |line: &[u8]| -> Option<(OsString, OsString)> {
        let mut parts = line.splitn(2, |byte| *byte == b'=');
        let (name, value) = (parts.next()?, parts.next()?);
        let name = match name.strip_prefix(b"_") {
            Some(ours) => [b"APP_CONFIG__", ours].concat(),
            None => name.to_vec(),
        };
        Some((OsStr::from_bytes(&name).to_owned(), OsStr::from_bytes(value).to_owned()))
    };
    let environment: Vec<_> = lines(data).filter_map(variable).collect();
    check(None, None, &environment);
}

/// Reads the sources. What comes out is the same every time, and says of itself what it is; or it is a list of problems
/// that can be shown.
fn check(file: Option<Contents>, env_file: Option<Contents>, environment: &[(OsString, OsString)]) {
    let read = || -> Result<Config, Problems> {
        let loaded = read_contents(file.clone(), env_file.clone(), environment, None, Vec::new());
        loaded.map(|loaded| loaded.config)
    };
    match (read(), read()) {
        (Ok(config), Ok(again)) => {
            let text = written(&config);
            assert_eq!(text, written(&again), "the same sources say the same");
            let file = ("written.yaml".into(), text.clone().into_bytes());
            match read_contents(Some(file), None, &[], None, Vec::new()) {
                Ok(loaded) => assert_eq!(written(&loaded.config), text, "what was read can be written and read again"),
                Err(problems) => panic!("a configuration that was good is bad when it is written:\n{problems}\n{text}"),
            }
        }
        (Err(problems), Err(again)) => {
            assert_eq!(problems, again, "the same sources have the same problems");
            // YAML ends a line with either.
            let ends = |contents: &Option<Contents>| {
                contents.as_ref().map_or(0, |(_, bytes)| bytes.iter().filter(|byte| b"\r\n".contains(byte)).count() + 2)
            };
            let end = ends(&file).max(ends(&env_file));
            assert!(problems.iter().count() > 0, "a refusal has a reason");
            for found in problems.iter() {
                assert!(!found.problem.message.is_empty(), "{found:?}");
                assert!(found.place.line().is_none_or(|(_, line)| line <= end), "{found:?} stands in its file");
            }
        }
        (first, second) => panic!("the same sources are good once and bad once: {first:?} {second:?}"),
    }
}

fn written(config: &Config) -> String {
    serde_json::to_string(config).expect("a configuration can be written")
}

/// The texts that are read while the file is: hosts, origins, networks, upstreams, durations. What is read can be
/// written and read again.
pub fn values(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    round_trip::<HostPattern>(text);
    round_trip::<AllowedOrigin>(text);
    round_trip::<TrustedProxy>(text);
    round_trip::<UpstreamUrl>(text);
    round_trip::<Span>(text);
}

fn round_trip<T: FromStr<Err: Display> + Display + Debug + PartialEq>(text: &str) {
    match text.parse::<T>() {
        Ok(value) => {
            let shown = value.to_string();
            let again = shown.parse::<T>().unwrap_or_else(|why| panic!("{text:?} is shown as {shown:?}: {why}"));
            assert_eq!(again, value, "{text:?} is shown as {shown:?}");
        }
        Err(why) => assert!(!why.to_string().is_empty(), "a refusal has a reason"),
    }
}
