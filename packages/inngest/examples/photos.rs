//! How much durability costs: a workflow over photos, against a plain loop that does the same with the same image library.
//!
//! ```sh
//! cargo run --release -p studio233-inngest --example photos -- --photos 200
//! ```
//!
//! Photos are made into a folder once, and found there the next time. Both sides read each as JPEG, make it smaller, write
//! that as JPEG, read it again and write it as WebP; both use all cores. The plain loop writes files and remembers
//! nothing. The workflow runs in the embedded engine on an SQLite file, keeps the studio's rows in another, or in PostgreSQL
//! (`--database-url`), and has every file on the disk before it says so.
#![allow(clippy::print_stdout, reason = "the figures are what it is for")]

use clap::Parser;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};
use stepwell::embedded::{Embedded, RunStatus};
use stepwell::{Config, OutgoingEvent};
use studio233_blob::BlobStore;
use studio233_db::{Database, DatabaseUrl, NewWorkflowRun, WorkflowRunId};
use studio233_inngest::events::studio::WorkflowRequested;
use studio233_inngest::functions::{Deps, app};
use studio233_inngest::middleware::LogReporter;
use studio233_media::{Color, Encoding, Fit, Format, Limits, decode, encode, resize};
use studio233_plugins::{BlobSource, Registry, Services};

type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// Measures a workflow over photos against a plain loop.
#[derive(Parser)]
struct Options {
    /// How many photos.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=5000))]
    photos: u32,
    /// The size of each, four to three.
    #[arg(long, default_value_t = 12.0)]
    megapixels: f64,
    /// How wide they are made.
    #[arg(long, default_value_t = 1600)]
    width: u32,
    /// How often both are measured; the best of each counts.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Where photos are made and results go.
    #[arg(long, default_value = "target/photos")]
    folder: PathBuf,
    /// Where the studio's rows are; in a file in the folder when nothing is said. `postgres://…` for PostgreSQL.
    #[arg(long)]
    database_url: Option<String>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    let cores = available_parallelism().map_or(1, usize::from);
    let height = (options.megapixels * 1e6 * 3.0 / 4.0).sqrt().round() as u32;
    let photos = Photos {
        count: options.photos,
        size: (height * 4 / 3, height),
        folder: format!("{}x{height}", height * 4 / 3),
        blobs: options.folder.join("blobs"),
    };
    let bytes = photos.make(cores)?;
    println!(
        "{} photos of {} × {} ({} MB), made {} wide, on {cores} cores",
        photos.count,
        photos.size.0,
        photos.size.1,
        bytes / 1_000_000,
        options.width
    );

    let database = options.database_url.as_deref();
    let studio = Studio::open(&options.folder, photos.blobs.clone(), database).await?;
    let (mut plain, mut durable) = (Vec::new(), Vec::new());
    for round in 1..=options.rounds {
        let out = options.folder.join("plain");
        let measured = Measured::of(async {
            let (photos, width) = (photos.clone(), options.width);
            tokio::task::spawn_blocking(move || plain_loop(&photos, width, &out, cores)).await?
        });
        let measured = measured.await?;
        println!("round {round}: plain loop {}", measured.shown(photos.count));
        plain.push(measured);

        let event = studio.request(&photos, options.width, round).await?;
        let measured = Measured::of(studio.run(event, photos.count)).await?;
        println!("round {round}: workflow   {}", measured.shown(photos.count));
        durable.push(measured);
    }
    studio.engine.shutdown(Duration::from_secs(10)).await;
    let best = |rounds: &[Measured]| rounds.iter().map(|measured| measured.wall).min();
    let (plain, durable) = (best(&plain), best(&durable));
    let (plain, durable) = (plain.unwrap_or_default(), durable.unwrap_or_default());
    let ratio = durable.as_secs_f64() / plain.as_secs_f64();
    println!(
        "the workflow takes {ratio:.3} times as long: {:+.1} %",
        (ratio - 1.0) * 100.0
    );
    Ok(())
}

