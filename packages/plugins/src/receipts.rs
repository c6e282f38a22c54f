//! What a node has paid for is paid once: a receipt beside each output, by which a node that is tried again finds it.

use studio233_blob::{BlobError, ContentType, InvalidKey, Key, Put};
use studio233_media::Format;

use crate::each::Job;
use crate::{FileError, MediaFile, outputs};

/// What an output says of itself, its metadata included, is far less.
const RECEIPT_BYTES_MAX: u64 = 256 * 1024;

impl Job<'_> {
    /// What an earlier try made of the file, if it came so far as to leave a receipt.
    pub(crate) async fn paid(
        self,
        position: usize,
        input: &MediaFile,
        format: Format,
    ) -> Result<Option<MediaFile>, FileError> {
        let key = self.receipt(position, input, format)?;
        match self.services.blobs.get(&key, RECEIPT_BYTES_MAX).await {
            // One that cannot be read is none: the file is made once more.
            Ok(receipt) => Ok(serde_json::from_slice(&receipt.bytes).ok()),
            Err(BlobError::NotFound { .. } | BlobError::TooLarge { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Leaves the receipt for an output that is stored.
    pub(crate) async fn keep_receipt(
        self,
        position: usize,
        input: &MediaFile,
        format: Format,
        made: &MediaFile,
    ) -> Result<(), FileError> {
        let key = self.receipt(position, input, format)?;
        let receipt = serde_json::to_vec(made).expect("a file's description is JSON");
        let blobs = &self.services.blobs;
        blobs
            .put(&key, receipt.into(), &ContentType::json(), Put::Overwrite)
            .await?;
        Ok(())
    }

    fn receipt(
        self,
        position: usize,
        input: &MediaFile,
        format: Format,
    ) -> Result<Key, InvalidKey> {
        let name = format!("{}.receipt", self.name(input, format));
        outputs::key(self.context, position, input, &name)
    }
}
