//! The pages of a server about itself: `/metrics`, `/healthz` and `/readyz`.
//!
//! Requests are parsed as those of [`Http`], and every answer ends its connection: a scrape is one
//! request, and so the answer to a read has a bound. The text of `/metrics` is made elsewhere; each
//! value of this service holds one, and a new one replaces it. Neighbours: `head` parses, and keeps
//! which page was asked for.

use std::sync::Arc;

use super::head::Page;
use super::{CONTINUE, Conversation, Http, REFUSAL_MAX, Stage, Step};
use crate::limits::METRICS_PAGE_MAX;
use crate::protocol::service::{Answer, Clock, Reply, Request, Service};

/// Largest head of an answer, in bytes.
const HEAD_MAX: usize = 256;
/// Largest answer, in bytes.
pub(super) const ANSWER_MAX: usize = METRICS_PAGE_MAX + HEAD_MAX + REFUSAL_MAX;

/// Answers with what the server counts, and whether it lives and accepts.
#[derive(Clone, Debug, Default)]
pub struct Scrape {
    http: Http,
    metrics: Arc<str>,
    is_ready: bool,
}

impl Scrape {
    /// The pages with this text of `/metrics`. A server that is not ready drains.
    pub fn new(metrics: String, is_ready: bool) -> Scrape {
        Scrape {
            http: Http::default(),
            metrics: metrics.into(),
            is_ready,
        }
    }

    fn answer(&self, conversation: &Conversation, reply: &mut Reply<'_>) {
        const TEXT: &str = "text/plain";
        let head = &conversation.head;
        let (status, kind, body) = match head.page {
            _ if head.is_not_allowed() => (
                "405 Method Not Allowed\r\nAllow: GET, HEAD, POST, PUT",
                TEXT,
                "not allowed\n",
            ),
            Page::Metrics => ("200 OK", "text/plain; version=0.0.4", &*self.metrics),
            Page::Health => ("200 OK", TEXT, "ok\n"),
            Page::Ready if self.is_ready => ("200 OK", TEXT, "ready\n"),
            Page::Ready => ("503 Service Unavailable", TEXT, "draining\n"),
            Page::Other => ("404 Not Found", TEXT, "/metrics, /healthz or /readyz\n"),
        };
        let body = &body.as_bytes()[..body.len().min(METRICS_PAGE_MAX)];
        let length = body.len().to_string();
        for part in [
            &b"HTTP/1.1 "[..],
            status.as_bytes(),
            self.http.server_and_date(),
            b"\r\nConnection: close\r\nContent-Type: ",
            kind.as_bytes(),
            b"\r\nContent-Length: ",
            length.as_bytes(),
            b"\r\n\r\n",
            if head.is_head() { &[] } else { body },
        ] {
            reply.push(part);
        }
    }
}

impl Clock for Scrape {
    fn tick(&mut self, unix_seconds: u64) {
        self.http.tick(unix_seconds);
    }
}

impl Service for Scrape {
    type State = Conversation;

    fn open(&self) -> Conversation {
        Conversation::default()
    }

    fn clock(&mut self) -> Option<&mut dyn Clock> {
        Some(self)
    }

    fn reply_max(&self, _payload: usize) -> usize {
        ANSWER_MAX
    }

    fn is_mid_message(conversation: &Conversation) -> bool {
        Http::is_mid_message(conversation)
    }

    fn serve(
        &mut self,
        conversation: &mut Conversation,
        request: Request<'_>,
        reply: &mut Reply<'_>,
    ) -> Answer {
        let mut taken = 0;
        loop {
            let rest = &request.payload[taken..];
            let is_unread = conversation.stage == Stage::RequestLine;
            match conversation.step(rest) {
                Ok(Step::Incomplete) => return Answer::Part(taken),
                Ok(Step::Taken(count)) => {
                    if is_unread && conversation.stage == Stage::Field {
                        conversation.head.page = Page::of(rest);
                    }
                    taken += count;
                }
                Ok(Step::Continue(count)) => {
                    taken += count;
                    if count == rest.len() {
                        reply.push(CONTINUE.as_bytes());
                    }
                }
                Ok(Step::Whole(_)) => {
                    self.answer(conversation, reply);
                    return Answer::Goodbye;
                }
                Err(_) if taken > 0 => return Answer::Part(taken),
                Err(refusal) => {
                    let is_head = !is_unread && conversation.head.is_head();
                    self.http.refuse(is_head, refusal, reply);
                    return Answer::Refused(refusal.reason);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(scrape: &mut Scrape, text: &str) -> String {
        let mut conversation = scrape.open();
        let mut space = vec![0; ANSWER_MAX];
        let mut reply = Reply::new(&mut space);
        let mut bytes = text.as_bytes().to_vec();
        let request = Request {
            payload: &mut bytes,
            whole: false,
        };
        assert!(matches!(
            scrape.serve(&mut conversation, request, &mut reply),
            Answer::Goodbye | Answer::Refused(_)
        ));
        let filled = reply.filled();
        String::from_utf8(space[..filled].to_vec()).expect("text")
    }

    #[test]
    fn each_page_has_its_status_and_its_text() {
        let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
        for (is_ready, target, status, body) in [
            (true, "/metrics", "200 OK", "a 1\n"),
            (true, "/metrics?x=y", "200 OK", "a 1\n"),
            (true, "http://x/metrics", "200 OK", "a 1\n"),
            (true, "/healthz", "200 OK", "ok\n"),
            (false, "/healthz", "200 OK", "ok\n"),
            (true, "/readyz", "200 OK", "ready\n"),
            (false, "/readyz", "503 Service Unavailable", "draining\n"),
            (
                true,
                "/",
                "404 Not Found",
                "/metrics, /healthz or /readyz\n",
            ),
            (
                true,
                "/metricsx",
                "404 Not Found",
                "/metrics, /healthz or /readyz\n",
            ),
        ] {
            let mut scrape = Scrape::new("a 1\n".to_owned(), is_ready);
            let said = answer(&mut scrape, &get(target));
            let length = format!("\r\nContent-Length: {}\r\n\r\n", body.len());
            assert!(
                said.starts_with(&format!("HTTP/1.1 {status}\r\n")),
                "{said}"
            );
            assert!(said.contains(&length) && said.ends_with(body), "{said}");
        }
    }

    #[test]
    fn a_head_request_has_no_body_and_a_refused_one_tells_why() {
        let mut scrape = Scrape::new("a 1\n".to_owned(), true);
        let said = answer(&mut scrape, "HEAD /metrics HTTP/1.0\r\n\r\n");
        assert!(said.ends_with("Content-Length: 4\r\n\r\n"), "{said}");
        let said = answer(&mut scrape, "DELETE /metrics HTTP/1.0\r\n\r\n");
        assert!(said.starts_with("HTTP/1.1 405 "), "{said}");
        let said = answer(&mut scrape, "GET\r\n\r\n");
        assert!(said.starts_with("HTTP/1.1 400 "), "{said}");
    }

    #[test]
    fn a_longer_text_is_cut_at_the_bound() {
        for size in [METRICS_PAGE_MAX - 1, METRICS_PAGE_MAX, METRICS_PAGE_MAX + 1] {
            let mut scrape = Scrape::new("x".repeat(size), true);
            let said = answer(&mut scrape, "GET /metrics HTTP/1.0\r\n\r\n");
            let (_, body) = said.split_once("\r\n\r\n").expect("a head");
            assert_eq!(body.len(), size.min(METRICS_PAGE_MAX));
        }
    }
}
