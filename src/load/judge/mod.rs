//! Whether the figures of a run can be believed, and what a comparison of runs says.

pub mod assertion;
pub mod checks;
pub mod compare;
pub mod host_checks;
pub mod littles_law;
pub mod statistics;
