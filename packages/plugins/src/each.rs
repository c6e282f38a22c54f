use bytes::Bytes;
use futures::{StreamExt, stream};
use serde_json::Value;
use std::sync::atomic::{AtomicBool, Ordering};
use studio233_blob::{ContentType, Put};
use studio233_media::{Color, Encoding, Format, Image, Info, decode, encode, probe};

use crate::outputs;
use crate::pool::Panicked;
use crate::{Context, FileError, MediaFile, MediaKind, Object, PluginError, Services};

/// Nodes with so many files tell how far they are.
const PROGRESS_FILES_MIN: usize = 10;

/// A file that a plugin made.
#[derive(Debug)]
pub struct Made {
    pub(crate) bytes: Vec<u8>,
    pub(crate) format: Format,
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// Added to what the input's metadata says.
    pub(crate) metadata: Object,
}

impl Made {
    pub(crate) fn encoded(image: &Image, encoding: &Encoding) -> Result<Self, FileError> {
        Ok(Self {
            bytes: encode(image, encoding)?,
            format: encoding.format,
            width: image.width(),
            height: image.height(),
            metadata: Object::new(),
        })
    }

    /// A PNG, which loses nothing.
    pub(crate) fn png(image: &Image) -> Result<Self, FileError> {
        let encoding = Encoding {
            format: Format::Png,
            quality: 100,
            background: Color::WHITE,
        };
        Self::encoded(image, &encoding)
    }
}

/// Who processes files, for whom, and what its outputs' names end with (before the extension).
#[derive(Clone, Copy)]
pub(crate) struct Job<'a> {
    pub(crate) plugin: &'static str,
    pub(crate) services: &'a Services,
    pub(crate) context: &'a Context,
    pub(crate) suffix: &'static str,
}

