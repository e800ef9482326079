//! The messages of a takeover: what is read is what was written, whatever follows it, and both
//! sides end in a state that they know, whatever comes.

use mynah::limits::{CONNECTIONS_PER_MESSAGE, PASSED_PER_MESSAGE, TAKEOVER_MESSAGE_MAX};
use mynah::workers::takeover::message::Message;
use mynah::workers::takeover::taker::{Outcome, Taker};

/// Runs one input: its first byte is how many sockets come with each message, and the next one the
/// size of the messages.
pub fn play(data: &[u8]) {
    let [sockets, size, stream @ ..] = data else {
        return;
    };
    read(stream);
    let (mut taker, hello) = Taker::begin("service echo");
    assert_eq!(Message::from_bytes(&hello.to_bytes()), Some(hello));
    let mut is_offered = false;
    for bytes in stream.chunks(usize::from(*size).max(1)) {
        read(bytes);
        match taker.hear(bytes, usize::from(*sockets)) {
            Outcome::Offered(roles) => {
                assert!(!is_offered, "listeners are offered once");
                assert!(roles.len() <= usize::from(u16::MAX));
                is_offered = true;
                taker.can_serve(7, 1);
            }
            Outcome::More => assert!(!is_offered),
            Outcome::Yours => assert!(is_offered, "this process cannot serve"),
            Outcome::Alone | Outcome::Gone => panic!("the running process has not ended"),
            Outcome::Refused(_) => break,
        }
    }
    let ended = taker.ended();
    assert_eq!(ended == Outcome::Alone, is_offered, "{ended:?}");
}

/// A message that is read is within its bounds, and is read again from what it is written as.
fn read(bytes: &[u8]) {
    let Some(message) = Message::from_bytes(bytes) else {
        return;
    };
    assert!(message.sockets() <= PASSED_PER_MESSAGE.max(CONNECTIONS_PER_MESSAGE));
    let written = message.to_bytes();
    assert!(written.len() <= TAKEOVER_MESSAGE_MAX);
    let again = Message::from_bytes(&written);
    match (&message, again) {
        // A text that is longer than a message may be is cut.
        (Message::Hello { .. } | Message::Refused(_), again) => assert!(again.is_some()),
        (message, again) => assert_eq!(Some(message), again.as_ref()),
    }
}
