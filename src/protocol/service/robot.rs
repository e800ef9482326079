//! The telephone robot of a help line. The robot speaks first, knows two requests, and asks again
//! after any other request.
//!
//! ```text
//!             欢迎致电 10086,请输入1xxx,0转人工服务.     at once, 50 bytes
//!   0         通过可能会被录音.balabala一大推            42 bytes
//!   exit      the end
//!   other     请重新输入.                               16 bytes
//! ```
//!
//! The texts are UTF-8, and are compared and sent byte for byte.

use super::{Answer, Greeting, Reply, Request, Service};

const GREETING: &str = "欢迎致电 10086,请输入1xxx,0转人工服务.";
const RECORDED: &str = "通过可能会被录音.balabala一大推";
const AGAIN: &str = "请重新输入.";

/// Greets, and answers from a menu.
#[derive(Clone, Copy, Debug, Default)]
pub struct Robot;

impl Service for Robot {
    type State = ();

    fn open(&self) {}

    fn greeting(&self) -> Option<&dyn Greeting<()>> {
        Some(self)
    }

    fn reply_max(&self, _payload: usize) -> usize {
        const { assert!(GREETING.len() > RECORDED.len() && GREETING.len() > AGAIN.len()) }
        GREETING.len()
    }

    fn serve(&mut self, _state: &mut (), request: Request<'_>, reply: &mut Reply<'_>) -> Answer {
        match &*request.payload {
            b"exit" => return Answer::Goodbye,
            b"0" => reply.push(RECORDED.as_bytes()),
            _ => reply.push(AGAIN.as_bytes()),
        }
        Answer::Written
    }
}

impl Greeting<()> for Robot {
    fn size(&self) -> usize {
        GREETING.len()
    }

    fn greet(&self, _state: &mut (), reply: &mut Reply<'_>) {
        reply.push(GREETING.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_have_the_lengths_of_the_original() {
        assert_eq!([GREETING, RECORDED, AGAIN].map(str::len), [50, 42, 16]);
    }

    #[test]
    fn the_greeting_has_its_stated_size() {
        let mut space = [0; GREETING.len()];
        let mut reply = Reply::new(&mut space);
        Robot.greet(&mut (), &mut reply);
        assert_eq!(reply.filled(), Robot.size());
    }
}
