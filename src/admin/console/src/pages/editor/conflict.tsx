// Two have changed one popup: what both began with, theirs and yours, side by side. What only one
// has changed is taken from that one; the rest is chosen. Nothing goes until it is.
import { useState } from 'preact/hooks';
import { Button } from '../../ui/button';
import { Dialog } from '../../ui/dialog';
import { Segments } from '../../ui/field';
import { conflicts, type Conflict } from './model/compare';
import { find, parseJson, valueOf } from './model/json';
import { laidOut, RawJson, withValue } from './model/text';
import type { Clash } from './state';

type Side = 'theirs' | 'yours';

interface ClashProps {
  readonly clash: Clash;
  readonly onSettle: (text: string) => void;
  readonly onClose: () => void;
}

function valueIn(text: string | null): unknown {
  const { node } = parseJson(text ?? '{}');
  return node ? valueOf(node) : {};
}

/** A member's JSON as it is written; undefined where there is none. */
function rawOf(text: string, member: string): RawJson | undefined {
  const { node } = parseJson(text);
  const found = node && find(node, [member]);
  return found ? new RawJson(text.slice(found.start, found.end)) : undefined;
}

/** Your text with the members that are taken from theirs. */
export function merged(
  clash: Clash,
  rows: readonly Conflict[],
  chosen: Record<string, Side>,
): string {
  return rows
    .filter(({ member }) => chosen[member] === 'theirs')
    .reduce(
      (text, { member }) => withValue(text, [member], rawOf(clash.theirs, member)),
      clash.yours,
    );
}

export function ConflictDialog({ clash, onSettle, onClose }: ClashProps) {
  const rows = conflicts(valueIn(clash.base), valueIn(clash.theirs), valueIn(clash.yours));
  const [form, setForm] = useState('members');
  const [chosen, setChosen] = useState<Record<string, Side>>(() =>
    Object.fromEntries(rows.flatMap(({ member, by }) => (by === 'both' ? [] : [[member, by]]))),
  );
  const open = rows.filter(({ member }) => !chosen[member]);
  const all = (side: Side) =>
    setChosen(Object.fromEntries(rows.map(({ member }) => [member, side])));
  const act = clash.then === 'publish' ? 'Save and publish this' : 'Save this as the draft';
  return (
    <Dialog
      title="Somebody else has changed this popup"
      wide
      onClose={onClose}
      actions={
        <>
          {open.length > 0 && (
            <span class="soft">Choose first: {open.map(({ member }) => member).join(', ')}</span>
          )}
          <Button onClick={onClose}>Back to my text</Button>
          <Button
            kind="primary"
            disabled={open.length > 0}
            onClick={() => onSettle(rows.length > 0 ? merged(clash, rows, chosen) : clash.yours)}
          >
            {act}
          </Button>
        </>
      }
    >
      <div class="stack">
        <p>{clash.words} Nothing was overwritten: both texts are here.</p>
        <div class="row">
          <Segments
            label="How to show the texts"
            value={form}
            choices={[
              { value: 'members', label: 'By member' },
              { value: 'texts', label: 'Three texts' },
            ]}
            onPick={setForm}
          />
          <Button small onClick={() => all('theirs')}>
            All as theirs
          </Button>
          <Button small onClick={() => all('yours')}>
            All as mine
          </Button>
        </div>
        {form === 'texts' ? (
          <Texts clash={clash} />
        ) : (
          <Members
            rows={rows}
            chosen={chosen}
            isBaseKnown={clash.base !== null}
            onChoose={(member, side) => setChosen({ ...chosen, [member]: side })}
          />
        )}
      </div>
    </Dialog>
  );
}

interface MembersProps {
  readonly rows: readonly Conflict[];
  readonly chosen: Record<string, Side>;
  readonly isBaseKnown: boolean;
  readonly onChoose: (member: string, side: Side) => void;
}

function Members({ rows, chosen, isBaseKnown, onChoose }: MembersProps) {
  if (rows.length === 0) return <p class="soft">Both say the same.</p>;
  return (
    <div class="clash-rows">
      {rows.map((row) => (
        <fieldset key={row.member} class="clash-row">
          <legend>
            <code>{row.member}</code>
            {row.by === 'both' && <span class="clash-both"> both have changed it</span>}
          </legend>
          <div class="clash-side">
            <span class="field-label">{isBaseKnown ? 'Before' : 'Before: not known any more'}</span>
            <Value value={row.base} />
          </div>
          {(['theirs', 'yours'] as const).map((side) => (
            <label key={side} class="clash-side clash-choice">
              <span class="row">
                <input
                  type="radio"
                  name={`clash-${row.member}`}
                  checked={chosen[row.member] === side}
                  onChange={() => onChoose(row.member, side)}
                />
                {side === 'theirs' ? 'Theirs' : 'Yours'}
              </span>
              <Value value={row[side]} />
            </label>
          ))}
        </fieldset>
      ))}
    </div>
  );
}

function Value({ value }: { value: unknown }) {
  if (value === undefined) return <span class="soft">not set</span>;
  return <code class="diff-value">{laidOut(JSON.stringify(value)).trimEnd()}</code>;
}

function Texts({ clash }: { clash: Clash }) {
  const texts = [
    { name: 'Before', text: clash.base },
    { name: clash.kind === 'live' ? 'Live now' : 'Theirs', text: clash.theirs },
    { name: 'Yours', text: clash.yours },
  ];
  return (
    <div class="clash-texts">
      {texts.map(({ name, text }) => (
        <div key={name} class="clash-side">
          <span class="field-label">{name}</span>
          <pre tabIndex={0} role="region" aria-label={name}>
            {text ?? 'not known any more'}
          </pre>
        </div>
      ))}
    </div>
  );
}
