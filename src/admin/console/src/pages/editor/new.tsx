// A new popup begins with a template that works as it is, or with nothing.
import { LinkButton } from '../../ui/button';
import { PageHead } from '../../ui/page';
import { Link } from 'wouter-preact';
import { TEMPLATES } from './model/templates';

export function NewPopup() {
  return (
    <>
      <PageHead title="New popup" back={{ href: '/popups', label: 'Popups' }}>
        <LinkButton href="/new?begin=empty">Start from scratch</LinkButton>
      </PageHead>
      <p class="soft prose">
        Pick a starting point. It works as it is, and nobody sees it until you publish.
      </p>
      <ul class="templates">
        {TEMPLATES.map(({ name, words, style }) => (
          <li key={name}>
            <Link href={`/new?begin=${style}`} class="template">
              <span class={`template-picture template-${style}`} aria-hidden="true">
                <span class="template-page" />
                <span class="template-popup" />
              </span>
              <span class="template-name">{name}</span>
              <span class="soft">{words}</span>
            </Link>
          </li>
        ))}
      </ul>
    </>
  );
}
