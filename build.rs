//! Pieces of generated code, from files that stand somewhere else:
//!
//! - `proto/event.proto` becomes the types that rows are filled in (`build/event.rs`), prost types, and a descriptor
//!   set, comments and custom options included, for the parts that derive the other forms of the schema. No `protoc` is
//!   needed: protox is a compiler in Rust.
//! - The files below `proto/google` become clients of Google's APIs, and for the tests' stand-ins the servers.
//! - The user-agent patterns of uap-core (Apache-2.0, see `NOTICE`) become a JSON text in the binary. The package of
//!   the `ua-parser` crate carries them, but does not hand them out as code.

#[path = "build/event.rs"]
mod event;

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The package whose tarball carries uap-core. Pinned in `Cargo.toml`, so that this name stays true.
const CARRIER: (&str, &str) = ("ua-parser", "0.2.2");

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=build");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    compile_proto(&out)?;
    compile_google_protos(&out)?;
    embed_user_agent_patterns(&out)
}

fn compile_proto(out: &Path) -> Result<(), Box<dyn Error>> {
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true).open_files(["event.proto"])?;
    fs::write(out.join("event.descriptor.bin"), compiler.encode_file_descriptor_set())?;
    fs::write(out.join("event.rs"), event::generate(&compiler.descriptor_pool())?)?;

    tonic_prost_build::configure()
        .build_client(false)
        .build_server(false)
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

/// Messages and clients for the library. The servers refer to the same messages and are compiled by tests alone, so that
/// the binary does without tonic's server half.
fn compile_google_protos(out: &Path) -> Result<(), Box<dyn Error>> {
    let files =
        ["google/cloud/bigquery/storage/v1/storage.proto", "google/pubsub/v1/pubsub.proto", "google/rpc/status.proto"];
    let descriptors = protox::compile(files, ["proto"])?;
    let folder = |name: &str| -> Result<PathBuf, Box<dyn Error>> {
        let folder = out.join(name);
        fs::create_dir_all(&folder)?;
        Ok(folder)
    };
    tonic_prost_build::configure()
        .build_server(false)
        .codec_path("crate::gcp::codec::Roomy")
        .bytes(".")
        .out_dir(folder("google")?)
        .compile_fds(descriptors.clone())?;
    tonic_prost_build::configure()
        .build_client(false)
        .extern_path(".google.cloud.bigquery.storage.v1", "::real_streaming::gcp::proto::storage")
        .extern_path(".google.pubsub.v1", "::real_streaming::gcp::proto::pubsub")
        .extern_path(".google.rpc", "::real_streaming::gcp::proto::rpc")
        .out_dir(folder("google_servers")?)
        .compile_fds(descriptors)?;
    Ok(())
}

/// Writes the three pattern lists as JSON: it is read in half a millisecond at start-up, YAML in several.
fn embed_user_agent_patterns(out: &Path) -> Result<(), Box<dyn Error>> {
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
        let patterns = all.get(list).ok_or_else(|| format!("`{}` has no list `{list}`", source.display()))?;
        lists.insert(list.to_owned(), patterns.clone());
    }
    fs::write(out.join("user_agent_patterns.json"), serde_json::to_string(&lists)?)?;
    Ok(())
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
