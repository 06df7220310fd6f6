// What is typed or chosen, with its label, its hint, and what is wrong with it beside it.
import type { ComponentChildren, ComponentProps } from 'preact';
import { useId } from 'preact/hooks';

/** What the control in a field must carry, for those who hear it. */
export interface Described {
  readonly id: string;
  readonly 'aria-describedby': string | undefined;
  readonly 'aria-invalid': true | undefined;
}

export interface FieldProps {
  readonly label: string;
  readonly hint?: ComponentChildren;
  readonly error?: ComponentChildren;
  /** The label is heard, and not seen: where what is beside it says it. */
  readonly bare?: boolean;
  readonly class?: string;
}

/** A control of any kind; it is given the ids by which label, hint and error belong to it. */
export function Field(props: FieldProps & { children: (told: Described) => ComponentChildren }) {
  const { label, hint, error, bare = false, children } = props;
  const id = useId();
  const about = [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(' ');
  return (
    <div class={['field', props.class].filter(Boolean).join(' ')}>
      <label for={id} class={bare ? 'hidden' : 'field-label'}>
        {label}
      </label>
      {children({
        id,
        'aria-describedby': about || undefined,
        'aria-invalid': error ? true : undefined,
      })}
      {hint && (
        <p class="field-hint" id={`${id}-hint`}>
          {hint}
        </p>
      )}
      {error && (
        <p class="field-error" id={`${id}-error`} role="alert">
          {error}
        </p>
      )}
    </div>
  );
}

type TextProps = FieldProps &
  Omit<ComponentProps<'input'>, 'label' | 'onInput' | 'class'> & {
    readonly value: string;
    readonly onText: (text: string) => void;
  };

export function TextField(props: TextProps) {
  const { label, hint, error, bare, class: name, onText, ...rest } = props;
  return (
    <Field {...{ label, hint, error, bare, class: name }}>
      {(told) => (
        <input
          type="text"
          autocomplete="off"
          {...rest}
          {...told}
          class="control"
          onInput={(event) => onText(event.currentTarget.value)}
        />
      )}
    </Field>
  );
}

type AreaProps = FieldProps &
  Omit<ComponentProps<'textarea'>, 'label' | 'onInput' | 'class'> & {
    readonly value: string;
    readonly onText: (text: string) => void;
  };

export function AreaField(props: AreaProps) {
  const { label, hint, error, bare, class: name, onText, ...rest } = props;
  return (
    <Field {...{ label, hint, error, bare, class: name }}>
      {(told) => (
        <textarea
          rows={4}
          {...rest}
          {...told}
          class="control control-area"
          onInput={(event) => onText(event.currentTarget.value)}
        />
      )}
    </Field>
  );
}

export interface Choice {
  readonly value: string;
  readonly label: string;
  readonly disabled?: boolean;
}

type SelectProps = FieldProps & {
  readonly value: string;
  readonly choices: readonly Choice[];
  readonly onPick: (value: string) => void;
  readonly disabled?: boolean;
};

export function Select(props: SelectProps) {
  const { label, hint, error, bare, value, choices, onPick, disabled } = props;
  return (
    <Field {...{ label, hint, error, bare, class: props.class }}>
      {(told) => (
        <select
          {...told}
          class="control"
          value={value}
          disabled={disabled}
          onChange={(event) => onPick(event.currentTarget.value)}
        >
          {choices.map((choice) => (
            <option key={choice.value} value={choice.value} disabled={choice.disabled}>
              {choice.label}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

type CheckProps = Omit<FieldProps, 'bare' | 'class'> & {
  readonly checked: boolean;
  readonly onCheck: (checked: boolean) => void;
  readonly disabled?: boolean;
};

export function Checkbox({ label, hint, error, checked, onCheck, disabled }: CheckProps) {
  const id = useId();
  return (
    <div class="field">
      <label class="check">
        <input
          type="checkbox"
          checked={checked}
          disabled={disabled}
          aria-describedby={hint ? `${id}-hint` : undefined}
          aria-invalid={error ? true : undefined}
          onChange={(event) => onCheck(event.currentTarget.checked)}
        />
        {label}
      </label>
      {hint && (
        <p class="field-hint" id={`${id}-hint`}>
          {hint}
        </p>
      )}
      {error && (
        <p class="field-error" role="alert">
          {error}
        </p>
      )}
    </div>
  );
}

type SegmentsProps = {
  readonly label: string;
  readonly value: string;
  readonly choices: readonly Choice[];
  readonly onPick: (value: string) => void;
};

/** One of a few, all of them seen: radio buttons in a row. */
export function Segments({ label, value, choices, onPick }: SegmentsProps) {
  const name = useId();
  return (
    <fieldset class="segments">
      <legend class="hidden">{label}</legend>
      {choices.map((choice) => (
        <label key={choice.value} class="segment">
          <input
            type="radio"
            name={name}
            value={choice.value}
            checked={choice.value === value}
            disabled={choice.disabled}
            onChange={() => onPick(choice.value)}
          />
          <span>{choice.label}</span>
        </label>
      ))}
    </fieldset>
  );
}
