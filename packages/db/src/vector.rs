//! Embeddings, how they are stored, and the SQLite extension that compares them.

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo};
use sqlx::sqlite::{SqliteArgumentsBuffer, SqliteTypeInfo};
use sqlx::{Encode, Postgres, Sqlite, Type};
use std::sync::OnceLock;

/// Every embedding in the studio has this many dimensions.
pub const EMBEDDING_DIMENSIONS: usize = 768;

/// A vector of [`EMBEDDING_DIMENSIONS`] finite numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding(Box<[f32]>);

/// Not an embedding: wrong length, or a number that is not finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "an embedding has {EMBEDDING_DIMENSIONS} finite numbers; this one has {dimensions}, {not_finite} of them not finite"
)]
pub struct WrongDimensions {
    dimensions: usize,
    not_finite: usize,
}

impl Embedding {
    pub fn new(values: Vec<f32>) -> Result<Self, WrongDimensions> {
        let dimensions = values.len();
        let not_finite = values.iter().filter(|value| !value.is_finite()).count();
        if dimensions != EMBEDDING_DIMENSIONS || not_finite > 0 {
            return Err(WrongDimensions {
                dimensions,
                not_finite,
            });
        }
        Ok(Self(values.into_boxed_slice()))
    }

    pub fn values(&self) -> &[f32] {
        &self.0
    }
}

/// An embedding as a parameter: in SQLite a blob of little-endian 32-bit floats, which is what `sqlite-vec` reads, in
/// PostgreSQL the type that `pgvector` defines.
pub(crate) struct Vector<'a>(pub(crate) &'a Embedding);

impl Type<Sqlite> for Vector<'_> {
    fn type_info() -> SqliteTypeInfo {
        <Vec<u8> as Type<Sqlite>>::type_info()
    }
}

impl Encode<'_, Sqlite> for Vector<'_> {
    fn encode_by_ref(&self, buffer: &mut SqliteArgumentsBuffer) -> Result<IsNull, BoxDynError> {
        let values = self.0.values().iter();
        let blob: Vec<u8> = values.flat_map(|value| value.to_le_bytes()).collect();
        <Vec<u8> as Encode<Sqlite>>::encode(blob, buffer)
    }
}

impl Type<Postgres> for Vector<'_> {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("vector")
    }
}

impl Encode<'_, Postgres> for Vector<'_> {
    /// `vector_recv` of `pgvector` reads the number of dimensions and an unused zero, 16 bits each, then 32-bit floats,
    /// all big-endian.
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let values = self.0.values();
        buffer.extend_from_slice(&u16::try_from(values.len())?.to_be_bytes());
        buffer.extend_from_slice(&0_u16.to_be_bytes());
        for value in values {
            buffer.extend_from_slice(&value.to_be_bytes());
        }
        Ok(IsNull::No)
    }
}

/// SQLite refused to register the vector functions; the code is its result code.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("SQLite refused the vector extension (result code {0})")]
pub(crate) struct ExtensionRefused(i32);

/// Makes `vec_distance_cosine` known to every SQLite connection this process opens from now on.
pub(crate) fn register_extension() -> Result<(), ExtensionRefused> {
    static OUTCOME: OnceLock<i32> = OnceLock::new();
    match *OUTCOME.get_or_init(add_auto_extension) {
        libsqlite3_sys::SQLITE_OK => Ok(()),
        code => Err(ExtensionRefused(code)),
    }
}

#[expect(
    unsafe_code,
    reason = "SQLite takes statically linked extensions by function pointer only"
)]
fn add_auto_extension() -> i32 {
    type EntryPoint = unsafe extern "C" fn(
        *mut libsqlite3_sys::sqlite3,
        *mut *mut std::ffi::c_char,
        *const libsqlite3_sys::sqlite3_api_routines,
    ) -> std::ffi::c_int;
    // SAFETY: `sqlite3_vec_init` is declared without arguments in the `sqlite-vec` crate but is
    // defined in its C source as an SQLite extension entry point, that is with exactly the type
    // `EntryPoint`; both are thin function pointers, so the transmute restores the true type.
    // It is compiled with SQLITE_CORE against the one SQLite that is linked into this process
    // (`links = "sqlite3"` allows no second one), and never unloaded, so the pointer stays valid.
    // `sqlite3_auto_extension` locks SQLite's own mutex and may be called from any thread.
    unsafe {
        let entry_point =
            std::mem::transmute::<*const (), EntryPoint>(sqlite_vec::sqlite3_vec_init as *const ());
        libsqlite3_sys::sqlite3_auto_extension(Some(entry_point))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_768_finite_numbers_are_an_embedding() {
        assert!(Embedding::new(vec![0.5; 768]).is_ok());
        assert!(Embedding::new(vec![0.5; 767]).is_err());
        let mut values = vec![0.5; 768];
        values[3] = f32::NAN;
        let error = Embedding::new(values).unwrap_err();
        assert_eq!(
            error.to_string(),
            "an embedding has 768 finite numbers; this one has 768, 1 of them not finite"
        );
    }
}
