//! The last requests that a connection has given up, so that a late reply is recognised.
//!
//! A datagram may arrive after its connection has moved on by several requests. Then the datagram
//! does not match the reply that the connection expects. This list holds the indices of a fixed
//! number of requests: at one lost datagram per second, a reply that is a minute late is still
//! recognised.

use crate::load::plan::script::Script;

const KEPT: usize = 64;

/// Indices of requests in the script.
#[derive(Clone, Debug)]
pub struct Lost {
    places: [u32; KEPT],
    count: usize,
}

impl Default for Lost {
    fn default() -> Lost {
        Lost {
            places: [0; KEPT],
            count: 0,
        }
    }
}

impl Lost {
    /// Remembers that the request at `place` was given up, and forgets the oldest.
    pub fn note(&mut self, place: usize) {
        self.places[self.count % KEPT] = place as u32;
        self.count += 1;
    }

    /// Whether `bytes` is the reply to a request in the list.
    pub fn has(&self, script: &Script, bytes: &[u8]) -> bool {
        let known = &self.places[..self.count.min(KEPT)];
        known
            .iter()
            .any(|&place| bytes == script.request(place as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_that_were_given_up_are_known_and_no_others() {
        let framing = "raw".parse().expect("known");
        let script = Script::echo(&framing, 64, 64, 1).expect("raw takes all");
        let mut lost = Lost::default();
        (0..=KEPT).for_each(|place| lost.note(place));
        assert!(!lost.has(&script, script.request(0)));
        assert!((1..=KEPT).all(|place| lost.has(&script, script.request(place))));
        assert!(!lost.has(&script, script.request(KEPT + 1)));
        assert!(!lost.has(&script, &script.request(1)[1..]));
    }
}
