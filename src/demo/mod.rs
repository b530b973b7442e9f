//! A small shop on this machine, so that everything can be tried before there is a site: `real-streaming demo`.

mod catalogue;
pub mod site;

use std::{net::SocketAddr, path::Path};

use crate::config::Config;

/// The edge in front of the shop: on this machine only, everything written below one folder.
pub fn config(site: SocketAddr, data: &Path) -> Config {
    let mut config = Config::default();
    config.server.listen = vec![SocketAddr::from(([127, 0, 0, 1], 8080))];
    config.server.admin = SocketAddr::from(([127, 0, 0, 1], 9090));
    config.routes[0].upstreams = vec![format!("http://{site}").parse().expect("an address makes a valid upstream")];
    config.writers.local.directory = data.to_owned();
    config.writers.spool.directory = data.join("spool");
    config
}

/// What a newcomer needs to know, once everything runs.
pub fn banner(config: &Config) -> String {
    let shop = config.server.listen.first().map(ToString::to_string).unwrap_or_default();
    let admin = config.server.admin;
    let data = config.writers.local.directory.display();
    let collect = &config.collect.path;
    format!(
        r#"
  real-streaming {version}, demo

    Shop       http://{shop}/             click around, add to the cart, buy
    Metrics    http://{admin}/metrics
    Events     {data}/events/day=*/       Parquet files, a few seconds after each click

  Send an event yourself:

    curl -H 'Content-Type: application/json' http://{shop}{collect}/1 \
      -d '{{"event_name": "hello", "event_params": {{"from": "curl"}}}}'

  Look at the rows:

    duckdb -c "select event_name, device.category, user_pseudo_id, rs_info.notes
               from read_parquet('{data}/events/*/*.parquet') order by event_timestamp desc limit 20"

  Ctrl-C ends it.
"#,
        version = env!("CARGO_PKG_VERSION"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_local_and_below_one_folder() {
        let config = config(SocketAddr::from(([127, 0, 0, 1], 4321)), Path::new("/tmp/demo"));
        assert!(config.server.listen.iter().chain([&config.server.admin]).all(|address| address.ip().is_loopback()));
        assert_eq!(config.routes[0].upstreams[0].to_string(), "http://127.0.0.1:4321");
        assert_eq!(config.writers.spool.directory, Path::new("/tmp/demo/spool"));
        let banner = banner(&config);
        for text in ["http://127.0.0.1:8080/", "/tmp/demo/events", "127.0.0.1:9090", "{\"event_name\": \"hello\""] {
            assert!(banner.contains(text), "{text}: {banner}");
        }
    }
}
