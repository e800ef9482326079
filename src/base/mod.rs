//! Leaves: small parts that import nothing of the house and know only bytes and numbers.

pub mod bytes;
pub mod find;
pub mod histogram;
pub mod random;
pub mod text;
pub mod time;
