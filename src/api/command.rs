//! What is asked of the node, as a value: made once where a request was read, with its events
//! verified, and carried as such to whoever executes it: this shard, another one, or either after a
//! wait. Names attributes by their texts, never by what a catalog calls them, so that it may be
//! executed by another catalog than the one of its making; keeps a number's own text.

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;

use super::binary::{Reader, put_count, put_number, put_option, put_text, put_time};
use super::decide::DecideRequest;
use super::events::{Element, Event, EventCode};
use super::ignored::Ignored;
use super::token::Token;
use nudged_domain::decide::context::{AttributeValue, Context};
use nudged_domain::state::apply::Action;

#[cfg(test)]
mod tests;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Command<'a> {
    /// A decision, after the events that come with it.
    Decide(DecideRequest<'a>),
    /// Events.
    Events(EventsRequest<'a>),
    /// An operator wants a user's state.
    ReadUser {
        /// The user's id.
        user: &'a str,
    },
    /// An operator has a user forgotten.
    EraseUser {
        /// The user's id.
        user: &'a str,
    },
}

/// Events of a request: all of them, or those of one shard or one user.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EventsRequest<'a> {
    /// Those that can be executed, in their order.
    pub events: &'a [PlacedEvent<'a>],
    /// Those that can't.
    pub rejected: &'a [(u8, EventCode)],
    /// What the request says that nobody knows.
    pub ignored: Ignored<'a>,
}

/// An event, and its place in the request, from 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlacedEvent<'a> {
    /// The place.
    pub place: u8,
    /// The event.
    pub event: Event<'a>,
}

