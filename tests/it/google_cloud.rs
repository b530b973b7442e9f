//! The files for Google Cloud say what the binary takes. That the image of the Dockerfile runs is tested by
//! `tests/foreign/dockerfile_in_chroot.py`.

use std::{collections::BTreeSet, ffi::OsString, fs, path::Path};

use real_streaming::{
    config::{self, Config, Sources},
    deliver::setup,
};

fn shipped(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The variables of the container in `conf/cloud-run.yaml`.
fn variables(project: &str) -> Vec<(OsString, OsString)> {
    let text = shipped("conf/cloud-run.yaml").replace("YOUR-PROJECT", project);
    let mut lines = text.lines().map(str::trim);
    let mut variables = Vec::new();
    while let Some(line) = lines.next() {
        let Some(name) = line.strip_prefix("- name: ") else { continue };
        let value = lines.next().and_then(|line| line.strip_prefix("value: ")).unwrap();
        let value = match value.strip_prefix('"') {
            Some(_) => serde_json::from_str(value).unwrap(),
            None => value.trim_matches('\'').replace("''", "'"),
        };
        variables.push((name.into(), value.into()));
    }
    variables
}

fn configuration(change: &[(&str, &str)]) -> Config {
    let mut environment = variables("my-project-1");
    environment.push(("PORT".into(), "8080".into()));
    environment.extend(change.iter().map(|(name, value)| (name.into(), value.into())));
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/real-streaming.yaml");
    let sources = Sources { file: Some(file), environment, ..Sources::default() };
    config::load(&sources).map_err(|problems| problems.to_string()).unwrap().config
}

#[test]
fn the_service_runs_by_its_variables_within_what_cloud_run_allows() {
    let config = configuration(&[]);
    assert_eq!(config.environment, "PROD");
    assert_eq!(config.writers.project_id, "my-project-1");
    let shutdown = &config.server.shutdown;
    assert!((*shutdown.grace + *shutdown.drain).as_secs() < 10, "SIGKILL comes ten seconds after SIGTERM");
    let service = shipped("conf/cloud-run.yaml");
    assert!(service.contains("memory: 512Mi") && config.writers.spool.max_size.as_u64() <= 256 << 20);
    for strategy in ["direct", "pubsub"] {
        let config = configuration(&[("APP_CONFIG__WRITERS__STRATEGY", strategy)]);
        let request = setup::Request { dry_run: true, views: true };
        assert_eq!(setup::problems(&config.writers, request, "writers"), [], "{strategy}");
    }
}

#[test]
fn the_build_uses_every_substitution_and_no_other() {
    let text = shipped("cloudbuild.yaml");
    let (steps, declared) = text.split_once("\nsubstitutions:\n").unwrap();
    let steps: String = steps.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let used: BTreeSet<_> = steps
        .split("${_")
        .skip(1)
        .filter_map(|rest| rest.split_once('}'))
        .map(|(name, _)| format!("_{name}"))
        .collect();
    let declared: BTreeSet<_> = declared
        .lines()
        .take_while(|line| line.starts_with("  _"))
        .filter_map(|line| line.trim().split_once(':'))
        .map(|(name, _)| name.to_owned())
        .collect();
    assert_eq!(used, declared);
    let expected = ["_AR_HOSTNAME", "_AR_REPO", "_DEPLOY_REGION", "_PLATFORM", "_SERVICE_NAME"];
    assert_eq!(declared.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}
