// Two have changed one popup: what both began with, theirs and yours, side by side. What only one
// has changed is taken from that one; the rest is chosen. Nothing goes until it is.
import { useState } from 'preact/hooks';
import { Button } from '../../ui/button';
import { Dialog } from '../../ui/dialog';
import { Segments } from '../../ui/field';
import { conflicts, type Conflict } from './model/compare';
import { fieldOf, find, parseJson, valueOf, type JsonPath } from './model/json';
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
function rawOf(text: string, path: JsonPath): RawJson | undefined {
  const { node } = parseJson(text);
  const found = node && find(node, path);
  return found ? new RawJson(text.slice(found.start, found.end)) : undefined;
}

/** Your text with the members that are taken from theirs. */
export function merged(
  clash: Clash,
  rows: readonly Conflict[],
  chosen: Record<string, Side>,
): string {
  return rows
    .filter(({ path }) => chosen[fieldOf(path)] === 'theirs')
    .reduce((text, { path }) => withValue(text, path, rawOf(clash.theirs, path)), clash.yours);
}

export function ConflictDialog({ clash, onSettle, onClose }: ClashProps) {
  const rows = conflicts(valueIn(clash.base), valueIn(clash.theirs), valueIn(clash.yours));
  const [form, setForm] = useState('members');
  const [chosen, setChosen] = useState<Record<string, Side>>(() =>
    Object.fromEntries(
      rows.flatMap(({ path, by }) => (by === 'both' ? [] : [[fieldOf(path), by]])),
    ),
  );
  const open = rows.filter(({ path }) => !chosen[fieldOf(path)]);
  const all = (side: Side) =>
    setChosen(Object.fromEntries(rows.map(({ path }) => [fieldOf(path), side])));
  const act = clash.then === 'publish' ? 'Save and publish this' : 'Save this as the draft';
  return (
    <Dialog
      title="Someone else changed this popup"
      wide
      onClose={onClose}
      actions={
        <>
          {open.length > 0 && (
            <span class="soft clash-open">
              Choose first: {open.map(({ path }) => fieldOf(path)).join(', ')}
            </span>
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
        <Ways form={form} onForm={setForm} onAll={all} />
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

interface WaysProps {
  readonly form: string;
  readonly onForm: (form: string) => void;
  readonly onAll: (side: Side) => void;
}

function Ways({ form, onForm, onAll }: WaysProps) {
  return (
    <div class="row">
      <Segments
        label="How to show the texts"
        value={form}
        choices={[
          { value: 'members', label: 'By field' },
          { value: 'texts', label: 'Three texts' },
        ]}
        onPick={onForm}
      />
      <Button small onClick={() => onAll('theirs')}>
        All theirs
      </Button>
      <Button small onClick={() => onAll('yours')}>
        All mine
      </Button>
    </div>
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
      {rows
        .map((row) => ({ ...row, name: fieldOf(row.path) }))
        .map((row) => (
          <fieldset key={row.name} class="clash-row">
            <legend>
              <code>{row.name}</code>
              {row.by === 'both' && <span class="clash-both"> both changed it</span>}
            </legend>
            <div class="clash-side">
              <span class="field-label">{isBaseKnown ? 'Before' : 'Before: no longer known'}</span>
              <Value value={row.base} />
            </div>
            {(['theirs', 'yours'] as const).map((side) => (
              <label key={side} class="clash-side clash-choice">
                <span class="row">
                  <input
                    type="radio"
                    name={`clash-${row.name}`}
                    checked={chosen[row.name] === side}
                    onChange={() => onChoose(row.name, side)}
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
            {text ?? 'no longer known'}
          </pre>
        </div>
      ))}
    </div>
  );
}
