//! What is asked of the node, as a value: made once where a request was read, with its events
//! verified, and carried as such to whoever executes it: this shard, another one, or either after a
//! wait. Names attributes by their texts, never by what a catalog calls them, so that it may be
//! executed by another catalog than the one of its making; keeps a number's own text.

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;

use super::binary::{Binary, Reader, binary_enum, binary_struct, binary_table};
use super::decide::DecideRequest;
use super::events::{Element, Event};
use super::ignored::Ignored;
use super::look::LookRequest;
use super::token::Token;
use super::verdict::{PlacedVerdict, Verdict};
use nudged_base::ids::Revision;
use nudged_base::time::WallMs;
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
    /// What one popup would put on screen.
    Look(LookRequest<'a>),
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
    /// A user is forgotten who has not come for long, unless something binds them.
    ForgetUser {
        /// The user's id.
        user: &'a str,
        /// What is known of them: with another revision they have come since.
        revision: Revision,
        /// Whoever was shown something or has done something since then is not forgotten.
        before: WallMs,
    },
}

/// Events of a request: all of them, or those of one shard or one user.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EventsRequest<'a> {
    /// Those that can be executed, in their order.
    pub events: &'a [PlacedEvent<'a>],
    /// What became of the others: those that can't be, and those of previews.
    pub settled: &'a [PlacedVerdict],
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
        let mut settled = BumpVec::new_in(bump);
        for (place, element) in (0..).zip(elements) {
            match element {
                Ok(event) if event.token.is_preview() => settled.push((place, Verdict::Dropped)),
                Ok(event) => events.push(PlacedEvent { place, event: *event }),
                Err(code) => settled.push((place, Verdict::Rejected(*code))),
            }
        }
        let (events, settled) = (events.into_bump_slice(), settled.into_bump_slice());
        EventsRequest { events, settled, ignored }
    }

    /// How many elements there are.
    pub fn count(&self) -> usize {
        self.events.len() + self.settled.len()
    }
}

/// A command in the form in which it waits and travels.
#[derive(Debug)]
pub struct EncodedCommand(Vec<u8>);

binary_enum!(Command<'a> {
    0 => Decide(request),
    1 => Events(request),
    2 => ReadUser { user },
    3 => EraseUser { user },
    4 => ForgetUser { user, revision, before },
    5 => Look(request),
});
binary_struct!(DecideRequest<'a> { context, anonymous, is_preview, explain, events, ignored });
binary_struct!(LookRequest<'a> { popup, context, has_user, ignored });
binary_struct!(Context<'a> { user, placement, session, locale, tz, attributes });
// As deep as JSON may be.
binary_enum!(AttributeValue<'a> {
    0 => Scalar(text),
    1 => List(values),
    2 => Other,
});
binary_struct!(EventsRequest<'a> { events, settled, ignored });
binary_struct!(PlacedEvent<'a> { place, event });
binary_struct!(Event<'a> { token_text, token, action, ts });
binary_struct!(Token<'a> { user, popup, version, variant, number, at, local });
binary_struct!(Ignored<'a> { names, count });
binary_struct!(Revision { epoch, counter });
binary_table!(Action);

impl EncodedCommand {
    /// Writes a command into an empty buffer. Allocates only where that has to grow.
    pub fn new(command: &Command<'_>, mut buffer: Vec<u8>) -> EncodedCommand {
        debug_assert!(buffer.is_empty(), "a buffer for one command");
        command.put(&mut buffer);
        EncodedCommand(buffer)
    }

    /// The command. Its texts lie in these bytes, its lists in `bump`.
    ///
    /// # Panics
    /// Where the bytes are not of [`EncodedCommand::new`]: memory is broken then.
    pub fn decode<'a>(&'a self, bump: &'a Bump) -> Command<'a> {
        Reader::new(&self.0, bump).whole()
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
