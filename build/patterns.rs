//! The user-agent patterns of uap-core (Apache-2.0, see `NOTICE`). The package of the `ua-parser` crate carries them, but
//! does not hand them out as code.

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use regex_syntax::hir::{Capture, Class, ClassUnicode, ClassUnicodeRange, Hir, HirKind};

/// The package whose tarball carries uap-core. Pinned in `Cargo.toml`, so that this name stays true.
const CARRIER: (&str, &str) = ("ua-parser", "0.2.2");

/// Writes the three lists as JSON: it is read in half a millisecond at start-up, YAML in several.
pub fn embed(out: &Path) -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-env-changed=UAP_REGEXES");
    let source = match env::var_os("UAP_REGEXES") {
        Some(path) => PathBuf::from(path),
        None => carrier_directory()?.join("uap-core/regexes.yaml"),
    };
    println!("cargo:rerun-if-changed={}", source.display());

    let text = fs::read_to_string(&source).map_err(|e| {
        format!(
            "cannot read the user-agent patterns `{}`: {e}; set UAP_REGEXES to a regexes.yaml of uap-core",
            source.display()
        )
    })?;
    let all: serde_json::Value = serde_yaml::from_str(&text)?;
    let mut lists = serde_json::Map::new();
    for list in ["user_agent_parsers", "os_parsers", "device_parsers"] {
        let patterns = all.get(list).and_then(serde_json::Value::as_array);
        let patterns = patterns.ok_or_else(|| format!("`{}` has no list `{list}`", source.display()))?;
        lists.insert(list.to_owned(), patterns.iter().map(in_ascii).collect::<Result<_, _>>()?);
    }
    fs::write(out.join("user_agent_patterns.json"), serde_json::to_string(&lists)?)?;
    Ok(())
}

/// The same pattern for texts that are ASCII: a class of all characters but some is a large automaton when it is about
/// all of Unicode, and the patterns have thousands of them. It has no flag any more.
fn in_ascii(pattern: &serde_json::Value) -> Result<serde_json::Value, Box<dyn Error>> {
    let mut pattern = pattern.as_object().ok_or("a pattern is no map")?.clone();
    let regex = pattern.get("regex").and_then(serde_json::Value::as_str).ok_or("a pattern has no `regex`")?;
    let flag = pattern.get("regex_flag").and_then(serde_json::Value::as_str);
    let hir = match flag {
        None => regex_syntax::parse(regex),
        Some("i") => regex_syntax::parse(&format!("(?i){regex}")),
        Some(other) => return Err(format!("`{regex}` has the unknown flag `{other}`").into()),
    };
    let hir = hir.map_err(|error| format!("`{regex}`: {error}"))?;
    pattern.insert("regex".to_owned(), narrowed(&hir).to_string().into());
    pattern.remove("regex_flag");
    Ok(pattern.into())
}

fn narrowed(hir: &Hir) -> Hir {
    let all = |parts: &[Hir]| parts.iter().map(narrowed).collect();
    match hir.kind() {
        HirKind::Class(Class::Unicode(class)) => {
            let mut class = class.clone();
            class.intersect(&ClassUnicode::new([ClassUnicodeRange::new('\0', '\x7f')]));
            Hir::class(Class::Unicode(class))
        }
        HirKind::Repetition(repetition) => Hir::repetition(repetition.with(narrowed(&repetition.sub))),
        HirKind::Capture(Capture { index, name, sub }) => {
            Hir::capture(Capture { index: *index, name: name.clone(), sub: narrowed(sub).into() })
        }
        HirKind::Concat(parts) => Hir::concat(all(parts)),
        HirKind::Alternation(parts) => Hir::alternation(all(parts)),
        HirKind::Empty | HirKind::Literal(_) | HirKind::Look(_) | HirKind::Class(Class::Bytes(_)) => hir.clone(),
    }
}

/// Where the unpacked package stands: a registry checkout or a vendored copy.
fn carrier_directory() -> Result<PathBuf, Box<dyn Error>> {
    if let Some(directory) = carrier_by_metadata() {
        return Ok(directory);
    }
    // `cargo metadata` refuses when any package of the lock file is missing on this machine, and a plain build does not
    // fetch development dependencies. The package itself was fetched, else we would not be running.
    if let Some(directory) = carrier_in_registry() {
        return Ok(directory);
    }
    let (name, version) = CARRIER;
    Err(format!("cannot find the sources of `{name}` {version}, which carry the user-agent patterns; run `cargo fetch`, or set UAP_REGEXES to a regexes.yaml of uap-core").into())
}

fn carrier_by_metadata() -> Option<PathBuf> {
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR")?).join("Cargo.toml");
    let output = Command::new(env::var_os("CARGO")?)
        .args(["metadata", "--format-version=1", "--offline", "--locked", "--filter-platform"])
        .arg(env::var_os("TARGET")?)
        .arg("--manifest-path")
        .arg(manifest)
        .output()
        .ok()?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
    let package =
        metadata["packages"].as_array()?.iter().find(|p| p["name"] == CARRIER.0 && p["version"] == CARRIER.1)?;
    Path::new(package["manifest_path"].as_str()?).parent().map(Path::to_owned)
}

fn carrier_in_registry() -> Option<PathBuf> {
    let cargo_home = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".cargo")))?;
    let folder = format!("{}-{}", CARRIER.0, CARRIER.1);
    let registries = fs::read_dir(cargo_home.join("registry/src")).ok()?;
    registries.flatten().map(|r| r.path().join(&folder)).find(|d| d.join("uap-core/regexes.yaml").is_file())
}
