//! How values become columns and columns values.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use smallvec::SmallVec;
use stepwell_engine::{RunStatus, Timestamp};
use stepwell_protocol::{AppId, BulkCancelId, EventId, FunctionId, RunId, SharedJson, StepId};

/// What stands for the error of an attempt that has none.
pub(super) const NO_ERROR: &str = "null";

/// A value on its way into or out of a column.
pub(super) struct Column<T>(pub(super) T);

macro_rules! id_column {
    ($($id:ty),*) => {$(
        impl ToSql for Column<$id> {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(self.0.to_bytes().to_vec().into())
            }
        }

        impl FromSql for Column<$id> {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                let bytes = value.as_blob()?.try_into().map_err(|_| FromSqlError::InvalidType)?;
                Ok(Self(<$id>::from_bytes(bytes)))
            }
        }
    )*};
}

id_column!(AppId, BulkCancelId, EventId, FunctionId, RunId);

impl ToSql for Column<Timestamp> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(i64::try_from(self.0.ms()).unwrap_or(i64::MAX).into())
    }
}

impl FromSql for Column<Timestamp> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let ms = u64::try_from(value.as_i64()?).map_err(|_| FromSqlError::InvalidType)?;
        Ok(Self(Timestamp::from_ms(ms)))
    }
}

impl ToSql for Column<u128> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.to_be_bytes().to_vec().into())
    }
}

impl FromSql for Column<u128> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let bytes = value
            .as_blob()?
            .try_into()
            .map_err(|_| FromSqlError::InvalidType)?;
        Ok(Self(u128::from_be_bytes(bytes)))
    }
}

/// A step id: 20 bytes for a hash, text for anything else.
impl ToSql for Column<&StepId> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.0 {
            StepId::Hash(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
            StepId::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
        })
    }
}

impl FromSql for Column<StepId> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value {
            ValueRef::Blob(bytes) => bytes
                .try_into()
                .map(|bytes| Self(StepId::Hash(bytes)))
                .map_err(|_| FromSqlError::InvalidType),
            _ => Ok(Self(StepId::Text(value.as_str()?.into()))),
        }
    }
}

impl ToSql for Column<&SharedJson> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(
            self.0.get().as_bytes(),
        )))
    }
}

impl FromSql for Column<SharedJson> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let json = stepwell_protocol::shared_json(value.as_str()?.to_owned());
        json.map(Self)
            .map_err(|error| FromSqlError::Other(Box::new(error)))
    }
}

impl FromSql for Column<RunStatus> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        RunStatus::parse(value.as_str()?)
            .map(Self)
            .ok_or(FromSqlError::InvalidType)
    }
}

/// Event ids, one after another.
impl ToSql for Column<&SmallVec<[EventId; 1]>> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let bytes: Vec<u8> = self.0.iter().flat_map(|id| id.to_bytes()).collect();
        Ok(bytes.into())
    }
}

impl FromSql for Column<SmallVec<[EventId; 1]>> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let bytes = value.as_blob()?;
        if !bytes.len().is_multiple_of(16) {
            return Err(FromSqlError::InvalidType);
        }
        let ids = bytes
            .chunks_exact(16)
            .map(|id| EventId::from_bytes(id.try_into().expect("chunks have 16 bytes")));
        Ok(Self(ids.collect()))
    }
}

/// A value that is stored as JSON text.
pub(super) struct Json<T>(pub(super) T);

impl<T: serde::Serialize> ToSql for Json<&T> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        serde_json::to_string(self.0)
            .map(ToSqlOutput::from)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
    }
}

impl<T: serde::de::DeserializeOwned> FromSql for Json<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        serde_json::from_str(value.as_str()?)
            .map(Self)
            .map_err(|error| FromSqlError::Other(Box::new(error)))
    }
}
