//! Whether the figures of a run are credible, and what a comparison of runs shows.

pub mod assertion;
pub mod checks;
pub mod compare;
pub mod host_checks;
pub mod littles_law;
pub mod statistics;
