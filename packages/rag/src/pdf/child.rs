//! A process for each file.
//!
//! The process is this program once more, asked by its one argument to be nothing but a reader. It is given the limits and the
//! file on its standard input, and tells on its standard output what came of it: each a length (8 bytes, little endian), JSON
//! of that length, and bytes. Its standard input stays open until it has answered: when that ends, nobody waits for it any more, and
//! it ends too. On unix it is given nothing of the environment, which has keys.

use super::reading::{self, Reading, Undrawn};
use super::{PdfError, PdfLimits, patience, too_slow};
use bytes::{Buf, Bytes};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::sync::mpsc;
use studio233_ai::document::{Document, Page, PageImage};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

/// The parent knows the file's name.
const NO_NAME: &str = "";

/// What asks a program to be a reader.
const ARGUMENT: &str = "read-pdf-from-standard-input";

/// Limits and a length; a longer head was not written by a parent.
const REQUEST_HEAD_BYTES_MAX: u64 = 64 * 1024;

/// A reader that is ended by the system says why in a line.
const COMPLAINT_BYTES_MAX: u64 = 4 * 1024;

/// All that a page can say of five million letters, and five pictures of a megapixel. The parent, which nothing limits, reads it into
/// memory.
const ANSWER_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// What the allocator reserves at once, in KiB: what it has before the file is read is not held against the file.
#[cfg(unix)]
const ALLOCATOR_RESERVES: (&str, &str) = ("MIMALLOC_ARENA_RESERVE", "65536");

/// A program that reads PDFs for its parent: proof that its `main` begins with [`ReaderProgram::enter`].
#[derive(Debug, Clone)]
pub struct ReaderProgram {
    program: PathBuf,
}

impl ReaderProgram {
    /// What `main` of a program begins with whose PDFs are to be read in processes of their own.
    ///
    /// # Errors
    /// The exit code when this is such a process. It has done its work, and ends with that.
    ///
    /// ```no_run
    /// use std::process::ExitCode;
    /// use studio233_rag::pdf::{PdfReader, ReaderProgram};
    ///
    /// fn main() -> ExitCode {
    ///     let reader = match ReaderProgram::enter() {
    ///         Ok(program) => PdfReader::default().in_processes_of(program),
    ///         Err(done) => return done,
    ///     };
    ///     # drop(reader);
    ///     ExitCode::SUCCESS
    /// }
    /// ```
    pub fn enter() -> Result<Self, ExitCode> {
        let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
        match arguments.as_slice() {
            [only] if only == OsStr::new(ARGUMENT) => Err(serve()),
            _ => Ok(Self::at(this_program())),
        }
    }

    /// Another program whose `main` begins with [`ReaderProgram::enter`].
    #[must_use]
    pub fn at(program: impl Into<PathBuf>) -> Self {
        let program = program.into();
        Self { program }
    }

    pub(super) async fn read(
        &self,
        filename: &str,
        file: Bytes,
        limits: &PdfLimits,
    ) -> Result<Reading, PdfError> {
        let lost = |error: &io::Error| PdfError::ReaderLost {
            filename: filename.to_owned(),
            how: error.to_string(),
        };
        let asked = self.ask(&file, limits);
        // What is dropped is killed.
        let ended = match tokio::time::timeout(patience(limits), asked).await {
            Ok(ended) => ended.map_err(|error| lost(&error))?,
            Err(_) => return Err(too_slow(filename, limits)),
        };
        if !ended.status.success() {
            return Err(ended.why(filename, limits));
        }
        let read = {
            let (answer, filename) = (ended.answer, filename.to_owned());
            tokio::task::spawn_blocking(move || Answer::read(answer, filename, file))
        };
        // An end without an answer is no better the next time.
        let unreadable = || PdfError::ReaderFailed {
            filename: filename.to_owned(),
            place: "its answer".to_owned(),
        };
        read.await
            .map_err(|_| unreadable())?
            .unwrap_or_else(|| Err(unreadable()))
    }

