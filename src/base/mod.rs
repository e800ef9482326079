//! Leaves: small parts that import nothing of the house and know only bytes and numbers.

pub mod buffer;
pub mod clock;
pub mod counted;
pub mod find;
pub mod histogram;
pub mod json;
pub mod nearest;
pub mod quantity;
pub mod random;
pub mod visible;
