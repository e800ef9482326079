//! Batches of receives and sends, made one by one and made all at once: the user of a batch must
//! not be able to tell.
//!
//! The batches here handle every result by noting it. io_uring(7), recv(2), send(2).

use mynah::kernel::{ReceiveBatch, SendBatch};

use super::*;

/// What a receive found: where its bytes begin, and the bytes or the errno.
type Found = (usize, Result<Vec<u8>, i32>);

/// Receives from each socket once, and keeps all bytes.
struct Reads<'a> {
    sockets: &'a [Socket],
    found: Vec<Found>,
}

impl ReceiveBatch<Socket> for Reads<'_> {
    fn pending(&self, ahead: usize) -> Option<&Socket> {
        self.sockets.get(self.found.len() + ahead)
    }

    fn receive(
        &mut self,
        start: usize,
        room: &mut [u8],
        call: impl FnOnce(&Socket, &mut [u8]) -> io::Result<usize>,
    ) -> Option<usize> {
        let socket = self.sockets.get(self.found.len())?;
        let bytes = call(socket, room).map(|count| room[..count].to_vec());
        let kept = bytes.as_ref().map_or(0, Vec::len);
        self.found.push((start, bytes.map_err(errno)));
        Some(kept)
    }
}

/// Sends the text of the same place to each socket.
struct Writes<'a> {
    sockets: &'a [Socket],
    texts: &'a [&'a [u8]],
    sent: Vec<Result<usize, i32>>,
}

impl SendBatch<Socket> for Writes<'_> {
    fn pending(&self, ahead: usize) -> Option<(&Socket, &[u8])> {
        let place = self.sent.len() + ahead;
        Some((self.sockets.get(place)?, self.texts[place]))
    }

    fn send(&mut self, call: impl FnOnce(&Socket, &[u8]) -> io::Result<usize>) -> bool {
        let place = self.sent.len();
        let Some(socket) = self.sockets.get(place) else {
            return false;
        };
        self.sent
            .push(call(socket, self.texts[place]).map_err(errno));
        true
    }
}

/// `count` connections in a kernel that makes batches in this way.
fn crowd(count: usize, batches_at_once: bool) -> (Sim, Vec<Socket>, Vec<Peer>) {
    let mut sim = Sim::new(Config {
        batches_at_once,
        ..Config::default()
    });
    let listener = listen(&mut sim, 7007, count as u32);
    let peers: Vec<Peer> = (0..count).map(|_| sim.connect(0)).collect();
    let sockets = peers
        .iter()
        .map(|_| sim.accept(&listener).expect("a connection is queued"))
        .collect();
    (sim, sockets, peers)
}

fn reads(sim: &mut Sim, sockets: &[Socket], size: usize, enough: usize) -> Vec<Found> {
    let mut batch = Reads {
        sockets,
        found: Vec::new(),
    };
    sim.receive_batch(&mut vec![0; size], enough, &mut batch);
    batch.found
}

#[test]
fn a_batch_of_receives_returns_what_each_socket_has() {
    for at_once in [false, true] {
        let (mut sim, sockets, peers) = crowd(4, at_once);
        sim.send(peers[0], b"abc");
        sim.finish(peers[1]);
        sim.send(peers[3], b"de");
        let found = reads(&mut sim, &sockets, 400, 400);
        let results: Vec<_> = found.into_iter().map(|(_, result)| result).collect();
        let expected = [
            Ok(b"abc".to_vec()),
            Ok(Vec::new()),
            Err(EAGAIN),
            Ok(b"de".to_vec()),
        ];
        assert_eq!(results, expected, "at once: {at_once}");
    }
}

#[test]
fn receives_made_one_by_one_lie_one_behind_the_other_and_at_once_in_equal_parts() {
    for (at_once, starts) in [(false, [0, 3, 6]), (true, [0, 100, 200])] {
        let (mut sim, sockets, peers) = crowd(3, at_once);
        for peer in peers {
            sim.send(peer, b"abc");
        }
        let found = reads(&mut sim, &sockets, 300, 300);
        let begins: Vec<usize> = found.iter().map(|(start, _)| *start).collect();
        assert_eq!(begins, starts);
    }
}

#[test]
fn a_batch_begins_no_receive_when_enough_bytes_are_kept() {
    for (enough, receives) in [(2, 1), (3, 1), (4, 2), (6, 2), (7, 3), (0, 0)] {
        let (mut sim, sockets, peers) = crowd(3, false);
        for peer in &peers {
            sim.send(*peer, b"abc");
        }
        assert_eq!(
            reads(&mut sim, &sockets, 300, enough).len(),
            receives,
            "enough: {enough}"
        );
        assert_eq!(sim.calls("recv"), receives as u64, "enough: {enough}");
    }
}

#[test]
fn at_once_no_more_receives_are_made_than_the_ring_has_entries() {
    let (mut sim, sockets, peers) = crowd(70, true);
    for peer in &peers {
        sim.send(*peer, b"abc");
    }
    let found = reads(&mut sim, &sockets, 3200, 3200);
    assert_eq!(found.len(), 32);
    assert_eq!(sim.calls("recv"), 32);
    assert_eq!(found[31], (3100, Ok(b"abc".to_vec())));
}

#[test]
fn a_batch_without_calls_makes_none() {
    for at_once in [false, true] {
        let (mut sim, _, _) = crowd(0, at_once);
        assert_eq!(reads(&mut sim, &[], 100, 100), []);
        let mut batch = Writes {
            sockets: &[],
            texts: &[],
            sent: Vec::new(),
        };
        sim.send_batch(&mut batch);
        assert_eq!((sim.calls("recv"), sim.calls("send")), (0, 0));
    }
}

#[test]
fn a_batch_of_sends_delivers_each_text_and_returns_each_result() {
    for at_once in [false, true] {
        let (mut sim, sockets, peers) = crowd(3, at_once);
        sim.reset(peers[1]);
        let mut batch = Writes {
            sockets: &sockets,
            texts: &[b"one", b"two", b"three"],
            sent: Vec::new(),
        };
        sim.send_batch(&mut batch);
        assert_eq!(batch.sent, [Ok(3), Err(ECONNRESET), Ok(5)]);
        assert_eq!(sim.receive_all(peers[0]), b"one");
        assert_eq!(sim.receive_all(peers[2]), b"three");
    }
}

#[test]
fn a_large_batch_of_sends_is_made_in_rounds() {
    let (mut sim, sockets, peers) = crowd(70, true);
    let texts = vec![b"abc".as_slice(); 70];
    let mut batch = Writes {
        sockets: &sockets,
        texts: &texts,
        sent: Vec::new(),
    };
    sim.send_batch(&mut batch);
    assert_eq!(batch.sent, vec![Ok(3); 70]);
    for peer in peers {
        assert_eq!(sim.receive_all(peer), b"abc");
    }
}
