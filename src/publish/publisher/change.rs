//! Changes of the stored catalog: the popups file at start and reload, one popup by an operator,
//! many by an import. Each is made from what is stored now, checked whole against all the rest, and
//! stored only where nobody else has changed the catalog since; else it is made again.
//!
//! ```text
//! read where moved -> checked, compiled aside -> stored on that version -> swapped
//!        ^                                              |
//!        +--------------- moved meanwhile --------------+
//! ```
//!
//! Limits: [`CATALOG_TURN_MS`] until it begins, and from then on
//! [`CATALOG_CHANGE_MS`](nudged_base::limits::CATALOG_CHANGE_MS).

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use super::drafts::is_expected;
use super::import::{import_file, store_change, until_unmoved};
use super::prepare::{Definitions, definitions_of, publish, try_compile};
use super::published::{KnownPopup, Published};
use super::{Announcing, Changing, PublishError, Publisher};
#[cfg(doc)]
use nudged_base::limits::CATALOG_TURN_MS;
use nudged_base::telemetry::log::{LogValue, Message};
use nudged_domain::catalog::source::{Definition, parse_json_popup, patch_popup};
use nudged_redis::refusal::RedisRefusal;
use nudged_redis::request::RedisError;
use nudged_runtime::clocks;
use nudged_store::{CatalogChange, Store, StoredCatalog, StoredDraft};

/// A change of one popup that an operator asks for.
#[derive(Clone, Debug)]
pub enum PopupEdit {
    /// This is its definition.
    Put(Arc<Definition>),
    /// What of its definition becomes another: a merge patch (RFC 7396) of it as it is stored.
    Patch(Arc<str>),
    /// Its draft is its definition from now on, where it has this revision, if one is named.
    Publish(Option<u64>),
    /// It is archived.
    Delete,
    /// It goes back to the text of a version, or of the one before, as a new version.
    RollBack(Option<u32>),
}

/// Who changes which popup, and on what condition.
#[derive(Clone, Copy, Debug)]
pub struct EditContext<'a> {
    /// The popup's id.
    pub id: &'a str,
    /// Whom the change is put down to.
    pub who: &'a str,
    /// The version that the popup must have, or its draft where that is what changes.
    pub expected: Option<ExpectedVersion>,
}

/// What `If-Match` and `If-None-Match` ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpectedVersion {
    /// That the popup is there.
    Any,
    /// That it has this version, or is a draft of this revision.
    Version(u64),
    /// That no popup ever had this id, or that it has no draft.
    Absent,
}

/// A popup after a change.
#[derive(Clone, Debug)]
pub struct Changed {
    /// The popup.
    pub known: KnownPopup,
    /// Whether it was not there before.
    pub is_new: bool,
    /// The catalog that it is in.
    pub published: Published,
}

impl Publisher {
    /// Changes one popup. Answers when every shard decides by it; where all is so already, at once.
    ///
    /// # Errors
    /// [`PublishError`]; nothing has changed, but for `Unconfirmed`.
    pub fn change(
        &self,
        context: EditContext<'_>,
        edit: &PopupEdit,
    ) -> Result<Changed, PublishError> {
        let changed = self.try_change(context, edit).inspect_err(|error| self.count_late(error))?;
        self.announce(&changed.published);
        Ok(changed)
    }

    fn try_change(
        &self,
        context: EditContext<'_>,
        edit: &PopupEdit,
    ) -> Result<Changed, PublishError> {
        let mut changing = self.turn(self.turn_max)?;
        // What is refused is refused by what everybody can see.
        self.catch_up(&mut changing)?;
        until_unmoved(|| {
            let (before, is_moved) = self.stored_now(&mut changing)?;
            let known = before.find(context.id);
            check_expected(known, context.expected)?;
            let mut definitions = definitions_of(&before.popups);
            let Some(planned) = plan(&mut changing, known, context, edit)? else {
                let published =
                    if is_moved { self.show(before.clone(), false)?.0 } else { before.clone() };
                let known =
                    published.find(context.id).expect("what is so already is there").clone();
                return Ok(Some(Changed { known, is_new: false, published }));
            };
            let Planned { definition, kind } = planned;
            if let Some(definition) = &definition {
                definitions.insert(context.id.to_owned(), Arc::clone(definition));
                try_compile(&definitions, &changing.config).map_err(PublishError::Definition)?;
            }
            let text = definition.map(|definition| definition.canonical_json());
            let id = context.id;
            let change = match (&text, kind) {
                (Some(text), PutKind::Published) => CatalogChange::Publish { id, text },
                (Some(text), kind) => {
                    CatalogChange::Put { id, text, is_rollback: kind == PutKind::RolledBack }
                }
                (None, _) => CatalogChange::Delete(id),
            };
            let on = before.stored_version;
            let Some(stored) = store_change(&mut changing.store, on, change, context.who)? else {
                return Ok(None);
            };
            let is_new = known.is_none();
            let published = self.publish_stored(&changing, stored, &definitions)?;
            let (published, _) = self.show(published, false)?;
            let known = published.find(context.id).expect("it was just stored").clone();
            self.log_changed(context, &known);
            Ok(Some(Changed { known, is_new, published }))
        })
    }

