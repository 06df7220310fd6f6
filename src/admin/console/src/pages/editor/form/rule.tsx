// One rule: an attribute, what it is compared by, and with what.
import { useRef } from 'preact/hooks';
import { useDocument } from '../document';
import type { JsonPath } from '../model/json';
import { RawJson } from '../model/text';
import {
  asKind,
  operatorOf,
  OPERATORS,
  valueKind,
  withOperator,
  type Operator,
  type Rule,
  type ValueKind,
} from '../model/target';
import { Place, PlaceErrors, Values } from './parts';

const GROUPS: readonly (readonly [string, readonly Operator['takes'][]])[] = [
  ['Of any kind', ['any', 'list', 'boolean']],
  ['Numbers', ['ordered']],
  ['Texts', ['text']],
  ['Versions', ['version']],
];

const KIND_NAMES: Record<ValueKind, string> = {
  text: 'text',
  number: 'number',
  boolean: 'yes or no',
};

export function RuleFields({ path, rule }: { path: JsonPath; rule: Rule }) {
  const doc = useDocument();
  const at: JsonPath = ['target', ...path];
  const disabled = doc.readOnly || doc.broken.value !== null;
  const attr = doc.typed([...at, 'attr']);
  const op = doc.typed([...at, 'op']);
  const operator = operatorOf(op);
  const isBad = (member: string) =>
    doc.problemsAt([...at, member]).some(({ kind }) => kind === 'error') ? true : undefined;
  return (
    <div class="rule-fields">
      <Place path={[...at, 'attr']}>
        <input
          class="control"
          type="text"
          autocomplete="off"
          aria-label="Attribute"
          aria-invalid={isBad('attr')}
          placeholder="attribute"
          value={attr}
          disabled={disabled}
          onInput={(event) => doc.set([...at, 'attr'], event.currentTarget.value)}
        />
      </Place>
      <Place path={[...at, 'op']}>
        <select
          class="control"
          aria-label={`How ${attr || 'it'} is compared`}
          aria-invalid={isBad('op')}
          value={op}
          disabled={disabled}
          onChange={(event) => doc.set(at, withOperator(rule, event.currentTarget.value))}
        >
          {!operator && <option value={op}>{op || '…'}</option>}
          {GROUPS.map(([name, takes]) => (
            <optgroup key={name} label={name}>
              {OPERATORS.filter((known) => takes.includes(known.takes)).map((known) => (
                <option key={known.op} value={known.op}>
                  {known.words}
                </option>
              ))}
            </optgroup>
          ))}
        </select>
      </Place>
      <Value path={[...at, 'value']} operator={operator} name={attr || 'it'} />
      <PlaceErrors path={at} below />
    </div>
  );
}

interface ValueProps {
  readonly path: JsonPath;
  readonly operator: Operator | undefined;
  readonly name: string;
}

function Value({ path, operator, name }: ValueProps) {
  const doc = useDocument();
  const value = doc.exact(path);
  // What is typed for a number and is none yet leaves the field one of numbers.
  const typed = useRef<string | null>(null);
  const kind = typed.current === value ? 'number' : valueKind(value);
  const disabled = doc.readOnly || doc.broken.value !== null;
  const takes = operator?.takes ?? 'any';
  const label = `Value of ${name}`;
  if (takes === 'boolean') {
    return <YesNo path={path} label={label} words={['yes', 'no']} />;
  }
  const kinds: readonly ValueKind[] =
    takes === 'any' || takes === 'list'
      ? ['text', 'number', 'boolean']
      : takes === 'ordered'
        ? ['number', 'text']
        : [];
  return (
    <div class="rule-value">
      {takes === 'list' ? (
        <Values
          path={path}
          label={label}
          bare
          values={Array.isArray(value) ? (value as unknown[]) : []}
          read={(text) => asKind(text, kind)}
          placeholder="value, value"
          onValues={(next) => doc.set(path, next)}
        />
      ) : kind === 'boolean' && takes === 'any' ? (
        <YesNo path={path} label={label} words={['yes', 'no']} />
      ) : (
        <Single path={path} label={label} typed={kind === 'number' ? typed : null} takes={takes} />
      )}
      {kinds.length > 0 && (
        <select
          class="control rule-kind"
          aria-label={`Kind of ${label.toLowerCase()}`}
          value={kind}
          disabled={disabled}
          onChange={(event) => {
            typed.current = null;
            doc.set(path, asKind(value, event.currentTarget.value as ValueKind));
          }}
        >
          {kinds.map((one) => (
            <option key={one} value={one}>
              {KIND_NAMES[one]}
            </option>
          ))}
        </select>
      )}
    </div>
  );
}

interface SingleProps {
  readonly path: JsonPath;
  readonly label: string;
  /** Of a number: what was typed last and is none. */
  readonly typed: { current: string | null } | null;
  readonly takes: Operator['takes'];
}

/** A text, or a number: what is typed for a number and is none yet is kept as a text. */
function Single({ path, label, typed, takes }: SingleProps) {
  const doc = useDocument();
  const write = (text: string) => {
    const isOne = typed !== null && /^-?(0|[1-9]\d*)(\.\d+)?$/.test(text);
    if (typed) typed.current = isOne ? null : text;
    doc.set(path, isOne ? new RawJson(text) : text);
  };
  const placeholder = { version: '5.2.0', ordered: '10' }[takes as string] ?? 'value';
  return (
    <Place path={path}>
      <input
        class="control"
        type="text"
        autocomplete="off"
        aria-label={label}
        aria-invalid={doc.problemsAt(path).some((one) => one.kind === 'error') ? true : undefined}
        inputMode={typed ? 'decimal' : undefined}
        placeholder={placeholder}
        value={doc.typed(path)}
        disabled={doc.readOnly || doc.broken.value !== null}
        onInput={(event) => write(event.currentTarget.value)}
      />
    </Place>
  );
}

interface YesNoProps {
  readonly path: JsonPath;
  readonly label: string;
  readonly words: readonly [string, string];
}

function YesNo({ path, label, words }: YesNoProps) {
  const doc = useDocument();
  return (
    <Place path={path}>
      <select
        class="control"
        aria-label={label}
        value={doc.at(path) === false ? 'false' : 'true'}
        disabled={doc.readOnly || doc.broken.value !== null}
        onChange={(event) => doc.set(path, event.currentTarget.value === 'true')}
      >
        <option value="true">{words[0]}</option>
        <option value="false">{words[1]}</option>
      </select>
    </Place>
  );
}
