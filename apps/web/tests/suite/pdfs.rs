//! The program as the reader of its own PDFs.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use studio233_rag::pdf::{PdfError, PdfLimits, PdfReader, ReaderProgram};
use testbed::pdf::Objects;

const PROGRAM: &str = env!("CARGO_BIN_EXE_studio233");

fn in_processes(limits: PdfLimits) -> PdfReader {
    PdfReader::new(limits).in_processes_of(ReaderProgram::at(PROGRAM))
}

fn documents() -> Vec<(String, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = root.join("packages/rag/tests/files");
    let files = fs::read_dir(folder).unwrap();
    let files = files.map(|file| file.unwrap().path());
    let pdfs = files.filter(|path| path.extension().is_some_and(|extension| extension == "pdf"));
    let mut paths: Vec<_> = pdfs.collect();
    paths.push(root.join("samples/brand-guidelines.pdf"));
    let named = paths.iter().map(|path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, fs::read(path).unwrap())
    });
    named.collect()
}

/// One page, beside a stream.
fn beside_a_stream(dict: &str, data: &[u8]) -> Vec<u8> {
    let mut objects = Objects::default();
    objects.add("<< /Type /Catalog /Pages 2 0 R >>");
    objects.add("<< /Type /Pages /Kids [3 0 R] /Count 1 >>");
    objects.add("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 200] /Contents 4 0 R >>");
    objects.add_stream("", b"1 0 0 rg 10 10 100 100 re f");
    objects.add_stream(dict, data);
    objects.finish("")
}

#[tokio::test]
async fn a_process_reads_what_a_thread_reads() {
    let mut files = documents();
    assert!(files.len() >= 5, "{}", files.len());
    // Numbers beyond all measure are told, too.
    let enormous = beside_a_stream("", b"").to_vec();
    let enormous = String::from_utf8(enormous).unwrap();
    let enormous = enormous.replace("[0 0 300 200]", &format!("[0 0 1{} 200]", "0".repeat(30)));
    let enormous = enormous.replace("10 10 100 100 re", &format!("0 0 1{} 9 re", "0".repeat(12)));
    files.push(("enormous.pdf".to_owned(), enormous.into_bytes()));
    for (name, file) in files {
        let limits = PdfLimits::default();
        let on_thread = PdfReader::new(limits.clone());
        let on_thread = on_thread.read(&name, file.clone().into()).await.unwrap();
        let in_process = in_processes(limits).read(&name, file.into()).await.unwrap();
        let has_pictures = !in_process.images.is_empty();
        assert!(has_pictures || name == "enormous.pdf", "{name} has none");
        assert_eq!(
            format!("{in_process:?}"),
            format!("{on_thread:?}"),
            "{name}"
        );
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_file_is_told_by_the_process_as_by_a_thread() {
    let mut files = documents().into_iter();
    let (name, mut file) = files.find(|(name, _)| name == "printed.pdf").unwrap();
    file.truncate(200);
    let limits = PdfLimits::default();
    let on_thread = PdfReader::new(limits.clone());
    let on_thread = on_thread.read(&name, file.clone().into()).await;
    let in_process = in_processes(limits).read(&name, file.into()).await;
    let error = in_process.unwrap_err();
    assert_eq!(error, PdfError::Damaged { filename: name });
    assert_eq!(error, on_thread.unwrap_err());
}

/// By limits that foresee nothing.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_file_that_takes_too_much_memory_ends_its_process_only() {
    let limits = PdfLimits {
        memory_bytes_max: 256 * 1024 * 1024,
        bytes_max: u64::MAX / 2,
        unpacked_bytes_max: u64::MAX / 2,
        // A busy machine takes long for a gigabyte, which is not what is tried here.
        time_max: Duration::from_secs(600),
        ..PdfLimits::default()
    };
    // Each run of two bytes becomes 128: a gigabyte in all.
    let data = [0x81, b' '].repeat(8 * 1024 * 1024);
    let file = beside_a_stream("/Filter /RunLengthDecode", &data);
    let reader = in_processes(limits);
    let error = reader.read("bomb.pdf", file.into()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "bomb.pdf needs more than 256 MB of memory to be read; export it with smaller images or split it"
    );

    let harmless = beside_a_stream("", b"nothing");
    let document = reader.read("harmless.pdf", harmless.into()).await;
    assert_eq!(document.unwrap().pages.len(), 1);
}

#[test]
fn a_reader_that_somebody_starts_by_hand_says_what_it_is() {
    let mut reader = Command::new(PROGRAM);
    reader
        .arg("read-pdf-from-standard-input")
        .stdin(Stdio::null());
    let ended = reader.output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&ended.stderr).lines().next(),
        Some(
            "read-pdf-from-standard-input: the studio asks its own processes for this: failed to fill whole buffer"
        )
    );
}
