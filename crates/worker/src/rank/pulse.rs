//! A rank's pulse: a thread that tells the worker where the loop stands, also while the loop computes or waits.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use orchestrator_train::Phase;

use crate::rank::Place;

/// The least time between two messages; a step may take microseconds.
const BEAT: Duration = Duration::from_millis(200);
/// The longest: a rank that is not heard of for much longer is stopped, swapped out, or wedged.
const QUIET_MAX: Duration = Duration::from_secs(1);

/// Where the loop stands, shared with the thread that tells of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pulse(Arc<Mutex<Place>>);

impl Pulse {
    /// Starts to tell. The thread ends with the process.
    pub(crate) fn start(tell: impl Fn(Place) + Send + 'static) -> Self {
        let pulse = Self::default();
        let place = pulse.clone();
        std::thread::spawn(move || {
            let mut told: Option<(Place, Instant)> = None;
            loop {
                let now = place.at();
                let is_news =
                    told.as_ref().is_none_or(|(before, when)| *before != now || when.elapsed() >= QUIET_MAX);
                if is_news {
                    tell(now.clone());
                    told = Some((now, Instant::now()));
                }
                std::thread::sleep(BEAT);
            }
        });
        pulse
    }

    fn at(&self) -> Place {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The loop enters a phase.
    pub(crate) fn enter(&self, step: u64, phase: Phase, collective: u64) {
        let mut place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let work = place.work + 1;
        *place = Place { step, phase: phase.as_str().to_owned(), order: phase as u32 + 1, collective, work };
    }

    /// The loop finished a piece of work within its phase.
    pub(crate) fn work(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).work += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    #[test]
    fn a_loop_that_stands_still_is_heard_and_its_place_is_the_last() {
        let (sender, told) = sync_channel(1 << 10);
        let pulse = Pulse::start(move |place| {
            let _ = sender.send(place);
        });
        pulse.enter(3, Phase::Compute, 7);
        pulse.work();
        let wanted = Place { step: 3, phase: "compute".into(), order: 2, collective: 7, work: 2 };
        let mut seen = 0;
        while seen < 2 {
            let place = told.recv_timeout(Duration::from_secs(20)).expect("it goes on telling");
            seen += u32::from(place == wanted);
        }
    }
}
