//! A world to test in: a stand-in site, a configuration, and our process before it, either inside this one or as the
//! real binary. Everything stands on free ports and in a folder that goes with the world.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use arrow_array::{Array, RecordBatch, StringArray, StructArray, cast::AsArray};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use real_streaming::{
    app::App,
    config::{Config, Sources},
    deliver::{Delivery, Drained},
    telemetry::Metrics,
};
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::{
    client::{PATIENCE, free_port, get},
    site::Site,
};

/// Name of the real binary's log in the world's folder.
const LOG: &str = "log";

/// A folder and a stand-in site.
pub struct World {
    pub dir: TempDir,
    pub site: Site,
    /// `writers.spool.max_size`.
    pub spool_size: &'static str,
    /// More of the configuration, in YAML.
    pub more: &'static str,
}

impl World {
    pub fn new() -> World {
        World { dir: tempfile::tempdir().unwrap(), site: Site::start(), spool_size: "1GB", more: "" }
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub fn spool(&self) -> PathBuf {
        self.dir.path().join("spool")
    }

    /// The configuration of this world, as a person would write it.
    pub fn yaml(&self, public: &str, admin: &str) -> String {
        format!(
            "environment: QA\n\
             server: {{ listen: [\"{public}\"], admin: \"{admin}\", trusted_proxies: [\"127.0.0.0/8\"] }}\n\
             routes: [ {{ hosts: [\"*\"], path: \"/\", upstreams: [\"{site}\"] }} ]\n\
             writers:\n  strategy: local\n  local: {{ directory: {data} }}\n  spool: {{ directory: {spool}, max_size: {size} }}\n{more}",
            more = self.more,
            site = self.site.url,
            data = self.data().display(),
            spool = self.spool().display(),
            size = self.spool_size,
        )
    }

    pub fn config(&self) -> Config {
        let path = self.dir.path().join("in-process.yaml");
        std::fs::write(&path, self.yaml("127.0.0.1:0", "127.0.0.1:0")).unwrap();
        load(&path)
    }

    /// Starts our process inside this one.
    pub fn start(&self) -> Running {
        let app = App::start(self.config(), Arc::new(Metrics::new())).unwrap();
        let (public, admin) = (app.public_addrs()[0], app.admin_addr());
        let delivery = app.delivery().unwrap().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let (done, drained) = mpsc::channel();
        thread::spawn(move || {
            done.send(
                app.run(async {
                    let _ = stopped.await;
                })
                .drained,
            )
        });
        Running { public, admin, delivery, stop: Some(stop), drained }
    }

    /// Starts the real binary and waits until it serves.
    pub fn spawn(&self) -> Process {
        self.spawn_with(&[])
    }

    /// The same, with these variables in its environment.
    pub fn spawn_with(&self, variables: &[(&str, &str)]) -> Process {
        // A port that was free may be taken a moment later, by anybody's connection.
        for _ in 0..5 {
            let before = self.log().len();
            let mut process = self.launch(variables);
            let up = eventually(Duration::from_secs(60), || {
                process.has_ended() || get(process.public, "/healthz").is_ok_and(|response| response.status == 200)
            });
            if up && !process.has_ended() {
                return process;
            }
            let log = self.log().split_off(before);
            assert!(log.contains("cannot listen"), "not up: {log}");
        }
        panic!("no port stays free");
    }

    /// Starts the real binary, on ports that are free now.
    pub fn launch(&self, variables: &[(&str, &str)]) -> Process {
        self.launch_with(variables, &[])
    }

    /// The same, with more on its command line.
    pub fn launch_with(&self, variables: &[(&str, &str)], more: &[&str]) -> Process {
        let (public, admin) = (free_port(), free_port());
        let path = self.dir.path().join("process.yaml");
        std::fs::write(&path, self.yaml(&public.to_string(), &admin.to_string())).unwrap();
        let child = self.serve(more).envs(variables.iter().copied()).spawn().unwrap();
        Process { child, public, admin }
    }

    /// The real binary's command, with the configuration of the process that was launched last.
    pub fn serve(&self, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_real-streaming"));
        command.args(["serve", "--config"]).arg(self.dir.path().join("process.yaml")).args(more);
        self.in_the_log(&mut command);
        command
    }

    /// What the command says goes to the world's log.
    pub fn in_the_log(&self, command: &mut Command) {
        let log = File::options().create(true).append(true).open(self.dir.path().join(LOG)).unwrap();
        command.current_dir(self.dir.path()).stdout(log.try_clone().unwrap()).stderr(log).stdin(Stdio::null());
    }

    /// What the real binary has said so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join(LOG)).unwrap_or_default()
    }

