//! The integration tests, one binary: a module a subject.

mod binary;
mod bounds;
mod client;
mod connection;
mod dictionary;
mod every_position;
mod faults;
mod frames;
mod framings;
mod fuzz;
mod house_rules;
mod load;
mod model;
mod program;
mod server;
mod services;
mod sim;
mod sim_kernel;
mod swarm;
mod swarm_seeds;
mod talk;
mod terminal;
mod transcripts;
