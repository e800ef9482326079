//! The work that a service asks for, and the events that report on it.
//!
//! A service knows only bytes and never waits. For a request that needs such work the service
//! answers [`Answer::Awaits`](super::Answer::Awaits). The driver of the connection reads the
//! [`Effect`], has it performed and passes back each [`EffectEvent`]: any number of outputs, then
//! one ending. Until then the connection answers nothing else, so answers stay in order.
//!
//! Neighbours: `run` is the service that uses effects, `server::effects` performs them.

/// What a request waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The output of one of [`Effects::commands`](super::Effects::commands), by its number.
    Command(usize),
}

/// One event of an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EffectEvent<'a> {
    /// Output, at least one byte.
    Output(&'a [u8]),
    /// The command has ended, and all its output was passed on.
    Ended,
    /// The command exceeded the output limit and was ended.
    OutputLimit,
    /// The command exceeded the time limit and was ended.
    TimedOut,
    /// The command could not be started.
    NotStarted,
}

impl EffectEvent<'_> {
    /// Whether no event follows.
    pub const fn is_last(&self) -> bool {
        !matches!(self, EffectEvent::Output(_))
    }
}
