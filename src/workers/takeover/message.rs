//! What the two processes of a takeover say to each other. Bytes only: no socket, no clock.
//!
//! ```text
//!   new process                               running process
//!     Hello    01 "mynah takeover" oldest newest identity ->
//!                                     <- 02 text                       Refused
//!                                     <- 03 version total role ...     Listeners, each a socket
//!     Serving  04 room batch          ->
//!                                     <- 05                            Yours
//!     Taken    07                     ->
//!                                     <- 06 count, idle memory source  Connections, each a socket
//! ```
//!
//! In version 1 there is no Taken: the running process leaves its listeners with Yours.
//!
//! Numbers are big-endian. A text is its length in two bytes, and UTF-8. What follows the known
//! fields of a message is skipped, so that a later version can add to it. The boundaries of
//! messages are those of the socket. Neighbours: `holder` and `taker`, which take turns.

use std::time::Duration;

use crate::limits::{CONNECTIONS_PER_MESSAGE, PASSED_PER_MESSAGE, TAKEOVER_MESSAGE_MAX};
use crate::protocol::front::proxy::Source;
use crate::server::handover::Handed;

/// The versions that this program speaks: the oldest and the newest.
pub const VERSIONS: (u16, u16) = (1, 2);
/// The first version with [`Message::Taken`].
pub(super) const CONFIRMED: u16 = 2;

const GREETING: &[u8] = b"mynah takeover";

/// What a socket of [`Message::Listeners`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A listener.
    Listener,
    /// A listener that another program has opened, such as a service manager.
    Inherited,
    /// The doorway for the next takeover.
    Doorway,
    /// The listener of `--metrics`.
    Metrics,
}

impl Role {
    /// That of a listener, whether or not another program has opened it.
    pub(super) fn of(is_inherited: bool) -> Role {
        match is_inherited {
            true => Role::Inherited,
            false => Role::Listener,
        }
    }

    const ALL: [Role; 4] = [
        Role::Listener,
        Role::Inherited,
        Role::Doorway,
        Role::Metrics,
    ];
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// The first word of the new process.
    Hello {
        /// The oldest version that it speaks.
        oldest: u16,
        /// The newest version that it speaks.
        newest: u16,
        /// What it would serve: both processes must have the same.
        identity: String,
    },
    /// The running process keeps everything, for this reason.
    Refused(String),
    /// Copies of listeners. The running process goes on to accept from them.
    Listeners {
        /// The version that both speak from here on.
        version: u16,
        /// How many there are in all messages together.
        total: u16,
        /// What each socket of this message is.
        roles: Vec<Role>,
    },
    /// The new process can serve, and waits for [`Message::Yours`] with it.
    Serving {
        /// How many connections it has room for.
        room: u32,
        /// How many of them it takes in one message.
        batch: u8,
    },
    /// The new process serves from now on. The running one does too, until it hears
    /// [`Message::Taken`].
    Yours,
    /// The new process has read [`Message::Yours`]. The running one accepts nothing more.
    Taken,
    /// Connections, each with a socket. None: a worker of the running process has left its
    /// listeners, and the new one looks at the queues, because the kernel may have told only that
    /// worker of a connection there.
    Connections(Vec<Handed>),
}

