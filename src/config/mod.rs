//! The configuration: the parts' own settings under one roof, and where they come from.
//!
//! Each source lays itself over the one before: defaults, the YAML file, the environment file, the environment,
//! `--upstream`, and `$PORT` for the public listener. A [`Config`] that comes out of here is checked; when anything is
//! wrong, everything that is wrong comes out instead, each with its place and, where we have one, a hint.

mod check;
mod deserialize;
mod dotenv;
mod fault;
mod files;
mod problems;
mod read;
mod tree;
mod variables;
mod yaml;

use std::{collections::HashSet, ffi::OsString, fs, io, path::PathBuf, sync::Arc};

use serde::{Deserialize, Serialize};

#[doc(hidden)]
pub use dotenv::{Assignment, parse as parse_dotenv};
pub use files::{geo_database, matomo, matomo_files, play_devices};
pub use problems::{Found, Problems};
pub use tree::Place;
use tree::{Node, Path};
use variables::Variable;

use crate::{collect, deliver, edge, enrich, problem::Problem};

/// All settings of a process. Every part documents its own; `docs/configuration.md` shows them together.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `QA` logs lines for people; anything else logs JSON lines for Cloud Logging.
    pub environment: String,
    /// Listeners and the life of the process.
    pub server: edge::ServerConfig,
    /// How events are taken in.
    pub collect: collect::Config,
    /// Streams that take events; when there is none, every stream id does.
    pub streams: Vec<collect::StreamConfig>,
    /// The visitor's cookie.
    pub cookie: collect::CookieConfig,
    /// What browsers themselves say about being followed.
    pub privacy: collect::PrivacyConfig,
    /// What is known of machines beyond what comes with the binary.
    pub device: enrich::DeviceConfig,
    /// The visitor's place and address.
    pub geo: enrich::GeoConfig,
    /// Who may send events from other origins.
    pub cors: edge::CorsConfig,
    /// What happens to events of robots: `flag` marks them in `rs_info.is_bot`, `drop` ends them and counts them as
    /// dropped, `keep` does not look.
    pub bots: enrich::BotAction,
    /// Sites behind the edge.
    pub routes: Vec<edge::RouteConfig>,
    /// Which sites sent a visit.
    pub traffic: enrich::TrafficConfig,
    /// Where rows go.
    pub writers: deliver::WritersConfig,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            environment: "QA".to_owned(),
            server: Default::default(),
            collect: Default::default(),
            streams: Vec::new(),
            cookie: Default::default(),
            privacy: Default::default(),
            device: Default::default(),
            geo: Default::default(),
            cors: Default::default(),
            bots: Default::default(),
            routes: vec![route_to("http://127.0.0.1:3000")],
            traffic: Default::default(),
            writers: Default::default(),
        }
    }
}

impl Config {
    /// What the steps between a claim and a row need of it.
    pub fn enrich(&self) -> enrich::Config {
        let Config { bots, device, geo, traffic, .. } = self.clone();
        enrich::Config { bots, device, geo, traffic, ..enrich::Config::default() }
    }

    /// The keys that a running process cannot change and that say something else here than in `other`.
    pub fn stands_fast(&self, other: &Config) -> Vec<&'static str> {
        let (a, b) = (&self.server, &other.server);
        // HTTP/2 is told its patience at the start; without HTTP/2 every connection hears of a new one.
        let speaks_h2 = b.h2c || !b.tls.listen.is_empty();
        let keys = [
            ("environment", self.environment != other.environment),
            ("server.listen", a.listen != b.listen),
            ("server.admin", a.admin != b.admin),
            ("server.threads", a.threads != b.threads),
            ("server.h2c", a.h2c != b.h2c),
            ("server.tls.listen", a.tls.listen != b.tls.listen),
            ("server.timeouts.idle", speaks_h2 && a.timeouts.idle != b.timeouts.idle),
            ("server.shutdown", a.shutdown != b.shutdown),
            ("server.upgrade", a.upgrade != b.upgrade),
            ("device.matomo", self.device.matomo != other.device.matomo),
            ("device.play_devices", self.device.play_devices != other.device.play_devices),
            ("geo.database", self.geo.database != other.geo.database),
            ("writers", self.writers != other.writers),
        ];
        keys.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }
}

