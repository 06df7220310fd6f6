// One popup in the editor: what was loaded, what is typed, and how it becomes a draft and the popup.
// Every save names the revision that it replaces, so that two editors meet here and not in silence.
import { batch, computed, signal } from '@preact/signals';
import { Refusal } from '../../api/client';
import { EditorDocument } from './document';
import type { Kept } from './model/kept';
import {
  deleteDraft,
  loadDraft,
  loadPopup,
  problemsOf,
  publish,
  saveDraft,
  textOfVersion,
  type Draft,
  type LivePopup,
} from './requests';

/** Somebody else has changed what is edited here. */
export interface Clash {
  readonly kind: 'draft' | 'live';
  /** What both began with; null where it is not known any more. */
  readonly base: string | null;
  readonly theirs: string;
  readonly yours: string;
  /** Who, or what, is on the other side. */
  readonly words: string;
  /** What a save goes on from, once it is settled. */
  readonly from: { readonly revision: string | null; readonly base: number };
  readonly then: 'save' | 'publish';
}

export interface Start {
  readonly id: string;
  readonly live: LivePopup | null;
  readonly draft: Draft | null;
  readonly text: string;
  readonly isNew: boolean;
  readonly readOnly: boolean;
}

export class EditorState {
  readonly doc: EditorDocument;
  readonly isNew: boolean;
  readonly live;
  readonly draft;
  /** The text that was loaded or saved last. */
  readonly loaded;
  readonly busy = signal<'' | 'save' | 'publish' | 'other'>('');
  readonly clash = signal<Clash | null>(null);
  readonly refused = signal<unknown>(null);
  readonly isDirty;
  private from: { revision: string | null; base: number };

  constructor(private readonly start: Start) {
    this.doc = new EditorDocument(start.text, start.readOnly);
    this.isNew = start.isNew;
    this.live = signal(start.live);
    this.draft = signal(start.draft);
    this.loaded = signal(start.text);
    this.isDirty = computed(() => this.doc.text.value.trim() !== this.loaded.value.trim());
    const base = start.draft?.base ?? start.live?.version ?? 0;
    this.from = { revision: start.draft?.revision ?? null, base };
  }

  /** That of the path; of a new popup, what is typed. */
  get id(): string {
    return this.isNew ? String(this.doc.definition.value['id'] ?? '') : this.start.id;
  }

  /** What a closed tab leaves. */
  toKeep(): Kept {
    const text = this.doc.text.peek();
    return { text, at: Date.now(), loaded: this.loaded.peek(), ...this.from };
  }

  /** Goes on with what a closed tab has left; a newer save of somebody else shows as a conflict. */
  takeKept(kept: Kept): void {
    this.from = { revision: kept.revision, base: kept.base };
    this.loaded.value = kept.loaded;
    this.doc.setText(kept.text);
  }

  /** Saves what is typed as the draft; whether it did. */
  async save(): Promise<boolean> {
    return this.guarded('save', () => this.saveNow('save'));
  }

  /** Saves and publishes; the popup as it is then, or null. */
  async publish(): Promise<LivePopup | null> {
    let made: LivePopup | null = null;
    await this.guarded('publish', async () => {
      const isSaved = this.draft.peek() !== null && !this.isDirty.peek();
      if (!isSaved && !(await this.saveNow('publish'))) return false;
      made = await this.publishNow();
      return made !== null;
    });
    return made;
  }

  private async guarded(
    busy: 'save' | 'publish' | 'other',
    act: () => Promise<boolean>,
  ): Promise<boolean> {
    if (this.busy.peek() || this.doc.broken.peek()) return false;
    this.busy.value = busy;
    this.refused.value = null;
    try {
      return await act();
    } catch (error) {
      this.refused.value = error;
      if (error instanceof Refusal && error.code === 'bad_popup') {
        this.doc.told.value = { text: this.doc.text.peek(), problems: problemsOf(error) };
      }
      return false;
    } finally {
      this.busy.value = '';
    }
  }

  private async saveNow(then: 'save' | 'publish'): Promise<boolean> {
    const text = this.doc.text.peek();
    if (this.isNew && this.from.revision === null && (await this.isTaken())) return false;
    try {
      const draft = await saveDraft(this.id, text, this.from);
      this.settle(draft, text);
      return true;
    } catch (error) {
      if (!(error instanceof Refusal) || error.status !== 412) throw error;
      await this.meetDraft(then);
      return false;
    }
  }

