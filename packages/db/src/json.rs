//! JSON in a column, as it was written.

use serde_json::Value;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo, PgValueRef};
use sqlx::sqlite::{SqliteArgumentsBuffer, SqliteTypeInfo, SqliteValueRef};
use sqlx::{Decode, Encode, Postgres, Sqlite, Type};

/// PostgreSQL's type `json`. sqlx's own wrapper means `jsonb`, which orders keys anew.
const JSON: Oid = Oid(114);

/// A JSON value in a column of type `json`, or of text that is checked to be JSON.
#[derive(Debug, Clone)]
pub(crate) struct Json(pub(crate) Value);

impl Json {
    pub(crate) fn of(value: &Value) -> Self {
        Self(value.clone())
    }
}

impl Type<Sqlite> for Json {
    fn type_info() -> SqliteTypeInfo {
        <String as Type<Sqlite>>::type_info()
    }
}

impl Encode<'_, Sqlite> for Json {
    fn encode_by_ref(&self, buffer: &mut SqliteArgumentsBuffer) -> Result<IsNull, BoxDynError> {
        <String as Encode<Sqlite>>::encode(self.0.to_string(), buffer)
    }
}

impl<'row> Decode<'row, Sqlite> for Json {
    fn decode(value: SqliteValueRef<'row>) -> Result<Self, BoxDynError> {
        let text = <&str as Decode<Sqlite>>::decode(value)?;
        Ok(Self(serde_json::from_str(text)?))
    }
}

impl Type<Postgres> for Json {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(JSON)
    }
}

impl Encode<'_, Postgres> for Json {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        <String as Encode<Postgres>>::encode(self.0.to_string(), buffer)
    }
}

impl<'row> Decode<'row, Postgres> for Json {
    fn decode(value: PgValueRef<'row>) -> Result<Self, BoxDynError> {
        let text = <&str as Decode<Postgres>>::decode(value)?;
        Ok(Self(serde_json::from_str(text)?))
    }
}
