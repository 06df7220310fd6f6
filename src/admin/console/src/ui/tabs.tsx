// Parts of a page, one of them shown. `LinkTabs` where each has a path; `Tabs` where it has none.
import type { ComponentChildren } from 'preact';
import { Link } from 'wouter-preact';

interface Tab {
  readonly id: string;
  readonly label: ComponentChildren;
}

interface TabsProps {
  readonly label: string;
  readonly tabs: readonly Tab[];
  readonly current: string;
  readonly onPick: (id: string) => void;
}

/** The panel has `id={`${id}-panel`}`, `role="tabpanel"` and `aria-labelledby={`${id}-tab`}`. */
export function Tabs({ label, tabs, current, onPick }: TabsProps) {
  const move = (event: KeyboardEvent) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const at = tabs.findIndex((tab) => tab.id === current);
    const next = tabs[(at + step + tabs.length) % tabs.length];
    if (!next) return;
    event.preventDefault();
    onPick(next.id);
    document.getElementById(`${next.id}-tab`)?.focus();
  };
  return (
    <div class="tabs" role="tablist" aria-label={label} onKeyDown={move}>
      {tabs.map((tab) => (
        <button
          key={tab.id}
          type="button"
          role="tab"
          class="tab"
          id={`${tab.id}-tab`}
          aria-selected={tab.id === current}
          aria-controls={tab.id === current ? `${tab.id}-panel` : undefined}
          tabIndex={tab.id === current ? 0 : -1}
          onClick={() => onPick(tab.id)}
        >
          {tab.label}
        </button>
      ))}
    </div>
  );
}

interface LinkTab {
  readonly href: string;
  readonly label: ComponentChildren;
}

interface LinkTabsProps {
  readonly label: string;
  readonly tabs: readonly LinkTab[];
  readonly current: string;
}

export function LinkTabs({ label, tabs, current }: LinkTabsProps) {
  return (
    <nav class="tabs" aria-label={label}>
      {tabs.map((tab) => (
        <Link
          key={tab.href}
          href={tab.href}
          class="tab"
          aria-current={tab.href === current ? 'page' : undefined}
        >
          {tab.label}
        </Link>
      ))}
    </nav>
  );
}