/// Everything to one site.
fn route_to(upstream: &str) -> edge::RouteConfig {
    let everything = serde_json::json!({ "hosts": ["*"], "path": "/", "upstreams": [upstream] });
    let node = Node::from_json(everything, &Place::Default);
    edge::RouteConfig::deserialize(&node).expect("a loopback address is a valid upstream")
}

/// Where a configuration comes from. Nothing else is read.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The YAML file.
    pub file: Option<PathBuf>,
    /// The environment file.
    pub env_file: Option<PathBuf>,
    /// Variables of the process; those that are not ours are passed over.
    pub environment: Vec<(OsString, OsString)>,
    /// Address of the one site behind the edge, instead of all routes.
    pub upstream: Option<String>,
    /// Domains to get a certificate for.
    pub domains: Vec<String>,
}

/// What the sources say about things outside the configuration tree, and the tree once it is checked.
#[derive(Debug)]
pub struct Loaded {
    /// The checked configuration.
    pub config: Config,
    /// `RUST_LOG`, when set.
    pub log_filter: Option<String>,
}

/// What is known about a configuration that is sound in itself.
type Judge = fn(&Config) -> Vec<Problem>;

/// Reads the sources' files and resolves them; the files that the configuration names must be readable, too.
pub fn load(sources: &Sources) -> Result<Loaded, Problems> {
    let mut found = Vec::new();
    let file = sources.file.as_ref().map(|path| contents(path, &mut found));
    let env_file = sources.env_file.as_ref().map(|path| contents(path, &mut found));
    let flags = Flags { upstream: sources.upstream.as_deref(), domains: &sources.domains };
    judge_contents(file, env_file, &sources.environment, flags, found, files::check)
}

/// Name and bytes of a file.
#[doc(hidden)]
pub type Contents = (Arc<str>, Vec<u8>);

/// [`load`] without the disk. `found` is what is known to be wrong already.
#[doc(hidden)]
pub fn read_contents(
    file: Option<Contents>,
    env_file: Option<Contents>,
    environment: &[(OsString, OsString)],
    upstream: Option<&str>,
    found: Vec<Found>,
) -> Result<Loaded, Problems> {
    judge_contents(file, env_file, environment, Flags { upstream, domains: &[] }, found, |_| Vec::new())
}

fn judge_contents(
    file: Option<Contents>,
    env_file: Option<Contents>,
    environment: &[(OsString, OsString)],
    flags: Flags<'_>,
    mut found: Vec<Found>,
    outside: Judge,
) -> Result<Loaded, Problems> {
    let mut variables = match &env_file {
        Some((name, bytes)) => variables::of_file(name, bytes, &mut found),
        None => Vec::new(),
    };
    variables.extend(variables::of_process(environment.iter().cloned()));
    let log_filter = variables::get(&variables, "RUST_LOG").map(|(filter, _)| filter.to_owned());

    let tree = match &file {
        Some((name, bytes)) => yaml::parse(name, bytes, &mut found),
        None => Node::empty(Place::Default),
    };
    let config = resolve(tree, &variables, flags, &mut found, outside);
    let files: Vec<&str> = [&file, &env_file].into_iter().flatten().map(|(name, _)| name.as_ref()).collect();
    match Problems::of(found, &files) {
        None => Ok(Loaded { config, log_filter }),
        Some(problems) => Err(problems),
    }
}

/// A file's name and bytes; a file that cannot be read is a problem, and empty.
fn contents(path: &PathBuf, found: &mut Vec<Found>) -> Contents {
    let name: Arc<str> = path.display().to_string().into();
    let bytes = fs::read(path).unwrap_or_else(|error| {
        let problem = match error.kind() {
            io::ErrorKind::NotFound => Problem::new("", "there is no such file"),
            io::ErrorKind::IsADirectory => Problem::new("", "is a folder, not a file"),
            _ => Problem::new("", format!("cannot be read: {error}")),
        };
        found.push(Found::new(Place::File(name.clone()), problem));
        Vec::new()
    });
    (name, bytes)
}

