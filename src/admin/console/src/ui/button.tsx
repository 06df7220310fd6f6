// What is pressed, and links that look like it.
import type { ComponentChildren, ComponentProps } from 'preact';
import { Link } from 'wouter-preact';
import { Icon, type IconName } from './icon';

export type ButtonKind = 'plain' | 'primary' | 'danger' | 'quiet';

interface Look {
  readonly kind?: ButtonKind;
  readonly icon?: IconName;
  readonly small?: boolean;
}

type ButtonProps = Look &
  Omit<ComponentProps<'button'>, 'icon'> & {
    /** Something is under way: it can't be pressed, and keeps its width. */
    readonly busy?: boolean;
    /** Only the sign is shown; needs `aria-label`. */
    readonly children?: ComponentChildren;
  };

export function Button(props: ButtonProps) {
  const { kind = 'plain', icon, small = false, busy = false, children, ...rest } = props;
  return (
    <button
      type="button"
      {...rest}
      class={look(kind, small, !children, rest.class)}
      aria-busy={busy || undefined}
      aria-disabled={busy || undefined}
      onClick={busy ? (event) => event.preventDefault() : rest.onClick}
    >
      {icon && <Icon name={icon} />}
      {children}
    </button>
  );
}

type LinkProps = Look & {
  /** A path of the console, without `/console`. */
  readonly href: string;
  readonly children: ComponentChildren;
};

export function LinkButton({ kind = 'plain', icon, small = false, href, children }: LinkProps) {
  return (
    <Link href={href} class={look(kind, small, false)}>
      {icon && <Icon name={icon} />}
      {children}
    </Link>
  );
}

function look(kind: ButtonKind, small: boolean, bare: boolean, more?: unknown): string {
  const names = ['button', `button-${kind}`];
  if (small) names.push('button-small');
  if (bare) names.push('button-bare');
  if (typeof more === 'string') names.push(more);
  return names.join(' ');
}
