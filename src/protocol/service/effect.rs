//! What a service asks of the world, and what it is told of it.
//!
//! A service knows only bytes and never waits. A request that needs the world answers
//! [`Answer::Awaits`](super::Answer::Awaits); whoever drives the connection reads off the
//! [`Effect`], performs it, and comes back with [`EffectEvent`]: as many pieces as there are, and one
//! ending. Until then the connection answers nothing else, so answers stay in order.

/// What a request waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The output of one of [`Effects::commands`](super::Effects::commands), by its number.
    Command(usize),
}

/// What is heard of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EffectEvent<'a> {
    /// It has said this, which is not nothing.
    Output(&'a [u8]),
    /// It has ended, and all that it said was told.
    Ended,
    /// It said more than it may, and was ended.
    OutputLimit,
    /// It took longer than it may, and was ended.
    TimedOut,
    /// It could not be started.
    NotStarted,
}

impl EffectEvent<'_> {
    /// Whether nothing follows.
    pub const fn is_last(&self) -> bool {
        !matches!(self, EffectEvent::Output(_))
    }
}