/// What is worked on. They lie where the studio's blobs are, for both.
#[derive(Clone)]
struct Photos {
    count: u32,
    size: (u32, u32),
    folder: String,
    blobs: PathBuf,
}

impl Photos {
    fn name(&self, number: u32) -> String {
        format!("{number:04}.jpg")
    }

    fn path(&self, number: u32) -> PathBuf {
        self.blobs.join(&self.folder).join(self.name(number))
    }

    /// Makes those that are not there; how many bytes all have.
    fn make(&self, cores: usize) -> Result<u64> {
        std::fs::create_dir_all(self.blobs.join(&self.folder))?;
        on_all_cores(self.count, cores, |number| {
            let path = self.path(number);
            if path.exists() {
                return Ok(());
            }
            let half_made = path.with_extension("part");
            std::fs::write(&half_made, photo(self.size, number)?)?;
            Ok(std::fs::rename(half_made, path)?)
        })?;
        let sizes = (0..self.count).map(|number| std::fs::metadata(self.path(number)));
        sizes.map(|file| Ok(file?.len())).sum()
    }
}

/// Something with soft areas, edges and grain, as photos have: how long JPEG takes depends on it.
fn photo((width, height): (u32, u32), seed: u32) -> Result<Vec<u8>> {
    let mut noise = seed.wrapping_mul(2_654_435_761).max(1);
    let turn = f64::from(seed) * 0.37;
    let pixels = image::RgbImage::from_fn(width, height, |x, y| {
        // Xorshift (Marsaglia 2003).
        noise ^= noise << 13;
        noise ^= noise >> 17;
        noise ^= noise << 5;
        let (across, down) = (
            f64::from(x) / f64::from(width),
            f64::from(y) / f64::from(height),
        );
        let wave = ((across * 9.0 + turn).sin() + (down * 7.0 - turn).cos()) / 2.0;
        let edge = if (across * 12.0 + down * 5.0 + turn).fract() < 0.5 {
            40.0
        } else {
            0.0
        };
        let grain = f64::from(noise % 24);
        let channel =
            |weight: f64| (110.0 + wave * 70.0 * weight + edge + grain).clamp(0.0, 255.0) as u8;
        image::Rgb([channel(1.0), channel(0.6), channel(-0.8)])
    });
    let mut file = Vec::new();
    let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut file, 92);
    pixels.write_with_encoder(encoder)?;
    Ok(file)
}

/// What the two nodes of the workflow do, for each photo by itself.
fn plain_loop(photos: &Photos, width: u32, out: &Path, cores: usize) -> Result<()> {
    let limits = Limits::default();
    let encoding = |format| Encoding {
        format,
        quality: 90,
        background: Color::WHITE,
    };
    std::fs::create_dir_all(out)?;
    on_all_cores(photos.count, cores, |number| {
        let photo = decode(&std::fs::read(photos.path(number))?, &limits)?;
        let smaller = resize(&photo, Some(width), None, Fit::Contain)?;
        let smaller = encode(&smaller, &encoding(Format::Jpeg))?;
        let path = out.join(photos.name(number));
        std::fs::write(&path, smaller)?;
        let smaller = decode(&std::fs::read(&path)?, &limits)?;
        let webp = encode(&smaller, &encoding(Format::Webp))?;
        Ok(std::fs::write(path.with_extension("webp"), webp)?)
    })
}

/// Threads that take one number after another.
fn on_all_cores(count: u32, cores: usize, work: impl Fn(u32) -> Result<()> + Sync) -> Result<()> {
    let next = AtomicU32::new(0);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores)
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= count {
                            return Result::<()>::Ok(());
                        }
                        work(number)?;
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.join().map_err(|_| "a thread panicked")??;
        }
        Ok(())
    })
}

/// The studio, as its all-in-one program has it.
struct Studio {
    database: Database,
    engine: Embedded,
}

