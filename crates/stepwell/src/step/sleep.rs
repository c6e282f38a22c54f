//! Waiting for time to pass.

use super::{Slot, Step, time_string};
use crate::execution::StepSpec;
use crate::moment::Moment;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use stepwell_protocol::op::Opcode;

/// The future of [`Step::sleep`] and [`Step::sleep_until`].
#[derive(Debug)]
#[must_use = "a step does nothing until it is awaited"]
pub struct Sleep {
    slot: Slot,
}

super::step_options! {
    impl[] Sleep;
}

impl Step {
    /// Waits, without keeping anything alive: up to 366 days.
    ///
    /// Durations are whole milliseconds, rounded up.
    pub fn sleep(&self, id: impl Into<String>, duration: Duration) -> Sleep {
        self.sleep_named(id, time_string(duration))
    }

    /// Waits until a moment; one in the past does not wait.
    pub fn sleep_until(&self, id: impl Into<String>, moment: impl Into<Moment>) -> Sleep {
        self.sleep_named(id, moment.into().to_string())
    }

    fn sleep_named(&self, id: impl Into<String>, name: String) -> Sleep {
        let mut spec = StepSpec::new(id, Opcode::Sleep);
        spec.name = Some(name);
        Sleep {
            slot: self.slot(spec),
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        match this.slot.poll_recorded(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(_)) => Poll::Ready(()),
            Poll::Ready(Err(error)) => {
                this.slot.fail(error.into());
                Poll::Pending
            }
        }
    }
}
