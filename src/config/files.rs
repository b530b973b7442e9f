//! Files that the configuration names and that must be readable before anything is served.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::Config;
use crate::{
    edge::TlsSetup,
    enrich::{Database, matomo, matomo::Detector, play_devices, play_devices::PlayDevices},
    problem::Problem,
};

/// The judgement of the disk.
pub fn check(config: &Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut note = |key: &str, path: &Path, wrong: fn(&Path) -> Option<String>, hint: &str| {
        let wrong = (!path.as_os_str().is_empty()).then(|| wrong(path)).flatten();
        problems.extend(wrong.map(|why| Problem::new(key, why).hint(hint)));
    };
    let hint = "name a city or country database such as GeoLite2-City.mmdb, or nothing";
    note("geo.database", &config.geo.database, |path| geo_database(path).err(), hint);
    let hint = "name the folder `regexes` of the Matomo device detector, or nothing";
    note("device.matomo", &config.device.matomo, |path| matomo(path).err(), hint);
    let hint = "name Google's supported_devices.csv, or nothing";
    note("device.play_devices", &config.device.play_devices, |path| play_devices(path).err(), hint);
    problems.extend(TlsSetup::load(&config.server.tls, "server.tls").err().unwrap_or_default());
    problems
}

/// Reads `geo.database`; else, what is wrong with it.
pub fn geo_database(path: &Path) -> Result<Database, String> {
    Database::load(contents(path, u64::MAX)?).map_err(|error| format!("`{}` {error}", path.display()))
}

/// Reads `device.play_devices`; else, what is wrong with it.
pub fn play_devices(path: &Path) -> Result<PlayDevices, String> {
    let bytes = contents(path, play_devices::MAX_BYTES as u64)?;
    PlayDevices::load(&bytes).map_err(|error| format!("`{}` {error}", path.display()))
}

/// Reads `device.matomo`; else, what is wrong with it. Files that it may do without may be missing.
pub fn matomo(path: &Path) -> Result<Detector, String> {
    if !fs::metadata(path).map_err(|error| unreadable(path, &error))?.is_dir() {
        return Err(format!("`{}` is not a folder", path.display()));
    }
    let mut files = Vec::new();
    for (name, file) in matomo_files(path) {
        match fs::exists(&file) {
            Ok(false) => {}
            _ => files.push((name, contents(&file, matomo::MAX_BYTES as u64)?)),
        }
    }
    let files = files.iter().map(|(name, bytes)| (*name, &bytes[..]));
    Detector::load(files).map_err(|fault| format!("`{}`: {fault}", path.display()))
}

/// The files of a `device.matomo` folder that are read: their names in it, and their paths.
pub fn matomo_files(folder: &Path) -> impl Iterator<Item = (&'static str, PathBuf)> {
    matomo::FILES.iter().map(move |(name, _)| (*name, folder.join(name)))
}

/// The bytes of a plain file: a pipe or a device would never end.
fn contents(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let found = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if !found.is_file() {
        return Err(format!("`{}` is not a file", path.display()));
    }
    if found.len() > most {
        return Err(format!("`{}` is larger than {} MiB", path.display(), most >> 20));
    }
    fs::read(path).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &io::Error) -> String {
    let shown = path.display();
    match error.kind() {
        io::ErrorKind::NotFound => format!("there is no file `{shown}`"),
        _ => format!("`{shown}` cannot be read: {error}"),
    }
}
