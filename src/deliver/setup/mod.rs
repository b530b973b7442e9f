//! Creates what the configured destinations need, and says what differs: the data set, the table, views on it, topics,
//! their schema and the subscription that writes into the table.
//!
//! It may be run at any time and as often as one likes. What is there is changed only by adding to it or by replacing
//! what was configured here; rows are never touched, and what belongs to somebody else (a subscription to another
//! table, a view of another maker) is named and left alone.

mod difference;
mod report;
mod schemas;
mod tables;
mod topics;
mod views;

pub use report::{Finding, Outcome, Report};
pub use views::{ga4, unique};

use super::config::{Strategy, TableLayout, WritersConfig};
use crate::problem::Problem;

/// What is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request {
    /// Look, and change nothing.
    pub dry_run: bool,
    /// Views, too.
    pub views: bool,
}

/// What the configuration lacks for this; `path` is where `writers` stands.
pub fn problems(config: &WritersConfig, request: Request, path: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    let subscribes = subscribes(config);
    if subscribes && !writes(config) {
        config.bq.check(&format!("{path}.bq"), &mut problems);
    }
    if subscribes && config.bq.table_layout == TableLayout::Sharded {
        let hint = "use `partitioned`, or leave `writers.pubsub.subscription_id` empty";
        let message = "a subscription writes into one table, not into one for each day";
        problems.push(Problem::new(format!("{path}.bq.table_layout"), message).hint(hint));
    }
    if request.views && !needs_table(config) {
        let hint = "views need `writers.strategy: direct`, or `pubsub` with `writers.pubsub.subscription_id`";
        problems.push(Problem::new(format!("{path}.strategy"), "there is no table for views").hint(hint));
    }
    let shards = format!("{}_", config.bq.table_id);
    if request.views && config.bq.table_layout == TableLayout::Sharded {
        for name in views::names(&config.bq.table_id) {
            if name.starts_with(&shards) {
                let message = format!("a view `{name}` would break every query of `{shards}*`");
                let problem = Problem::new(format!("{path}.bq.table_id"), message);
                problems.push(problem.hint("choose another, such as `events`"));
            }
        }
    }
    problems
}

/// Does it, and tells what was found. Without [`problems`].
pub async fn run(config: &WritersConfig, request: Request) -> Report {
    let mut report = Report::default();
    let mut table = true;
    if needs_table(config) {
        table = tables::set_up(config, request, &mut report).await;
    }
    if config.strategy.0.contains(&Strategy::PubSub) {
        topics::set_up(config, request, table, &mut report).await;
    }
    report
}

fn writes(config: &WritersConfig) -> bool {
    config.strategy.0.contains(&Strategy::Direct)
}

fn subscribes(config: &WritersConfig) -> bool {
    config.strategy.0.contains(&Strategy::PubSub) && !config.pubsub.subscription_id.is_empty()
}

fn needs_table(config: &WritersConfig) -> bool {
    writes(config) || subscribes(config)
}
