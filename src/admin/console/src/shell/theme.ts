// Light, dark, or as the system has it.
import { effect, signal } from '@preact/signals';

export type Theme = 'system' | 'light' | 'dark';

const KEPT = 'nudged-theme';

export const theme = signal<Theme>(kept());

/** The next of the three. */
export function turnTheme(): void {
  theme.value = ({ system: 'light', light: 'dark', dark: 'system' } as const)[theme.value];
}

effect(() => {
  const root = document.documentElement;
  if (theme.value === 'system') delete root.dataset['theme'];
  else root.dataset['theme'] = theme.value;
  try {
    localStorage.setItem(KEPT, theme.value);
  } catch {
    // Storage may be forbidden; the theme lasts as long as the page then.
  }
});

// Charts draw their colours once; they draw again where the system changes its mind.
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  const now = theme.value;
  if (now !== 'system') return;
  theme.value = 'light';
  theme.value = 'system';
});

function kept(): Theme {
  try {
    const found = localStorage.getItem(KEPT);
    return found === 'light' || found === 'dark' ? found : 'system';
  } catch {
    return 'system';
  }
}
