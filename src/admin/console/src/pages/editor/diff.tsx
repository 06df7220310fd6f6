// What differs between two definitions: by member for those who edit by form, and as texts.
import './diff.css';
import { useState } from 'preact/hooks';
import { Segments } from '../../ui/field';
import { lineChanges, memberChanges, type Line } from './model/compare';
import { laidOut } from './model/text';

interface DiffProps {
  /** Definitions as JSON values; null where there was, or will be, none. */
  readonly before: unknown;
  readonly after: unknown;
  /** What the two are called. */
  readonly names?: readonly [string, string];
}

/** So many members, or lines, are drawn. */
const ROWS_MAX = 2000;

const FORMS = [
  { value: 'members', label: 'By field' },
  { value: 'text', label: 'As text' },
];

export function Diff({ before, after, names = ['Before', 'After'] }: DiffProps) {
  const [form, setForm] = useState('members');
  const changes = memberChanges(before ?? {}, after ?? {});
  if (changes.length === 0) return <p class="soft">Nothing differs.</p>;
  return (
    <div class="diff">
      <Segments label="How to show what differs" value={form} choices={FORMS} onPick={setForm} />
      {form === 'text' ? (
        <TextDiff before={textOf(before)} after={textOf(after)} names={names} />
      ) : (
        <div class="diff-room" tabIndex={0} role="region" aria-label="Fields that differ">
          <table class="diff-members">
            <thead>
              <tr>
                <th scope="col">Field</th>
                <th scope="col">{names[0]}</th>
                <th scope="col">{names[1]}</th>
              </tr>
            </thead>
            <tbody>
              {changes.slice(0, ROWS_MAX).map((change) => (
                <tr key={change.field}>
                  <th scope="row">
                    <code>{change.field || 'the whole'}</code>
                  </th>
                  <td>{shown(change.before)}</td>
                  <td>{shown(change.after)}</td>
                </tr>
              ))}
            </tbody>
          </table>
          <Rest count={changes.length - ROWS_MAX} />
        </div>
      )}
    </div>
  );
}

function textOf(value: unknown): string {
  return value === null || value === undefined ? '' : laidOut(JSON.stringify(value));
}

/** A value as JSON; what is not there is said. */
function shown(value: unknown) {
  if (value === undefined || value === null) return <span class="soft">not set</span>;
  if (typeof value === 'string') return <span class="diff-value">{value}</span>;
  return <code class="diff-value">{laidOut(JSON.stringify(value)).trimEnd()}</code>;
}

const SIGNS = { same: ' ', gone: '−', new: '+' };
const WORDS = { same: '', gone: 'removed: ', new: 'added: ' };
/** Lines that are the same stand so far around those that are not. */
const AROUND = 3;

interface TextDiffProps {
  readonly before: string;
  readonly after: string;
  readonly names: readonly [string, string];
}

export function TextDiff({ before, after, names }: TextDiffProps) {
  const lines = lineChanges(before.trimEnd(), after.trimEnd());
  const isNear = (index: number) =>
    lines
      .slice(Math.max(0, index - AROUND), index + AROUND + 1)
      .some(({ kind }) => kind !== 'same');
  const all = lines.map((line, index) => ({ line, near: isNear(index), index }));
  // Of what is the same, one sign stands for each run.
  const shown = all.filter(({ near, index }) => near || all[index - 1]?.near !== false);
  return (
    <div
      class="diff-room diff-text"
      tabIndex={0}
      role="region"
      aria-label={`${names[0]} and ${names[1]}, line by line`}
    >
      {shown.slice(0, ROWS_MAX).map(({ line, near, index }) =>
        near ? (
          <DiffLine key={index} line={line} />
        ) : (
          <div key={index} class="diff-line diff-left-out">
            …
          </div>
        ),
      )}
      <Rest count={shown.length - ROWS_MAX} />
    </div>
  );
}

/** What is left out of a long list. */
function Rest({ count }: { count: number }) {
  return count > 0 ? <p class="diff-line soft">and {count} more.</p> : null;
}

function DiffLine({ line }: { line: Line }) {
  return (
    <div class={`diff-line diff-${line.kind}`}>
      <span aria-hidden="true">{SIGNS[line.kind]} </span>
      <span class="hidden">{WORDS[line.kind]}</span>
      {line.text || ' '}
    </div>
  );
}
