//! `real-streaming explain`: what is made of user agents, one answer for each line, for machines to compare.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Write, stdin, stdout},
    net::{IpAddr, Ipv4Addr},
    ops::ControlFlow,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
};

use anyhow::Context;
use clap::Args;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde::{Deserialize, Serialize};

use super::refuse;
use crate::{
    app,
    collect::Hit,
    config::{self, Problems},
    enrich::{self, Enricher},
    schema::Event,
};

/// Lines that are read before the first of them is answered, for each thread.
const BATCH: usize = 2048;
/// Longest line, in bytes.
const MAX_LINE: u64 = 1 << 20;

/// Explain what is made of user agents.
#[derive(Debug, Args)]
pub struct Explain {
    /// JSON lines `{"ua": …, "headers": {…}}`, `-` for standard input; each is answered by a line with browser,
    /// system, category, model and robot
    #[arg(long, value_name = "FILE")]
    user_agents: PathBuf,

    /// Configuration file (YAML) whose data about machines is asked as well
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Explain {
    /// Answers every line in order. Exit code 1 when a line could not be read; it is answered with `{"error": …}`.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let steps = match steps(self.config) {
            Ok(steps) => steps?,
            Err(problems) => return Ok(refuse(&problems)),
        };
        let mut out = BufWriter::new(stdout().lock());
        let answered = answer_lines(open(&self.user_agents)?, &mut out, |line| agent(line, &steps));
        match answered.and_then(|all_read| out.flush().map(|()| all_read)) {
            Ok(all_read) => Ok(if all_read { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
            // A reader that has seen enough, as in `… | head`, is no failure.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
            Err(error) => Err(error).with_context(|| format!("cannot read `{}`", self.user_agents.display())),
        }
    }
}

/// The steps of a configuration. However many texts come at once, all are looked up.
fn steps(file: Option<PathBuf>) -> Result<anyhow::Result<Vec<Box<dyn Enricher>>>, Problems> {
    let mut config = config::load(&config::Sources { file, ..Default::default() })?.config.enrich();
    config.device.cold_parses = 0;
    Ok(app::read_device_data(&config.device)
        .map(|devices| enrich::standard_on(&config, &enrich::Atlas::default(), &devices)))
}

fn open(path: &Path) -> anyhow::Result<Box<dyn BufRead>> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(stdin().lock()));
    }
    let file = File::open(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    Ok(Box::new(BufReader::with_capacity(1 << 16, file)))
}

/// Whether every line could be read. As many lines at a time as keep all cores busy, and no more in memory.
fn answer_lines<T: Serialize + Send>(
    mut input: Box<dyn BufRead>,
    out: &mut impl Write,
    answer: impl Fn(&[u8]) -> Result<T, String> + Sync,
) -> io::Result<bool> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let mut all_read = true;
    loop {
        let lines = read_lines(&mut input, BATCH * threads)?;
        if lines.is_empty() {
            return Ok(all_read);
        }
        let answers: Vec<(Vec<u8>, bool)> = thread::scope(|scope| {
            let parts = lines.chunks(lines.len().div_ceil(threads));
            let answer = &answer;
            let work = |part| scope.spawn(move || answer_part(part, answer));
            let running: Vec<_> = parts.map(work).collect();
            running.into_iter().map(|part| part.join().expect("a panic has ended the process")).collect()
        });
        for (text, read) in answers {
            out.write_all(&text)?;
            all_read &= read;
        }
    }
}

fn read_lines(input: &mut Box<dyn BufRead>, most: usize) -> io::Result<Vec<Vec<u8>>> {
    let mut lines = Vec::new();
    while lines.len() < most {
        let mut line = Vec::new();
        if io::Read::take(&mut *input, MAX_LINE).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if !line.trim_ascii().is_empty() {
            lines.push(line);
        }
    }
    Ok(lines)
}