impl Message {
    /// The bytes of the message, at most [`TAKEOVER_MESSAGE_MAX`]; a longer text is cut.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(TAKEOVER_MESSAGE_MAX);
        match self {
            Message::Hello {
                oldest,
                newest,
                identity,
            } => {
                bytes.push(1);
                bytes.extend(GREETING);
                bytes.extend(oldest.to_be_bytes());
                bytes.extend(newest.to_be_bytes());
                put_text(&mut bytes, identity);
            }
            Message::Refused(reason) => {
                bytes.push(2);
                put_text(&mut bytes, reason);
            }
            Message::Listeners {
                version,
                total,
                roles,
            } => {
                bytes.push(3);
                bytes.extend(version.to_be_bytes());
                bytes.extend(total.to_be_bytes());
                bytes.push(roles.len() as u8);
                bytes.extend(roles.iter().map(|role| *role as u8));
            }
            Message::Serving { room, batch } => {
                bytes.push(4);
                bytes.extend(room.to_be_bytes());
                bytes.push(*batch);
            }
            Message::Yours => bytes.push(5),
            Message::Taken => bytes.push(7),
            Message::Connections(handed) => {
                bytes.push(6);
                put_connections(&mut bytes, handed);
            }
        }
        bytes
    }

    /// The message of these bytes; `None` if they are none.
    pub fn from_bytes(bytes: &[u8]) -> Option<Message> {
        let mut rest = Rest(bytes);
        Some(match rest.byte()? {
            1 => {
                rest.take(GREETING.len()).filter(|it| *it == GREETING)?;
                Message::Hello {
                    oldest: rest.word()?,
                    newest: rest.word()?,
                    identity: rest.text()?,
                }
            }
            2 => Message::Refused(rest.text()?),
            3 => Message::Listeners {
                version: rest.word()?,
                total: rest.word()?,
                roles: rest.roles()?,
            },
            4 => Message::Serving {
                room: rest.long()?,
                batch: rest.byte()?,
            },
            5 => Message::Yours,
            6 => Message::Connections(rest.connections()?),
            7 => Message::Taken,
            _ => return None,
        })
    }

    /// How many sockets come with the message.
    pub fn sockets(&self) -> usize {
        match self {
            Message::Listeners { roles, .. } => roles.len(),
            Message::Connections(handed) => handed.len(),
            _ => 0,
        }
    }
}

/// Longest text: what is left of a message beside the first of its fields.
const TEXT_MAX: usize = TAKEOVER_MESSAGE_MAX - 64;

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    let mut end = text.len().min(TEXT_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    bytes.extend((end as u16).to_be_bytes());
    bytes.extend(&text.as_bytes()[..end]);
}

fn put_connections(bytes: &mut Vec<u8>, handed: &[Handed]) {
    bytes.push(handed.len() as u8);
    for Handed {
        idle,
        memory,
        source,
    } in handed
    {
        let nanoseconds = u64::try_from(idle.as_nanos()).unwrap_or(u64::MAX);
        bytes.extend(nanoseconds.to_be_bytes());
        bytes.push(*memory);
        let size_at = bytes.len();
        bytes.push(0);
        source.write_to(bytes);
        bytes[size_at] = (bytes.len() - size_at - 1) as u8;
    }
}

