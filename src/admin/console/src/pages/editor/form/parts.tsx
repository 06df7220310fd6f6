// Fields of a form that stand for a place in the definition: they show what is there, write what is
// typed, and say beside themselves what is wrong with it.
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { Button } from '../../../ui/button';
import { AreaField, Checkbox, Field, Select, TextField, type Choice } from '../../../ui/field';
import { useDocument } from '../document';
import { fieldOf, type JsonPath } from '../model/json';
import { RawJson } from '../model/text';
import type { Problem } from '../model/hints';

export interface BoundProps {
  readonly path: JsonPath;
  readonly label: string;
  readonly hint?: ComponentChildren;
  readonly bare?: boolean;
}

/** Messages as sentences. */
function sentence(message: string): string {
  return message.charAt(0).toUpperCase() + message.slice(1);
}

export function errorOf(problems: readonly Problem[]): string | undefined {
  const errors = problems.filter(({ kind }) => kind === 'error');
  return errors.length > 0 ? errors.map(({ message }) => sentence(message)).join('. ') : undefined;
}

/** A place in the form: what is wrong there leads to it. */
export function Place(props: { path: JsonPath; class?: string; children: ComponentChildren }) {
  const doc = useDocument();
  const warnings = doc.problemsAt(props.path).filter(({ kind }) => kind === 'warning');
  return (
    <div class={`editor-place ${props.class ?? ''}`} data-field={fieldOf(props.path)}>
      {props.children}
      {warnings.map(({ message }) => (
        <p key={message} class="editor-warning">
          {sentence(message)}
        </p>
      ))}
    </div>
  );
}

/** Errors of a place that has no field of its own, such as a group. */
export function PlaceErrors({ path, below = false }: { path: JsonPath; below?: boolean }) {
  const doc = useDocument();
  const error = errorOf(below ? doc.problemsBelow(path) : doc.problemsAt(path));
  return error ? (
    <p class="field-error" role="alert">
      {error}
    </p>
  ) : null;
}

type TextProps = BoundProps & {
  readonly placeholder?: string;
  /** Several lines. */
  readonly area?: boolean;
  readonly list?: string;
  readonly disabled?: boolean;
};

export function Text({ path, label, hint, bare, placeholder, area, list, disabled }: TextProps) {
  const doc = useDocument();
  const given = {
    label,
    hint,
    bare,
    value: doc.typed(path),
    error: errorOf(doc.problemsAt(path)),
    disabled: doc.readOnly || doc.broken.value !== null || disabled,
    placeholder,
    onText: (text: string) => doc.set(path, text === '' ? undefined : text),
  };
  return (
    <Place path={path} class={area ? 'editor-wide' : ''}>
      {area ? <AreaField {...given} rows={3} /> : <TextField {...given} list={list} />}
    </Place>
  );
}

type CountProps = BoundProps & {
  /** What holds where nothing is set. */
  readonly fallback: string;
  readonly unit?: string;
};

/** A number; what is typed and is none stands in the definition as a text, and is told. */
export function Count({ path, label, hint, bare, fallback, unit }: CountProps) {
  const doc = useDocument();
  const write = (typed: string) => {
    const text = typed.trim();
    const isNumber = /^-?(0|[1-9]\d*)(\.\d+)?$/.test(text);
    doc.set(path, text === '' ? undefined : isNumber ? new RawJson(text) : text);
  };
  return (
    <Place path={path}>
      <Field {...{ label, hint, bare, error: errorOf(doc.problemsAt(path)) }}>
        {(told) => (
          <span class="editor-unit">
            <input
              type="text"
              inputMode="decimal"
              autocomplete="off"
              {...told}
              class="control"
              value={doc.typed(path)}
              placeholder={fallback}
              disabled={doc.readOnly || doc.broken.value !== null}
              onInput={(event) => write(event.currentTarget.value)}
            />
            {unit && <span class="soft">{unit}</span>}
          </span>
        )}
      </Field>
    </Place>
  );
}

