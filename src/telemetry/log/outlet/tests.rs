#![allow(clippy::unwrap_used)]

use std::sync::mpsc::{self, Receiver, Sender};

use super::*;

const MUCH: Duration = Duration::from_secs(20);

/// Hands over what is written, each time when it is allowed to.
struct Gate {
    open: Receiver<io::Result<()>>,
    written: Sender<String>,
}

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A test that is over needs no more.
        self.open.recv().unwrap_or(Ok(()))?;
        let _ = self.written.send(String::from_utf8(bytes.to_vec()).unwrap());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn outlet(piece: usize) -> (Outlet, Sender<io::Result<()>>, Receiver<String>) {
    let ((opens, open), (written, writes)) = (mpsc::channel(), mpsc::channel());
    (Outlet::start(Format::Json, Gate { open, written }, piece).unwrap(), opens, writes)
}

fn put(outlet: &Outlet, line: &str, haste: Haste) {
    outlet.0.put(&Entry::Line(line), haste);
}

#[test]
fn lines_go_together_after_a_while_or_when_they_are_many() {
    let (outlet, opens, writes) = outlet(usize::MAX);
    drop(opens);
    while !outlet.0.state.lock().is_idle {
        thread::sleep(Duration::from_millis(1));
    }
    let began = Instant::now();
    for line in ["a\n", "b\n", "c\n"] {
        put(&outlet, line, Haste::Gathered);
    }
    assert_eq!(writes.recv_timeout(MUCH).unwrap(), "a\nb\nc\n");
    assert!(began.elapsed() >= LINGER, "{:?}", began.elapsed());
    let line = "d".repeat(FULL / 4 - 1) + "\n";
    (0..4).for_each(|_| put(&outlet, &line, Haste::Gathered));
    // All four, at whatever moment the thread looks.
    let mut much = 0;
    while much < FULL {
        much += writes.recv_timeout(MUCH).unwrap().len();
    }
    assert_eq!(much, FULL);
}

#[test]
fn a_line_that_is_awaited_takes_those_before_it_along() {
    let (outlet, opens, writes) = outlet(usize::MAX);
    (0..3).for_each(|_| opens.send(Ok(())).unwrap());
    put(&outlet, "access\n", Haste::Gathered);
    put(&outlet, "error\n", Haste::Awaited);
    // It has been written when the call returns.
    let written: String = writes.try_iter().collect();
    assert_eq!(written, "access\nerror\n");
    put(&outlet, "last\n", Haste::Gathered);
    outlet.flush();
    assert_eq!(writes.try_recv().unwrap(), "last\n");
}

#[test]
fn an_output_that_takes_nothing_keeps_nobody_waiting_and_what_is_lost_is_counted() {
    let (outlet, opens, writes) = outlet(usize::MAX);
    let counter = Counter::default();
    outlet.count_in(counter.clone());
    put(&outlet, "first\n", Haste::Awaited);
    let began = Instant::now();
    let line = "x".repeat(1023) + "\n";
    let kept = (ROOM / Entry::Line(&*line).bytes()) as u64;
    (0..2048).for_each(|_| put(&outlet, &line, Haste::Gathered));
    assert_eq!(counter.get(), 2048 - kept);
    // There is room left for those that say what is wrong, and nobody waits for them a second time.
    (0..100).for_each(|_| put(&outlet, "error\n", Haste::Awaited));
    assert_eq!(counter.get(), 2048 - kept);
    // A wait for each would take 50 seconds.
    assert!(began.elapsed() < MUCH, "{:?}", began.elapsed());
    assert!(outlet.0.state.lock().entries.bytes() <= ROOM + RESERVE);
    drop(opens);
    assert_eq!(writes.recv_timeout(MUCH).unwrap(), "first\n");
    let mut rest = String::new();
    while !rest.ends_with(&"error\n".repeat(100)) {
        let piece = writes.recv_timeout(MUCH).unwrap();
        assert!(piece.len() < CHUNK + line.len(), "{}", piece.len());
        rest += &piece;
    }
    assert_eq!(rest.lines().count() as u64, kept + 100);
}

#[test]
fn lines_that_cannot_be_written_are_counted_and_the_next_ones_are_tried() {
    let (outlet, opens, writes) = outlet(4);
    let counter = Counter::default();
    opens.send(Ok(())).unwrap();
    opens.send(Err(io::ErrorKind::WouldBlock.into())).unwrap();
    opens.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
    opens.send(Ok(())).unwrap();
    put(&outlet, "one\ntwo\nthree\n", Haste::Awaited);
    outlet.count_in(counter.clone());
    put(&outlet, "four\n", Haste::Awaited);
    assert_eq!(writes.try_iter().collect::<String>(), "one\nfour\n");
    assert_eq!(counter.get(), 2);
}

#[test]
fn pieces_are_whole_lines() {
    for (lines, most, expected) in [
        ("a\nb\n", 9, &["a\nb\n"][..]),
        ("a\nb\nc\n", 5, &["a\nb\n", "c\n"]),
        ("a\nlonger\nb\n", 3, &["a\n", "longer\n", "b\n"]),
        ("without end", 3, &["without end"]),
    ] {
        let (opens, written) = (mpsc::channel(), mpsc::channel());
        drop(opens.0);
        let mut gate = Gate { open: opens.1, written: written.0 };
        assert_eq!(write_lines(&mut gate, lines.as_bytes(), most), 0);
        assert_eq!(written.1.try_iter().collect::<Vec<_>>(), expected);
    }
}
