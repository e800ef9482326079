//! When epoll reports, level- and edge-triggered, and the other events of the loop: time, signals,
//! descriptor numbers.
//!
//! Each play was first measured on Linux 6.18. epoll(7), epoll_wait(2).

use super::*;

#[test]
fn a_level_triggered_event_repeats_while_it_is_true() {
    let mut play = Play::small();
    let (socket, peer) = play.connect();
    play.sim.register(&socket, TOKEN, READ).expect("it is open");
    play.sim.send(peer, b"abc");
    assert_eq!((play.events(), play.events()), ("IN".into(), "IN".into()));
    assert_eq!(play.read(&socket, 9), Ok(b"abc".to_vec()));
    assert_eq!(play.events(), "");
    play.sim.finish(peer);
    assert_eq!((play.events(), play.events()), ("IN".into(), "IN".into()));
}

#[test]
fn edge_triggered_reports_each_arrival_once() {
    let mut play = Play::small();
    let (socket, peer) = play.connect();
    play.sim
        .register(&socket, TOKEN, READ | Interest::EDGE)
        .expect("it is open");
    play.sim.send(peer, b"abc");
    assert_eq!((play.events(), play.events()), ("IN".into(), "".into()));
    assert_eq!(play.read(&socket, 1), Ok(b"a".to_vec()));
    assert_eq!(play.events(), "", "what was left unread raises nothing");
    play.sim.send(peer, b"d");
    assert_eq!(play.events(), "IN");
    play.sim.finish(peer);
    assert_eq!(
        (play.events(), play.events()),
        ("IN|RDHUP".into(), "".into())
    );
}

#[test]
fn edge_triggered_fin_with_data_is_one_edge_and_nothing_follows() {
    let mut play = Play::small();
    let (socket, peer) = play.connect();
    play.sim
        .register(&socket, TOKEN, READ | Interest::EDGE)
        .expect("it is open");
    play.sim.send(peer, b"abc");
    play.sim.finish(peer);
    assert_eq!(play.events(), "IN|RDHUP");
    assert_eq!(play.read(&socket, 9), Ok(b"abc".to_vec()));
    assert_eq!(play.events(), "");
}

#[test]
fn edge_triggered_room_is_reported_after_a_refusal_with_the_stale_rest() {
    let mut play = Play::small();
    let (socket, peer) = play.connect();
    play.sim.register(&socket, TOKEN, ALL).expect("it is open");
    assert_eq!(play.events(), "OUT");
    play.sim.send(peer, b"abc");
    assert_eq!(play.events(), "IN|OUT");
    assert_eq!(play.write(&socket, 1000), Ok(400));
    assert_eq!(play.sim.receive(peer, 99).len(), 99);
    assert_eq!(
        play.events(),
        "",
        "less than a third of the send buffer is free"
    );
    assert_eq!(play.sim.receive(peer, 1).len(), 1);
    assert_eq!((play.events(), play.events()), ("IN|OUT".into(), "".into()));
}

#[test]
fn edge_triggered_modify_reports_what_is_true_now() {
    let mut play = Play::small();
    let (socket, peer) = play.connect();
    play.sim.send(peer, b"abc");
    play.sim.register(&socket, TOKEN, ALL).expect("it is open");
    assert_eq!((play.events(), play.events()), ("IN|OUT".into(), "".into()));
    play.sim
        .reregister(&socket, TOKEN, READ | Interest::EDGE)
        .expect("it is registered");
    assert_eq!((play.events(), play.events()), ("IN".into(), "".into()));
}

#[test]
fn our_own_shutdown_is_an_edge() {
    let mut play = Play::small();
    let (socket, _) = play.connect();
    play.sim.register(&socket, TOKEN, ALL).expect("it is open");
    assert_eq!(play.events(), "OUT");
    play.sim.shutdown(&socket).expect("it is connected");
    assert_eq!(play.events(), "OUT");
}

#[test]
fn bytes_that_move_up_from_a_full_send_buffer_are_an_edge() {
    let mut play = Play::small();
    let (socket, peer) = play.connect();
    play.sim
        .register(&socket, TOKEN, READ | Interest::EDGE)
        .expect("it is open");
    assert_eq!(play.sim.send(peer, &[b'.'; 150]), 150);
    play.sim.finish(peer);
    assert_eq!(play.events(), "IN");
    assert_eq!(play.read(&socket, 120).map(|bytes| bytes.len()), Ok(100));
    assert_eq!(play.events(), "IN|RDHUP");
}

#[test]
fn a_small_batch_is_fair() {
    let mut play = Play::small();
    let pairs: Vec<(Socket, Peer)> = (0..3).map(|_| play.connect()).collect();
    for (index, (socket, peer)) in (1..).zip(&pairs) {
        play.sim
            .register(socket, Token::new(index, 1), READ)
            .expect("it is open");
        play.sim.send(*peer, b"abc");
    }
    let mut seen = Vec::new();
    for _ in 0..3 {
        let mut events = [Event::default(); 2];
        assert_eq!(
            play.sim.wait(&mut events, Time::NEVER).map_err(errno),
            Ok(2)
        );
        seen.extend(events.map(|event| event.token().index()));
    }
    assert_eq!(seen, [1, 2, 3, 1, 2, 3]);
}

