//! One enum of all services, so that the loop is compiled once for all of them. The epoll loop has
//! another copy for [`Echo`] alone.
//!
//! Every call is one match on the service. What asks a service about many frames is passed in as a
//! [`Visit`], so that it is compiled for each service and matches once. A state
//! always comes from [`AnyService::open`] of the service that it is later passed to. A reload
//! replaces a service by another value of the same variant, so service and state always match.

#[cfg(feature = "auth")]
use super::ftp::Ftp;
use super::{
    Answer, Clock, Coded, Dict, Discard, Echo, Effect, EffectEvent, Effects, Greeting, Http,
    PrefixedEcho, Reply, Request, Robot, Run, Scrape, Screen, Service, Upper, UpperUnicode, Visit,
    http, run, upper,
};
use crate::protocol::framing::Hint;

/// Any service.
#[derive(Clone, Debug)]
pub enum AnyService {
    /// `echo`, where another loop than epoll serves it
    Echo(Echo),
    /// `upper`
    Upper(Upper),
    /// `upper --unicode`
    UpperUnicode(UpperUnicode),
    /// `echo --prefix`
    PrefixedEcho(PrefixedEcho),
    /// `discard`
    Discard(Discard),
    /// `dict`
    Dict(Dict),
    /// `robot`
    Robot(Robot),
    /// `run`
    Run(Run),
    /// `http`
    Http(Http),
    /// `--codec`
    Coded(Coded),
    /// `--metrics`
    Scrape(Scrape),
    /// `mynah ftp`, which another driver serves
    #[cfg(feature = "auth")]
    Ftp(Ftp),
}

/// What one connection of any service remembers.
#[derive(Debug)]
pub enum AnyState {
    /// For services that remember nothing.
    Stateless,
    /// For `upper --unicode`.
    Partial(upper::Partial),
    /// For `run`.
    Running(run::Running),
    /// For `http`.
    Conversation(http::Conversation),
}

/// Panic message for a state that belongs to another service.
const FOREIGN: &str = "the state was made by another service";

impl Service for AnyService {
    type State = AnyState;

    fn open(&self) -> AnyState {
        match self {
            AnyService::UpperUnicode(upper) => AnyState::Partial(upper.open()),
            AnyService::Run(run) => AnyState::Running(run.open()),
            AnyService::Http(http) => AnyState::Conversation(http.open()),
            AnyService::Scrape(scrape) => AnyState::Conversation(scrape.open()),
            AnyService::Coded(coded) => coded.open(),
            _ => AnyState::Stateless,
        }
    }

    #[inline]
    fn in_place(&self, _state: &AnyState) -> bool {
        matches!(self, AnyService::Echo(_) | AnyService::Upper(_))
    }

    #[inline]
    fn is_silent(&self) -> bool {
        matches!(self, AnyService::Discard(_))
    }

    fn greeting(&self) -> Option<&dyn Greeting<AnyState>> {
        match self {
            AnyService::Robot(_) => Some(self),
            AnyService::Coded(coded) => coded.greeting(),
            _ => None,
        }
    }

    #[inline]
    fn clock(&mut self) -> Option<&mut dyn Clock> {
        match self {
            AnyService::Http(http) => Some(http),
            AnyService::Scrape(scrape) => Some(scrape),
            AnyService::Coded(coded) => coded.clock(),
            _ => None,
        }
    }

    #[inline]
    fn effects(&self) -> Option<&dyn Effects<AnyState>> {
        match self {
            AnyService::Run(_) => Some(self),
            AnyService::Coded(coded) => coded.effects(),
            _ => None,
        }
    }

    #[inline]
    fn screen(&self) -> Option<&dyn Screen<AnyState>> {
        match self {
            AnyService::Run(_) => Some(self),
            AnyService::Coded(coded) => coded.screen(),
            _ => None,
        }
    }

    fn reply_max(&self, payload: usize) -> usize {
        match self {
            AnyService::Echo(echo) => echo.reply_max(payload),
            AnyService::Upper(upper) => upper.reply_max(payload),
            AnyService::UpperUnicode(upper) => upper.reply_max(payload),
            AnyService::PrefixedEcho(echo) => echo.reply_max(payload),
            AnyService::Discard(discard) => discard.reply_max(payload),
            AnyService::Dict(dict) => dict.reply_max(payload),
            AnyService::Robot(robot) => robot.reply_max(payload),
            AnyService::Run(run) => run.reply_max(payload),
            AnyService::Http(http) => http.reply_max(payload),
            AnyService::Coded(coded) => coded.reply_max(payload),
            AnyService::Scrape(scrape) => scrape.reply_max(payload),
            #[cfg(feature = "auth")]
            AnyService::Ftp(ftp) => ftp.reply_max(payload),
        }
    }

    fn memory_max(&self) -> usize {
        match self {
            AnyService::Dict(dict) => dict.memory_max(),
            AnyService::Run(run) => run.memory_max(),
            AnyService::Coded(coded) => coded.memory_max(),
            #[cfg(feature = "auth")]
            AnyService::Ftp(ftp) => ftp.memory_max(),
            _ => 0,
        }
    }

    fn is_mid_message(state: &AnyState) -> bool {
        match state {
            AnyState::Conversation(state) => Http::is_mid_message(state),
            _ => false,
        }
    }

    fn memory(state: &AnyState) -> Option<u8> {
        match state {
            AnyState::Stateless => Some(0),
            AnyState::Partial(state) => UpperUnicode::memory(state),
            AnyState::Running(state) => Run::memory(state),
            AnyState::Conversation(state) => Http::memory(state),
        }
    }

