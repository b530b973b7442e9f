//! The configuration from the outside: files, variables, precedence, and everything wrong at once.

#![allow(clippy::unwrap_used)]

use std::{ffi::OsString, fs, path::Path};

use real_streaming::config::{self, Config, Place, Problems, Sources};
use tempfile::TempDir;

/// A folder with `c.yaml` and `.env`, and the variables of a process.
struct Case {
    folder: TempDir,
    sources: Sources,
}

impl Case {
    fn new() -> Case {
        Case { folder: TempDir::new().unwrap(), sources: Sources::default() }
    }

    fn yaml(mut self, text: impl AsRef<[u8]>) -> Case {
        let path = self.folder.path().join("c.yaml");
        fs::write(&path, text).unwrap();
        self.sources.file = Some(path);
        self
    }

    fn env_file(mut self, text: &str) -> Case {
        let path = self.folder.path().join(".env");
        fs::write(&path, text).unwrap();
        self.sources.env_file = Some(path);
        self
    }

    fn var(mut self, name: &str, value: &str) -> Case {
        self.sources.environment.push((name.into(), value.into()));
        self
    }

    fn upstream(mut self, url: &str) -> Case {
        self.sources.upstream = Some(url.to_owned());
        self
    }

    fn load(&self) -> Result<Config, Problems> {
        config::load(&self.sources).map(|loaded| loaded.config)
    }

    #[track_caller]
    fn ok(&self) -> Config {
        self.load().unwrap_or_else(|problems| panic!("{problems}"))
    }

    /// The problems as printed, without the folder's name.
    #[track_caller]
    fn problems(&self) -> Vec<String> {
        let folder = format!("{}/", self.folder.path().display());
        let problems = self.load().err().map(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>());
        problems.unwrap_or_default().iter().map(|problem| problem.replace(&folder, "")).collect()
    }
}

fn json(config: &Config) -> serde_json::Value {
    serde_json::to_value(config).unwrap()
}

