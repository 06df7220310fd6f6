// A figure with its unit and its time.
import type { ComponentChildren } from 'preact';

interface FigureProps {
  readonly label: string;
  /** As `ui/format` writes it. */
  readonly value: ComponentChildren;
  readonly unit?: string;
  /** Of when it is: `now`, `last 24 h`. */
  readonly asOf: ComponentChildren;
  readonly hint?: ComponentChildren;
}

export function Figure({ label, value, unit, asOf, hint }: FigureProps) {
  return (
    <div class="figure">
      <dt>{label}</dt>
      <dd>
        <span class="figure-value">
          {value}
          {unit && <span class="figure-unit"> {unit}</span>}
        </span>
        <span class="figure-time">{asOf}</span>
        {hint && <span class="figure-hint">{hint}</span>}
      </dd>
    </div>
  );
}

/** Figures side by side, as many as there is room for. */
export function Figures({ children }: { children: ComponentChildren }) {
  return <dl class="figures">{children}</dl>;
}

/** Names with what they are, below each other. */
export function Facts({ facts }: { facts: readonly (readonly [string, ComponentChildren])[] }) {
  return (
    <dl class="facts">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
