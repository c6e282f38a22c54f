//! Encrypts what goes through the server.

mod secretbox;

pub use secretbox::EncryptionError;

use super::{FunctionInput, Middleware, Outcome, RunInfo, StepInfo, StepInput, StepKind};
use crate::Error;
use crate::event::OutgoingEvent;
use crate::step::to_json;
use secretbox::{Keys, MARKER};
use serde_json::{Map, Value};
use std::fmt;
use stepwell_protocol::{SharedJson, UserError};

/// The field of events that is encrypted when none is named.
const FIELD: &str = "encrypted";

/// Encrypts results of steps, results of functions and one field of events' data, so that the server never sees them.
///
/// It reads and writes what the protocol's `@inngest/middleware-encryption` 2 does, with the same keys: functions in
/// both languages share events and invoke each other. That is XSalsa20-Poly1305 under the BLAKE2b hash of the key's text;
/// choose a long random one.
///
/// Not encrypted: the other fields of events (conditions and flow-control keys need them), ids of steps, options of steps
/// but for the field in an invocation's data, what is deferred, signalled or published, errors.
///
/// Add it as the first middleware: others then see what is decrypted.
///
/// ```
/// use stepwell::middleware::Encryption;
/// let encryption = Encryption::new("the new key of at least 32 random characters")
///     .expect("the key is not empty")
///     .decrypt_with("the key before it")
///     .expect("the key is not empty");
/// # let _ = encryption;
/// ```
///
/// # Changing the key
/// First deploy every program with the new key as [`decrypt_with`](Self::decrypt_with), then with the two exchanged, and
/// drop the old key when no run that knows it is left.
#[derive(Clone)]
pub struct Encryption {
    keys: Keys,
    field: String,
    decrypts_only: bool,
}

impl fmt::Debug for Encryption {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Encryption")
            .field("keys", &self.keys.len())
            .field("field", &self.field)
            .field("decrypts_only", &self.decrypts_only)
            .finish()
    }
}

impl Encryption {
    /// Encrypts with this key, of any length; spaces around it do not count.
    ///
    /// # Errors
    /// The key is empty.
    pub fn new(key: &str) -> Result<Self, EncryptionError> {
        Ok(Self {
            keys: Keys::new(key)?,
            field: FIELD.to_owned(),
            decrypts_only: false,
        })
    }

    /// Decrypts with this key, too, when no earlier one fits.
    ///
    /// # Errors
    /// The key is empty.
    pub fn decrypt_with(mut self, key: &str) -> Result<Self, EncryptionError> {
        self.keys.add(key)?;
        Ok(self)
    }

    /// Only decrypts: for the time while not all programs can.
    #[must_use]
    pub fn decrypt_only(mut self) -> Self {
        self.decrypts_only = true;
        self
    }

    /// The field of events' data that is encrypted; `encrypted` when none is named.
    #[must_use]
    pub fn event_field(mut self, name: impl Into<String>) -> Self {
        self.field = name.into();
        self
    }

    fn encrypt_field(&self, data: &mut Value) {
        if self.decrypts_only {
            return;
        }
        if let Some(field) = data.get_mut(&self.field)
            && !secretbox::is_encrypted(field)
        {
            *field = self.keys.encrypt(&field.to_string());
        }
    }

    fn encrypt_output(&self, output: SharedJson) -> Result<SharedJson, Error> {
        // Like the absence of a value, null tells nothing.
        if self.decrypts_only || output.get() == "null" {
            return Ok(output);
        }
        to_json(&self.keys.encrypt(output.get()))
    }

    fn decrypt(&self, value: &mut Value) -> Result<(), Error> {
        if secretbox::is_encrypted(value) {
            *value = self.keys.decrypt(value).map_err(refused)?;
        }
        Ok(())
    }

    fn decrypt_fields(&self, fields: &mut Map<String, Value>) -> Result<(), Error> {
        fields
            .values_mut()
            .try_for_each(|value| self.decrypt(value))
    }

    /// An event's data. That of a failure holds the event that the run was for.
    fn decrypt_event(&self, event: &mut Value) -> Result<(), Error> {
        let inner = event.pointer_mut("/data/event/data");
        if let Some(Value::Object(data)) = inner {
            self.decrypt_fields(data)?;
        }
        match event.get_mut("data") {
            Some(Value::Object(data)) => self.decrypt_fields(data),
            _ => Ok(()),
        }
    }
}

/// Another attempt would fare no better.
fn refused(error: EncryptionError) -> Error {
    Error::new("DecryptionError", error.to_string()).non_retriable()
}

impl Middleware for Encryption {
    fn transform_function_input(
        &self,
        _: &RunInfo,
        input: &mut FunctionInput,
    ) -> Result<(), Error> {
        if !input.raw_events().any(|event| event.contains(MARKER)) {
            return Ok(());
        }
        let mut events = input.events()?.iter_mut();
        events.try_for_each(|event| self.decrypt_event(event))
    }

    fn wrap_function<'a>(&'a self, _: &'a RunInfo, next: Outcome<'a>) -> Outcome<'a> {
        Box::pin(async move { self.encrypt_output(next.await?) })
    }

    fn transform_step_input(&self, _: &RunInfo, step: &mut StepInput) -> Result<(), Error> {
        if step.kind() == StepKind::Invoke
            && let Some(data) = step.options_mut().get_mut("payload")
            && let Some(data) = data.get_mut("data")
        {
            self.encrypt_field(data);
        }
        Ok(())
    }

    fn transform_step_result(
        &self,
        _: &RunInfo,
        step: &StepInfo,
        result: &mut Result<SharedJson, UserError>,
    ) -> Result<(), Error> {
        let Ok(output) = result else {
            return Ok(());
        };
        if !output.get().contains(MARKER) {
            return Ok(());
        }
        let mut value: Value = serde_json::from_str(output.get())?;
        self.decrypt(&mut value)?;
        if step.kind == StepKind::WaitForEvent {
            self.decrypt_event(&mut value)?;
        }
        *output = to_json(&value)?;
        Ok(())
    }

    fn wrap_step<'a>(&'a self, _: &'a RunInfo, _: &'a StepInfo, next: Outcome<'a>) -> Outcome<'a> {
        Box::pin(async move { self.encrypt_output(next.await?) })
    }

    fn transform_send_event(&self, events: &mut Vec<OutgoingEvent>) -> Result<(), Error> {
        for event in events {
            self.encrypt_field(event.data_mut());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
