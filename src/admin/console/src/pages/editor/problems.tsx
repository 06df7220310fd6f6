// What is wrong, counted beside the title, so that nothing moves while somebody types: each press
// leads to the next place, in the form or, where it has no field, in the JSON.
import { useRef } from 'preact/hooks';
import { useDocument } from './document';
import { lineOf } from './model/json';
import { Button } from '../../ui/button';

export function Problems({ onGoTo }: { onGoTo: (field: string) => void }) {
  const doc = useDocument();
  const next = useRef(0);
  const broken = doc.broken.value;
  if (broken) {
    const { line } = lineOf(doc.text.value, broken.at);
    return (
      <span class="field-error" role="alert">
        The JSON is incomplete at line {line}: the form is paused
      </span>
    );
  }
  const errors = doc.errors.value;
  if (errors.length === 0) return null;
  const go = () => {
    const error = errors[next.current % errors.length];
    next.current += 1;
    if (error) onGoTo(error.field);
  };
  return (
    <Button kind="danger" small icon="warn" onClick={go}>
      {errors.length === 1 ? '1 problem' : `${errors.length} problems`}
    </Button>
  );
}

/** Brings the focus to a place of the form, or to the nearest one around it; whether there is one. */
export function focusField(field: string): boolean {
  for (let name = field; name; name = name.replace(/[.[]?[^.[]*$/, '')) {
    const place = document.querySelector(`[data-field="${CSS.escape(name)}"]`);
    const closed = place?.closest('details:not([open])');
    if (closed instanceof HTMLDetailsElement) closed.open = true;
    const control = place?.querySelector<HTMLElement>('input, select, textarea, button');
    if (control) {
      control.focus();
      control.scrollIntoView({ block: 'center' });
      return true;
    }
  }
  return false;
}
