//! A user of two stores as one: all shows of both, under a revision above both. Knows what a user's
//! rows hold; must not know which databases there are.
//!
//! Uniting the same two again changes nothing: a show is known by its number and time, and one
//! that is older than the 16 that an entry remembers counts as known. So whoever was cut off while
//! uniting users begins anew.

use hashbrown::HashMap;
use jiff::tz::TimeZone;
use nudged_base::ids::{PopupKey, Revision, UserKey};
use nudged_base::limits::{SHOWS_REMEMBERED_MAX, USER_POPUPS_MAX};
use nudged_base::time::WallMs;

use nudged_domain::catalog::schedule::local_day;
use nudged_domain::catalog::snapshot::ShowOutcome;
use nudged_domain::state::user::{
    PopupState, Show, UserClocks, UserState, decode_popup, encode_popup,
};

/// A user with everything that a database has of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WholeUser {
    /// The user's id.
    pub user: String,
    /// The revision of the user-level clocks; the default where there is no row.
    pub revision: Revision,
    /// Clocks across popups; when the user was erased is told apart.
    pub clocks: UserClocks,
    /// The rows of popups, forgotten ones too.
    pub entries: Vec<WholeEntry>,
}

/// A row of a user's popup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WholeEntry {
    /// The popup's id.
    pub popup: String,
    /// Shows, those no longer remembered included.
    pub shows: u32,
    /// The latest show.
    pub last_shown_at: Option<WallMs>,
    /// The stored outcome and its time.
    pub outcome: Option<(ShowOutcome, WallMs)>,
    /// When the popup may return; `None` for never.
    pub next_show_at: Option<WallMs>,
    /// Pushed out of the user's state, and kept for people.
    pub is_forgotten: bool,
    /// The revision of the first show.
    pub first: Revision,
    /// The revision that wrote it.
    pub revision: Revision,
    /// The encoded entry; empty where it was forgotten before it was known.
    pub state: Vec<u8>,
}

/// What is left of an erased user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// The hash of the user's id.
    pub key: UserKey,
    /// The revision of the erase.
    pub revision: Revision,
    /// When.
    pub at: WallMs,
}

impl WholeUser {
    /// A user as of a state, the popups' ids being these; one that nobody knows is left out.
    pub fn of_state(user: &str, state: &UserState, ids: &HashMap<PopupKey, &str>) -> WholeUser {
        let revision = state.revision;
        let entry = |entry: &PopupState| {
            let popup = (*ids.get(&entry.popup)?).to_owned();
            let mut row = WholeEntry { popup, revision, first: revision, ..WholeEntry::default() };
            row.take(entry);
            Some(row)
        };
        WholeUser {
            user: user.to_owned(),
            revision,
            clocks: UserClocks { erased_at: None, ..state.clocks },
            entries: state.popups.iter().filter_map(entry).collect(),
        }
    }
}

impl WholeEntry {
    /// The entry as it is decided on; `None` where its bytes can't be read.
    pub fn decoded(&self) -> Option<PopupState> {
        let key = PopupKey::of(&self.popup);
        decode_popup(&self.state).ok().filter(|entry| entry.popup == key)
    }

    fn take(&mut self, entry: &PopupState) {
        self.state.clear();
        encode_popup(entry, &mut self.state);
        self.shows = entry.shows_total;
        self.last_shown_at = Some(entry.latest().at);
        self.outcome = entry.outcome.map(|outcome| (outcome, entry.outcome_at));
        self.is_forgotten = false;
    }
}

/// What a user of `source` makes of the one that the target has, `erased` being what the target
/// knows of an erase: nothing of before that comes back. `None` where nothing changes. Calendar
/// days are those of `zone`. Allocates.
pub fn unite(
    target: Option<&WholeUser>,
    source: &WholeUser,
    erased: Option<&Tombstone>,
    zone: &TimeZone,
) -> Option<WholeUser> {
    if target.is_none() && erased.is_none() {
        return Some(source.clone());
    }
    let absent = WholeUser { user: source.user.clone(), ..WholeUser::default() };
    let before = target.unwrap_or(&absent);
    let floor = erased.map_or(Revision::default(), |erased| erased.revision);
    let revision = before.revision.max(source.revision).max(floor).next();
    let mut user = before.clone();
    let (mut is_changed, mut is_shown_more) = (false, false);
    for entry in &source.entries {
        let Some(entry) = without_erased(entry, erased) else { continue };
        match user.entries.iter_mut().find(|known| known.popup == entry.popup) {
            None => {
                is_shown_more |= !entry.is_forgotten;
                user.entries.push(WholeEntry { revision, ..entry });
            }
            Some(known) => match unite_entries(known, &entry) {
                Some(united) => {
                    is_shown_more = true;
                    *known = WholeEntry { revision, ..united };
                }
                None => continue,
            },
        }
        is_changed = true;
    }
    let is_counted = erased.is_none_or(|erased| source.clocks.last_counted_at > Some(erased.at));
    if is_counted {
        let clocks = unite_clocks(&before.clocks, &source.clocks, is_shown_more, zone);
        is_changed |= clocks != before.clocks;
        user.clocks = clocks;
    }
    forget_surplus(&mut user, revision);
    is_changed.then_some(WholeUser { revision, ..user })
}

