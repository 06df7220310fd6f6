// How a page begins, and its parts.
import type { ComponentChildren } from 'preact';
import { Link } from 'wouter-preact';
import { Icon } from './icon';

interface HeadProps {
  readonly title: ComponentChildren;
  /** What stands beside the title, such as a state. */
  readonly beside?: ComponentChildren;
  /** Where this page is one of many. */
  readonly back?: { readonly href: string; readonly label: string };
  readonly children?: ComponentChildren;
}

/** The title of a page, with what can be done on it as children. */
export function PageHead({ title, beside, back, children }: HeadProps) {
  return (
    <header class="page-head">
      {back && (
        <Link href={back.href} class="page-back">
          <Icon name="left" />
          {back.label}
        </Link>
      )}
      <div class="page-title">
        <h1>{title}</h1>
        {beside}
      </div>
      {children && <div class="page-actions">{children}</div>}
    </header>
  );
}

interface SectionProps {
  readonly title: string;
  readonly beside?: ComponentChildren;
  readonly children: ComponentChildren;
  /** On a surface of its own. */
  readonly card?: boolean;
}

export function Section({ title, beside, children, card = false }: SectionProps) {
  return (
    <section class={card ? 'section section-card' : 'section'}>
      <div class="section-head">
        <h2>{title}</h2>
        {beside}
      </div>
      {children}
    </section>
  );
}
