// What must be known of what is shown; what is there when there is nothing; room for what comes.
import type { ComponentChildren } from 'preact';
import { Refusal } from '../api/client';
import { Icon } from './icon';

interface NoticeProps {
  readonly tone?: 'plain' | 'warn' | 'bad' | 'good';
  readonly title?: string;
  readonly children?: ComponentChildren;
  readonly actions?: ComponentChildren;
}

export function Notice({ tone = 'plain', title, children, actions }: NoticeProps) {
  return (
    <div class={`notice notice-${tone}`} role={tone === 'bad' ? 'alert' : undefined}>
      <Icon name={tone === 'good' ? 'check' : tone === 'plain' ? 'info' : 'warn'} />
      <div class="notice-text">
        {title && <p class="notice-title">{title}</p>}
        {children}
      </div>
      {actions && <div class="notice-actions">{actions}</div>}
    </div>
  );
}

/** Why something could not be loaded or done, each line that the node said. */
export function Failure({ error, what }: { error: unknown; what?: string }) {
  const lines = error instanceof Refusal && error.lines.length > 0 ? error.lines : [words(error)];
  return (
    <Notice tone="bad" title={what}>
      {lines.map((line) => (
        <p key={line}>{line}</p>
      ))}
    </Notice>
  );
}

/** An error in words. */
export function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

interface EmptyProps {
  readonly title: string;
  /** What to do first. */
  readonly children?: ComponentChildren;
  readonly actions?: ComponentChildren;
}

export function Empty({ title, children, actions }: EmptyProps) {
  return (
    <div class="empty">
      <h2>{title}</h2>
      {children && <div class="empty-text">{children}</div>}
      {actions && <div class="empty-actions">{actions}</div>}
    </div>
  );
}

/** Room for lines that are still to come, so that nothing moves when they do. */
export function Skeleton({ lines = 3, height }: { lines?: number; height?: string }) {
  if (height) return <div class="skeleton" style={{ height }} aria-hidden="true" />;
  return (
    <div class="skeleton-lines" aria-hidden="true">
      {Array.from({ length: lines }, (_, index) => (
        <div key={index} class="skeleton" />
      ))}
    </div>
  );
}
