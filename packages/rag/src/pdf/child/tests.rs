//! Programs that are no good readers. A true one is tried by the studio's own tests.

use super::super::PdfReader;
use super::*;
use std::os::unix::fs::PermissionsExt;
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
async fn those_that_never_end_leave_their_places_to_others() {
    let (_folder, program) = program("exec sleep 1000").await;
    // More than are read at once.
    for _ in 0..6 {
        let error = refusal(&program, limits()).await;
        assert!(matches!(error, PdfError::TooSlow { .. }), "{error}");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn one_whose_caller_gives_up_is_killed() {
    let (folder, program) = program("echo $$ > \"$0.started\"; exec sleep 1000").await;
    let started = folder.folder.path().join("reader.started");
    let process = {
        let reading = refusal(&program, patient());
        let started = async {
            loop {
                match std::fs::read_to_string(&started) {
                    Ok(process) if process.ends_with('\n') => break process,
                    _ => tokio::task::yield_now().await,
                }
            }
        };
        tokio::select! {
            error = reading => panic!("{error}"),
            process = started => process,
        }
    };
    // Whether it is gone or waits to be reaped, it sleeps no more.
    let line = std::path::Path::new("/proc")
        .join(process.trim())
        .join("cmdline");
    let gone = async {
        while std::fs::read_to_string(&line).is_ok_and(|line| !line.is_empty()) {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), gone).await;
    waited.expect("it is killed");
}

#[tokio::test]
async fn one_that_runs_out_of_memory_is_the_files_fault() {
    let (_folder, program) =
        program("echo 'memory allocation of 9 bytes failed' >&2; exit 134").await;
    let error = refusal(&program, patient()).await;
    assert_eq!(
        error.to_string(),
        "brand.pdf needs more than 1 MB of memory to be read; export it with smaller images or split it"
    );
    assert!(!error.is_transient());
}

#[tokio::test]
async fn one_that_is_lost_is_tried_again_and_one_that_answers_nonsense_is_not() {
    let (folder, _) = program("").await;
    let missing = ReaderProgram::at("/nowhere/reader");
    let error = refusal(&missing, patient()).await;
    drop(folder);
    assert!(
        error
            .to_string()
            .starts_with("the process that read brand.pdf ended ("),
        "{error}"
    );
    // (what it does, whether it may do better the next time)
    let cases = [
        ("kill -9 $$", true),
        ("exit 3", true),
        ("kill -ABRT $$", false),
        ("kill -SEGV $$", false),
        ("exit 0", false),
        ("echo nonsense", false),
    ];
    for (commands, transient) in cases {
        let (_folder, program) = program(commands).await;
        let error = refusal(&program, patient()).await;
        assert_eq!(error.is_transient(), transient, "{commands}: {error}");
        assert!(error.to_string().contains("brand.pdf"), "{error}");
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
        Answer::read(told, "brand.pdf".to_owned(), Bytes::new())
    };
    let whole = read(&told).unwrap().unwrap().document;
    assert_eq!(whole.title.as_deref(), Some("Marram"));
    assert_eq!(whole.images[0].rgb, [7; 6].as_slice());
    for end in 0..told.len() {
        assert!(read(&told[..end]).is_none(), "cut off at {end}");
    }
}
