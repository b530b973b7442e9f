//! Where a command's configuration comes from.

use std::path::{Path, PathBuf};

use clap::Args;

use super::Environment;
use crate::config::{self, Loaded, Problems, Sources};

/// Environment file that is read when it is there and none was named.
const DEFAULT_ENV_FILE: &str = ".env";

/// The flags that every command with a configuration has.
#[derive(Debug, Args)]
pub struct SourceArgs {
    /// Configuration file (YAML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// File of APP_CONFIG__… variables [default: .env, when there is one]
    #[arg(long, value_name = "FILE")]
    env_file: Option<PathBuf>,
}

impl SourceArgs {
    /// Reads and checks the configuration.
    pub fn load(self, upstream: Option<String>, environment: Environment) -> Result<Loaded, Problems> {
        config::load(&self.sources(upstream, environment))
    }

    /// Where it is read from.
    pub fn sources(self, upstream: Option<String>, environment: Environment) -> Sources {
        let default = || Path::new(DEFAULT_ENV_FILE).is_file().then(|| PathBuf::from(DEFAULT_ENV_FILE));
        let env_file = self.env_file.or_else(default);
        Sources { file: self.config, env_file, environment, upstream, domains: Vec::new() }
    }
}
