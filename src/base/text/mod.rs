//! Text for people and for programs: columns, escapes, plurals, quantities, suggestions, dates,
//! JSON.

pub mod columns;
pub mod escape;
pub mod json;
pub mod plural;
pub mod quantity;
pub mod suggest;
pub mod utc;