type PickProps = BoundProps & {
  readonly choices: readonly Choice[];
  /** What holds where nothing is set: picking it takes the member out. */
  readonly fallback: string;
};

export function Pick({ path, label, hint, bare, choices, fallback }: PickProps) {
  const doc = useDocument();
  const value = doc.typed(path) || fallback;
  const isKnown = choices.some((choice) => choice.value === value);
  const shown = isKnown ? choices : [...choices, { value, label: value }];
  return (
    <Place path={path}>
      <Select
        {...{ label, hint, bare, value }}
        choices={shown}
        error={errorOf(doc.problemsAt(path))}
        disabled={doc.readOnly || doc.broken.value !== null}
        onPick={(picked) => doc.set(path, picked === fallback ? undefined : picked)}
      />
    </Place>
  );
}

export function Check({ path, label, hint }: BoundProps) {
  const doc = useDocument();
  return (
    <Place path={path}>
      <Checkbox
        {...{ label, hint }}
        checked={doc.at(path) === true}
        error={errorOf(doc.problemsAt(path))}
        disabled={doc.readOnly || doc.broken.value !== null}
        onCheck={(checked) => doc.set(path, checked ? true : undefined)}
      />
    </Place>
  );
}

type ListProps = BoundProps & {
  readonly values: readonly unknown[];
  readonly onValues: (values: readonly unknown[]) => void;
  /** What a typed text becomes. */
  readonly read?: (text: string) => unknown;
  readonly placeholder?: string;
  readonly list?: string;
};

/** So many values are shown; lists have up to 1,000. */
const VALUES_SHOWN_MAX = 100;

/** Several values: typed one by one (Enter or a comma ends one), each with a button that takes it. */
export function Values(props: ListProps) {
  const { path, label, hint, bare, values, onValues, read = (text) => text } = props;
  const doc = useDocument();
  const [typed, setTyped] = useState('');
  const disabled = doc.readOnly || doc.broken.value !== null;
  const add = (text: string) => {
    const made = text
      .split(',')
      .map((part) => part.trim())
      .filter(Boolean)
      .map(read);
    const fresh = made.filter((value) => !values.includes(value));
    if (fresh.length > 0) onValues([...values, ...fresh]);
    setTyped('');
  };
  const press = (event: KeyboardEvent) => {
    if (event.key === 'Enter' && typed.trim()) {
      event.preventDefault();
      add(typed);
    } else if (event.key === 'Backspace' && typed === '' && values.length > 0) {
      onValues(values.slice(0, -1));
    }
  };
  return (
    <Place path={path}>
      <Field {...{ label, hint, bare, error: errorOf(doc.problemsBelow(path)) }}>
        {(told) => (
          <div class="editor-values">
            {values.slice(0, VALUES_SHOWN_MAX).map((value, index) => (
              <span key={`${index} ${String(value)}`} class="editor-value">
                {String(value)}
                {!disabled && (
                  <Button
                    kind="quiet"
                    small
                    icon="close"
                    aria-label={`Remove ${String(value)}`}
                    onClick={() => onValues(values.filter((_, at) => at !== index))}
                  />
                )}
              </span>
            ))}
            {values.length > VALUES_SHOWN_MAX && (
              <span class="soft">and {values.length - VALUES_SHOWN_MAX} more in the JSON</span>
            )}
            <input
              type="text"
              autocomplete="off"
              {...told}
              class="editor-value-input"
              value={typed}
              list={props.list}
              placeholder={values.length === 0 ? props.placeholder : 'Add one more'}
              disabled={disabled}
              onInput={(event) => {
                const text = event.currentTarget.value;
                if (text.includes(',')) add(text);
                else setTyped(text);
              }}
              onKeyDown={press}
              onBlur={() => add(typed)}
            />
          </div>
        )}
      </Field>
    </Place>
  );
}
