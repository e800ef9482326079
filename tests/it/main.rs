//! The integration tests, one binary: a module a subject.

mod client;
mod house_rules;
mod load;
mod sim;
mod sim_kernel;
