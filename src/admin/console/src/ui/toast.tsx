// What has happened, said once. What went wrong stays until it is read; the rest goes by itself.
import { signal } from '@preact/signals';
import { Button } from './button';
import { Icon } from './icon';

interface Toast {
  readonly number: number;
  readonly words: string;
  readonly bad: boolean;
}

const STAYS_MS = 6_000;
/** The oldest goes when one more comes. */
const TOASTS_MAX = 4;

const toasts = signal<readonly Toast[]>([]);
let last = 0;

export function toast(words: string, tone: 'good' | 'bad' = 'good'): void {
  const number = ++last;
  const bad = tone === 'bad';
  toasts.value = [...toasts.value, { number, words, bad }].slice(-TOASTS_MAX);
  if (!bad) setTimeout(() => close(number), STAYS_MS);
}

function close(number: number): void {
  toasts.value = toasts.value.filter((one) => one.number !== number);
}

export function Toasts() {
  return (
    <div class="toasts" role="status">
      {toasts.value.map(({ number, words, bad }) => (
        <div key={number} class={bad ? 'toast toast-bad' : 'toast'}>
          <Icon name={bad ? 'warn' : 'check'} />
          <span>{words}</span>
          <Button
            kind="quiet"
            small
            icon="close"
            aria-label="Dismiss"
            onClick={() => close(number)}
          />
        </div>
      ))}
    </div>
  );
}
