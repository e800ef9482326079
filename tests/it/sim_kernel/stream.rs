//! What is read and written when a connection opens, ends and breaks.
//!
//! Each play was first measured on Linux 6.18. tcp(7), shutdown(2), listen(2).

use super::*;

#[test]
fn a_queue_holds_its_backlog_plus_one_and_further_syns_are_retransmitted_after_a_second() {
    let mut play = Play::small();
    let listener = listen(&mut play.sim, 9, 1);
    let peers: Vec<Peer> = (0..3).map(|_| play.sim.connect_to(&address(9))).collect();
    let links = |sim: &mut Sim| {
        peers
            .iter()
            .map(|&peer| sim.peer_state(peer).link)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        links(&mut play.sim),
        [Link::Open, Link::Open, Link::Connecting]
    );
    let taken = play.sim.accept(&listener).expect("two are queued");
    assert_eq!(links(&mut play.sim)[2], Link::Connecting);
    play.sim.advance(Duration::from_secs(1));
    assert_eq!(links(&mut play.sim)[2], Link::Open);
    play.sim.close(taken);
}

#[test]
fn data_comes_before_the_end_and_the_end_stays() {
    let mut play = Play::small();
    let (socket, peer) = play.connect();
    play.sim.send(peer, b"abc");
    play.sim.finish(peer);
    assert_eq!(play.read(&socket, 2), Ok(b"ab".to_vec()));
    assert_eq!(play.read(&socket, 2), Ok(b"c".to_vec()));
    assert_eq!(
        (play.read(&socket, 2), play.read(&socket, 2)),
        (Ok(vec![]), Ok(vec![]))
    );
    assert_eq!(play.write(&socket, 5), Ok(5));
    assert_eq!(play.sim.receive(peer, 9), b".....");
}

#[test]
fn data_comes_before_a_reset_and_the_error_comes_once() {
    let mut play = Play::small();
    let (socket, peer) = play.connect();
    play.sim.send(peer, b"abc");
    play.sim.reset(peer);
    assert_eq!(play.read(&socket, 9), Ok(b"abc".to_vec()));
    assert_eq!(
        (play.read(&socket, 9), play.read(&socket, 9)),
        (Err(ECONNRESET), Ok(vec![]))
    );
    assert_eq!(play.write(&socket, 1), Err(EPIPE));
}

#[test]
fn the_first_write_to_a_reset_connection_takes_the_error() {
    let mut play = Play::small();
    let (socket, peer) = play.connect();
    play.sim.reset(peer);
    assert_eq!(
        (play.write(&socket, 1), play.write(&socket, 1)),
        (Err(ECONNRESET), Err(EPIPE))
    );
    assert_eq!(play.read(&socket, 9), Ok(vec![]));
}

#[test]
fn a_reset_after_the_fin_reads_as_the_end() {
    let mut play = Play::small();
    let (socket, peer) = play.connect();
    play.sim.finish(peer);
    play.sim.reset(peer);
    assert_eq!(play.mask(&socket), "IN|OUT|ERR|HUP|RDHUP");
    assert_eq!(
        (play.read(&socket, 9), play.write(&socket, 1)),
        (Ok(vec![]), Err(EPIPE))
    );
    assert_eq!(play.mask(&socket), "IN|OUT|HUP|RDHUP");
}

#[test]
fn bytes_written_to_a_closed_peer_are_taken_and_answered_with_a_reset() {
    let mut play = Play::small();
    let (socket, peer) = play.connect();
    play.sim.send(peer, b"abc");
    play.sim.close_peer(peer);
    assert_eq!(play.mask(&socket), "IN|OUT|RDHUP");
    assert_eq!(play.write(&socket, 1), Ok(1));
    assert_eq!(play.mask(&socket), "IN|OUT|ERR|HUP|RDHUP");
    assert_eq!(
        (play.read(&socket, 9), play.read(&socket, 9)),
        (Ok(b"abc".to_vec()), Ok(vec![]))
    );
}

#[test]
fn a_close_with_unread_input_destroys_what_the_peer_has_not_received() {
    let mut play = Play::small();
    let (socket, peer) = play.connect();
    play.sim.send(peer, b"unread");
    assert_eq!(play.write(&socket, 250), Ok(250));
    play.sim.close(socket);
    assert_eq!(play.sim.peer_state(peer).link, Link::Reset);
    assert_eq!(play.sim.receive_all(peer).len(), 100);
}

#[test]
fn a_shutdown_delivers_all_before_the_end() {
    let mut play = Play::small();
    let (socket, peer) = play.connect();
    assert_eq!(play.write(&socket, 250), Ok(250));
    play.sim.shutdown(&socket).expect("it is connected");
    assert_eq!(
        play.sim.peer_state(peer).link,
        Link::Open,
        "the FIN waits behind what is unsent"
    );
    assert_eq!(play.sim.unacknowledged(&socket).map_err(errno), Ok(150 + 1));
    assert_eq!(play.sim.receive_all(peer).len(), 250);
    assert_eq!(play.sim.peer_state(peer).link, Link::Finished);
    assert_eq!(play.write(&socket, 1), Err(EPIPE));
}

#[test]
fn closing_a_listener_resets_its_queue() {
    let mut play = Play::small();
    let queued = play.sim.connect(0);
    let (socket, taken) = play.connect();
    let later = play.sim.connect(0);
    play.sim.close(play.listener);
    let links = [queued, taken, later].map(|peer| play.sim.peer_state(peer).link);
    // The first connection in the queue is accepted first.
    assert_eq!(links, [Link::Open, Link::Reset, Link::Reset]);
    play.sim.close(socket);
}

#[test]
fn a_connection_reset_in_the_queue_is_accepted_and_then_fails() {
    let mut play = Play::small();
    let peer = play.sim.connect(0);
    play.sim.reset(peer);
    let socket = play
        .sim
        .accept(&play.listener)
        .expect("it stays in the queue");
    assert_eq!(play.read(&socket, 9), Err(ECONNRESET));
}

#[test]
fn the_program_reaches_a_peer_that_the_test_hosts() {
    let mut play = Play::small();
    play.sim.host(&address(80));
    let socket = connect(&mut play.sim, 80);
    assert_eq!(play.mask(&socket), "OUT");
    assert_eq!(play.sim.take_error(&socket).map_err(errno), Ok(()));
    let peer = play.sim.incoming(&address(80)).expect("it has connected");
    assert_eq!(
        (play.write(&socket, 3), play.sim.receive(peer, 9)),
        (Ok(3), b"...".to_vec())
    );
    assert_eq!(play.sim.peer(&socket).map_err(errno), Ok(address(80)));
}
