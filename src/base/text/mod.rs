//! Text for people and for programs: escapes, plurals, quantities, suggestions, JSON.

pub mod escape;
pub mod json;
pub mod plural;
pub mod quantity;
pub mod suggest;