    fn recall(&self, memory: u8) -> AnyState {
        match self {
            AnyService::Run(run) => AnyState::Running(run.recall(memory)),
            AnyService::Coded(coded) => coded.recall(memory),
            _ => self.open(),
        }
    }

    fn serve(
        &mut self,
        state: &mut AnyState,
        request: Request<'_>,
        reply: &mut Reply<'_>,
    ) -> Answer {
        match (self, state) {
            (AnyService::Echo(echo), _) => echo.serve(&mut (), request, reply),
            (AnyService::Upper(upper), _) => upper.serve(&mut (), request, reply),
            (AnyService::UpperUnicode(upper), AnyState::Partial(state)) => {
                upper.serve(state, request, reply)
            }
            (AnyService::PrefixedEcho(echo), _) => echo.serve(&mut (), request, reply),
            (AnyService::Discard(discard), _) => discard.serve(&mut (), request, reply),
            (AnyService::Dict(dict), _) => dict.serve(&mut (), request, reply),
            (AnyService::Robot(robot), _) => robot.serve(&mut (), request, reply),
            (AnyService::Run(run), AnyState::Running(state)) => run.serve(state, request, reply),
            (AnyService::Http(http), AnyState::Conversation(state)) => {
                http.serve(state, request, reply)
            }
            (AnyService::Coded(coded), state) => coded.serve(state, request, reply),
            (AnyService::Scrape(scrape), AnyState::Conversation(state)) => {
                scrape.serve(state, request, reply)
            }
            _ => unreachable!("{FOREIGN}"),
        }
    }

    #[inline(always)]
    fn visit<V: Visit>(&mut self, state: &mut AnyState, visitor: V) -> V::Outcome {
        match (self, state) {
            (AnyService::Echo(echo), _) => visitor.visit(echo, &mut ()),
            (AnyService::Upper(upper), _) => visitor.visit(upper, &mut ()),
            (AnyService::UpperUnicode(upper), AnyState::Partial(state)) => {
                visitor.visit(upper, state)
            }
            (AnyService::PrefixedEcho(echo), _) => visitor.visit(echo, &mut ()),
            (AnyService::Discard(discard), _) => visitor.visit(discard, &mut ()),
            (AnyService::Dict(dict), _) => visitor.visit(dict, &mut ()),
            (AnyService::Robot(robot), _) => visitor.visit(robot, &mut ()),
            (AnyService::Run(run), AnyState::Running(state)) => visitor.visit(run, state),
            (AnyService::Http(http), AnyState::Conversation(state)) => visitor.visit(http, state),
            (AnyService::Coded(coded), state) => visitor.visit(coded, state),
            (AnyService::Scrape(scrape), AnyState::Conversation(state)) => {
                visitor.visit(scrape, state)
            }
            _ => unreachable!("{FOREIGN}"),
        }
    }

    #[inline(always)]
    fn visit_in_place<V: Visit>(&mut self, _state: &mut AnyState, visitor: V) -> V::Outcome {
        match self {
            AnyService::Echo(echo) => visitor.visit(echo, &mut ()),
            AnyService::Upper(upper) => visitor.visit(upper, &mut ()),
            AnyService::Discard(discard) => visitor.visit(discard, &mut ()),
            _ => unreachable!("the service does not answer in place"),
        }
    }

    fn end(&mut self, state: &mut AnyState, reply: &mut Reply<'_>) {
        if let (AnyService::UpperUnicode(upper), AnyState::Partial(state)) = (self, state) {
            upper.end(state, reply);
        }
    }
}

impl Greeting<AnyState> for AnyService {
    fn size(&self) -> usize {
        match self {
            AnyService::Robot(robot) => robot.size(),
            _ => 0,
        }
    }

    fn greet(&self, _state: &mut AnyState, reply: &mut Reply<'_>) {
        if let AnyService::Robot(robot) = self {
            robot.greet(&mut (), reply);
        }
    }
}

impl Screen<AnyState> for AnyService {
    fn screen(&self, state: &mut AnyState, bytes: &[u8]) -> Option<Hint> {
        match (self, state) {
            (AnyService::Run(run), AnyState::Running(state)) => Screen::screen(run, state, bytes),
            _ => None,
        }
    }
}

impl Effects<AnyState> for AnyService {
    fn commands(&self) -> &[String] {
        match self {
            AnyService::Run(run) => run.commands(),
            _ => &[],
        }
    }

    fn effect(&self, state: &AnyState) -> Effect {
        match (self, state) {
            (AnyService::Run(run), AnyState::Running(state)) => run.effect(state),
            _ => unreachable!("{FOREIGN}"),
        }
    }

    fn awaited_max(&self) -> usize {
        match self {
            AnyService::Run(run) => run.awaited_max(),
            _ => 0,
        }
    }

    fn take_event(
        &self,
        state: &mut AnyState,
        peer: &str,
        event: EffectEvent<'_>,
        reply: &mut Reply<'_>,
    ) {
        match (self, state) {
            (AnyService::Run(run), AnyState::Running(state)) => {
                run.take_event(state, peer, event, reply)
            }
            _ => unreachable!("{FOREIGN}"),
        }
    }
}

macro_rules! rows {
    ($($service:ident)*) => {
        $(impl From<$service> for AnyService {
            fn from(service: $service) -> AnyService {
                AnyService::$service(service)
            }
        })*
    };
}

rows! { Echo Upper UpperUnicode PrefixedEcho Discard Dict Robot Run Http Coded Scrape }
