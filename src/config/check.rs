//! What no part can see alone: settings that contradict each other.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    path::Path,
};

use super::Config;
use crate::{edge, problem::Problem};

/// Paths of the public listener that are answered whatever the configuration says.
const HEALTH: &str = "/healthz";

/// Every part's own judgement.
pub fn parts(config: &Config, problems: &mut Vec<Problem>) {
    config.server.check("server", problems);
    config.collect.check("collect", problems);
    for (index, stream) in config.streams.iter().enumerate() {
        stream.check(&format!("streams[{index}]"), problems);
    }
    config.cookie.check("cookie", problems);
    config.geo.check("geo", problems);
    config.cors.check("cors", problems);
    edge::check_routes(&config.routes, "routes", problems);
    config.traffic.check("traffic", problems);
    config.writers.check("writers", problems);
}

/// The judgement of the whole.
pub fn whole(config: &Config) -> Vec<Problem> {
    let problems = &mut Vec::new();
    environment(config, problems);
    listeners(config, problems);
    paths(config, problems);
    streams(config, problems);
    routes(config, problems);
    folders(config, problems);
    std::mem::take(problems)
}

fn environment(config: &Config, problems: &mut Vec<Problem>) {
    if config.environment.trim().is_empty() {
        problems.push(Problem::new("environment", "is empty").hint("`QA` on your machine, `PROD` in production"));
    }
}

fn listeners(config: &Config, problems: &mut Vec<Problem>) {
    let named = |key: &'static str, addresses: &[SocketAddr]| {
        let named = addresses.iter().enumerate().map(|(index, at)| (format!("{key}[{index}]"), at.to_string()));
        named.collect::<Vec<_>>()
    };
    let all = [named("server.listen", &config.server.listen), named("server.tls.listen", &config.server.tls.listen)];
    let (paths, listen): (Vec<String>, Vec<String>) = all.concat().into_iter().unzip();
    for (index, (path, address)) in paths.into_iter().zip(&listen).enumerate() {
        if let Some(other) = listen[..index].iter().find(|other| clash(other, address)) {
            problems.push(Problem::new(path.clone(), format!("`{address}` is taken by `{other}` before it")));
        }
        let admin = config.server.admin.to_string();
        if clash(&admin, address) {
            let message = format!("`{address}` is also the address of `server.admin`, `{admin}`");
            problems.push(Problem::new(path, message).hint("give the admin listener a port of its own"));
        }
    }
}

/// Whether two listeners cannot both be bound: one port, and one address or a wildcard. Port 0 is always free.
fn clash(a: &str, b: &str) -> bool {
    let (Ok(a), Ok(b)) = (a.parse::<SocketAddr>(), b.parse::<SocketAddr>()) else { return a == b };
    // A wildcard of IPv6 takes the port on IPv4 too.
    let covers = |wild: IpAddr, other: IpAddr| wild.is_unspecified() && (wild.is_ipv6() || other.is_ipv4());
    a.port() != 0 && a.port() == b.port() && (a.ip() == b.ip() || covers(a.ip(), b.ip()) || covers(b.ip(), a.ip()))
}

fn paths(config: &Config, problems: &mut Vec<Problem>) {
    let collect = config.collect.path.trim_end_matches('/');
    let script = config.collect.script.as_str();
    let inside = |path: &str, parent: &str| path.strip_prefix(parent).is_some_and(|rest| rest.starts_with('/'));
    if script == collect || inside(script, collect) {
        let message = format!("`{script}` is among the streams' paths, `{collect}/…`");
        problems.push(Problem::new("collect.script", message).hint("put the script outside `collect.path`"));
    }
    if collect.is_empty() && !config.collect.path.is_empty() {
        let problem = Problem::new("collect.path", "would take every request from the site");
        problems.push(problem.hint("use a path of its own, such as `/api/v1/streaming`"));
    }
    for (key, path) in [("collect.path", collect), ("collect.script", script)] {
        if path == HEALTH {
            problems.push(Problem::new(key, format!("`{HEALTH}` is the health check")));
        }
    }
}

fn streams(config: &Config, problems: &mut Vec<Problem>) {
    let mut seen = HashMap::new();
    for (index, stream) in config.streams.iter().enumerate() {
        if let Some(first) = seen.insert(stream.id.to_string(), index) {
            let message = format!("`{}` is the id of `streams[{first}]` too", stream.id);
            problems.push(Problem::new(format!("streams[{index}].id"), message));
        }
    }
}

fn routes(config: &Config, problems: &mut Vec<Problem>) {
    if config.routes.is_empty() {
        let problem = Problem::new("routes", "there is no site behind the edge");
        problems.push(problem.hint("add a route, or use `--upstream http://127.0.0.1:3000`"));
    }
}

/// Readers of the lake take every file below its `events` folder.
fn folders(config: &Config, problems: &mut Vec<Problem>) {
    let spool: &Path = &config.writers.spool.directory;
    let lake: &Path = &config.writers.local.directory;
    if spool == lake || spool.starts_with(lake.join("events")) || lake.starts_with(spool) {
        let message = format!("`{}` is mixed up with the lake in `{}`", spool.display(), lake.display());
        let hint = format!("use a folder of its own, such as `{}`", lake.join("spool").display());
        problems.push(Problem::new("writers.spool.directory", message).hint(hint));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_clash_when_they_cannot_both_be_bound() {
        for (a, b, expected) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "[::]:80", true),
            ("0.0.0.0:80", "[::1]:80", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
            ("localhost:80", "localhost:80", true),
        ] {
            assert_eq!(clash(a, b), expected, "{a} {b}");
            assert_eq!(clash(b, a), expected, "{b} {a}");
        }
    }
}
