// A state in a word and a colour.
import type { ComponentChildren } from 'preact';

export type Tone = 'good' | 'warn' | 'bad' | 'accent' | 'plain';

export function Chip({ tone = 'plain', children }: { tone?: Tone; children: ComponentChildren }) {
  return <span class={`chip chip-${tone}`}>{children}</span>;
}

export type PopupStatus = 'draft' | 'live' | 'paused' | 'archived';

const TONES: Record<PopupStatus, Tone> = {
  draft: 'accent',
  live: 'good',
  paused: 'warn',
  archived: 'plain',
};

const NAMES: Record<PopupStatus, string> = {
  draft: 'Draft',
  live: 'Live',
  paused: 'Paused',
  archived: 'Archived',
};

interface StatusProps {
  /** What decisions go by. */
  readonly status: PopupStatus;
  /** What the definition says, where a pause or an archive wins over it. */
  readonly own?: PopupStatus | null;
  /** Whether it is archived as it was deleted, or has left the popups file. */
  readonly gone?: boolean;
}

export function StatusChip({ status, own, gone = false }: StatusProps) {
  if (gone) return <Chip>Deleted</Chip>;
  return (
    <span class="chip-pair">
      <Chip tone={TONES[status] ?? 'plain'}>{NAMES[status] ?? status}</Chip>
      {own && own !== status && (
        <span class="chip-own">over {(NAMES[own] ?? own).toLowerCase()}</span>
      )}
    </span>
  );
}