fn answer_part<T: Serialize>(lines: &[Vec<u8>], answer: &impl Fn(&[u8]) -> Result<T, String>) -> (Vec<u8>, bool) {
    let mut text = Vec::with_capacity(lines.len() * 200);
    let mut all_read = true;
    for line in lines {
        let written = match answer(line) {
            Ok(answer) => serde_json::to_writer(&mut text, &answer),
            Err(error) => {
                all_read = false;
                serde_json::to_writer(&mut text, &serde_json::json!({ "error": error }))
            }
        };
        written.expect("plain structs are written to memory");
        text.push(b'\n');
    }
    (text, all_read)
}

/// A line of the input; whatever else it has is passed over.
#[derive(Deserialize)]
struct Line {
    ua: String,
    #[serde(default)]
    headers: std::collections::HashMap<String, String>,
}

/// What is made of it. Columns as in a row, except that the version stands without the name of the system.
#[derive(Debug, PartialEq, Serialize)]
struct Answer {
    browser: Option<String>,
    browser_version: Option<String>,
    os: Option<String>,
    os_version: Option<String>,
    category: Option<String>,
    brand: Option<String>,
    model: Option<String>,
    marketing_name: Option<String>,
    bot: bool,
    bot_name: Option<String>,
    bot_category: Option<String>,
}

fn agent(line: &[u8], steps: &[Box<dyn Enricher>]) -> Result<Answer, String> {
    let line: Line = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let mut headers = HeaderMap::with_capacity(line.headers.len() + 1);
    for (name, value) in &line.headers {
        // What could not have come as a header is not there.
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.append(name, value);
        }
    }
    if let Ok(value) = HeaderValue::from_bytes(line.ua.as_bytes()) {
        headers.insert(header::USER_AGENT, value);
    }
    Ok(ask(&headers, steps))
}

fn ask(headers: &HeaderMap, steps: &[Box<dyn Enricher>]) -> Answer {
    let hit = Hit {
        method: &Method::POST,
        path: "/",
        stream: "",
        query: "",
        host: "",
        headers,
        body: b"",
        client_ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        from_trusted_proxy: false,
        secure: false,
        received_at: 0,
        entropy: 0,
        request_id: "",
        browser: None,
    };
    let mut event = Event::default();
    for step in steps {
        if let ControlFlow::Break(_) = step.enrich(&hit, &mut event) {
            break;
        }
    }
    let event = event.spelled_out();
    let device = event.device.unwrap_or_default();
    let web = device.web_info.unwrap_or_default();
    let info = event.rs_info.unwrap_or_default();
    let own = |text: Option<std::borrow::Cow<'_, str>>| text.map(std::borrow::Cow::into_owned);
    let os = own(device.operating_system);
    let os_version = own(device.operating_system_version).and_then(|version| without_name(&version, os.as_deref()?));
    Answer {
        browser: own(web.browser),
        browser_version: own(web.browser_version),
        os_version,
        os,
        category: own(device.category),
        brand: own(device.mobile_brand_name),
        model: own(device.mobile_model_name),
        marketing_name: own(device.mobile_marketing_name),
        bot: info.is_bot == Some(true),
        bot_name: own(info.bot_name),
        bot_category: own(info.bot_category),
    }
}

/// `13` of `Android 13`, `10.15` of `Macintosh Intel 10.15`; nothing of a name alone.
fn without_name(version: &str, name: &str) -> Option<String> {
    let number = version.strip_prefix(name)?.trim_start();
    let number = number.strip_prefix("Intel").or(number.strip_prefix("PPC")).unwrap_or(number).trim_start();
    (!number.is_empty()).then(|| number.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn versions_stand_without_the_system() {
        for (version, name, number) in [
            ("Android 13", "Android", Some("13")),
            ("Macintosh Intel 10.15", "Macintosh", Some("10.15")),
            ("Macintosh PPC 10.5", "Macintosh", Some("10.5")),
            ("Linux", "Linux", None),
            ("Windows XP", "Windows", Some("XP")),
        ] {
            assert_eq!(without_name(version, name).as_deref(), number, "{version}");
        }
    }
}