  private settle(draft: Draft, text: string): void {
    batch(() => {
      this.from = { revision: draft.revision, base: draft.base };
      this.draft.value = draft;
      this.loaded.value = text;
    });
  }

  /** A new popup has an id, and takes nobody's. */
  private async isTaken(): Promise<boolean> {
    if (!this.id) {
      this.tellId('is missing: expected 1 to 64 of a to z, 0 to 9, - and _');
      return true;
    }
    const [popup, draft] = await Promise.all([loadPopup(this.id), loadDraft(this.id)]);
    if (!popup && !draft) return false;
    const what = popup ? 'a popup' : 'a draft';
    this.tellId(`there is ${what} with this id: edit that one, or choose another id`);
    return true;
  }

  private tellId(message: string): void {
    const problems = [{ field: 'id', message, kind: 'error' as const }];
    this.doc.told.value = { text: this.doc.text.peek(), problems };
  }

  private async publishNow(): Promise<LivePopup | null> {
    const text = this.loaded.peek();
    try {
      const live = await publish(this.id, this.from.revision, null);
      batch(() => {
        this.from = { revision: null, base: live.version };
        this.live.value = live;
        this.draft.value = null;
        // What was typed since then stays; else the text is what the node has made of it.
        const isSame = this.doc.text.peek() === text;
        this.loaded.value = isSame ? live.text : text;
        if (isSame) this.doc.setText(live.text);
      });
      return live;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (error.code === 'draft_outdated') await this.meetLive();
      else if (error.status === 412) await this.meetDraft('publish');
      else throw error;
      return null;
    }
  }

  /** Somebody else has saved, or published, this draft. */
  private async meetDraft(then: 'save' | 'publish'): Promise<void> {
    const [theirs, live] = await Promise.all([loadDraft(this.id), loadPopup(this.id)]);
    const version = live?.version ?? 0;
    this.clash.value = {
      kind: 'draft',
      base: this.loaded.peek(),
      theirs: theirs?.text ?? live?.text ?? '{}\n',
      yours: this.doc.text.peek(),
      words: theirs
        ? `${theirs.who} saved this draft in the meantime.`
        : 'This draft was published or discarded in the meantime.',
      from: theirs
        ? { revision: theirs.revision, base: theirs.base }
        : { revision: null, base: version },
      then,
    };
    this.live.value = live;
  }

  /** The popup itself has changed since this draft was begun. */
  private async meetLive(): Promise<void> {
    const live = await loadPopup(this.id);
    const base = await textOfVersion(this.id, this.from.base);
    this.live.value = live;
    this.clash.value = {
      kind: 'live',
      base,
      theirs: live?.text ?? '{}\n',
      yours: this.doc.text.peek(),
      words: live
        ? `Version ${live.version} was published since this draft was started from version ${this.from.base}.`
        : 'The popup was deleted since this draft was started.',
      from: { revision: this.from.revision, base: live?.version ?? 0 },
      then: 'publish',
    };
  }

  /** Goes on with a text that both sides are in, or one of them. */
  async settleClash(text: string): Promise<LivePopup | boolean | null> {
    const clash = this.clash.peek();
    if (!clash) return false;
    batch(() => {
      this.clash.value = null;
      this.from = clash.from;
      this.loaded.value = clash.kind === 'draft' ? clash.theirs : '';
      this.doc.setText(text);
    });
    // Theirs as it is: there is nothing to save.
    if (clash.kind === 'draft' && text === clash.theirs) {
      this.draft.value = await loadDraft(this.id);
      return true;
    }
    return clash.then === 'publish' ? this.publish() : this.save();
  }

  /** An earlier version is live again; what is typed, or in the draft, stays. */
  settleRollBack(live: LivePopup): void {
    batch(() => {
      this.live.value = live;
      if (this.draft.peek() || this.isDirty.peek()) return;
      this.from = { revision: null, base: live.version };
      this.loaded.value = live.text;
      this.doc.setText(live.text);
    });
  }

  /** Takes the draft away; the editor goes on with the popup as it is. */
  async discard(): Promise<boolean> {
    return this.guarded('other', async () => {
      if (this.draft.peek()) await deleteDraft(this.id, this.from.revision);
      const live = await loadPopup(this.id);
      batch(() => {
        this.live.value = live;
        this.draft.value = null;
        this.from = { revision: null, base: live?.version ?? 0 };
        if (live) this.doc.setText(live.text);
        this.loaded.value = live?.text ?? '';
      });
      return true;
    });
  }
}
