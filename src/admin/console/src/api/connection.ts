// Whether the node answers. While it does not, it is asked again by itself, ever less often; once
// it does, what is shown is loaded anew.
import { signal } from '@preact/signals';

export const isDown = signal(false);

/** Grows each time the node has come back: who has loaded something loads it again. */
export const returns = signal(0);

const FIRST_MS = 500;
const LAST_MS = 5_000;

let wait = FIRST_MS;
let timer: ReturnType<typeof setTimeout> | undefined;

export function tellAnswered(): void {
  if (!isDown.value) return;
  clearTimeout(timer);
  wait = FIRST_MS;
  isDown.value = false;
  returns.value += 1;
}

export function tellUnreachable(): void {
  if (isDown.value) return;
  isDown.value = true;
  askLater();
}

function askLater(): void {
  clearTimeout(timer);
  timer = setTimeout(() => void askAgain(), wait);
  wait = Math.min(wait * 2, LAST_MS);
}

/** Asks now whether the node answers. */
export async function askAgain(): Promise<void> {
  try {
    const response = await fetch('/v1/session', { credentials: 'same-origin', cache: 'no-store' });
    if (isAway(response.status)) throw new Error('away');
    tellAnswered();
  } catch {
    if (isDown.value) askLater();
    else tellUnreachable();
  }
}

/** Whether it is a proxy that answers in the node's place. */
export function isAway(status: number): boolean {
  return status === 502 || status === 504;
}
