//! Pieces of generated code, from files that stand somewhere else:
//!
//! - `proto/event.proto` becomes the types that rows are filled in (`build/event.rs`), prost types, and a descriptor
//!   set, comments and custom options included, for the parts that derive the other forms of the schema. No `protoc` is
//!   needed: protox is a compiler in Rust.
//! - The files below `proto/google` become clients of Google's APIs, and for the tests' stand-ins the servers.
//! - The user-agent patterns of uap-core become a JSON text in the binary (`build/patterns.rs`).

#[path = "build/event.rs"]
mod event;
#[path = "build/patterns.rs"]
mod patterns;

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=build");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    compile_proto(&out)?;
    compile_google_protos(&out)?;
    patterns::embed(&out)
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
