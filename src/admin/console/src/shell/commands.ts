// What the palette offers for a text: pages, popups by the node's own search, users by their id,
// and what can be done to a popup.
import { useEffect, useState } from 'preact/hooks';
import { useLocation } from 'wouter-preact';
import { get } from '../api/client';
import { may } from '../api/session';
import type { PopupStatus } from '../ui/chip';
import type { IconName } from '../ui/icon';
import { PAGES } from './pages';
import { turnTheme } from './theme';

export interface Command {
  readonly id: string;
  readonly words: string;
  readonly icon: IconName;
  readonly status?: PopupStatus;
  readonly call: () => void;
}

interface Found {
  readonly id: string;
  readonly effective_status: PopupStatus;
}

const FOUND_MAX = 8;
const TYPED_MS = 120;
const VERBS = ['pause', 'resume', 'archive', 'edit'] as const;

export interface Offered {
  readonly commands: readonly Command[];
  /** Why there are none. */
  readonly none: string;
}

export function useCommands(text: string): Offered {
  const [, go] = useLocation();
  const [verb, sought] = verbOf(text);
  const { found, searched } = useFound(sought);
  const to = (path: string) => () => go(path);
  const commands = [
    ...(verb ? [] : pageCommands(text, to)),
    ...found.flatMap((popup) => popupCommands(popup, verb, to)),
    // No address can have a segment of dots alone.
    ...(sought && !verb && !/^\.\.?$/.test(sought) ? [userCommand(sought, to)] : []),
  ];
  if (verb && !sought) return { commands, none: 'Which popup? Type a part of its name or text.' };
  return { commands, none: searched ? 'Nothing was found.' : 'Searching …' };
}

type To = (path: string) => () => void;

function pageCommands(text: string, to: To): Command[] {
  const pages: Command[] = PAGES.filter((page) => page.key).map((page) => ({
    id: page.path,
    words: page.title,
    icon: 'right',
    call: to(page.path.split('/:')[0] ?? page.path),
  }));
  if (may('edit')) {
    pages.unshift({ id: 'new', words: 'New popup', icon: 'plus', call: to('/new') });
  }
  pages.push({ id: 'theme', words: 'Change the theme', icon: 'sun', call: turnTheme });
  const sought = text.trim().toLowerCase();
  return pages.filter((page) => page.words.toLowerCase().includes(sought));
}

function popupCommands(popup: Found, verb: string | null, to: To): Command[] {
  const { id, effective_status: status } = popup;
  const path = `/popups/${id}`;
  if (verb === 'edit') {
    return [{ id: `edit ${id}`, words: `Edit ${id}`, icon: 'edit', call: to(`${path}/edit`) }];
  }
  if (verb) {
    const icon = ({ pause: 'pause', resume: 'play', archive: 'archive' } as const)[verb] ?? 'right';
    const words = `${verb[0]?.toUpperCase()}${verb.slice(1)} ${id}`;
    return [{ id: `${verb} ${id}`, words, icon, status, call: to(`${path}?do=${verb}`) }];
  }
  return [{ id: `popup ${id}`, words: id, icon: 'popups', status, call: to(path) }];
}

function userCommand(user: string, to: To): Command {
  return {
    id: 'user',
    words: `User ${user}: state, and why they see what they see`,
    icon: 'users',
    call: to(`/users/${encodeURIComponent(user)}`),
  };
}

/** What is to be done, and with which. */
function verbOf(text: string): [string | null, string] {
  const [first = '', ...rest] = text.trimStart().split(/\s+/);
  const verb = VERBS.find((known) => known === first.toLowerCase());
  const allowed = verb && (verb === 'edit' || may('switch'));
  const isWhole = /\s/.test(text.trimStart());
  return allowed && isWhole ? [verb, rest.join(' ').trim()] : [null, text.trim()];
}

function useFound(sought: string): { found: readonly Found[]; searched: boolean } {
  const [state, setState] = useState<{ for: string; found: readonly Found[] }>({
    for: '',
    found: [],
  });
  useEffect(() => {
    if (!sought) {
      setState({ for: '', found: [] });
      return;
    }
    const abort = new AbortController();
    const timer = setTimeout(() => {
      const query = { q: sought, limit: FOUND_MAX };
      get<{ popups: Found[] }>('/v1/popups', query, abort.signal).then(
        ({ popups }) => setState({ for: sought, found: popups }),
        () => {},
      );
    }, TYPED_MS);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [sought]);
  return { found: state.found, searched: state.for === sought };
}