/// What the command line says beside the sources.
#[derive(Clone, Copy)]
struct Flags<'a> {
    upstream: Option<&'a str>,
    domains: &'a [String],
}

/// `--domain`: a certificate of our own on the usual ports, where the configuration says nothing else about them.
fn own_certificate(tree: &mut Node, domains: &[String]) {
    if domains.is_empty() {
        return;
    }
    let place = &Place::Flag("--domain");
    let domains = serde_json::json!({ "server": { "tls": { "acme": { "domains": domains } } } });
    tree.overlay(Node::from_json(domains, place));
    let server = tree.entry("server", place);
    let otherwise = |node: &mut Node, value: serde_json::Value| {
        if matches!(node.value, tree::Value::Null) {
            *node = Node::from_json(value, place);
        }
    };
    otherwise(server.entry("listen", place), serde_json::json!(["0.0.0.0:80"]));
    let tls = server.entry("tls", place);
    otherwise(tls.entry("listen", place), serde_json::json!(["0.0.0.0:443"]));
    otherwise(tls.entry("redirect", place), true.into());
}

/// The variables by which Google's clients find project and emulators, where the configuration does not name them itself.
fn of_google(tree: &mut Node, variables: &[Variable]) {
    let otherwise = |node: &mut Node, value: String, place: &Place| {
        if matches!(node.value, tree::Value::Null) {
            *node = Node::from_json(value.into(), place);
        }
    };
    if let Some((project, place)) = variables::get(variables, "GOOGLE_CLOUD_PROJECT") {
        otherwise(tree.entry("writers", place).entry("project_id", place), project.to_owned(), place);
    }
    for (name, part, key) in [
        ("BIGQUERY_EMULATOR_HOST", "bq", "rest_endpoint"),
        ("BIGQUERY_STORAGE_GRPC_ENDPOINT", "bq", "endpoint"),
        ("PUBSUB_EMULATOR_HOST", "pubsub", "endpoint"),
    ] {
        let Some((host, place)) = variables::get(variables, name) else { continue };
        let url = if host.contains("://") { host.to_owned() } else { format!("http://{host}") };
        otherwise(tree.entry("writers", place).entry(part, place).entry(key, place), url, place);
    }
}

/// Lays the other sources over the file's tree, reads it and checks it.
fn resolve(mut tree: Node, variables: &[Variable], flags: Flags<'_>, found: &mut Vec<Found>, outside: Judge) -> Config {
    let mut faulty = variables::overlay(&mut tree, variables, found);
    if let Some(upstream) = flags.upstream {
        let routes = serde_json::json!({ "routes": [{ "upstreams": [upstream] }] });
        tree.overlay(Node::from_json(routes, &Place::Flag("--upstream")));
    }
    own_certificate(&mut tree, flags.domains);
    if let Some((port, place)) = variables::get(variables, "PORT") {
        match port.parse::<u16>() {
            Ok(port) => {
                let listen = serde_json::json!({ "server": { "listen": [format!("0.0.0.0:{port}")] } });
                tree.overlay(Node::from_json(listen, place));
            }
            Err(_) => {
                let problem = Problem::new("", format!("`{port}` is not a port, a whole number from 0 to 65535"));
                found.push(Found::new(place.clone(), problem));
            }
        }
    }

    of_google(&mut tree, variables);

    let (config, misread) = read::read::<Config>(&mut tree, found);
    faulty.extend(misread);
    let mut problems = Vec::new();
    check::parts(&config, &mut problems);
    problems.extend(outside(&config));
    // One sentence about a key is enough, and the part that owns it knows it best.
    let judged: HashSet<String> = problems.iter().map(|problem: &Problem| problem.path.clone()).collect();
    problems.extend(check::whole(&config).into_iter().filter(|problem| !judged.contains(&problem.path)));
    for problem in problems {
        let path = tree.as_written(&Path::parse(&problem.path));
        // What could not be read stands at its default here: what a check says about it helps nobody.
        if faulty.iter().any(|faulty| faulty.contains(&path) || path.contains(faulty)) {
            continue;
        }
        let place = tree.place_of(&path);
        found.push(Found::new(place, Problem { path: path.to_string(), ..problem }));
    }
    config
}
