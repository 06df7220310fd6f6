// Where one can go, and who is here: at the side where there is room; else at the top, and on a
// phone the pages are at the bottom.
import { Link, useLocation } from 'wouter-preact';
import { session, signOut } from '../api/session';
import { Button } from '../ui/button';
import { Icon, type IconName } from '../ui/icon';
import { toast } from '../ui/toast';
import { words } from '../ui/notice';
import { openLayer } from './frame-keys';
import { PAGES } from './pages';
import { theme, turnTheme } from './theme';

const ICONS: Record<string, IconName> = {
  '/popups': 'popups',
  '/statistics': 'statistics',
  '/users': 'users',
  '/system': 'system',
  '/access': 'access',
};

const THEMES = {
  system: { icon: 'screen', words: 'Theme: as the system' },
  light: { icon: 'sun', words: 'Theme: light' },
  dark: { icon: 'moon', words: 'Theme: dark' },
} as const;

export function Navigation() {
  const [path] = useLocation();
  return (
    <header class="shell">
      <Link href="/popups" class="shell-mark">
        <Mark />
        nudged
      </Link>
      <button
        type="button"
        class="shell-search"
        aria-label="Search or go to"
        onClick={() => openLayer('palette')}
      >
        <Icon name="search" />
        <span class="shell-search-words">Search or go to</span>
        <kbd>/</kbd>
      </button>
      <nav class="shell-pages" aria-label="Pages">
        {PAGES.filter((page) => page.key).map((page) => {
          const href = page.path.split('/:')[0] ?? page.path;
          const isHere = path === href || path.startsWith(`${href}/`);
          const here = isHere || (href === '/popups' && path === '/new');
          return (
            <Link key={href} href={href} aria-current={here ? 'page' : undefined}>
              <Icon name={ICONS[href] ?? 'popups'} />
              {page.title}
            </Link>
          );
        })}
      </nav>
      <Who />
    </header>
  );
}

function Who() {
  const who = session.value;
  if (!who) return null;
  const look = THEMES[theme.value];
  return (
    <div class="shell-foot">
      <p class="shell-node">
        <span class="shell-host" title={who.node}>
          {who.node}
        </span>
        <span class="shell-version">nudged {who.version}</span>
      </p>
      <p class="shell-who">{whoWords()}</p>
      <div class="shell-tools">
        <Button
          kind="quiet"
          small
          icon={look.icon}
          aria-label={look.words}
          title={look.words}
          onClick={turnTheme}
        />
        <Button
          kind="quiet"
          small
          class="shell-keys"
          aria-label="Keys"
          title="Keys"
          onClick={() => openLayer('keys')}
        >
          <kbd>?</kbd>
        </Button>
        {(who.name || who.role || (who.login && who.owner)) && (
          <Button
            kind="quiet"
            small
            icon="out"
            title={`Sign out ${who.name ?? ''}`.trim()}
            onClick={() => void signOut().catch((error) => toast(words(error), 'bad'))}
          >
            <span class="shell-out-words">Sign out</span>
          </Button>
        )}
      </div>
    </div>
  );
}

function whoWords(): string {
  const who = session.value;
  if (!who) return '';
  if (who.name) return `${who.name}, ${who.role ?? 'owner'}`;
  if (who.read_only && !who.owner) return 'Read-only';
  return who.login ? 'Owner, by the file’s token' : 'Owner, on this host';
}

function Mark() {
  return (
    <svg viewBox="0 0 32 32" width="24" height="24" aria-hidden="true">
      <rect width="32" height="32" rx="8" class="mark-ground" />
      <rect x="7" y="9" width="18" height="12" rx="3" class="mark-box" />
      <path d="M12 20v5l5-5z" class="mark-box" />
    </svg>
  );
}
