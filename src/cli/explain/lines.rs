//! JSON lines in, JSON lines out, in order and on all cores.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Write, stdin, stdout},
    path::Path,
    process::ExitCode,
    thread,
};

use anyhow::Context;
use serde::Serialize;

/// Lines that are read before the first of them is answered, for each thread.
const BATCH: usize = 2048;
/// Longest line, in bytes.
const MAX_LINE: u64 = 1 << 20;

/// Answers every line of a file, `-` for standard input. Exit code 1 when a line could not be read; it is answered with
/// `{"error": …}`.
pub fn run<T: Serialize + Send>(
    path: &Path,
    answer: impl Fn(&[u8]) -> Result<T, String> + Sync,
) -> anyhow::Result<ExitCode> {
    let mut out = BufWriter::new(stdout().lock());
    let answered = answer_lines(open(path)?, &mut out, answer);
    match answered.and_then(|all_read| out.flush().map(|()| all_read)) {
        Ok(all_read) => Ok(if all_read { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
        // A reader that has seen enough, as in `… | head`, is no failure.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(error) => Err(error).with_context(|| format!("cannot read `{}`", path.display())),
    }
}

fn open(path: &Path) -> anyhow::Result<Box<dyn BufRead>> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(stdin().lock()));
    }
    let file = File::open(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    Ok(Box::new(BufReader::with_capacity(1 << 16, file)))
}

/// Whether every line could be read. As many lines at a time as keep all cores busy, and no more in memory.
fn answer_lines<T: Serialize + Send>(
    mut input: Box<dyn BufRead>,
    out: &mut impl Write,
    answer: impl Fn(&[u8]) -> Result<T, String> + Sync,
) -> io::Result<bool> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let mut all_read = true;
    loop {
        let lines = read_lines(&mut input, BATCH * threads)?;
        if lines.is_empty() {
            return Ok(all_read);
        }
        let answers: Vec<(Vec<u8>, bool)> = thread::scope(|scope| {
            let parts = lines.chunks(lines.len().div_ceil(threads));
            let answer = &answer;
            let work = |part| scope.spawn(move || answer_part(part, answer));
            let running: Vec<_> = parts.map(work).collect();
            running.into_iter().map(|part| part.join().expect("a panic has ended the process")).collect()
        });
        for (text, read) in answers {
            out.write_all(&text)?;
            all_read &= read;
        }
    }
}

fn read_lines(input: &mut Box<dyn BufRead>, most: usize) -> io::Result<Vec<Vec<u8>>> {
    let mut lines = Vec::new();
    while lines.len() < most {
        let mut line = Vec::new();
        if io::Read::take(&mut *input, MAX_LINE).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if !line.trim_ascii().is_empty() {
            lines.push(line);
        }
    }
    Ok(lines)
}

fn answer_part<T: Serialize>(lines: &[Vec<u8>], answer: &impl Fn(&[u8]) -> Result<T, String>) -> (Vec<u8>, bool) {
    let mut text = Vec::with_capacity(lines.len() * 200);
    let mut all_read = true;
    for line in lines {
        let written = match answer(line) {
            Ok(answer) => serde_json::to_writer(&mut text, &answer),
            Err(error) => {
                all_read = false;
                serde_json::to_writer(&mut text, &serde_json::json!({ "error": error }))
            }
        };
        written.expect("plain structs are written to memory");
        text.push(b'\n');
    }
    (text, all_read)
}