    async fn ask(&self, file: &[u8], limits: &PdfLimits) -> io::Result<Ended> {
        let mut command = Command::new(&self.program);
        command.arg(ARGUMENT).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(Stdio::piped());
        #[cfg(unix)]
        {
            command
                .env_clear()
                .env(ALLOCATOR_RESERVES.0, ALLOCATOR_RESERVES.1);
            // `/proc/self/exe` would say little in a list of processes.
            if let Some(name) = std::env::args_os().next() {
                command.arg0(name);
            }
            // Ctrl-C in a terminal is for the parent, which lets what is at work come to its end.
            command.process_group(0);
        }
        let mut child = command.spawn()?;
        let streams = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(mut stdin), Some(stdout), Some(stderr)) = streams else {
            return Err(io::Error::other("it has no standard streams"));
        };
        let request = Request {
            file_bytes: file.len() as u64,
            limits: limits.clone(),
        };
        let head = head_of(&request)?;
        let write = async {
            // One that ended already says why elsewhere.
            let _ = stdin.write_all(&head).await;
            let _ = stdin.write_all(file).await;
            let _ = stdin.flush().await;
        };
        let (answer, complaint, ()) = tokio::join!(
            read_within(stdout, ANSWER_BYTES_MAX),
            read_within(stderr, COMPLAINT_BYTES_MAX),
            write,
        );
        drop(stdin);
        Ok(Ended {
            answer: answer?.into(),
            complaint: String::from_utf8_lossy(&complaint?).into_owned(),
            status: child.wait().await?,
        })
    }
}

/// The program of this process, also when its file was replaced since.
fn this_program() -> PathBuf {
    match cfg!(target_os = "linux") {
        true => PathBuf::from("/proc/self/exe"),
        false => std::env::current_exe().unwrap_or_default(),
    }
}

/// What is told up to a limit. What is beyond is not read, so that whoever tells it finds nobody who listens.
async fn read_within(stream: impl AsyncRead + Unpin, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut told = Vec::new();
    stream.take(bytes_max).read_to_end(&mut told).await?;
    Ok(told)
}

/// A process that ended.
struct Ended {
    answer: Bytes,
    complaint: String,
    status: ExitStatus,
}

impl Ended {
    /// Why there is no answer.
    fn why(&self, filename: &str, limits: &PdfLimits) -> PdfError {
        let filename = filename.to_owned();
        if self.complaint.contains("memory allocation of") {
            return PdfError::TooMuchMemory {
                filename,
                limit_bytes: limits.memory_bytes_max,
            };
        }
        if self.complaint.contains("has overflowed its stack") {
            return PdfError::ReaderFailed {
                filename,
                place: "a page that is nested too deeply".to_owned(),
            };
        }
        if self.was_the_files_fault() {
            return PdfError::ReaderFailed {
                filename,
                place: "a page that it could not survive".to_owned(),
            };
        }
        // A signal that the file did not cause, such as that of a system without memory.
        let how = self.status.to_string();
        tracing::warn!(filename, how, complaint = self.complaint, "PDF reader lost");
        PdfError::ReaderLost { filename, how }
    }

    /// Whether it ended by a signal that a process causes itself.
    #[cfg(unix)]
    fn was_the_files_fault(&self) -> bool {
        use rustix::process::Signal;
        use std::os::unix::process::ExitStatusExt;
        let own = [Signal::ABORT, Signal::SEGV, Signal::BUS, Signal::ILL];
        let signal = self.status.signal();
        own.iter().any(|own| signal == Some(own.as_raw()))
    }

    #[cfg(not(unix))]
    fn was_the_files_fault(&self) -> bool {
        false
    }
}

#[derive(Serialize, Deserialize)]
struct Request {
    file_bytes: u64,
    limits: PdfLimits,
}

/// Pictures follow, in their order.
#[derive(Serialize, Deserialize)]
struct Answer {
    title: Option<String>,
    pages: Vec<Page>,
    /// Page, width and height.
    images: Vec<(u32, u32, u32)>,
    undrawn: Vec<Undrawn>,
}

impl Answer {
    /// None when it is no answer, or was cut off.
    fn read(mut told: Bytes, filename: String, file: Bytes) -> Option<Result<Reading, PdfError>> {
        let length = usize::try_from(told.try_get_u64_le().ok()?).ok()?;
        let head = (length <= told.len()).then(|| told.split_to(length))?;
        let head: Result<Self, PdfError> = serde_json::from_slice(&head).ok()?;
        let answer = match head {
            Ok(answer) => answer,
            Err(error) => return Some(Err(error.naming(filename))),
        };
        let mut images = Vec::new();
        for (page, width, height) in answer.images {
            let bytes = u64::from(width)
                .checked_mul(u64::from(height))?
                .checked_mul(3)?;
            let bytes = usize::try_from(bytes).ok()?;
            // Copied, so that it keeps nothing else in memory.
            let rgb = (bytes <= told.len()).then(|| told.split_to(bytes).to_vec().into())?;
            images.push(PageImage {
                page,
                width,
                height,
                rgb,
            });
        }
        let document = Document {
            filename,
            file,
            title: answer.title,
            pages: answer.pages,
            images,
        };
        let undrawn = answer.undrawn;
        Some(Ok(Reading { document, undrawn }))
    }
}

