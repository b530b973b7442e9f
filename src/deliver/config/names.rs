//! Names in Google Cloud.

use crate::problem::Problem;

/// What they consist of; more about them is known there alone.
pub(super) fn identifier(text: &str, path: &str, example: &str, besides: &str, problems: &mut Vec<Problem>) {
    if text.is_empty() {
        problems.push(Problem::new(path, "must not be empty").hint(format!("name {example}")));
    } else if !text.chars().all(|c| c.is_alphanumeric() || besides.contains(c)) {
        problems.push(Problem::new(path, format!("`{text}` cannot be one")).hint(format!("name {example}")));
    }
}