    /// Takes over what is stored, where it is not what is current.
    ///
    /// # Errors
    /// Where the store fails.
    pub fn refresh(&self) -> Result<(), PublishError> {
        let mut changing = self.turn(self.turn_max)?;
        self.catch_up(&mut changing)
    }

    /// Takes over what this node has just stored of pauses and archives, and tells other nodes.
    /// What fails is done by the watch.
    pub(crate) fn take_stored(&self) {
        if self.refresh().is_ok() {
            self.announce(&self.current());
        }
    }

    /// The catalog as it is stored now: read and swapped where another process has changed it.
    pub(super) fn catch_up(&self, changing: &mut Changing) -> Result<(), PublishError> {
        let has_file = self.is_file_pending();
        let (published, is_moved) = self.stored_now(changing)?;
        if is_moved {
            self.take_over(published, has_file);
        }
        Ok(())
    }

    /// The catalog as it is stored now, and whether it is another than what is current. No shard
    /// is told: a change that waits for one between two tries would lose to a busier node for ever.
    fn stored_now(&self, changing: &mut Changing) -> Result<(Published, bool), PublishError> {
        let current = self.current();
        if self.is_file_pending() {
            let mut definitions = definitions_of(&current.popups);
            let Changing { store, config } = &mut *changing;
            let imported = import_file(store, config, &mut definitions, "once SQL had answered")?;
            self.is_file_pending.store(false, Ordering::Release);
            self.log_owners(&imported.replaced, &imported.released);
            return Ok((self.publish_stored(changing, imported.stored, &definitions)?, true));
        }
        if changing.store.catalog_version()? == current.stored_version {
            return Ok((current, false));
        }
        let stored = changing.store.load_catalog()?;
        let published = self.publish_stored(changing, stored, &definitions_of(&current.popups))?;
        Ok((published, true))
    }

    /// Makes a catalog current that nobody asked for here, so that nobody is owed an answer.
    fn take_over(&self, published: Published, has_file: bool) {
        match self.show(published, has_file) {
            Ok((shown, true)) => {
                let version = LogValue::Number(shown.snapshot.version);
                self.log.write(clocks::now(), Message::CatalogChanged, &[("version", version)]);
            }
            Ok((_, false)) => {}
            Err(error) => {
                let error = error.to_string();
                self.log.write(
                    clocks::now(),
                    Message::CatalogUnconfirmed,
                    &[("error", LogValue::Text(&error))],
                );
            }
        }
    }

    /// Takes a copy over that is newer than what is current, while the store can't be asked.
    ///
    /// # Errors
    /// Where its popups can't stand together.
    pub(crate) fn take_copy(&self, copy: StoredCatalog) -> Result<(), PublishError> {
        let changing = self.turn(self.turn_max)?;
        let current = self.current();
        if copy.version > current.stored_version {
            let published =
                self.publish_stored(&changing, copy, &definitions_of(&current.popups))?;
            self.take_over(published, false);
        }
        Ok(())
    }

    fn publish_stored(
        &self,
        changing: &Changing,
        stored: StoredCatalog,
        definitions: &Definitions,
    ) -> Result<Published, PublishError> {
        let version = self.current().snapshot.version + 1;
        publish(stored, definitions, (&changing.config, version), &self.log)
    }

    /// Tells the other nodes at once, and not when the watch looks next. Where Redis does not
    /// answer, the watch does so later.
    pub(super) fn announce(&self, published: &Published) {
        let mut announcing = self.announcing.lock().unwrap_or_else(PoisonError::into_inner);
        let Announcing { shared: Some(shared), version } = &mut *announcing else { return };
        if *version >= published.stored_version {
            return;
        }
        match shared.put(published.stored_version, &published.copy(), None) {
            Ok(()) => *version = published.stored_version,
            Err(error) => self.redis_failed(&error),
        }
    }

    /// A client beside the shards' was refused something by Redis: where that is a right, the
    /// keeper looks which one.
    pub(crate) fn redis_failed(&self, error: &RedisError) {
        if matches!(error, RedisError::Refused { kind: RedisRefusal::Denied, .. }) {
            self.mesh.redis_status.report_denied();
        }
    }

    /// Says that this node's popups file has undone what another one's had set, and that popups of
    /// a former file have become the admin API's.
    pub(super) fn log_owners(&self, replaced: &[String], released: &[String]) {
        if !replaced.is_empty() {
            self.replaced.fetch_add(1, Ordering::Relaxed);
        }
        for (message, ids) in
            [(Message::CatalogReplaced, replaced), (Message::PopupsReleased, released)]
        {
            if !ids.is_empty() {
                let count = u64::try_from(ids.len()).unwrap_or(u64::MAX);
                let ids = ids.join(" ");
                let fields = [("popups", LogValue::Text(&ids)), ("count", LogValue::Number(count))];
                self.log.write(clocks::now(), message, &fields);
            }
        }
    }