fn head_of(head: &impl Serialize) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(head)?;
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.extend(json);
    Ok(bytes)
}

fn read_head<T: DeserializeOwned>(mut stream: impl Read) -> io::Result<T> {
    let mut length = [0; 8];
    stream.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > REQUEST_HEAD_BYTES_MAX {
        return Err(io::Error::other("its head is too long"));
    }
    let mut json = Vec::new();
    stream.take(length).read_to_end(&mut json)?;
    Ok(serde_json::from_slice(&json)?)
}

/// The child's side: reads one file, and tells what came of it.
#[allow(clippy::print_stderr, reason = "somebody started a reader by hand")]
fn serve() -> ExitCode {
    // Panics that are caught are answered; what is not caught is said last.
    std::panic::set_hook(Box::new(|_| {}));
    match answer(io::stdin(), io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{ARGUMENT}: the studio asks its own processes for this: {error}");
            ExitCode::FAILURE
        }
    }
}

fn answer(mut asked: impl Read + Send + 'static, mut told: impl Write) -> io::Result<()> {
    let Request { file_bytes, limits } = read_head(&mut asked)?;
    confine(&limits)?;
    let length = usize::try_from(file_bytes.min(limits.bytes_max)).map_err(io::Error::other)?;
    // What has no room is out of memory like all else.
    let mut file = vec![0; length];
    asked.read_exact(&mut file)?;
    // Nobody waits for the answer any more when this ends.
    std::thread::Builder::new().spawn(move || {
        let _ = asked.read(&mut [0]);
        std::process::exit(1);
    })?;
    let (tell, outcome) = mpsc::channel();
    reading::spawn(NO_NAME, file.into(), &limits, move |outcome| {
        // Whoever waits does so until this is told.
        let _ = tell.send(outcome);
    })?;
    let outcome = outcome.recv().unwrap_or_else(|_| {
        Err(PdfError::ReaderFailed {
            filename: NO_NAME.to_owned(),
            place: "an unknown page".to_owned(),
        })
    });
    let (answer, images): (Result<Answer, PdfError>, _) = match outcome {
        Ok(Reading { document, undrawn }) => {
            let images = document.images;
            let answer = Answer {
                title: document.title,
                pages: document.pages,
                images: images
                    .iter()
                    .map(|image| (image.page, image.width, image.height))
                    .collect(),
                undrawn,
            };
            (Ok(answer), images)
        }
        Err(error) => (Err(error), Vec::new()),
    };
    let mut head = head_of(&answer)?;
    let pictures = images.iter().map(|image| image.rgb.len() as u64);
    if head.len() as u64 + pictures.sum::<u64>() > ANSWER_BYTES_MAX {
        let filename = NO_NAME.to_owned();
        let limit = limits.items_max;
        let answer: Result<Answer, PdfError> = Err(PdfError::TooComplex { filename, limit });
        head = head_of(&answer)?;
        told.write_all(&head)?;
        return told.flush();
    }
    told.write_all(&head)?;
    for image in images {
        told.write_all(&image.rgb)?;
    }
    told.flush()
}

/// Has the system hold this process to the limits: memory, time also when the parent is gone, and no files.
#[cfg(unix)]
fn confine(limits: &PdfLimits) -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let hold = |resource, most: u64| {
        // Nobody may raise what the system allows.
        let most = getrlimit(resource)
            .maximum
            .map_or(most, |now| now.min(most));
        let limit = Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        setrlimit(resource, limit).map_err(io::Error::from)
    };
    // A system that runs out of memory had better end this process than its parent.
    #[cfg(target_os = "linux")]
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    hold(Resource::Core, 0)?;
    hold(Resource::Fsize, 0)?;
    hold(Resource::Cpu, patience(limits).as_secs() + 1)?;
    #[cfg(target_os = "linux")]
    hold(
        Resource::As,
        address_space()?.saturating_add(limits.memory_bytes_max),
    )?;
    Ok(())
}

#[cfg(not(unix))]
fn confine(_: &PdfLimits) -> io::Result<()> {
    Ok(())
}

/// What this process has mapped so far: its program, its libraries, its allocator's first room. In bytes (proc(5), statm).
#[cfg(target_os = "linux")]
fn address_space() -> io::Result<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages = statm.split(' ').next().and_then(|size| size.parse().ok());
    let pages: u64 = pages.ok_or_else(|| io::Error::other("/proc/self/statm has no size"))?;
    Ok(pages * rustix::param::page_size() as u64)
}

#[cfg(all(test, unix))]
mod tests;
