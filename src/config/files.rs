//! Files that the configuration names and that must be readable before anything is served.

use std::{fs, io, path::Path};

use super::Config;
use crate::{enrich::Database, problem::Problem};

/// The judgement of the disk.
pub fn check(config: &Config) -> Vec<Problem> {
    let path = &config.geo.database;
    let wrong = (!path.as_os_str().is_empty()).then(|| geo_database(path).err()).flatten();
    let hint = "name a city or country database such as GeoLite2-City.mmdb, or nothing";
    wrong.map(|why| Problem::new("geo.database", why).hint(hint)).into_iter().collect()
}

/// Reads `geo.database`; else, what is wrong with it.
pub fn geo_database(path: &Path) -> Result<Database, String> {
    let shown = path.display();
    let wrong = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => format!("there is no file `{shown}`"),
        _ => format!("`{shown}` cannot be read: {error}"),
    };
    // A pipe or a device would never end.
    if !fs::metadata(path).map_err(wrong)?.is_file() {
        return Err(format!("`{shown}` is not a file"));
    }
    let bytes = fs::read(path).map_err(wrong)?;
    Database::load(bytes).map_err(|error| format!("`{shown}` {error}"))
}