impl Job<'_> {
    /// Makes a file of each, many at once, in their order. The first error to happen is the whole's. `makes` says how many pixels
    /// come to those that are decoded.
    pub(crate) async fn transform<M, W>(
        self,
        files: &[MediaFile],
        makes: M,
        work: W,
    ) -> Result<Vec<MediaFile>, PluginError>
    where
        M: Fn(&Info) -> u64 + Clone + Send,
        W: Fn(Opened) -> Result<Made, FileError> + Clone + Send + 'static,
    {
        self.each(files, |position, file| {
            let (makes, work) = (makes.clone(), work.clone());
            async move {
                let _place = self.services.pool.file().await;
                let made = self.computed(file, makes, work).await?;
                self.stored(position, file, made).await
            }
        })
        .await
    }

    /// Looks at each, many at once, and tells what was found in their order.
    pub(crate) async fn inspect<T, W>(
        self,
        files: &[MediaFile],
        work: W,
    ) -> Result<Vec<T>, PluginError>
    where
        T: Send + 'static,
        W: Fn(Opened) -> Result<T, FileError> + Clone + Send + 'static,
    {
        self.each(files, |_, file| {
            let work = work.clone();
            async move {
                let _place = self.services.pool.file().await;
                self.computed(file, |_: &Info| 0, work).await
            }
        })
        .await
    }

    /// Runs `work` over the files, as many at once as the pool takes, and says of an error which file it was. After the first
    /// error no other file begins; those at work come to their end, since what they do may have been paid for.
    pub(crate) async fn each<'f, T, F>(
        self,
        files: &'f [MediaFile],
        work: impl Fn(usize, &'f MediaFile) -> F,
    ) -> Result<Vec<T>, PluginError>
    where
        F: Future<Output = Result<T, FileError>> + Send,
    {
        let at_once = self.services.pool.size().files.max(1);
        let failed = AtomicBool::new(false);
        let failed = &failed;
        // Futures do nothing before they are polled, which the stream does to so many of them.
        let mut waiting = Vec::with_capacity(files.len());
        for (position, file) in files.iter().enumerate() {
            let processed = work(position, file);
            waiting.push(async move {
                if failed.load(Ordering::Relaxed) {
                    return None;
                }
                let done = processed.await.map_err(|source| PluginError::File {
                    plugin: self.plugin,
                    file: file.plain_name(),
                    source,
                });
                if done.is_err() {
                    failed.store(true, Ordering::Relaxed);
                }
                Some(done.map(|done| (position, done)))
            });
        }
        // As they come: a file that takes long must not keep those behind it from beginning.
        let mut results = stream::iter(waiting).buffer_unordered(at_once);
        let mut done = Vec::with_capacity(files.len());
        let mut first_error = None;
        while let Some(result) = results.next().await {
            match result {
                Some(Ok(result)) => {
                    done.push(result);
                    self.tell_progress(done.len(), files.len());
                }
                Some(Err(error)) => first_error = first_error.or(Some(error)),
                None => {}
            }
        }
        if let Some(error) = first_error {
            return Err(error);
        }
        done.sort_unstable_by_key(|(position, _)| *position);
        Ok(done.into_iter().map(|(_, done)| done).collect())
    }

    /// A node is one step however many files it has: its log is where one sees that it gets on. Few lines, whatever the number.
    fn tell_progress(self, done: usize, files: usize) {
        if files >= PROGRESS_FILES_MIN && done * 10 / files > (done - 1) * 10 / files {
            tracing::info!(
                run = self.context.run_id,
                node = self.context.node_id,
                plugin = self.plugin,
                done,
                files,
                "files processed"
            );
        }
    }

    async fn computed<T, M, W>(self, file: &MediaFile, makes: M, work: W) -> Result<T, FileError>
    where
        M: FnOnce(&Info) -> u64,
        T: Send + 'static,
        W: FnOnce(Opened) -> Result<T, FileError> + Send + 'static,
    {
        let opened = self.opened(file).await?;
        let pixels = opened.info.pixels() + makes(&opened.info);
        let done = self.services.pool.compute(pixels, move || work(opened));
        done.await
            .unwrap_or_else(|Panicked| Err(FileError::Panicked))
    }

    /// The bytes of a file and what its header says.
    pub(crate) async fn opened(self, file: &MediaFile) -> Result<Opened, FileError> {
        let limits = self.services.limits;
        let limit = limits.bytes_max;
        if file.size > limit {
            let bytes = file.size;
            return Err(FileError::TooLarge { bytes, limit });
        }
        let fetched = self.services.source.fetch(&file.url, limit).await;
        let bytes = fetched.map_err(FileError::Source)?;
        self.look_at(bytes).await
    }

    /// What the header says. It may have much to unpack, so that it is read where pixels are computed.
    pub(crate) async fn look_at(self, bytes: Bytes) -> Result<Opened, FileError> {
        let limits = self.services.limits;
        let looked = self.services.pool.compute(0, move || {
            let info = probe(&bytes, &limits)?;
            Ok(Opened {
                bytes,
                info,
                limits,
            })
        });
        looked
            .await
            .unwrap_or_else(|Panicked| Err(FileError::Panicked))
    }

    /// What an output is called.
    pub(crate) fn name(self, input: &MediaFile, format: Format) -> String {
        format!("{}{}.{}", input.stem(), self.suffix, format.extension())
    }

    /// Stores what was made of a file, over what an earlier try stored.
    pub(crate) async fn stored(
        self,
        position: usize,
        input: &MediaFile,
        made: Made,
    ) -> Result<MediaFile, FileError> {
        let name = self.name(input, made.format);
        let key = outputs::key(self.context, position, input, &name)?;
        let size = made.bytes.len() as u64;
        let content_type =
            ContentType::parse(made.format.content_type()).expect("a format's content type is one");
        let blobs = &self.services.blobs;
        blobs
            .put(&key, made.bytes.into(), &content_type, Put::Overwrite)
            .await?;

        let mut metadata = input.metadata.clone().unwrap_or_default();
        metadata.insert("mimeType".to_owned(), made.format.content_type().into());
        metadata.insert("sourceId".to_owned(), input.id.clone().into());
        metadata.extend(made.metadata);
        metadata.insert("processedBy".to_owned(), Value::from(self.plugin));
        Ok(MediaFile {
            id: outputs::id(self.context, position, input),
            url: format!("blob:{key}"),
            name,
            kind: MediaKind::Image,
            format: made.format.name().to_owned(),
            size,
            width: Some(made.width),
            height: Some(made.height),
            duration: None,
            metadata: Some(metadata),
        })
    }
}

/// A file that can be decoded, as far as its header tells.
#[derive(Debug)]
pub struct Opened {
    pub(crate) bytes: Bytes,
    pub(crate) info: Info,
    pub(crate) limits: studio233_media::Limits,
}

impl Opened {
    pub(crate) fn decode(&self) -> Result<Image, FileError> {
        Ok(decode(&self.bytes, &self.limits)?)
    }
}