fn text(config: &Config, pointer: &str) -> String {
    match json(config).pointer(pointer).unwrap_or_else(|| panic!("no {pointer}")) {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[test]
fn nothing_at_all_gives_the_documented_defaults() {
    for case in [Case::new(), Case::new().yaml(""), Case::new().yaml("# nothing\n").env_file("\n")] {
        let config = case.ok();
        assert_eq!(format!("{config:?}"), format!("{:?}", Config::default()));
    }
    let defaults = Config::default();
    for (pointer, expected) in [
        ("/environment", "QA"),
        ("/server/listen", r#"["0.0.0.0:8080"]"#),
        ("/server/admin", "127.0.0.1:9090"),
        ("/server/threads", "auto"),
        ("/server/trusted_proxies", "[]"),
        ("/server/trusted_hops", "0"),
        ("/server/shutdown/grace", "2s"),
        ("/server/shutdown/drain", "5s"),
        ("/collect/path", "/api/v1/streaming"),
        ("/collect/script", "/static/v6.js"),
        ("/collect/strict", "false"),
        ("/collect/client_hints", "false"),
        ("/collect/inject", "false"),
        ("/collect/consent_denied", "keep"),
        ("/collect/limits/profile", "extended"),
        ("/collect/rate_limit", r#"{"burst":"10s","per_ip":0,"per_stream":0}"#),
        ("/streams", "[]"),
        ("/cookie/name", "__uid__"),
        ("/cookie/domain", "auto"),
        ("/cookie/secure", "auto"),
        ("/cookie/http_only", "true"),
        ("/cookie/same_site", "Lax"),
        ("/cookie/adopt_ga", "true"),
        ("/device", r#"{"cold_parses":2000,"matomo":"","play_devices":""}"#),
        ("/geo/headers", "gcp"),
        ("/geo/database", ""),
        ("/geo/ip", "masked"),
        ("/cors/allowed_origins", "[]"),
        ("/cors/allow_credentials", "true"),
        ("/routes", r#"[{"hosts":["*"],"path":"/","upstreams":["http://127.0.0.1:3000"]}]"#),
        ("/collect/redact/emails", "true"),
        ("/traffic", r#"{"ignore_referrers":[],"referrers":""}"#),
        ("/writers/strategy", "local"),
        ("/writers/project_id", ""),
        ("/writers/local/directory", "data"),
        ("/writers/local/format", "parquet"),
        ("/writers/bq/dataset_id", ""),
        ("/writers/bq/table_id", ""),
        ("/writers/bq/endpoint", "https://bigquerystorage.googleapis.com"),
        ("/writers/bq/rest_endpoint", "https://bigquery.googleapis.com"),
        ("/writers/bq/location", ""),
        ("/writers/bq/create_dataset", "false"),
        ("/writers/bq/create_table", "true"),
        ("/writers/bq/table_layout", "partitioned"),
        ("/writers/bq/auth", "adc"),
        ("/writers/pubsub/topic_id", ""),
        ("/writers/pubsub/subscription_id", ""),
        ("/writers/pubsub/endpoint", "https://pubsub.googleapis.com"),
        ("/writers/pubsub/auth", "adc"),
        ("/writers/spool/directory", "data/spool"),
        ("/writers/spool/durability", "disk"),
    ] {
        assert_eq!(text(&defaults, pointer), expected, "{pointer}");
    }
    assert_eq!(defaults.cookie.max_age.as_secs(), 400 * 86_400);
    assert_eq!(defaults.writers.spool.max_size.as_u64(), 10_000_000_000);
}

#[test]
fn each_source_wins_over_the_one_before() {
    let yaml = "environment: A\nwriters: {project_id: a, local: {directory: a}, bq: {dataset_id: a}}\n";
    let env_file = "APP_CONFIG__WRITERS__PROJECT_ID=b\nAPP_CONFIG__WRITERS__LOCAL__DIRECTORY=b\n";
    let config = Case::new().yaml(yaml).env_file(env_file).var("APP_CONFIG__WRITERS__PROJECT_ID", "c").ok();
    assert_eq!(text(&config, "/environment"), "A");
    assert_eq!(text(&config, "/writers/bq/dataset_id"), "a");
    assert_eq!(text(&config, "/writers/local/directory"), "b");
    assert_eq!(text(&config, "/writers/project_id"), "c");

    let routes = "routes: [{path: /a, upstreams: ['http://a:1']}, {upstreams: ['http://a:2']}]";
    let case = Case::new().yaml(routes).var("APP_CONFIG__ROUTES__1__UPSTREAMS", r#"["http://b:1"]"#);
    assert_eq!(text(&case.ok(), "/routes/1/upstreams/0"), "http://b:1");
    assert_eq!(text(&case.ok(), "/routes/0/path"), "/a");
    let config = case.upstream("http://c:1").ok();
    assert_eq!(text(&config, "/routes"), r#"[{"hosts":["*"],"path":"/","upstreams":["http://c:1"]}]"#);

    let listen =
        Case::new().yaml("server: {listen: ['127.0.0.1:1']}").var("APP_CONFIG__SERVER__LISTEN__0", "127.0.0.1:2");
    assert_eq!(text(&listen.ok(), "/server/listen"), r#"["127.0.0.1:2"]"#);
    assert_eq!(text(&listen.var("PORT", "3").ok(), "/server/listen"), r#"["0.0.0.0:3"]"#);
}

#[test]
fn variables_are_read_as_the_type_behind_them_wants() {
    for (name, value, pointer, expected) in [
        ("APP_CONFIG__WRITERS__PROJECT_ID", "123", "/writers/project_id", "123"),
        ("APP_CONFIG__WRITERS__PROJECT_ID", "true", "/writers/project_id", "true"),
        ("APP_CONFIG__WRITERS__PROJECT_ID", "", "/writers/project_id", ""),
        ("APP_CONFIG__COLLECT__LIMITS", r#"{"profile":"ga4"}"#, "/collect/limits/profile", "ga4"),
        ("APP_CONFIG__COLLECT__LIMITS__PROFILE", "ga4", "/collect/limits/profile", "ga4"),
        ("app_config__collect__strict", "1", "/collect/strict", "true"),
        ("APP_CONFIG__COLLECT__STRICT", "True", "/collect/strict", "true"),
        ("App_Config__Cors__Allow_Credentials", "off", "/cors/allow_credentials", "false"),
        ("APP_CONFIG__COLLECT__REDACT", "off", "/collect/redact", r#"{"emails":false,"parameters":[]}"#),
        ("APP_CONFIG__COLLECT__REDACT__EMAILS", "off", "/collect/redact/emails", "false"),
        ("APP_CONFIG__COLLECT__REDACT__PARAMETERS", r#"["a"]"#, "/collect/redact/parameters", r#"["a"]"#),
        ("APP_CONFIG__TRAFFIC__IGNORE_REFERRERS", r#"["a.example"]"#, "/traffic/ignore_referrers", r#"["a.example"]"#),
        ("APP_CONFIG__COOKIE__NAME", "__id__", "/cookie/name", "__id__"),
        ("APP_CONFIG__COOKIE__ADOPT_GA", "no", "/cookie/adopt_ga", "false"),
        ("APP_CONFIG__COLLECT__CLIENT_HINTS", "on", "/collect/client_hints", "true"),
        ("APP_CONFIG__COLLECT__INJECT", "on", "/collect/inject", "true"),
        ("APP_CONFIG__COLLECT__CONSENT_DENIED", "drop", "/collect/consent_denied", "drop"),
        ("APP_CONFIG__COLLECT__RATE_LIMIT__PER_IP", "20", "/collect/rate_limit/per_ip", "20"),
        ("APP_CONFIG__COLLECT__RATE_LIMIT", r#"{"burst":"1m"}"#, "/collect/rate_limit/burst", "1m"),
        ("APP_CONFIG__COLLECT__LIMITS__UNIT", "chars", "/collect/limits/unit", "chars"),
        ("APP_CONFIG__COLLECT__LIMITS__PLAIN_EVENT_NAMES", "on", "/collect/limits/plain_event_names", "true"),
        ("APP_CONFIG__SERVER__THREADS", "3", "/server/threads", "3"),
        ("APP_CONFIG__COOKIE__SECURE", "auto", "/cookie/secure", "auto"),
        ("APP_CONFIG__SERVER__ADMIN", "[::1]:9999", "/server/admin", "[::1]:9999"),
        ("APP_CONFIG__SERVER__LISTEN", r#"["127.0.0.1:1", "127.0.0.1:2"]"#, "/server/listen/1", "127.0.0.1:2"),
        ("APP_CONFIG__SERVER__SHUTDOWN__GRACE", "7s", "/server/shutdown/grace", "7s"),
        (
            "APP_CONFIG__CORS__ALLOWED_ORIGINS",
            r#"["https://a.example"]"#,
            "/cors/allowed_origins/0",
            "https://a.example",
        ),
        ("APP_CONFIG__STREAMS__0__ID", "7", "/streams/0/id", "7"),
        ("APP_CONFIG__STREAMS", r#"[{"id": "shop"}]"#, "/streams/0/id", "shop"),
        ("APP_CONFIG__STREAMS", r#"[{"id": 7}]"#, "/streams/0/id", "7"),
        ("APP_CONFIG__WRITERS__SPOOL__DURABILITY", "memory", "/writers/spool/durability", "memory"),
        ("APP_CONFIG__ENVIRONMENT", "PROD", "/environment", "PROD"),
        ("PATH", "/bin", "/environment", "QA"),
        ("APP_CONFIG_ENVIRONMENT", "PROD", "/environment", "QA"),
        ("PORT", "", "/server/listen/0", "0.0.0.0:8080"),
    ] {
        let config = Case::new().var(name, value).ok();
        assert_eq!(text(&config, pointer), expected, "{name}={value}");
    }
}

#[test]
fn json_in_a_variable_is_laid_over_the_file_key_by_key() {
    let yaml = "writers: {bq: {dataset_id: a, table_id: b}}";
    let case = Case::new().yaml(yaml).var("APP_CONFIG__WRITERS", r#"{"bq": {"table_id": "c"}}"#);
    assert_eq!(text(&case.ok(), "/writers/bq/dataset_id"), "a");
    assert_eq!(text(&case.ok(), "/writers/bq/table_id"), "c");
    let case = case.var("APP_CONFIG__WRITERS__BQ__TABLE_ID", "d");
    assert_eq!(text(&case.ok(), "/writers/bq/table_id"), "d", "the deeper name says it more precisely");
}

#[test]
fn project_and_emulators_are_found_by_the_variables_of_googles_clients() {
    let on_google = |case: Case| text(&case.var("GOOGLE_CLOUD_PROJECT", "p-1").ok(), "/writers/project_id");
    assert_eq!(on_google(Case::new().yaml("writers: { strategy: local }")), "p-1");
    assert_eq!(on_google(Case::new().yaml("writers: { project_id: p-2 }")), "p-2");
    assert_eq!(on_google(Case::new().var("APP_CONFIG__WRITERS__PROJECT_ID", "p-3")), "p-3");
    let emulators = |case: Case| {
        case.var("BIGQUERY_EMULATOR_HOST", "http://127.0.0.1:9050")
            .var("BIGQUERY_STORAGE_GRPC_ENDPOINT", "127.0.0.1:9060")
            .var("PUBSUB_EMULATOR_HOST", "localhost:8085")
    };
    for case in [Case::new(), Case::new().yaml(""), Case::new().yaml("writers:\n  bq:\n")] {
        let config = emulators(case).ok();
        assert_eq!(text(&config, "/writers/bq/rest_endpoint"), "http://127.0.0.1:9050");
        assert_eq!(text(&config, "/writers/bq/endpoint"), "http://127.0.0.1:9060");
        assert_eq!(text(&config, "/writers/pubsub/endpoint"), "http://localhost:8085");
    }
    let config =
        emulators(Case::new().yaml("writers: { bq: { endpoint: \"http://localhost:1\", dataset_id: d } }")).ok();
    assert_eq!(text(&config, "/writers/bq/endpoint"), "http://localhost:1", "what is configured counts");
    assert_eq!(text(&config, "/writers/bq/dataset_id"), "d");
}

#[test]
fn the_environment_file_may_set_port_and_the_log_filter() {
    let case = Case::new().env_file("PORT=81\nRUST_LOG=debug\n");
    assert_eq!(text(&case.ok(), "/server/listen/0"), "0.0.0.0:81");
    assert_eq!(config::load(&case.sources).unwrap().log_filter.as_deref(), Some("debug"));
    let case = case.var("PORT", "82").var("RUST_LOG", "warn");
    assert_eq!(text(&case.ok(), "/server/listen/0"), "0.0.0.0:82");
    assert_eq!(config::load(&case.sources).unwrap().log_filter.as_deref(), Some("warn"));
}

#[test]
fn the_file_of_the_python_service_still_works() {
    let env_file = "\
APP_CONFIG__ENVIRONMENT=QA
APP_CONFIG__WRITERS__PROJECT_ID=your-gcp-project-id
APP_CONFIG__WRITERS__BQ__DATASET_ID=analytics
APP_CONFIG__WRITERS__BQ__TABLE_ID=table_name
APP_CONFIG__CORS__ALLOWED_ORIGINS=[\"https://yourdomain.com\", \"http://localhost:3000\"]
APP_CONFIG__CORS__ALLOW_CREDENTIALS=true
APP_CONFIG__COOKIE__SECURE=false
";
    let config = Case::new().env_file(env_file).ok();
    assert_eq!(text(&config, "/cors/allowed_origins"), r#"["https://yourdomain.com","http://localhost:3000"]"#);
    assert_eq!(text(&config, "/cookie/secure"), "false");
}

/// One wrong thing each: how its problem begins, and what its hint says.
#[test]
fn each_mistake_is_named_with_its_place_and_a_hint() {
    for (yaml, expected, hint) in [
        ("writers:\n  stratgy: local\n", "c.yaml:2: writers.stratgy: unknown key", "did you mean `strategy`?"),
        ("wirters: {}\n", "c.yaml:1: wirters: unknown key", "did you mean `writers`?"),
        ("\n\nserver: {addmin: x}\n", "c.yaml:3: server.addmin: unknown key", "did you mean `admin`?"),
        ("frobnicate: 1\n", "c.yaml:1: frobnicate: unknown key", "known keys here: `environment`, `server`"),
        ("collect:\n  limits:\n    profile: ga5\n", "c.yaml:3: collect.limits.profile: ", "did you mean `ga4`?"),
        (
            "collect: {consent_denied: dorp}\n",
            "c.yaml:1: collect.consent_denied: unknown value",
            "did you mean `drop`?",
        ),
        (
            "collect: {rate_limit: {per_ip: 2000000}}\n",
            "c.yaml:1: collect.rate_limit.per_ip: `2000000` ",
            "switches it off",
        ),
        ("collect: {rate_limit: {per_ip: -1}}\n", "c.yaml:1: collect.rate_limit.per_ip: expected a whole number", ""),
        ("collect: {rate_limit: {burst: 2h}}\n", "c.yaml:1: collect.rate_limit.burst: `2h` is too long", "`10s`"),
        ("cookie: {adopt_ga: perhaps}\n", "c.yaml:1: cookie.adopt_ga: expected `true` or `false`, found", ""),
        ("collect: {limits: {unit: byte}}\n", "c.yaml:1: collect.limits.unit: unknown value", "did you mean `bytes`?"),
        ("collect: {strict: maybe}\n", "c.yaml:1: collect.strict: expected `true` or `false`, found `maybe`", ""),
        ("server: {listen: '0.0.0.0:80'}\n", "c.yaml:1: server.listen: expected a list", "in brackets"),
        ("server: {admin: 9090}\n", "c.yaml:1: server.admin: ", ""),
        ("server: {shutdown: {grace: soon}}\n", "c.yaml:1: server.shutdown.grace: `soon` is not a duration", ""),
        ("server: {proxy_protocol: true, trusted_hops: 1}\n", "c.yaml:1: server.proxy_protocol: ", "trusted_proxies"),
        ("server: 8080\n", "c.yaml:1: server: expected keys and values, found `8080`", ""),
        ("writers: {spool: {max_size: big}}\n", "c.yaml:1: writers.spool.max_size: ", ""),
        ("writers: {spool: {durability: dsik}}\n", "c.yaml:1: writers.spool.durability: ", "did you mean `disk`?"),
        ("streams:\n- id: a\n- hosts: [b]\n", "c.yaml:3: streams[1]: `id` is missing", ""),
        ("streams: [{id: a}, {id: b}, {id: a}]\n", "c.yaml:1: streams[2].id: `a` is the id of `streams[0]` too", ""),
        ("routes: []\n", "c.yaml:1: routes: there is no site", "--upstream"),
        ("routes:\n- path: /\n", "c.yaml:2: routes[0].upstreams: ", ""),
        ("routes:\n- upstreams: ['http://a:1']\n- upstreams: ['http://b:1']\n", "c.yaml:3: routes[1]: ", ""),
        ("routes:\n- upstreams: [a]\n", "c.yaml:2: routes[0].upstreams[0]: ", ""),
        (
            "routes: [{path: {regex: 'a('}, upstreams: ['http://a']}]\n",
            "c.yaml:1: routes[0].path.regex: `a(` is not",
            "",
        ),
        ("routes: [{path: [a], upstreams: ['http://a']}]\n", "c.yaml:1: routes[0].path: expected a path such as", ""),
        (
            "routes: [{path: {exakt: /a}, upstreams: ['http://a']}]\n",
            "c.yaml:1: routes[0].path.exakt: unknown key",
            "did you mean `exact`?",
        ),
        ("routes: [{path: {}, upstreams: ['http://a']}]\n", "c.yaml:1: routes[0].path: `` is not a path", ""),
        ("routes: [{query: {a: {}}, upstreams: ['http://a']}]\n", "c.yaml:1: routes[0].query.a: says nothing", ""),
        ("routes: [{path: /a//b, upstreams: ['http://a']}]\n", "c.yaml:1: routes[0].path: no request has", "`/a/b`"),
        ("routes: [{files: {root: /nowhere}}]\n", "c.yaml:1: routes[0].files.root: `/nowhere` is not a folder", ""),
        (
            "routes: [{respond: {}, upstreams: ['http://a']}]\n",
            "c.yaml:1: routes[0].respond: a route has one answer, and this one has `upstreams` too",
            "two routes",
        ),
        (
            "routes: [{redirect: {to: 'https://{hots}'}}]\n",
            "c.yaml:1: routes[0].redirect.to: there is nothing to put for `{hots}`",
            "`{host}`",
        ),
        ("routes: [{redirect: {status: 301}}]\n", "c.yaml:1: routes[0].redirect.to: `` is not a place to go to", ""),
        ("routes: [{respond: {status: 99}}]\n", "c.yaml:1: routes[0].respond.status: `99` is not a status", ""),
        (
            "routes: [{respond: {}, error_pages: {404: /nowhere}}]\n",
            "c.yaml:1: routes[0].error_pages.404: `/nowhere` cannot be read",
            "",
        ),
        (
            "routes:\n- upstreams: ['http://a']\n  response_headers:\n    set: {Content-Length: '1'}\n",
            "c.yaml:4: routes[0].response_headers.set.content-length: `content-length` belongs to",
            "",
        ),
        (
            "routes: [{upstreams: ['http://a'], request_headers: {set: {X-A: '{'}}}]\n",
            "c.yaml:1: routes[0].request_headers.set.X-A: `{` is not a text with places",
            "`{{`",
        ),
        (
            "routes: [{upstreams: ['http://a'], access: {allow: [10.0.0.0/99]}}]\n",
            "c.yaml:1: routes[0].access.allow[0]: `10.0.0.0/99` is not a network",
            "",
        ),
        (
            "routes:\n- upstreams: ['http://a']\n  access:\n    basic_auth: {users: {alice: secret}}\n",
            "c.yaml:4: routes[0].access.basic_auth.users.alice: is not a bcrypt hash",
            "htpasswd",
        ),
        (
            "routes: [{upstreams: ['http://a'], access: {basic_auth: {}}}]\n",
            "c.yaml:1: routes[0].access.basic_auth.users: nobody could get in",
            "htpasswd",
        ),
        (
            "routes: [{upstreams: ['http://a'], rate_limit: {burst: 1s}}]\n",
            "c.yaml:1: routes[0].rate_limit.rate: `0` is no rate",
            "1 to",
        ),
        (
            "routes: [{upstreams: ['http://a'], timeouts: {idle: 0s}}]\n",
            "c.yaml:1: routes[0].timeouts.idle: `0s` is no time to wait",
            "",
        ),
        ("routes: [{upstreams: ['http://a'], max_body: big}]\n", "c.yaml:1: routes[0].max_body: ", ""),
        (
            "routes:\n- upstreams:\n  - 'http://a'\n  - {url: 'http://b', weight: 0}\n",
            "c.yaml:4: routes[0].upstreams[1].weight: `0` is no weight",
            "1 to 100",
        ),
        ("routes: [{upstreams: [{url: b}]}]\n", "c.yaml:1: routes[0].upstreams[0].url: `b` is not an upstream", ""),
        ("routes: [{upstreams: [{weight: 2}]}]\n", "c.yaml:1: routes[0].upstreams[0]: `url` is missing", ""),
        (
            "routes: [{upstreams: ['http://a'], balance: random}]\n",
            "c.yaml:1: routes[0].balance: `random` is no way to balance",
            "`ip_hash`",
        ),
        (
            "routes: [{upstreams: ['http://a'], balance: {cookie: 'a b'}}]\n",
            "c.yaml:1: routes[0].balance.cookie: `a b` is not the name",
            "",
        ),
        (
            "routes: [{upstreams: ['http://a'], retries: {on: [conect]}}]\n",
            "c.yaml:1: routes[0].retries.on[0]: `conect` is nothing to try again after",
            "`connect`",
        ),
        (
            "routes: [{upstreams: ['http://a'], retries: {attempts: 0}}]\n",
            "c.yaml:1: routes[0].retries.attempts: `0` is no number",
            "",
        ),
        (
            "routes: [{upstreams: ['http://a'], health: {path: up}}]\n",
            "c.yaml:1: routes[0].health.path: `up` is not a path",
            "",
        ),
        (
            "routes: [{upstreams: ['http://a'], ejection: {rest: 0s}}]\n",
            "c.yaml:1: routes[0].ejection.rest: `0s` is no time to rest",
            "",
        ),
        (
            "routes:\n- methods: ['a b']\n  upstreams: ['http://a']\n",
            "c.yaml:2: routes[0].methods[0]: `a b` is not a method",
            "",
        ),
        (
            "routes:\n- upstreams: ['http://a']\n  headers: {a b: c}\n",
            "c.yaml:3: routes[0].headers.a b: `a b` is not the name of a header",
            "",
        ),
        (
            "routes: [{upstreams: ['http://a'], query: {a: {present: perhaps}}}]\n",
            "c.yaml:1: routes[0].query.a.present: expected `true` or `false`",
            "",
        ),
        ("server:\n  listen: ['0.0.0.0:9090']\n", "c.yaml:2: server.listen[0]: `0.0.0.0:9090` is also the", "own"),
        ("server: {listen: ['127.0.0.1:1', '127.0.0.1:1']}\n", "c.yaml:1: server.listen[1]: `127.0.0.1:1` ", ""),
        ("server: {listen: ['[::]:1', '0.0.0.0:1']}\n", "c.yaml:1: server.listen[1]: `0.0.0.0:1` is taken by", ""),
        ("collect: {script: /api/v1/streaming}\n", "c.yaml:1: collect.script: ", ""),
        ("collect: {script: /api/v1/streaming/x.js}\n", "c.yaml:1: collect.script: ", ""),
        ("collect: {script: /healthz}\n", "c.yaml:1: collect.script: `/healthz` is the health check", ""),
        ("collect: {path: api}\n", "c.yaml:1: collect.path: ", ""),
        ("writers: {spool: {directory: data}}\n", "c.yaml:1: writers.spool.directory: ", "`data/spool`"),
        ("writers: {spool: {directory: data/events/x}}\n", "c.yaml:1: writers.spool.directory: ", "`data/spool`"),
        ("writers: {strategy: lcoal}\n", "c.yaml:1: writers.strategy: ", "did you mean `local`?"),
        (
            "traffic: {ignore_referrers: ['https://pay.example.com/x']}\n",
            "c.yaml:1: traffic.ignore_referrers[0]: `https://pay.example.com/x` is no host",
            "`pay.example.com`",
        ),
        ("traffic:\n  referrers: nowhere.tsv\n", "c.yaml:2: traffic.referrers: `nowhere.tsv` does not exist", ""),
        ("traffic: {referrers: /}\n", "c.yaml:1: traffic.referrers: `/` is no file", ""),
        ("collect: {redact: never}\n", "c.yaml:1: collect.redact: ", ""),
        ("collect: {redact: {email: true}}\n", "c.yaml:1: collect.redact.email: unknown key", "did you mean `emails`?"),
        ("collect: {redact: {parameters: [a b]}}\n", "c.yaml:1: collect.redact.parameters[0]: `a b` is no name", "32"),
        ("traffic: {ignore: []}\n", "c.yaml:1: traffic.ignore: unknown key", "did you mean `ignore_referrers`?"),
        ("environment: ''\n", "c.yaml:1: environment: is empty", "`QA`"),
        ("a: [1\nb: 2\n", "c.yaml:", ""),
        ("server: {}\nserver: {}\n", "c.yaml:2: server: written twice; the first is on line 1", ""),
        ("a: &a [*a]\n", "c.yaml:1: a[0]: an alias inside the value", ""),
    ] {
        let problems = Case::new().yaml(yaml).problems();
        assert_eq!(problems.len(), 1, "{yaml}: {problems:#?}");
        assert!(problems[0].starts_with(expected), "{yaml}: {problems:#?}\nexpected {expected}");
        if !hint.is_empty() {
            let (_, shown) = problems[0].split_once("\n  hint: ").unwrap_or_else(|| panic!("{yaml}: {problems:#?}"));
            assert!(shown.contains(hint), "{yaml}: {problems:#?}\nexpected {hint}");
        }
    }
}

#[test]
fn each_line_of_a_file_of_sites_that_is_no_row_is_named() {
    let case = Case::new();
    let file = case.folder.path().join("sites.tsv");
    fs::write(&file, "a.example search\nb.example serch\n# nothing\nhttps://c.example social\n").unwrap();
    let problems = case.var("APP_CONFIG__TRAFFIC__REFERRERS", file.to_str().unwrap()).problems();
    let begins = |problem: &str| problem.lines().next().map(str::to_owned);
    let lines: Vec<_> = problems.iter().filter_map(|problem| begins(problem)).collect();
    let place = "APP_CONFIG__TRAFFIC__REFERRERS: traffic.referrers: `sites.tsv`, line";
    assert_eq!(lines, [format!("{place} 2: `serch` is no kind"), format!("{place} 4: `https://c.example` is no host")]);
    assert!(problems.iter().all(|problem| problem.contains("\n  hint: ")), "{problems:#?}");
}

#[test]
fn mistakes_in_variables_name_the_variable() {
    for (name, value, expected) in [
        (
            "APP_CONFIG__WRITERS__STRATGY",
            "local",
            "APP_CONFIG__WRITERS__STRATGY: writers.stratgy: unknown key\n  hint: did you mean `strategy`?",
        ),
        (
            "APP_CONFIG__COLLECT__STRICT",
            "perhaps",
            "APP_CONFIG__COLLECT__STRICT: collect.strict: expected `true` or `false`, found `perhaps`",
        ),
        (
            "APP_CONFIG__CORS__ALLOWED_ORIGINS",
            "https://a.example",
            "APP_CONFIG__CORS__ALLOWED_ORIGINS: cors.allowed_origins: expected a list, found `https://a.example`\n  \
             hint: write a list as JSON: `[\"a\", \"b\"]`",
        ),
        (
            "APP_CONFIG__SERVER",
            "x",
            "APP_CONFIG__SERVER: server: expected keys and values, found `x`\n  \
             hint: write it as JSON, `{\"key\": \"value\"}`, or add `__KEY` to the variable's name",
        ),
        (
            "APP_CONFIG__SERVER__LISTEN__3",
            "x",
            "APP_CONFIG__SERVER__LISTEN__3: server.listen[3]: the list has 0 elements\n  \
             hint: the next one is number 0; or write the whole list as JSON",
        ),
        ("PORT", "http", "PORT: `http` is not a port, a whole number from 0 to 65535"),
        ("PORT", "9090", "PORT: server.listen[0]: `0.0.0.0:9090` is also the address of `server.admin`"),
    ] {
        let problems = Case::new().var(name, value).problems();
        assert_eq!(problems.len(), 1, "{name}: {problems:#?}");
        assert!(problems[0].starts_with(expected), "{problems:#?}\nexpected {expected}");
    }
    let problems = Case::new().env_file("\nAPP_CONFIG__SERVR__ADMIN=x\nnonsense\n").problems();
    assert_eq!(
        problems,
        [
            ".env:2: APP_CONFIG__SERVR__ADMIN: servr: unknown key\n  hint: did you mean `server`?",
            ".env:3: this line is not `NAME=value`\n  hint: quote a value that goes on over lines",
        ]
    );
    let problems = Case::new().upstream("nonsense").problems();
    assert!(problems[0].starts_with("--upstream: routes[0].upstreams[0]: "), "{problems:?}");
}

#[test]
fn api_keys_are_read_and_never_repeated() {
    const KEY: &str = "s3cr3t-s3cr3t-s3cr3t";
    let case = Case::new().yaml(format!("streams: [{{id: a, api_keys: [{KEY}, 1234567890123456]}}]"));
    let config = case.ok();
    assert_eq!(text(&config, "/streams/0/api_keys"), r#"["(secret)","(secret)"]"#);
    assert!(!format!("{config:?}").contains("s3cr3t"));
    let as_json = format!(r#"[{{"id": "a", "api_keys": ["{KEY}"]}}]"#);
    for (name, value) in [("STREAMS", as_json.as_str()), ("STREAMS__0__API_KEYS__0", KEY)] {
        let case = Case::new().yaml("streams: [{id: a}]").var(&format!("APP_CONFIG__{name}"), value);
        assert_eq!(text(&case.ok(), "/streams/0/api_keys"), r#"["(secret)"]"#, "{name}");
    }

    let digits = "hint: `printf %s KEY | sha256sum` prints them";
    for (case, expected, hint) in [
        (
            Case::new().yaml("streams: [{id: a, api_keys: s3cr3t}]"),
            "streams[0].api_keys: expected a list, found text",
            "[a, b]",
        ),
        (
            Case::new().yaml("streams: [{id: a, api_keys: ['s3cr3t']}]"),
            "streams[0].api_keys[0]: an API key has 16",
            "openssl",
        ),
        (
            Case::new().yaml("streams: [{id: a, api_keys: ['s3cr3t s3cr3t s3cr3t']}]"),
            "an API key is plain ASCII",
            "openssl",
        ),
        (Case::new().yaml("streams: [{id: a, api_keys: ['sha256:s3cr3t']}]"), "`sha256:` is not followed by", digits),
        (
            Case::new().yaml("streams: [{id: a, api_keys: [!s3cr3t s3cr3t-s3cr3t-s3cr3t]}]"),
            "unknown YAML tag",
            "quotes",
        ),
        (Case::new().yaml("streams: [{id: a, api_kes: [s3cr3t]}]"), "api_kes: unknown key", "did you mean `api_keys`?"),
        (
            Case::new().var("APP_CONFIG__STREAMS", &as_json[1..]),
            "expected a list, found text that is not valid JSON",
            "as JSON",
        ),
        (
            Case::new().env_file(&format!("APP_CONFIG__STREAMS='[]'\n\"api_keys\": [\"{KEY}=\"]\n")),
            ".env:2: this line is",
            "quote",
        ),
    ] {
        let problems = case.problems();
        assert_eq!(problems.len(), 1, "{problems:#?}");
        assert!(problems[0].contains(expected) && problems[0].contains(hint), "{problems:#?}\nexpected {expected}");
        assert!(!problems[0].contains("s3cr3t"), "{problems:#?}");
    }
}

#[cfg(unix)]
#[test]
fn variables_that_are_not_text_are_problems_only_when_they_are_ours() {
    use std::os::unix::ffi::OsStringExt;
    let mut case = Case::new();
    let bytes = || OsString::from_vec(vec![0xff, 0xfe]);
    case.sources.environment = vec![("OTHER".into(), bytes()), (bytes(), "x".into())];
    case.ok();
    case.sources.environment.push(("APP_CONFIG__ENVIRONMENT".into(), bytes()));
    assert_eq!(case.problems(), ["APP_CONFIG__ENVIRONMENT: environment: the value is not valid UTF-8"]);
}

#[test]
fn everything_wrong_comes_at_once_in_the_order_of_the_files() {
    let yaml = "\
server:
  listen: ['127.0.0.1:1', '127.0.0.1:1']
  threads: many
streams:
- id: a
- {}
- id: a
cookie: {secured: true}
routes:
- upstreams: []
- upstreams: ['http://a:1']
  pth: /x
writers:
  strategy: locale
";
    let case = Case::new().yaml(yaml).env_file("APP_CONFIG__CORS__X=1").var("APP_CONFIG__COLLECT__STRICT", "x");
    let problems = case.problems();
    let places: Vec<String> =
        problems.iter().map(|problem| problem.splitn(3, ": ").take(2).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        places,
        [
            "c.yaml:2 server.listen[1]",
            "c.yaml:3 server.threads",
            "c.yaml:6 streams[1]",
            "c.yaml:7 streams[2].id",
            "c.yaml:8 cookie.secured",
            "c.yaml:10 routes[0].upstreams",
            "c.yaml:12 routes[1].pth",
            "c.yaml:14 writers.strategy",
            ".env:1 APP_CONFIG__CORS__X",
            "APP_CONFIG__COLLECT__STRICT collect.strict",
        ],
        "{problems:#?}"
    );
}

#[test]
fn a_condition_is_compared_as_it_was_written() {
    let yaml = "routes: [{headers: {a: 007, b: 1.10, c: true, d: 2.5}, upstreams: ['http://a']}]";
    let written = r#"{"a":"007","b":"1.10","c":"true","d":"2.5"}"#;
    assert_eq!(text(&Case::new().yaml(yaml).ok(), "/routes/0/headers"), written);
}

#[test]
fn geo_headers_are_a_name_or_a_map() {
    let yaml = "geo: {headers: {country: X-My-Country, city: X-My-City}, ip: none}";
    let case = Case::new().yaml(yaml).var("APP_CONFIG__GEO__HEADERS__REGION", "X-My-Region");
    let own = r#"{"city":"x-my-city","country":"x-my-country","region":"x-my-region"}"#;
    assert_eq!(text(&case.ok(), "/geo/headers"), own);
    let case = Case::new().yaml(yaml).var("APP_CONFIG__GEO__HEADERS", "cloudflare");
    assert_eq!(text(&case.ok(), "/geo/headers"), "cloudflare");
    let case = Case::new().var("APP_CONFIG__GEO__HEADERS", r#"{"country":"X-C"}"#).var("APP_CONFIG__GEO__IP", "full");
    assert_eq!(text(&case.ok(), "/geo/headers/country"), "x-c");
    assert_eq!(text(&case.ok(), "/geo/ip"), "full");

    let problems = Case::new().yaml("geo:\n  headers:\n    country: no header\n  ip: half\n").problems();
    assert_eq!(problems.len(), 2, "{problems:#?}");
    assert!(problems[0].starts_with("c.yaml:3: geo.headers.country: `no header` is not a header"), "{problems:#?}");
    assert!(problems[1].starts_with("c.yaml:4: geo.ip: "), "{problems:#?}");
    let problems = Case::new().yaml("geo: {headers: {}}").problems();
    assert!(problems[0].contains("geo.headers: names no header"), "{problems:#?}");
    let problems = Case::new().yaml("geo: {headers: fastly}").problems();
    assert!(problems[0].contains("geo.headers"), "{problems:#?}");
}

#[test]
fn proxies_are_networks_or_names() {
    let config = Case::new().yaml("server: {trusted_proxies: [gcp, 10.0.0.0/8], trusted_hops: 2}").ok();
    assert_eq!(text(&config, "/server/trusted_proxies"), r#"["gcp","10.0.0.0/8"]"#);
    assert_eq!(text(&config, "/server/trusted_hops"), "2");
    let problems = Case::new().yaml("server: {trusted_proxies: [akamai], trusted_hops: 100}").problems();
    assert!(problems[0].contains("nor one of `gcp`"), "{problems:#?}");
    assert!(problems[1].contains("server.trusted_hops"), "{problems:#?}");
}

#[test]
fn a_database_that_cannot_be_read_is_a_problem() {
    let case = Case::new().env_file("");
    for (name, content, why) in [
        ("gone.mmdb", None, "there is no file"),
        ("broken.mmdb", Some("not one"), "is not a database in MaxMind's format"),
        (".", None, "is not a file"),
    ] {
        let path = case.folder.path().join(name);
        if let Some(content) = content {
            fs::write(&path, content).unwrap();
        }
        let yaml = format!("\ngeo: {{database: \"{}\"}}", path.display());
        let problems = Case::new().yaml(yaml).problems();
        assert_eq!(problems.len(), 1, "{problems:#?}");
        assert!(problems[0].starts_with("c.yaml:2: geo.database: ") && problems[0].contains(why), "{problems:#?}");
    }
}

#[test]
fn data_about_machines_that_cannot_be_read_is_a_problem_of_its_key() {
    let folder = TempDir::new().unwrap();
    let rules = folder.path().join("rules");
    fs::create_dir_all(rules.join("device")).unwrap();
    let list = folder.path().join("devices.csv");
    let check = |expected: &[&str]| {
        let yaml = format!("device:\n  matomo: {}\n  play_devices: {}\n", rules.display(), list.display());
        let problems = Case::new().yaml(yaml).problems();
        assert_eq!(problems.len(), expected.len(), "{problems:#?}");
        for (problem, expected) in problems.iter().zip(expected) {
            assert!(problem.contains(expected) && problem.contains("\n  hint: name "), "{expected}: {problem}");
        }
    };
    check(&["c.yaml:2: device.matomo: ", "c.yaml:3: device.play_devices: there is no file"]);
    check(&["has no file `device/mobiles.yml`", "there is no file"]);
    fs::write(rules.join("device/mobiles.yml"), "Acme:\n  regex: &a [*a]\n").unwrap();
    fs::write(&list, "model,name\n").unwrap();
    check(&["`device/mobiles.yml`, line 2: has an anchor", "its first line does not name the columns"]);
    fs::write(rules.join("device/mobiles.yml"), "Acme:\n  regex: Anvil\n  model: Anvil\n").unwrap();
    fs::write(&list, "Retail Branding,Marketing Name,Device,Model\nAcme,Anvil,a,A-1\n").unwrap();
    check(&[]);
    fs::create_dir(rules.join("bots.yml")).unwrap();
    check(&["bots.yml` is not a file"]);
}

#[test]
fn files_that_cannot_be_read_are_problems() {
    let mut case = Case::new();
    case.sources.file = Some(case.folder.path().join("gone.yaml"));
    case.sources.env_file = Some(case.folder.path().join("gone.env"));
    assert_eq!(case.problems(), ["gone.yaml: there is no such file", "gone.env: there is no such file"]);

    let mut case = Case::new();
    case.sources.file = Some(case.folder.path().to_owned());
    assert!(case.problems()[0].ends_with(": is a folder, not a file"));

    let problems = Case::new().yaml(b"a: 1\nb: \xff\n").problems();
    assert_eq!(problems, ["c.yaml:2: is not valid UTF-8\n  hint: save the file in UTF-8"]);
}

#[test]
fn problems_can_be_handled_as_data() {
    let problems = Case::new().yaml("\nfrobnicate: 1").load().unwrap_err();
    let found = problems.iter().next().unwrap();
    assert!(matches!(&found.place, Place::Line(file, 2) if file.ends_with("c.yaml")), "{found:?}");
    assert_eq!(found.problem.path, "frobnicate");
}

fn shipped(name: &str) -> Case {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    Case { folder: TempDir::new().unwrap(), sources: Sources { file: Some(path), ..Sources::default() } }
}

#[test]
fn the_files_we_ship_are_sound_and_full_is_minimal_spelled_out() {
    let minimal = shipped("conf/minimal.yaml").ok();
    assert_eq!(format!("{:?}", shipped("conf/full.yaml").ok()), format!("{minimal:?}"));
    assert_eq!(format!("{:?}", shipped("conf/real-streaming.yaml").ok()), format!("{minimal:?}"));

    let template = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(".env.template")).unwrap();
    Case::new().env_file(&template).ok();
}

#[test]
fn the_example_of_several_sites_lacks_nothing_but_its_folders() {
    let folders = ["routes[1].files.root", "routes[6].files.root"];
    let problems = shipped("conf/sites.yaml").problems();
    assert_eq!(problems.len(), folders.len(), "{problems:#?}");
    for (problem, folder) in problems.iter().zip(folders) {
        assert!(problem.contains(folder) && problem.contains("is not a folder"), "{problem}");
    }
    let yaml = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/sites.yaml")).unwrap();
    let case = Case::new();
    let folder = case.folder.path().display().to_string();
    case.yaml(yaml.replace("/srv/www/assets", &folder).replace("/srv/docs", &folder)).ok();
}

/// Whatever stands in the second column in backquotes and is no setting of the server's.
#[test]
fn what_stands_beside_nginx_is_a_route() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/proxy.md")).unwrap();
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("down.html"), "down").unwrap();
    let mut routes = 0;
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let cell = row.split(" | ").nth(1).unwrap();
        if cell.contains("server.") || cell.contains('…') || !cell.contains(": ") {
            continue;
        }
        for piece in cell.split('`').skip(1).step_by(2).filter(|piece| piece.contains(": ")) {
            let mut route = piece.replace("/srv/www", &folder.path().display().to_string());
            if !["hosts:", "path:"].iter().any(|key| route.starts_with(key)) {
                route += ", path: /";
            }
            if !["upstreams:", "redirect:", "respond:", "files:"].iter().any(|key| route.contains(key)) {
                route += r#", upstreams: ["http://127.0.0.1:3000"]"#;
            }
            Case::new().yaml(format!("routes: [{{{route}}}]")).ok();
            routes += 1;
        }
    }
    assert!(routes > 20, "{routes}");
}

/// `conf/full.yaml` is the reference; these turn it into `docs/configuration.md`.
mod reference {
    use super::*;

    /// A key of the file, with the comment above it.
    struct Key {
        path: String,
        default: String,
        about: Vec<String>,
    }

    fn keys(yaml: &str) -> Vec<Key> {
        let mut keys = Vec::new();
        let mut about = Vec::new();
        // Keys on the way to the current one, by indentation.
        let mut above: Vec<(usize, String)> = Vec::new();
        for line in yaml.lines() {
            let text = line.trim();
            let indent = line.len() - line.trim_start().len();
            if let Some(comment) = text.strip_prefix('#') {
                about.push(comment.strip_prefix(' ').unwrap_or(comment).to_owned());
            } else if text.is_empty() {
                about.clear();
            } else {
                above.retain(|(depth, _)| *depth < indent);
                if text == "-" {
                    let (_, list) = above.last_mut().expect("an element is in a list");
                    list.push_str("[]");
                    continue;
                }
                let (key, default) = text.split_once(':').expect("a line is a key");
                above.push((indent, key.to_owned()));
                let path = above.iter().map(|(_, key)| key.as_str()).collect::<Vec<_>>().join(".");
                keys.push(Key { path, default: default.trim().to_owned(), about: std::mem::take(&mut about) });
            }
        }
        keys
    }

    fn variable(path: &str) -> String {
        format!("APP_CONFIG__{}", path.replace("[]", ".0").replace('.', "__").to_uppercase())
    }

    fn page(yaml: &str) -> String {
        let mut page = String::from(
            "<!-- Made from conf/full.yaml by `UPDATE=1 cargo test --test it config`; edit that file instead. -->\n\n\
             # Configuration\n\n\
             Each source wins over the one before: defaults, the YAML file (`--config`), the environment file \
             (`--env-file`, or `.env` in the current folder), the environment, `--upstream`, and `$PORT` for the \
             public listener.\n\n\
             A variable is `APP_CONFIG__` and the way to the key, with a double underscore for each level and a number \
             for a list's element. Lists and maps are written as JSON: \
             `APP_CONFIG__CORS__ALLOWED_ORIGINS=[\"https://www.example.com\"]`. Case does not matter.\n\n\
             Durations are written like `250ms`, `2s`, `5m`, `400d`; sizes like `64KiB`, `10GB`. Unknown keys are errors. \
             `real-streaming check --config FILE` prints every problem at once, each with its place.\n\n\
             Shipped files: `conf/minimal.yaml` has the least that is needed, `conf/real-streaming.yaml` what most sites \
             set, `conf/full.yaml` every key with its default; `conf/sites.yaml` is an example of several sites \
             ([proxy.md](proxy.md)).\n",
        );
        let keys = keys(yaml);
        for (index, key) in keys.iter().enumerate() {
            let (examples, words): (Vec<&String>, Vec<&String>) =
                key.about.iter().filter(|line| !line.is_empty()).partition(|line| line.starts_with("    "));
            let words = words.iter().map(|line| line.as_str()).collect::<Vec<_>>().join(" ");
            let top = !key.path.contains('.');
            if top {
                page.push_str(&format!("\n## {}\n\n{words}\n", key.path));
                if !examples.is_empty() {
                    let lines: String = examples.iter().map(|line| format!("{}\n", &line[4..])).collect();
                    page.push_str(&format!("\n```yaml\n{lines}```\n"));
                }
            }
            let has_children = keys
                .get(index + 1)
                .is_some_and(|next| next.path.strip_prefix(&key.path).is_some_and(|rest| rest.starts_with(['.', '['])));
            if top {
                page.push_str("\n| key | default | variable | |\n|---|---|---|---|\n");
            }
            if !has_children {
                let default =
                    if key.default.is_empty() { "by profile".to_owned() } else { format!("`{}`", key.default) };
                let meaning = if top { "" } else { words.as_str() };
                page.push_str(&format!("| `{}` | {default} | `{}` | {meaning} |\n", key.path, variable(&key.path)));
            } else if !top {
                page.push_str(&format!("| `{}` | | | {words} |\n", key.path));
            }
        }
        page
    }

    fn full() -> String {
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/full.yaml")).unwrap()
    }

    #[test]
    fn every_key_there_is_stands_in_the_reference_with_a_comment() {
        fn walk(value: &serde_json::Value, path: String, paths: &mut Vec<String>) {
            match value {
                serde_json::Value::Object(entries) => {
                    for (key, value) in entries {
                        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                        paths.push(path.clone());
                        walk(value, path, paths);
                    }
                }
                serde_json::Value::Array(items) => {
                    items.iter().for_each(|item| walk(item, format!("{path}[]"), paths));
                }
                _ => {}
            }
        }
        let yaml = full();
        let documented = keys(&yaml);
        let mut paths = Vec::new();
        walk(&json(&Case::new().yaml("streams: [{id: a}]").ok()), String::new(), &mut paths);
        for path in paths {
            match path.strip_prefix("streams[].") {
                Some(key) => assert!(yaml.contains(&format!("{key}: ")), "{path} has no example in full.yaml"),
                None => assert!(documented.iter().any(|key| key.path == path), "{path} is not in full.yaml"),
            }
        }
        for key in documented {
            assert!(!key.about.is_empty(), "{} has no comment in full.yaml", key.path);
        }
    }

    #[test]
    fn every_example_is_a_configuration() {
        for key in keys(&full()) {
            let lines = key.about.iter().filter_map(|line| line.strip_prefix("    "));
            let example: String = lines.map(|line| format!("{line}\n")).collect();
            if !example.is_empty() {
                let case = Case::new();
                let folder = case.folder.path().display().to_string();
                fs::write(case.folder.path().join("down.html"), "down").unwrap();
                let authority = crate::authority::Authority::new();
                authority.writes_root(case.folder.path(), "inner.pem");
                authority.writes(case.folder.path(), "edge", &["edge.internal"]);
                let example = example.replace("/srv/www", &folder).replace("/etc/ssl", &folder);
                case.yaml(format!("{}:\n{example}", key.path)).ok();
            }
        }
    }

    #[test]
    fn the_page_is_fresh() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
        let page = page(&full());
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&path, &page).unwrap();
        }
        let written = fs::read_to_string(&path).unwrap_or_default();
        assert!(written == page, "docs/configuration.md is stale: UPDATE=1 cargo test --test it config");
    }
}