    /// How often each event id stands in the lake.
    pub fn ids_in_lake(&self) -> HashMap<String, usize> {
        let mut ids = HashMap::new();
        for batch in self.lake() {
            let info: &StructArray = batch.column_by_name("rs_info").unwrap().as_struct();
            let id: &StringArray = info.column_by_name("event_id").unwrap().as_string();
            for row in 0..id.len() {
                *ids.entry(id.value(row).to_owned()).or_default() += 1;
            }
        }
        ids
    }

    /// How many rows of each stream the lake has.
    pub fn rows_in_lake(&self) -> BTreeMap<String, i64> {
        let mut rows = BTreeMap::new();
        for batch in self.lake() {
            let stream: &StringArray = batch.column_by_name("stream_id").unwrap().as_string();
            for stream in stream.iter() {
                *rows.entry(stream.unwrap_or_default().to_owned()).or_default() += 1;
            }
        }
        rows
    }

    /// Every row of the lake, as record batches. Panics over a file that is torn.
    pub fn lake(&self) -> Vec<RecordBatch> {
        // A merge may replace files between the look and the reading, and a reader that misses one looks again.
        loop {
            let files: Result<Vec<_>, _> = parquet_files(&self.data().join("events")).iter().map(File::open).collect();
            match files {
                Ok(files) => return files.into_iter().flat_map(read_file).collect(),
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}"),
            }
        }
    }

    /// Names of what the lake has not finished; without the files that merges have replaced, which stay for a while.
    pub fn unfinished(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.data().join(".staging")) else { return Vec::new() };
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| !name.ends_with(".old")).collect()
    }
}

fn read_file(file: File) -> Vec<RecordBatch> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    reader.map(|batch| batch.unwrap()).collect()
}

fn load(path: &Path) -> Config {
    let sources = Sources { file: Some(path.into()), ..Sources::default() };
    real_streaming::config::load(&sources).unwrap_or_else(|problems| panic!("{problems}")).config
}

pub fn parquet_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(days) = std::fs::read_dir(folder) else { return found };
    for day in days.flatten().filter(|day| day.file_name().to_string_lossy().starts_with("day=")) {
        let Ok(files) = std::fs::read_dir(day.path()) else { continue };
        found.extend(
            files.flatten().map(|file| file.path()).filter(|path| path.extension().is_some_and(|e| e == "parquet")),
        );
    }
    found.sort();
    found
}

/// Our process, inside this one.
pub struct Running {
    pub public: SocketAddr,
    pub admin: SocketAddr,
    pub delivery: Delivery,
    stop: Option<oneshot::Sender<()>>,
    drained: mpsc::Receiver<Drained>,
}

impl Running {
    pub fn stop(&mut self) -> Drained {
        drop(self.stop.take());
        let drained =
            self.drained.recv_timeout(Duration::from_secs(30)).expect("stops within its grace and drain times");
        self.delivery.check_books().expect("the books balance when all is quiet");
        self.delivery.release();
        drained
    }
}

/// Our process, on its own.
pub struct Process {
    pub child: Child,
    pub public: SocketAddr,
    pub admin: SocketAddr,
}

impl Process {
    /// SIGKILL.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// SIGTERM, and the exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        signal(&self.child, "TERM");
        // Many times what it takes on a machine that has nothing else to do.
        let ended = eventually(Duration::from_secs(60), || self.has_ended());
        assert!(ended, "still running a minute after SIGTERM");
        self.child.wait().unwrap().code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

pub fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").arg(format!("-{name}")).arg(child.id().to_string()).status().unwrap();
    assert!(status.success());
}

/// Tries until `holds` says yes; `false` when it has not by the deadline.
pub fn eventually(within: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + within;
    loop {
        if holds() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Tries until there is a value, for as long as patience lasts.
#[track_caller]
pub fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let mut value = None;
    let came = eventually(PATIENCE, || {
        value = condition();
        value.is_some()
    });
    assert!(came, "never came true: {what}");
    value.unwrap()
}

/// Says, past the harness that keeps the output of passing tests to itself, why a test proves nothing here.
pub fn skip(why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}
