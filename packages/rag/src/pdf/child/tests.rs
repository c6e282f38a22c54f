//! Programs that are no good readers. A true one is tried by the studio's own tests.

use super::super::PdfReader;
use super::*;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

/// Where a program stands, and its turn.
struct Folder {
    folder: TempDir,
    _turn: MutexGuard<'static, ()>,
}

/// A program of shell commands. One test at a time: a file that is being written cannot be started, and another test's
/// new process has it open for a moment.
async fn program(commands: &str) -> (Folder, ReaderProgram) {
    static TURN: Mutex<()> = Mutex::const_new(());
    let turn = TURN.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("reader");
    std::fs::write(&path, format!("#!/bin/sh\n{commands}\n")).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o700)).unwrap();
    let folder = Folder {
        folder,
        _turn: turn,
    };
    (folder, ReaderProgram::at(path))
}

fn limits() -> PdfLimits {
    PdfLimits {
        time_max: Duration::from_millis(50),
        memory_bytes_max: 1024 * 1024,
        ..PdfLimits::default()
    }
}

async fn refusal(program: &ReaderProgram, limits: PdfLimits) -> PdfError {
    let reader = PdfReader::new(limits).in_processes_of(program.clone());
    let file = Bytes::from_static(b"%PDF-1.7 and so on");
    reader.read("brand.pdf", file).await.unwrap_err()
}

/// With the time that a busy machine needs to start a shell.
fn patient() -> PdfLimits {
    PdfLimits {
        time_max: Duration::from_secs(60),
        ..limits()
    }
}

#[tokio::test]
async fn one_that_never_ends_is_killed_and_leaves_its_place_to_others() {
    let (folder, program) =
        program("echo $$ >> \"$(dirname \"$0\")/started\"; exec sleep 1000").await;
    // More than are read at once.
    for _ in 0..6 {
        let error = refusal(&program, limits()).await;
        assert!(matches!(error, PdfError::TooSlow { .. }), "{error}");
    }
    let started = std::fs::read_to_string(folder.folder.path().join("started")).unwrap_or_default();
    for process in started.lines() {
        let process = Path::new("/proc").join(process);
        // Whether it is gone or waits to be reaped, it sleeps no more.
        while std::fs::read_to_string(process.join("cmdline")).is_ok_and(|line| !line.is_empty()) {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn one_that_runs_out_of_memory_is_the_files_fault() {
    let (_folder, program) =
        program("cat > /dev/null; echo 'memory allocation of 9 bytes failed' >&2; exit 134").await;
    let error = refusal(&program, patient()).await;
    assert_eq!(
        error.to_string(),
        "brand.pdf needs more than 1 MB of memory to be read; export it with smaller images or split it"
    );
    assert!(!error.is_transient());
}

#[tokio::test]
async fn one_that_is_lost_or_answers_nonsense_is_tried_again() {
    let missing = ReaderProgram::at("/nowhere/reader");
    let error = refusal(&missing, patient()).await;
    assert!(
        error
            .to_string()
            .starts_with("the process that read brand.pdf ended ("),
        "{error}"
    );
    for commands in [
        "kill -9 $$",
        "exit 0",
        "echo nonsense",
        "exec yes",
        "exit 3",
    ] {
        let (_folder, program) = program(commands).await;
        let error = refusal(&program, patient()).await;
        assert!(error.is_transient(), "{commands}: {error}");
    }
}

#[tokio::test]
async fn one_is_told_nothing_of_the_environment() {
    // A variable that tests always have stands for a key.
    assert!(std::env::var("CARGO_MANIFEST_DIR").is_ok());
    let (folder, program) = program("/usr/bin/env > \"$(dirname \"$0\")/environment\"").await;
    refusal(&program, patient()).await;
    let told = std::fs::read_to_string(folder.folder.path().join("environment")).unwrap();
    assert!(told.contains("PWD="), "{told}");
    assert!(!told.contains("CARGO"), "{told}");
}

#[test]
fn an_answer_that_was_cut_off_is_none() {
    let answer = Answer {
        title: Some("Marram".to_owned()),
        pages: Vec::new(),
        images: vec![(1, 2, 1)],
        undrawn: Vec::new(),
    };
    let mut told = head_of(&Ok::<_, PdfError>(answer)).unwrap();
    told.extend([7; 6]);
    let read = |told: &[u8]| {
        let told = Bytes::copy_from_slice(told);
        Answer::read(&told, "brand.pdf", Bytes::new())
    };
    let whole = read(&told).unwrap().unwrap().document;
    assert_eq!(whole.title.as_deref(), Some("Marram"));
    assert_eq!(whole.images[0].rgb, [7; 6].as_slice());
    for end in 0..told.len() {
        assert!(read(&told[..end]).is_none(), "cut off at {end}");
    }
}
