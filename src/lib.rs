//! mynah: an echo server around a handcrafted epoll loop, and a library to build such servers.
//!
//! # A server of your own
//!
//! A [`Service`] says what to answer; [`Server::builder`] says where to listen, where a message
//! ends, and which limits hold. The defaults are those of `mynah serve`: one thread, ten thousand
//! connections, 256 MiB, and time-outs against peers that hold a connection and do nothing.
//!
//! A key-value store, `SET key value` and `GET key`, one line each:
//!
//! ```
//! use std::collections::HashMap;
//! use std::sync::{Arc, Mutex, PoisonError};
//!
//! use mynah::{Answer, Reply, Request, Server, Service};
//!
//! /// The longest value in bytes.
//! const VALUE_MAX: usize = 1024;
//!
//! /// Each thread has a clone; the clones share the map.
//! #[derive(Clone, Default)]
//! struct Store(Arc<Mutex<HashMap<Vec<u8>, Vec<u8>>>>);
//!
//! impl Service for Store {
//!     type State = (); // what one connection remembers
//!
//!     fn open(&self) {}
//!
//!     fn reply_max(&self, _payload: usize) -> usize {
//!         VALUE_MAX
//!     }
//!
//!     fn serve(&mut self, _: &mut (), request: Request<'_>, reply: &mut Reply<'_>) -> Answer {
//!         let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
//!         let mut words = request.payload.splitn(3, |byte| *byte == b' ');
//!         match (words.next(), words.next(), words.next()) {
//!             (Some(b"SET"), Some(key), Some(value)) if value.len() <= VALUE_MAX => {
//!                 map.insert(key.to_vec(), value.to_vec());
//!                 reply.push(b"OK");
//!             }
//!             (Some(b"GET"), Some(key), None) => {
//!                 reply.push(map.get(key).map_or(b"NONE", Vec::as_slice));
//!             }
//!             _ => reply.push(b"ERROR"),
//!         }
//!         Answer::Written
//!     }
//! }
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let server = Server::builder()
//!         .listen("127.0.0.1:0")
//!         .framing("line")
//!         .bind(Store::default())?;
//!     println!("listens on {}", server.addresses()[0]);
//!     let handle = server.handle(); // handle.drain() ends it, from any thread
//! #   let address = server.tcp_address().ok_or("no TCP")?;
//! #   let peer = std::thread::spawn(move || -> std::io::Result<String> {
//! #       use std::io::{BufRead, BufReader, Write};
//! #       let mut stream = std::net::TcpStream::connect(address)?;
//! #       stream.write_all(b"SET bird mynah\nGET bird\n")?;
//! #       let replies = BufReader::new(stream).lines().take(2);
//! #       let replies = replies.collect::<Result<Vec<_>, _>>();
//! #       handle.drain();
//! #       Ok(replies?.join(" "))
//! #   });
//!     server.run()?; // serves on this thread until it has drained
//! #   assert_eq!(peer.join().map_err(|_| "a panic")??, "OK mynah");
//!     Ok(())
//! }
//! ```
//!
//! What several threads share is the business of the service: here one lock, which is held for the
//! time of one request. With one thread, the default, it is never contended. A service whose state
//! lies in [`Service::State`] needs no lock: each connection has its own.
//!
//! Signals are left alone unless [`Builder::signals`] asks for them. [`Handle`] gives the loop
//! tasks from other threads, which run in order on its thread and see a [`Loop`]: its counters, its
//! timers, its drain. A task or a service that blocks keeps all connections of its loop waiting.
//!
//! ```
//! use std::time::Duration;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = mynah::Server::builder()
//!     .listen("127.0.0.1:0")
//!     .bind(mynah::Echo)?;
//! // Drains the server as soon as it has no connection.
//! server.handle().run(|on_loop| {
//!     let watch = on_loop.every(Duration::from_millis(10), |on_loop| {
//!         if on_loop.counters().connections_now == 0 {
//!             on_loop.drain();
//!         }
//!     });
//!     if let Err(refused) = watch {
//!         eprintln!("not watched: {refused}");
//!     }
//! })?;
//! server.run()?;
//! # Ok(())
//! # }
//! ```
//!
//! # The source
//!
//! The modules, from the bottom to the top. Each module imports only from modules above it in this
//! table; a test checks it.
//!
//! ```text
//!   limits     every bound with its reason
//!   base       bytes, time, text, numbers: nothing specific to this program
//!   store      containers with fixed memory
//!   protocol   framing, service, connection: bytes and `now` in; bytes, interest, deadlines out
//!   sys        the only unsafe code: one system call each
//!   kernel     the operating system as traits, and Linux as their implementation
//!   transport  TLS between a socket and its connection
//!   server     the event loop, its connections, admission, effects, counters and logs
//!   workers    several loops side by side
//!   library    a server inside another program
//!   lab        experiments that ask the kernel
//!   decode     frames of a stream, printed
//!   client     mynah connect
//!   load       mynah bench
//!   cli        options, and the commands that they select
//! ```

pub mod base;
pub mod cli;
pub mod client;
pub mod decode;
pub mod kernel;
mod lab;
pub mod library;
pub mod limits;
pub mod load;
pub mod protocol;
pub mod server;
pub mod store;
mod sys;
pub mod transport;
pub mod workers;

pub use base::token_bucket::Rate;
pub use library::{Builder, Error, Server};
pub use protocol::service::{Answer, Echo, Reply, Request, Service};
pub use server::admission::AcceptPolicy;
pub use server::observe::wiretap::Detail;
pub use server::{Handle, Loop, Refused, TimerId};
pub use workers::Ending;

#[cfg(test)]
#[path = "../tests/time_limit/mod.rs"]
mod time_limit;
