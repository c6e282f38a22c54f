//! The parameters of a request's query.

use crate::answer::ApiError;
use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use std::convert::Infallible;
use std::str::FromStr;
use stepwell_engine::Timestamp;
use stepwell_protocol::span;

/// What a query says, in order. Names are in camel case, whether they came in that or with underscores.
#[derive(Debug, Default)]
pub(super) struct Params(Vec<(String, String)>);

/// A parameter that does not read: its name, and what would be right.
#[derive(Debug, thiserror::Error)]
#[error("{name}: expected {expected}")]
pub(super) struct Malformed {
    pub(super) name: &'static str,
    pub(super) expected: &'static str,
}

impl From<Malformed> for ApiError {
    fn from(error: Malformed) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error.to_string())
    }
}

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts.uri.query().unwrap_or("")))
    }
}

impl Params {
    pub(super) fn of(query: &str) -> Self {
        let pairs = url::form_urlencoded::parse(query.as_bytes());
        Self(
            pairs
                .map(|(name, value)| (camel_case(&name), value.into_owned()))
                .collect(),
        )
    }

    /// These parameters, and those of a form.
    pub(super) fn with(mut self, form: &[u8]) -> Self {
        let pairs = url::form_urlencoded::parse(form);
        self.0
            .extend(pairs.map(|(name, value)| (camel_case(&name), value.into_owned())));
        self
    }

    /// The values of a parameter that may come several times, without empty ones.
    pub(super) fn many<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.0.iter().filter(move |(known, _)| known == name);
        named
            .map(|(_, value)| &**value)
            .filter(|value| !value.is_empty())
    }

    /// A parameter; empty is absent.
    pub(super) fn one<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.many(name).last()
    }

    /// A parameter that reads as something.
    pub(super) fn parsed<T: FromStr>(
        &self,
        name: &'static str,
        expected: &'static str,
    ) -> Result<Option<T>, Malformed> {
        let value = self.one(name).map(str::parse::<T>).transpose();
        value.map_err(|_| Malformed { name, expected })
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, name: &'static str) -> Result<Option<bool>, Malformed> {
        match self.one(name) {
            None => Ok(None),
            Some("true" | "1") => Ok(Some(true)),
            Some("false" | "0") => Ok(Some(false)),
            Some(_) => Err(Malformed {
                name,
                expected: "true or false",
            }),
        }
    }

    /// How many of something, at least one; more than the most counts as the most.
    pub(super) fn limit(&self, usual: usize, most: usize) -> Result<usize, Malformed> {
        let limit = self.parsed::<usize>("limit", "a number")?;
        Ok(limit.unwrap_or(usual).clamp(1, most))
    }

    /// A moment or a day.
    pub(super) fn moment(&self, name: &'static str) -> Result<Option<Timestamp>, Malformed> {
        let Some(text) = self.one(name) else {
            return Ok(None);
        };
        let midnight = format!("{text}T00:00:00Z");
        let ms = span::parse_moment_ms(text).or_else(|| span::parse_moment_ms(&midnight));
        let ms = ms.ok_or(Malformed {
            name,
            expected: "a moment, such as 2026-01-31T12:00:00Z",
        })?;
        Ok(Some(Timestamp::from_ms(u64::try_from(ms).unwrap_or(0))))
    }
}

fn camel_case(name: &str) -> String {
    let mut parts = name.split('_');
    let mut camel = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut letters = part.chars();
        camel.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
    }
    camel
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_in_two_cases_and_values_several_times() {
        let params = Params::of("app_id=a&appId=b&status=&limit=5&include_output=true&x=%C3%BC");
        assert_eq!(params.many("appId").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(params.one("status"), None);
        assert_eq!(params.limit(20, 100).ok(), Some(5));
        assert_eq!(params.flag("includeOutput").ok(), Some(Some(true)));
        assert_eq!(params.one("x"), Some("ü"));
    }

    #[test]
    fn what_does_not_read_is_named() {
        let params = Params::of("limit=many&from=yesterday&includeOutput=perhaps");
        let texts = [
            params.limit(1, 1).expect_err("no number").to_string(),
            params.moment("from").expect_err("no moment").to_string(),
            params
                .flag("includeOutput")
                .expect_err("no flag")
                .to_string(),
        ];
        assert_eq!(
            texts,
            [
                "limit: expected a number",
                "from: expected a moment, such as 2026-01-31T12:00:00Z",
                "includeOutput: expected true or false"
            ]
        );
    }

    #[test]
    fn a_day_is_its_first_moment() {
        let params = Params::of("from=2026-01-31&until=2026-01-31T00:00:00.001Z&long=1960-01-01");
        let moment = |name| params.moment(name).expect("it reads").expect("it is there");
        assert_eq!(moment("until").ms_since(moment("from")), 1);
        assert_eq!(moment("long").ms(), 0);
    }
}