    pub(super) fn log_changed(&self, context: EditContext<'_>, known: &KnownPopup) {
        let fields = [
            ("popup", LogValue::Text(context.id)),
            ("version", LogValue::Number(u64::from(known.stored.version))),
            ("status", LogValue::Text(known.status.word())),
            ("who", LogValue::Text(context.who)),
        ];
        self.log.write(clocks::now(), Message::PopupChanged, &fields);
    }
}

/// What is to be stored: a definition, or none where the popup is archived.
struct Planned {
    definition: Option<Arc<Definition>>,
    kind: PutKind,
}

/// Where a definition comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PutKind {
    /// An operator's request.
    Changed,
    /// An earlier version.
    RolledBack,
    /// The popup's draft.
    Published,
}

pub(super) fn check_expected(
    known: Option<&KnownPopup>,
    expected: Option<ExpectedVersion>,
) -> Result<(), PublishError> {
    let holds = match (expected, known) {
        (None, _)
        | (Some(ExpectedVersion::Any), Some(_))
        | (Some(ExpectedVersion::Absent), None) => true,
        (Some(ExpectedVersion::Version(version)), Some(known)) => {
            u64::from(known.stored.version) == version
        }
        (Some(ExpectedVersion::Absent), Some(_)) => return Err(PublishError::Exists),
        (Some(_), None) => false,
    };
    let version = known.map(|known| known.stored.version);
    if holds { Ok(()) } else { Err(PublishError::OtherVersion(version)) }
}

/// What an edit stores; `None` where all is so already.
fn plan(
    Changing { store, config }: &mut Changing,
    known: Option<&KnownPopup>,
    EditContext { id, expected, .. }: EditContext<'_>,
    edit: &PopupEdit,
) -> Result<Option<Planned>, PublishError> {
    if known.is_some_and(|known| known.stored.is_in_file()) {
        return Err(PublishError::in_file(config, vec![id.to_owned()]));
    }
    let is_gone = known.is_some_and(|known| known.stored.is_gone);
    let is_same =
        |definition: &Arc<Definition>| known.is_some_and(|known| known.definition == *definition);
    let (definition, kind, is_so) = match edit {
        PopupEdit::Put(definition) => {
            (Some(Arc::clone(definition)), PutKind::Changed, is_same(definition) && !is_gone)
        }
        // Where all is so already, the draft goes all the same.
        PopupEdit::Publish(revision) => {
            let draft = store.draft(id)?.ok_or(PublishError::NoDraft)?;
            check_draft(&draft, known, (*revision, expected))?;
            let read = parse_json_popup(&draft.text).map_err(PublishError::Definition)?;
            (Some(Arc::new(read)), PutKind::Published, false)
        }
        _ if known.is_none() => return Err(PublishError::NoSuchPopup),
        PopupEdit::Delete => (None, PutKind::Changed, is_gone),
        PopupEdit::RollBack(_) | PopupEdit::Patch(_) if is_gone => {
            return Err(PublishError::Archived);
        }
        PopupEdit::Patch(patch) => {
            let text = known.map_or("", |known| &known.stored.text);
            let patched = patch_popup(text, patch, id).map_err(PublishError::Definition)?;
            let definition = Arc::new(patched);
            let is_so = is_same(&definition);
            (Some(definition), PutKind::Changed, is_so)
        }
        PopupEdit::RollBack(to) => {
            let version = known.map_or(0, |known| known.stored.version);
            let definition = earlier(store, (id, version), *to)?;
            let is_so = is_same(&definition);
            (Some(definition), PutKind::RolledBack, is_so)
        }
    };
    Ok((!is_so).then_some(Planned { definition, kind }))
}

/// Looks whether a draft is the one that is to be published, and was made from what it replaces.
/// Who names the version that is replaced has seen it.
fn check_draft(
    draft: &StoredDraft,
    known: Option<&KnownPopup>,
    (revision, expected): (Option<u64>, Option<ExpectedVersion>),
) -> Result<(), PublishError> {
    if !is_expected(Some(draft), revision.map(ExpectedVersion::Version)) {
        return Err(PublishError::OtherRevision(Some(Box::new(draft.clone()))));
    }
    let live_version = known.map(|known| known.stored.version);
    match (draft.base_version, expected) {
        (_, Some(ExpectedVersion::Version(_))) => Ok(()),
        (Some(base_version), _) if base_version != live_version.unwrap_or(0) => {
            Err(PublishError::DraftOutdated { base_version, live_version })
        }
        _ => Ok(()),
    }
}

/// The definition of an earlier version.
fn earlier(
    store: &mut Store,
    (id, version): (&str, u32),
    to: Option<u32>,
) -> Result<Arc<Definition>, PublishError> {
    let to = match to {
        Some(to) => to,
        None => store.version_before(id, version)?.ok_or(PublishError::NoEarlierVersion)?,
    };
    let text = store.text_of(id, to)?.ok_or(PublishError::NoSuchVersion)?;
    parse_json_popup(&text).map(Arc::new).map_err(PublishError::Definition)
}
