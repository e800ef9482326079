//! The events that epoll reports for a connection in each of its states, with interest in
//! everything and in nothing.
//!
//! The masks were measured on Linux 6.18. epoll_ctl(2).

use super::*;

#[test]
fn an_idle_connection_has_room_and_no_more() {
    let mut play = Play::small();
    let (socket, _) = play.connect();
    assert_eq!(play.mask(&socket), "OUT");
}

#[test]
fn the_peers_fin_is_no_hang_up() {
    let mut play = Play::small();
    let (socket, peer) = play.connect();
    play.sim.finish(peer);
    assert_eq!(play.mask(&socket), "IN|OUT|RDHUP");
}

#[test]
fn both_fins_are_a_hang_up() {
    let mut play = Play::small();
    let (socket, peer) = play.connect();
    play.sim.finish(peer);
    play.sim.shutdown(&socket).expect("it is connected");
    assert_eq!(play.mask(&socket), "IN|OUT|HUP|RDHUP");
    assert_eq!(play.sim.peer_state(peer).link, Link::Finished);
    assert_eq!(play.sim.shutdown(&socket).map_err(errno), Err(ENOTCONN));
    assert_eq!(play.sim.peer(&socket).map_err(errno), Err(ENOTCONN));
}

#[test]
fn a_reset_reports_every_event() {
    let mut play = Play::small();
    let (socket, peer) = play.connect();
    play.sim.reset(peer);
    assert_eq!(play.mask(&socket), "IN|OUT|ERR|HUP|RDHUP");
    assert_eq!(play.read(&socket, 9), Err(ECONNRESET));
    assert_eq!(play.mask(&socket), "IN|OUT|HUP|RDHUP");
}

#[test]
fn a_refused_connect_reports_every_event() {
    let mut play = Play::small();
    let socket = connect(&mut play.sim, 1);
    assert_eq!(play.mask(&socket), "IN|OUT|ERR|HUP|RDHUP");
    assert_eq!(
        play.sim.take_error(&socket).map_err(errno),
        Err(ECONNREFUSED)
    );
    assert_eq!(play.read(&socket, 9), Ok(vec![]));
    assert_eq!(play.write(&socket, 1), Err(EPIPE));
}

#[test]
fn a_full_send_buffer_is_not_reported() {
    let mut play = Play::small();
    let (socket, _) = play.connect();
    assert_eq!(
        (play.write(&socket, 1000), play.write(&socket, 1)),
        (Ok(400), Err(EAGAIN))
    );
    assert_eq!(play.mask(&socket), "");
    assert_eq!(play.sim.unacknowledged(&socket).map_err(errno), Ok(300));
}

#[test]
fn with_nothing_asked_only_the_end_of_both_directions_is_reported() {
    let mut play = Play::small();
    let (socket, peer) = play.connect();
    play.sim
        .register(&socket, TOKEN, Interest::NONE)
        .expect("it is open");
    play.sim.send(peer, b"data");
    assert_eq!(play.events(), "");
    play.sim.finish(peer);
    assert_eq!(play.events(), "");
    play.sim.shutdown(&socket).expect("it is connected");
    assert_eq!((play.events(), play.events()), ("HUP".into(), "HUP".into()));
}

#[test]
fn with_nothing_asked_a_reset_is_reported() {
    let mut play = Play::small();
    let (socket, peer) = play.connect();
    play.sim
        .register(&socket, TOKEN, Interest::NONE)
        .expect("it is open");
    play.sim.reset(peer);
    assert_eq!(play.events(), "ERR|HUP");
}

#[test]
fn an_unanswered_syn_is_not_reported() {
    let mut play = Play::small();
    let _listener = listen(&mut play.sim, 9, 0);
    let (first, second) = (connect(&mut play.sim, 9), connect(&mut play.sim, 9));
    assert_eq!(
        (play.mask(&first), play.mask(&second)),
        ("OUT".into(), "".into())
    );
    assert_eq!(play.read(&second, 1), Err(EAGAIN));
}