/// What is left of a message.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn byte(&mut self) -> Option<u8> {
        self.number().map(u8::from_be_bytes)
    }

    fn word(&mut self) -> Option<u16> {
        self.number().map(u16::from_be_bytes)
    }

    fn long(&mut self) -> Option<u32> {
        self.number().map(u32::from_be_bytes)
    }

    fn text(&mut self) -> Option<String> {
        let size = self.word()?;
        let text = std::str::from_utf8(self.take(size.into())?).ok()?;
        Some(text.to_owned())
    }

    fn roles(&mut self) -> Option<Vec<Role>> {
        let count = usize::from(self.byte()?);
        let bytes = self.take(count).filter(|_| count <= PASSED_PER_MESSAGE)?;
        let role = |byte: &u8| Role::ALL.get(usize::from(*byte)).copied();
        bytes.iter().map(role).collect()
    }

    fn connections(&mut self) -> Option<Vec<Handed>> {
        let count = usize::from(self.byte()?);
        if count > CONNECTIONS_PER_MESSAGE {
            return None;
        }
        (0..count).map(|_| self.connection()).collect()
    }

    fn connection(&mut self) -> Option<Handed> {
        let idle = Duration::from_nanos(self.number().map(u64::from_be_bytes)?);
        let memory = self.byte()?;
        let size = self.byte()?;
        Some(Handed {
            idle,
            memory,
            source: Source::from_bytes(self.take(size.into())?)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handed(source: Source) -> Handed {
        Handed {
            idle: Duration::from_nanos(0x0102_0304),
            memory: 1,
            source,
        }
    }

    fn samples() -> Vec<Message> {
        let local = Source::from_bytes(&[b'x'; 108]).expect("a name");
        let sources = [
            Source::Peer,
            Source::at(&[192, 0, 2, 7], 56324),
            Source::at(&[7; 16], 1),
            local,
        ];
        vec![
            Message::Hello {
                oldest: 1,
                newest: 0x0203,
                identity: "service echo, frame raw".to_owned(),
            },
            Message::Refused("no \u{fc}".to_owned()),
            Message::Listeners {
                version: 1,
                total: 300,
                roles: Role::ALL.to_vec(),
            },
            Message::Serving {
                room: 0x0102_0304,
                batch: 16,
            },
            Message::Yours,
            Message::Taken,
            Message::Connections(sources.map(handed).to_vec()),
        ]
    }

    #[test]
    fn each_message_is_read_as_it_was_written_and_what_follows_it_is_skipped() {
        for message in samples() {
            let mut bytes = message.to_bytes();
            assert_eq!(Message::from_bytes(&bytes), Some(message.clone()));
            bytes.extend(b"later versions say more");
            assert_eq!(Message::from_bytes(&bytes), Some(message));
        }
    }

    #[test]
    fn a_message_that_is_cut_anywhere_is_none() {
        for message in samples() {
            let bytes = message.to_bytes();
            for end in 0..bytes.len() {
                assert_eq!(
                    Message::from_bytes(&bytes[..end]),
                    None,
                    "{message:?} {end}"
                );
            }
        }
    }

    #[test]
    fn the_bytes_of_the_first_version_stay_as_they_are() {
        let hello = Message::Hello {
            oldest: 1,
            newest: 2,
            identity: "x".to_owned(),
        };
        assert_eq!(hello.to_bytes(), b"\x01mynah takeover\0\x01\0\x02\0\x01x");
        let one = Message::Connections(vec![handed(Source::at(&[1, 2, 3, 4], 5))]);
        assert_eq!(Message::Connections(Vec::new()).to_bytes(), b"\x06\0");
        let bytes = b"\x06\x01\0\0\0\0\x01\x02\x03\x04\x01\x06\x01\x02\x03\x04\0\x05";
        assert_eq!(one.to_bytes(), bytes);
    }

    #[test]
    fn the_largest_messages_fit_and_a_larger_one_is_none() {
        let local = Source::from_bytes(&[b'x'; 108]).expect("a name");
        let most = Message::Connections(vec![handed(local); CONNECTIONS_PER_MESSAGE]);
        let mut bytes = most.to_bytes();
        assert!(bytes.len() <= TAKEOVER_MESSAGE_MAX);
        assert_eq!(Message::from_bytes(&bytes), Some(most));
        bytes[1] += 1;
        bytes.extend([0; 200]);
        assert_eq!(Message::from_bytes(&bytes), None);
        let listeners = |count: usize| Message::Listeners {
            version: 1,
            total: 1,
            roles: vec![Role::Listener; count],
        };
        for (count, fits) in [
            (PASSED_PER_MESSAGE - 1, true),
            (PASSED_PER_MESSAGE, true),
            (PASSED_PER_MESSAGE + 1, false),
        ] {
            let bytes = listeners(count).to_bytes();
            assert_eq!(Message::from_bytes(&bytes).is_some(), fits, "{count}");
        }
        let long = Message::Refused("\u{fc}".repeat(TAKEOVER_MESSAGE_MAX)).to_bytes();
        assert!(long.len() <= TAKEOVER_MESSAGE_MAX);
        assert!(matches!(
            Message::from_bytes(&long),
            Some(Message::Refused(_))
        ));
    }
}