#[test]
fn registering_wrongly_answers_as_epoll_ctl_does() {
    let mut play = Play::small();
    let (socket, _) = play.connect();
    let sim = &mut play.sim;
    let reserved = sim.reserve().expect("there are descriptors");
    assert_eq!(
        sim.reregister(&socket, TOKEN, READ).map_err(errno),
        Err(ENOENT)
    );
    assert_eq!(sim.deregister(&socket).map_err(errno), Err(ENOENT));
    assert_eq!(
        sim.register(&reserved, TOKEN, READ).map_err(errno),
        Err(EPERM)
    );
    assert_eq!(sim.register(&socket, TOKEN, READ).map_err(errno), Ok(()));
    assert_eq!(
        sim.register(&socket, TOKEN, READ).map_err(errno),
        Err(EEXIST)
    );
    assert_eq!(
        (sim.registered(TOKEN), sim.registered(Token::new(2, 1))),
        (Some(READ), None)
    );
}

#[test]
fn numbers_are_reused_lowest_first_and_a_close_takes_the_registration_along() {
    let mut play = Play::small();
    let (first, peer) = play.connect();
    let (second, _) = play.connect();
    play.sim.register(&first, TOKEN, READ).expect("it is open");
    play.sim.send(peer, b"abc");
    play.sim.close(first);
    assert_eq!(
        (play.events(), play.sim.registered(TOKEN)),
        ("".into(), None)
    );
    play.sim.clear_journal();
    let (third, _) = play.connect();
    assert_eq!(play.sim.trace(), "accept4(3) = 4\n");
    assert_eq!(play.sim.open_sockets(), 3);
    play.sim.close(second);
    play.sim.close(third);
    assert_eq!(play.sim.open_sockets(), 1);
}

#[test]
#[should_panic(expected = "another kernel's")]
fn a_socket_of_another_kernel_is_noticed() {
    let mut play = Play::small();
    let other = Play::small();
    let _ = play.sim.accept(&other.listener);
}

#[test]
fn out_of_descriptors_comes_before_an_empty_queue() {
    let mut play = Play::new(Config {
        descriptors: 1,
        ..Config::default()
    });
    assert_eq!(play.sim.accept(&play.listener).map_err(errno), Err(EMFILE));
    let peer = play.sim.connect(0);
    assert_eq!(play.sim.accept(&play.listener).map_err(errno), Err(EMFILE));
    play.sim.limit_descriptors(2);
    let socket = play
        .sim
        .accept(&play.listener)
        .expect("the connection has waited");
    play.sim.send(peer, b"abc");
    assert_eq!(play.read(&socket, 9), Ok(b"abc".to_vec()));
}

#[test]
fn a_wait_jumps_to_its_time_out_and_a_wait_without_end_is_reported() {
    let mut play = Play::small();
    let start = play.sim.time();
    let mut events = [Event::default(); 1];
    let span = Duration::from_secs(60);
    assert_eq!(
        play.sim
            .wait(&mut events, play.sim.time().after(span))
            .map_err(errno),
        Ok(0)
    );
    assert_eq!(
        (play.sim.time(), play.sim.asleep()),
        (start.after(span), Some(start.after(span)))
    );
    play.sim.stop_at(start.after(span * 2));
    assert_eq!(
        play.sim.wait(&mut events, Time::NEVER).map_err(errno),
        Ok(0)
    );
    assert_eq!(
        (play.sim.time(), play.sim.asleep()),
        (start.after(span * 2), Some(Time::NEVER))
    );
}

#[test]
fn signals_and_wake_ups_are_reported_until_taken() {
    let mut play = Play::small();
    play.sim.raise(Signal::Reload);
    play.sim.wake();
    let mut events = [Event::default(); 4];
    for _ in 0..2 {
        assert_eq!(
            play.sim.wait(&mut events, Time::NEVER).map_err(errno),
            Ok(2)
        );
        let tokens = [events[0].token(), events[1].token()];
        assert_eq!(tokens, [Token::SIGNALS, Token::WAKE_UP]);
    }
    assert_eq!(
        play.sim.take_signal().map_err(errno),
        Ok(Some(Signal::Reload))
    );
    assert_eq!(play.sim.take_signal().map_err(errno), Ok(None));
    play.sim.take_wake_up().expect("it was reported");
    assert_eq!(play.events(), "");
}

#[test]
fn ending_signals_are_taken_before_earlier_ones() {
    let mut play = Play::small();
    let (first, last) = (Signal::Terminate(15), Signal::Terminate(2));
    for signal in [Signal::Reload, Signal::Statistics, first, last] {
        play.sim.raise(signal);
    }
    for signal in [first, last, Signal::Reload, Signal::Statistics] {
        let taken = play.sim.take_signal().map_err(errno);
        assert_eq!(taken, Ok(Some(signal)));
    }
    assert_eq!(play.sim.take_signal().map_err(errno), Ok(None));
}
