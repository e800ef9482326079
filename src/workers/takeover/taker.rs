//! The new process of a takeover, up to the moment when it serves, as a state machine. It knows no
//! clock, and sockets only by their number.
//!
//! ```text
//!   Asked -- Listeners ... --> Offered -- it can serve --> Waiting -- Yours --> Serves, and
//!     |  Refused                  |                           |                 says Taken
//!     |                           | the running process ends  |
//!     v                           v                           v
//!   the start fails        it serves alone             it serves alone
//! ```
//!
//! A running process that ends has left its listeners to this one, which has copies of them: the
//! queues live on. Before that, a start finds no process and opens the listeners itself.
//! Neighbours: `message` has the bytes, `holder` is the other side.

use super::message::{CONFIRMED, Message, Role, VERSIONS};

/// Where a takeover stands.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Asked { roles: Vec<Role> },
    Offered,
    Waiting,
    Serves,
}

/// What a message, or the end of the running process, means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// More has to come.
    More,
    /// The listeners have come: what each of the sockets so far is.
    Offered(Vec<Role>),
    /// This process serves, and the connections follow.
    Yours,
    /// This process serves, and no connection follows: the other one has ended.
    Alone,
    /// The running process has ended before it has offered anything.
    Gone,
    /// The running process goes on, for this reason.
    Refused(String),
}

/// The new process.
#[derive(Debug)]
pub struct Taker {
    state: State,
    /// That of the takeover; 0 before the running process has chosen.
    version: u16,
}

impl Taker {
    /// Begins with the first message to send.
    pub fn begin(identity: &str) -> (Taker, Message) {
        let (oldest, newest) = VERSIONS;
        let identity = identity.to_owned();
        let hello = Message::Hello {
            oldest,
            newest,
            identity,
        };
        let state = State::Asked { roles: Vec::new() };
        (Taker { state, version: 0 }, hello)
    }

    /// This process can serve: the message to send.
    pub fn can_serve(&mut self, room: u32, batch: u8) -> Message {
        debug_assert_eq!(self.state, State::Offered);
        self.state = State::Waiting;
        Message::Serving { room, batch }
    }

    /// What to say to [`Outcome::Yours`]. The running process goes on until it hears that.
    pub fn taken(&self) -> Option<Message> {
        (self.version >= CONFIRMED).then_some(Message::Taken)
    }

    /// Takes a message of the running process, with which `sockets` sockets came.
    pub fn hear(&mut self, bytes: &[u8], sockets: usize) -> Outcome {
        let message = Message::from_bytes(bytes).filter(|it| it.sockets() == sockets);
        match (&mut self.state, message) {
            (_, Some(Message::Refused(reason))) => Outcome::Refused(reason),
            (
                State::Asked { roles: all },
                Some(Message::Listeners {
                    version,
                    total,
                    roles,
                }),
            ) if (VERSIONS.0..=VERSIONS.1).contains(&version) => {
                self.version = version;
                all.extend(roles);
                match all.len().cmp(&usize::from(total)) {
                    std::cmp::Ordering::Less => Outcome::More,
                    std::cmp::Ordering::Equal => {
                        let roles = std::mem::take(all);
                        self.state = State::Offered;
                        Outcome::Offered(roles)
                    }
                    std::cmp::Ordering::Greater => unexpected(),
                }
            }
            (State::Waiting, Some(Message::Yours)) => {
                self.state = State::Serves;
                Outcome::Yours
            }
            _ => unexpected(),
        }
    }

    /// The running process has ended.
    pub fn ended(&mut self) -> Outcome {
        match self.state {
            State::Asked { .. } => Outcome::Gone,
            State::Offered | State::Waiting | State::Serves => {
                self.state = State::Serves;
                Outcome::Alone
            }
        }
    }
}

fn unexpected() -> Outcome {
    Outcome::Refused("the process there said something that is not expected here".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLES: [Role; 2] = [Role::Doorway, Role::Listener];

    fn listeners(total: u16, roles: &[Role]) -> Vec<u8> {
        of_version(2, total, roles)
    }

    fn of_version(version: u16, total: u16, roles: &[Role]) -> Vec<u8> {
        let roles = roles.to_vec();
        Message::Listeners {
            version,
            total,
            roles,
        }
        .to_bytes()
    }

    /// A taker that has taken `steps` of a takeover.
    fn after(steps: usize) -> Taker {
        let (mut taker, hello) = Taker::begin("echo");
        assert!(matches!(hello, Message::Hello { .. }));
        if steps > 0 {
            let offered = taker.hear(&listeners(2, &ROLES), 2);
            assert_eq!(offered, Outcome::Offered(ROLES.to_vec()));
        }
        if steps > 1 {
            assert_eq!(
                taker.can_serve(9, 3),
                Message::Serving { room: 9, batch: 3 }
            );
        }
        if steps > 2 {
            assert_eq!(taker.hear(&Message::Yours.to_bytes(), 0), Outcome::Yours);
        }
        taker
    }

    #[test]
    fn a_running_process_that_ends_at_any_step_leaves_a_server_behind() {
        for (steps, expected) in [
            (0, Outcome::Gone),
            (1, Outcome::Alone),
            (2, Outcome::Alone),
            (3, Outcome::Alone),
        ] {
            assert_eq!(after(steps).ended(), expected, "{steps}");
        }
    }

    #[test]
    fn a_process_confirms_that_it_serves_from_the_second_version_on() {
        assert_eq!(after(3).taken(), Some(Message::Taken));
        let (mut taker, _) = Taker::begin("echo");
        let offered = taker.hear(&of_version(1, 2, &ROLES), 2);
        assert_eq!(offered, Outcome::Offered(ROLES.to_vec()));
        taker.can_serve(9, 3);
        assert_eq!(taker.hear(&Message::Yours.to_bytes(), 0), Outcome::Yours);
        assert_eq!(taker.taken(), None);
    }

    #[test]
    fn listeners_come_in_several_messages() {
        let (mut taker, _) = Taker::begin("echo");
        let one = [Role::Listener];
        assert_eq!(taker.hear(&listeners(3, &ROLES), 2), Outcome::More);
        let all = [&ROLES[..], &one].concat();
        assert_eq!(taker.hear(&listeners(3, &one), 1), Outcome::Offered(all));
    }

    #[test]
    fn a_refusal_is_told_with_its_reason_at_every_step() {
        let refused = Message::Refused("no".to_owned()).to_bytes();
        for steps in 0..=2 {
            let heard = after(steps).hear(&refused, 0);
            assert_eq!(heard, Outcome::Refused("no".to_owned()), "{steps}");
        }
    }

    #[test]
    fn anything_but_the_next_message_refuses_the_takeover() {
        let later = Message::Listeners {
            version: 3,
            total: 2,
            roles: ROLES.to_vec(),
        };
        for (steps, bytes, sockets) in [
            (0, Message::Yours.to_bytes(), 0),
            (0, listeners(2, &ROLES), 1),
            (0, listeners(1, &ROLES), 2),
            (0, later.to_bytes(), 2),
            (1, Message::Yours.to_bytes(), 0),
            (2, listeners(2, &ROLES), 2),
            (2, b"x".to_vec(), 0),
        ] {
            let heard = after(steps).hear(&bytes, sockets);
            assert!(matches!(heard, Outcome::Refused(_)), "{steps} {bytes:?}");
        }
    }
}
