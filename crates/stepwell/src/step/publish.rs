//! Publishing: messages for whoever follows along.

use super::{RunStep, Step, json_of};
use crate::execution::StepSpec;
use serde::Serialize;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use stepwell_protocol::op::Opcode;
use stepwell_protocol::shared_json;

/// A topic of a channel, and the type of the messages that are published there.
///
/// ```
/// # use stepwell::Topic;
/// #[derive(serde::Serialize)]
/// struct Progress { percent: u8 }
///
/// fn progress_of(upload: &str) -> Topic<Progress> {
///     Topic::new(format!("upload:{upload}"), "progress")
/// }
/// ```
pub struct Topic<T: ?Sized> {
    channel: String,
    name: String,
    message: PhantomData<fn(&T)>,
}

impl<T: ?Sized> Topic<T> {
    /// The topic `name` of a channel.
    pub fn new(channel: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            channel: channel.into(),
            name: name.into(),
            message: PhantomData,
        }
    }

    /// The channel.
    #[must_use]
    pub fn channel(&self) -> &str {
        &self.channel
    }

    /// The topic's name within the channel.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl<T: ?Sized> Clone for Topic<T> {
    fn clone(&self) -> Self {
        Self::new(self.channel.clone(), self.name.clone())
    }
}

impl<T: ?Sized> fmt::Debug for Topic<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Topic({} of {})", self.name, self.channel)
    }
}

impl Step {
    /// Publishes a message, once: to whoever is subscribed to the topic at that moment.
    ///
    /// [`Client::publish`](crate::Client::publish) does without a step, and so again on every call.
    ///
    /// ```
    /// # use stepwell::{Context, Error, Topic};
    /// # async fn handler(ctx: Context) -> Result<(), Error> {
    /// let news: Topic<str> = Topic::new(format!("run:{}", ctx.run_id()), "news");
    /// ctx.step().publish("tell", &news, "half-way").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`StepError`](crate::StepError) when no attempt could publish it.
    pub fn publish<T: Serialize + ?Sized>(
        &self,
        id: impl Into<String>,
        topic: &Topic<T>,
        message: &T,
    ) -> RunStep<'static, ()> {
        let mut spec = StepSpec::new(id, Opcode::StepPlanned);
        spec.name = Some("realtime.publish".to_owned());
        spec.opts
            .insert("type".to_owned(), "step.realtime.publish".into());
        let (channel, name) = (topic.channel.clone(), topic.name.clone());
        let message = json_of("the message", &message);
        self.code_step(spec, move |slot| {
            let execution = Arc::clone(slot.execution());
            Box::pin(async move {
                let data = shared_json(message?.to_string()).expect("a JSON value's text is JSON");
                let run = Some(execution.run.run_id);
                execution
                    .client
                    .publish_json(&channel, &name, run, data)
                    .await?;
                Ok(())
            })
        })
    }

    /// The topic `name` of this run's own channel: the channel's name is the run's id.
    #[must_use]
    pub fn topic<T: ?Sized>(&self, name: impl Into<String>) -> Topic<T> {
        Topic::new(self.execution.run.run_id.to_string(), name)
    }
}
