//! Text for people and for programs: columns, escapes, hex dumps, plurals, quantities, suggestions,
//! dates, JSON.

pub mod columns;
pub mod escape;
pub mod hex_dump;
pub mod json;
pub mod plural;
pub mod quantity;
pub mod suggest;
pub mod utc;
