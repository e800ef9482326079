//! Batches of receives and sends, made one by one and made all at once through a ring: the user of a
//! batch must not be able to tell. io_uring(7), recv(2), send(2).

use mynah::kernel::Outcome;

use super::*;

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

/// Receives once from each socket, into rooms of `size` bytes. What each found: bytes or errno.
fn reads(sim: &mut Sim, sockets: &[Socket], size: usize) -> Vec<Result<Vec<u8>, i32>> {
    let mut space = vec![0; size * sockets.len()];
    let mut results = vec![Outcome::of_number(7)];
    sim.receive_batch(sockets.iter(), &mut space, size, &mut results);
    let rooms = space.chunks(size);
    let bytes = results.into_iter().zip(rooms);
    bytes
        .map(|(outcome, room)| {
            let bytes = outcome.result().map(|count| room[..count].to_vec());
            bytes.map_err(errno)
        })
        .collect()
}

/// Sends the text of the same place to each socket.
fn writes(sim: &mut Sim, sockets: &[Socket], texts: &[&[u8]]) -> Vec<Result<usize, i32>> {
    let mut results = vec![Outcome::of_number(7)];
    let sends = sockets.iter().zip(texts.iter().copied());
    sim.send_batch(sends, &mut results);
    let results = results.into_iter();
    results.map(|it| it.result().map_err(errno)).collect()
}

#[test]
fn a_batch_of_receives_returns_what_each_socket_has() {
    for at_once in [false, true] {
        let (mut sim, sockets, peers) = crowd(4, at_once);
        sim.send(peers[0], b"abc");
        sim.finish(peers[1]);
        sim.send(peers[3], b"de");
        let expected = [
            Ok(b"abc".to_vec()),
            Ok(Vec::new()),
            Err(EAGAIN),
            Ok(b"de".to_vec()),
        ];
        assert_eq!(
            reads(&mut sim, &sockets, 100),
            expected,
            "at once: {at_once}"
        );
        assert_eq!(sim.calls("recv"), 4);
        assert_eq!(sim.calls("io_uring_enter"), u64::from(at_once));
    }
}

#[test]
fn a_batch_of_sends_delivers_each_text_and_returns_each_result() {
    for at_once in [false, true] {
        let (mut sim, sockets, peers) = crowd(3, at_once);
        sim.reset(peers[1]);
        let sent = writes(&mut sim, &sockets, &[b"one", b"two", b"three"]);
        assert_eq!(sent, [Ok(3), Err(ECONNRESET), Ok(5)]);
        assert_eq!(sim.receive_all(peers[0]), b"one");
        assert_eq!(sim.receive_all(peers[2]), b"three");
    }
}

#[test]
fn a_batch_without_calls_makes_none() {
    for at_once in [false, true] {
        let (mut sim, _, _) = crowd(0, at_once);
        assert_eq!(reads(&mut sim, &[], 100), []);
        assert_eq!(writes(&mut sim, &[], &[]), []);
        let calls = ["recv", "send", "io_uring_enter"].map(|name| sim.calls(name));
        assert_eq!(calls, [0; 3]);
    }
}

#[test]
fn whatever_a_ring_does_each_call_is_made_once_and_has_its_result() {
    for name in [
        "unentered",
        "untaken",
        "cancelled",
        "overflowed",
        "disordered",
        "ring_lost",
    ] {
        for chance in [0.1, 0.5, 1.0] {
            let (mut sim, sockets, peers) = crowd(32, true);
            let mut faults = Faults::none();
            let mut each = faults.each();
            *each.iter_mut().find(|it| it.0 == name).expect("a fault").1 = chance;
            sim.set_faults(faults);
            let texts: Vec<Vec<u8>> = (0..32).map(|it| vec![it; 1 + it as usize]).collect();
            let borrowed: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
            for (peer, text) in peers.iter().zip(&texts) {
                sim.send(*peer, text);
            }
            let found = reads(&mut sim, &sockets, 64);
            let expected: Vec<_> = texts.iter().cloned().map(Ok).collect();
            assert_eq!(found, expected, "{name} {chance}");
            let sent = writes(&mut sim, &sockets, &borrowed);
            let expected: Vec<_> = texts.iter().map(|text| Ok(text.len())).collect();
            assert_eq!(sent, expected, "{name} {chance}");
            for (peer, text) in peers.iter().zip(&texts) {
                assert_eq!(&sim.receive_all(*peer), text, "{name} {chance}");
            }
        }
    }
}

#[test]
fn an_ordered_failure_of_io_uring_enter_costs_no_call() {
    let (mut sim, sockets, peers) = crowd(2, true);
    sim.fail("io_uring_enter", 1, EAGAIN);
    sim.send(peers[0], b"abc");
    let found = reads(&mut sim, &sockets, 64);
    assert_eq!(found, [Ok(b"abc".to_vec()), Err(EAGAIN)]);
    assert_eq!(sim.calls("io_uring_enter"), 2);
}