impl<'a> EventsRequest<'a> {
    /// The events of a request by what can be done with them. Allocates in `bump`.
    pub fn of(elements: &[Element<'a>], ignored: Ignored<'a>, bump: &'a Bump) -> EventsRequest<'a> {
        let mut events = BumpVec::with_capacity_in(elements.len(), bump);
        let mut rejected = BumpVec::new_in(bump);
        for (place, element) in (0..).zip(elements) {
            match element {
                Ok(event) => events.push(PlacedEvent { place, event: *event }),
                Err(code) => rejected.push((place, *code)),
            }
        }
        let (events, rejected) = (events.into_bump_slice(), rejected.into_bump_slice());
        EventsRequest { events, rejected, ignored }
    }

    /// How many elements there are.
    pub fn count(&self) -> usize {
        self.events.len() + self.rejected.len()
    }
}

/// A command in the form in which it waits and travels.
#[derive(Debug)]
pub struct EncodedCommand(Vec<u8>);

mod kind {
    pub(crate) const DECIDE: u8 = 0;
    pub(crate) const EVENTS: u8 = 1;
    pub(crate) const READ_USER: u8 = 2;
    pub(crate) const ERASE_USER: u8 = 3;
}

mod flag {
    pub(crate) const ANONYMOUS: u8 = 1 << 0;
    pub(crate) const EXPLAIN: u8 = 1 << 1;
}

impl EncodedCommand {
    /// Writes a command into an empty buffer. Allocates only where that has to grow.
    pub fn new(command: &Command<'_>, mut buffer: Vec<u8>) -> EncodedCommand {
        debug_assert!(buffer.is_empty(), "a buffer for one command");
        put_command(command, &mut buffer);
        EncodedCommand(buffer)
    }

    /// The command. Its texts lie in these bytes, its lists in `bump`.
    ///
    /// # Panics
    /// Where the bytes are not of [`EncodedCommand::new`]: memory is broken then.
    pub fn decode<'a>(&'a self, bump: &'a Bump) -> Command<'a> {
        let mut reader = Reader::new(&self.0);
        let command = match reader.byte() {
            kind::DECIDE => Command::Decide(decide(&mut reader, bump)),
            kind::EVENTS => Command::Events(events(&mut reader, bump)),
            kind::READ_USER => Command::ReadUser { user: reader.text() },
            kind::ERASE_USER => Command::EraseUser { user: reader.text() },
            other => unreachable!("{other} is no kind of command"),
        };
        reader.end();
        command
    }

    /// What it takes, in bytes.
    pub fn bytes(&self) -> usize {
        self.0.len()
    }

    /// The encoded form as it stands, for traces.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The buffer, for use again.
    pub fn into_buffer(self) -> Vec<u8> {
        self.0
    }
}

fn put_command(command: &Command<'_>, out: &mut Vec<u8>) {
    match command {
        Command::Decide(request) => {
            out.push(kind::DECIDE);
            put_decide(request, out);
        }
        Command::Events(request) => {
            out.push(kind::EVENTS);
            put_count(request.events.len(), out);
            for PlacedEvent { place, event } in request.events {
                out.push(*place);
                put_event(event, out);
            }
            put_count(request.rejected.len(), out);
            for (place, code) in request.rejected {
                out.extend_from_slice(&[*place, code.number()]);
            }
            put_ignored(&request.ignored, out);
        }
        Command::ReadUser { user } => {
            out.push(kind::READ_USER);
            put_text(user, out);
        }
        Command::EraseUser { user } => {
            out.push(kind::ERASE_USER);
            put_text(user, out);
        }
    }
}

fn events<'a>(reader: &mut Reader<'a>, bump: &'a Bump) -> EventsRequest<'a> {
    let count = reader.count();
    let events = bump.alloc_slice_fill_with(count, |_| PlacedEvent {
        place: reader.byte(),
        event: event(reader),
    });
    let count = reader.count();
    let rejected =
        bump.alloc_slice_fill_with(count, |_| (reader.byte(), EventCode::of_number(reader.byte())));
    EventsRequest { events, rejected, ignored: ignored(reader, bump) }
}

fn put_decide(request: &DecideRequest<'_>, out: &mut Vec<u8>) {
    let DecideRequest { context, anonymous, explain, events, ignored } = request;
    let anonymous = if *anonymous { flag::ANONYMOUS } else { 0 };
    out.push(anonymous | if *explain { flag::EXPLAIN } else { 0 });
    put_text(context.user, out);
    put_text(context.placement, out);
    for text in [context.session, context.locale, context.tz] {
        put_option(text, out, put_text);
    }
    put_count(context.attributes.len(), out);
    for (name, value) in context.attributes {
        put_text(name, out);
        put_value(value, out);
    }
    put_count(events.len(), out);
    for element in *events {
        put_option(element.err(), out, |code, out| out.push(code.number()));
        if let Ok(event) = element {
            put_event(event, out);
        }
    }
    put_ignored(ignored, out);
}

fn decide<'a>(reader: &mut Reader<'a>, bump: &'a Bump) -> DecideRequest<'a> {
    let flags = reader.byte();
    let (user, placement) = (reader.text(), reader.text());
    let session = reader.option(Reader::text);
    let locale = reader.option(Reader::text);
    let tz = reader.option(Reader::text);
    let count = reader.count();
    let attributes = bump.alloc_slice_fill_with(count, |_| (reader.text(), value(reader, bump)));
    let count = reader.count();
    let events = bump.alloc_slice_fill_with(count, |_| {
        let rejected = reader.option(|reader| EventCode::of_number(reader.byte()));
        rejected.map_or_else(|| Ok(event(reader)), Err)
    });
    DecideRequest {
        context: Context { user, placement, session, locale, tz, attributes },
        anonymous: flags & flag::ANONYMOUS != 0,
        explain: flags & flag::EXPLAIN != 0,
        events,
        ignored: ignored(reader, bump),
    }
}

mod value_kind {
    pub(crate) const SCALAR: u8 = 0;
    pub const LIST: u8 = 1;
    pub const OTHER: u8 = 2;
}

fn put_value(value: &AttributeValue<'_>, out: &mut Vec<u8>) {
    match value {
        AttributeValue::Scalar(text) => {
            out.push(value_kind::SCALAR);
            put_text(text, out);
        }
        AttributeValue::List(values) => {
            out.push(value_kind::LIST);
            put_count(values.len(), out);
            values.iter().for_each(|value| put_value(value, out));
        }
        AttributeValue::Other => out.push(value_kind::OTHER),
    }
}

/// As deep as JSON may be.
fn value<'a>(reader: &mut Reader<'a>, bump: &'a Bump) -> AttributeValue<'a> {
    match reader.byte() {
        value_kind::SCALAR => AttributeValue::Scalar(reader.text()),
        value_kind::LIST => {
            let count = reader.count();
            AttributeValue::List(bump.alloc_slice_fill_with(count, |_| value(reader, bump)))
        }
        _ => AttributeValue::Other,
    }
}

fn put_event(event: &Event<'_>, out: &mut Vec<u8>) {
    let Event { token_text, token, action, ts } = event;
    out.push(*action as u8);
    put_text(token_text, out);
    put_text(token.user, out);
    put_text(token.popup, out);
    put_number(token.version.into(), out);
    put_text(token.variant, out);
    put_number(token.number.into(), out);
    put_time(token.at, out);
    put_option(token.local, out, |session, out| out.extend_from_slice(&session.to_le_bytes()));
    put_option(*ts, out, put_time);
}

fn event<'a>(reader: &mut Reader<'a>) -> Event<'a> {
    let action = Action::ALL[usize::from(reader.byte())];
    let token_text = reader.text();
    let token = Token {
        user: reader.text(),
        popup: reader.text(),
        version: reader.small(),
        variant: reader.text(),
        number: reader.small(),
        at: reader.time(),
        local: reader.option(Reader::hash),
    };
    Event { token_text, token, action, ts: reader.option(Reader::time) }
}

fn put_ignored(ignored: &Ignored<'_>, out: &mut Vec<u8>) {
    put_number(ignored.count.into(), out);
    put_count(ignored.names.len(), out);
    ignored.names.iter().for_each(|name| put_text(name, out));
}

fn ignored<'a>(reader: &mut Reader<'a>, bump: &'a Bump) -> Ignored<'a> {
    let count = reader.small();
    let names = reader.count();
    Ignored { names: bump.alloc_slice_fill_with(names, |_| reader.text()), count }
}