impl Studio {
    async fn open(folder: &Path, blobs: PathBuf, database: Option<&str>) -> Result<Self> {
        let database = match database {
            Some(url) => Database::open(&DatabaseUrl::parse(url)?).await?,
            None => Database::open_sqlite(folder.join("studio.db")).await?,
        };
        let blobs = BlobStore::in_folder(blobs).await?;
        let services = Services::new(BlobSource::new(blobs.clone()), blobs.clone());
        let deps = Deps {
            plugins: Registry::standard(&services),
            ..Deps::local(database.clone(), blobs, folder)
        };
        let app = app(studio233_inngest::client(Config::dev()), &deps, LogReporter);
        let engine = Embedded::builder()
            .app(app)
            .sqlite(folder.join("engine.db"));
        let engine = engine.start().await?;
        Ok(Self { database, engine })
    }

    /// Does what the web app does before it sends the event.
    async fn request(&self, photos: &Photos, width: u32, round: u32) -> Result<OutgoingEvent> {
        let started = std::time::UNIX_EPOCH.elapsed()?.as_millis();
        let id = format!("photos-{started}-{round}");
        let file = |number| {
            let name = photos.name(number);
            json!({"id": name, "name": name, "url": format!("blob:{}/{name}", photos.folder)})
        };
        let files: Vec<Value> = (0..photos.count).map(file).collect();
        let event: WorkflowRequested = serde_json::from_value(json!({
            "runId": id, "workflowId": "photos", "projectId": "photos", "userId": "photos",
            "idempotencyKey": id,
            "nodes": [
                {"id": "smaller", "position": {"x": 0, "y": 0}, "data": {
                    "pluginId": "image-resize", "config": {"width": width}}},
                {"id": "webp", "position": {"x": 1, "y": 0}, "data": {
                    "pluginId": "format-conversion", "config": {"targetFormat": "webp"}}},
            ],
            "edges": [{"source": "smaller", "target": "webp"}],
            "input": {"files": files},
        }))?;
        let run = NewWorkflowRun {
            id: WorkflowRunId::new(&event.run_id),
            workflow_id: None,
            user_id: Some(event.user_id.clone()),
            project_id: Some(event.project_id.clone()),
            input: None,
            steps: Vec::new(),
        };
        self.database.create_run(&run, 0).await?;
        Ok(OutgoingEvent::new(&event).id(&event.run_id))
    }

    async fn run(&self, event: OutgoingEvent, photos: u32) -> Result<()> {
        let sent = self.engine.send(event).await?;
        for run in self.engine.finished_runs(sent).await? {
            if run.status != RunStatus::Completed {
                return Err(format!("the run did not complete: {:?}", run.error()).into());
            }
            let output: Value = run.output()?;
            if output["files"] != photos {
                return Err(format!("not all photos came out: {output}").into());
            }
        }
        Ok(())
    }
}

/// How long something took.
struct Measured {
    wall: Duration,
    /// Of all threads of this process; unknown where the system does not say.
    processor: Option<Duration>,
}

impl Measured {
    async fn of(work: impl Future<Output = Result<()>>) -> Result<Self> {
        let (started, before) = (Instant::now(), processor_time());
        work.await?;
        let wall = started.elapsed();
        let processor = processor_time().zip(before);
        Ok(Self {
            wall,
            processor: processor.map(|(after, before)| after - before),
        })
    }

    fn shown(&self, photos: u32) -> String {
        let seconds = self.wall.as_secs_f64();
        let rate = f64::from(photos) / seconds;
        let cores = match self.processor {
            Some(time) => format!("{:.2} cores busy", time.as_secs_f64() / seconds),
            None => "cores not known".to_owned(),
        };
        format!("{seconds:7.2} s, {rate:6.2} images/s, {cores}")
    }
}

/// User and system time of this process, in hundredths of a second (proc(5), fields 14 and 15).
fn processor_time() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let after_name = stat.rsplit_once(')')?.1;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 10))
}
