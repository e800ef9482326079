//! The integration tests, one binary: a module a subject.

mod binary;
mod client;
mod connection;
mod frames;
mod framings;
mod house_rules;
mod load;
mod server;
mod sim;
mod sim_kernel;
mod talk;