/// An entry without the shows of before an erase; `None` where nothing is left of it.
fn without_erased(entry: &WholeEntry, erased: Option<&Tombstone>) -> Option<WholeEntry> {
    let Some(erased) = erased else { return Some(entry.clone()) };
    let mut state = entry.decoded()?;
    let kept: Vec<Show> =
        state.shows().iter().filter(|show| show.at > erased.at).copied().collect();
    if kept.len() == state.shows().len() {
        return Some(entry.clone());
    }
    let gone = state.shows().len() - kept.len();
    put_shows(&mut state, &kept)?;
    state.shows_total = state.shows_total.saturating_sub(u32::try_from(gone).unwrap_or(u32::MAX));
    let mut entry = entry.clone();
    entry.take(&state);
    Some(entry)
}

/// Replaces the shows of an entry by the latest 16 of these, oldest first; `None` where there is
/// none.
fn put_shows(entry: &mut PopupState, shows: &[Show]) -> Option<()> {
    let kept = &shows[shows.len().saturating_sub(SHOWS_REMEMBERED_MAX)..];
    entry.shows = [Show::default(); SHOWS_REMEMBERED_MAX];
    entry.shows[..kept.len()].copy_from_slice(kept);
    entry.shows_used = u8::try_from(kept.len()).expect("at most 16");
    (!kept.is_empty()).then_some(())
}

/// Both rows of one popup; `None` where the known one has all of the other.
fn unite_entries(known: &WholeEntry, other: &WholeEntry) -> Option<WholeEntry> {
    if other.is_forgotten || known.is_forgotten && other.last_shown_at <= known.last_shown_at {
        return None;
    }
    // A row that can't be read gives way to one that can.
    let theirs = other.decoded()?;
    let Some(ours) = known.decoded() else { return Some(other.clone()) };
    let united = unite_shows(&ours, &theirs);
    if united == ours && !known.is_forgotten {
        return None;
    }
    let mut entry = known.clone();
    entry.take(&united);
    entry.next_show_at =
        match (united.latest() == ours.latest(), united.latest() == theirs.latest()) {
            // The later of both, of which never is the latest.
            (true, true) => known.next_show_at.zip(other.next_show_at).map(|(a, b)| a.max(b)),
            (true, false) => known.next_show_at,
            _ => other.next_show_at,
        };
    Some(entry)
}

/// All shows of both, each with all of its actions; the outcome is that of the latest show.
fn unite_shows(ours: &PopupState, theirs: &PopupState) -> PopupState {
    let is_full = ours.shows().len() == SHOWS_REMEMBERED_MAX;
    let place = |show: &Show| (show.at, show.number);
    let oldest = ours.shows().iter().map(place).min();
    let same = |one: &Show, other: &Show| (one.number, one.at) == (other.number, other.at);
    let mut shows = ours.shows().to_vec();
    let mut added = 0_u32;
    for show in theirs.shows() {
        match shows.iter_mut().find(|known| same(known, show)) {
            Some(known) => known.actions |= show.actions,
            None if is_full && Some(place(show)) < oldest => {}
            None => {
                shows.push(*show);
                added += 1;
            }
        }
    }
    shows.sort_by_key(place);
    let mut united = *ours;
    put_shows(&mut united, &shows).expect("an entry has at least one show");
    // Those that nobody remembers any more count once: with the first of the others.
    let is_first_time = usize::try_from(added) == Ok(theirs.shows().len());
    let more = if is_first_time { theirs.shows_total } else { added };
    united.shows_total = ours.shows_total.saturating_add(more).max(theirs.shows_total);
    let latest = united.latest();
    let of = |side: &PopupState| same(side.latest(), latest).then_some(side.outcome).flatten();
    let outcomes = [(of(ours), ours.outcome_at), (of(theirs), theirs.outcome_at)];
    let best = outcomes.into_iter().max().expect("there are two");
    united.outcome = best.0;
    united.outcome_at = if best.0.is_some() { best.1 } else { WallMs::default() };
    united
}

/// The clocks of the later counted show. A day and a session that both have are added up where
/// shows were, so that uniting again adds nothing.
fn unite_clocks(
    ours: &UserClocks,
    theirs: &UserClocks,
    is_shown_more: bool,
    zone: &TimeZone,
) -> UserClocks {
    let is_later = theirs.last_counted_at > ours.last_counted_at;
    let (later, earlier) = if is_later { (theirs, ours) } else { (ours, theirs) };
    let mut clocks = UserClocks { erased_at: None, ..*later };
    if !is_shown_more {
        return clocks;
    }
    let day = |clocks: &UserClocks| clocks.last_counted_at.map(|at| local_day(zone, at));
    if day(later) == day(earlier) {
        clocks.day_shows = later.day_shows.saturating_add(earlier.day_shows);
    }
    if later.session == 0 {
        (clocks.session, clocks.session_shows) = (earlier.session, earlier.session_shows);
    } else if later.session == earlier.session {
        clocks.session_shows = later.session_shows.saturating_add(earlier.session_shows);
    }
    clocks
}

/// Pushes out what was shown longest ago beyond what is remembered of a user.
fn forget_surplus(user: &mut WholeUser, revision: Revision) {
    let kept = user.entries.iter().filter(|entry| !entry.is_forgotten).count();
    for _ in USER_POPUPS_MAX..kept {
        let remembered = user.entries.iter_mut().filter(|entry| !entry.is_forgotten);
        let oldest = remembered.min_by_key(|entry| entry.last_shown_at);
        let oldest = oldest.expect("there are more than 64");
        oldest.is_forgotten = true;
        oldest.revision = revision;
    }
}

#[cfg(test)]
mod tests;
