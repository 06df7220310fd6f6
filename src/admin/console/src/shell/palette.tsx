// One field for all that can be gone to or done: pages, popups by the node's own search, users by
// their id, and "pause X".
import { useEffect, useId, useRef, useState } from 'preact/hooks';
import { useLocation } from 'wouter-preact';
import { get } from '../api/client';
import { may } from '../api/session';
import { type PopupStatus, StatusChip } from '../ui/chip';
import { Icon, type IconName } from '../ui/icon';
import { PAGES } from './pages';
import { turnTheme } from './theme';

interface Command {
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

export function Palette({ onClose }: { onClose: () => void }) {
  const [, go] = useLocation();
  const [text, setText] = useState('');
  const [at, setAt] = useState(0);
  const id = useId();
  const place = useRef<HTMLDialogElement>(null);
  const [verb, sought] = verbOf(text);
  const { found, searched } = useFound(sought);
  useEffect(() => {
    const before = document.activeElement;
    place.current?.showModal();
    return () => {
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  const to = (path: string) => () => go(path);
  const commands = [
    ...(verb ? [] : pageCommands(text, to)),
    ...found.flatMap((popup) => popupCommands(popup, verb, to)),
    ...(sought && !verb ? [userCommand(sought, to)] : []),
  ];
  const current = Math.min(at, commands.length - 1);
  const run = (command: Command | undefined) => {
    if (!command) return;
    onClose();
    // The dialog gives the focus back first.
    queueMicrotask(command.call);
  };
  const press = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      setAt((current + step + commands.length) % Math.max(commands.length, 1));
      event.preventDefault();
    }
    if (event.key === 'Enter') {
      run(commands[current]);
      event.preventDefault();
    }
  };
  return (
    <dialog
      ref={place}
      class="palette"
      aria-label="Search or go to"
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      onClick={(event) => event.target === place.current && onClose()}
    >
      <div class="palette-field">
        <Icon name="search" />
        <input
          type="text"
          role="combobox"
          aria-label="A popup, a user, a page, or what to do"
          aria-expanded="true"
          aria-controls={`${id}-list`}
          aria-activedescendant={commands[current] ? `${id}-${current}` : undefined}
          aria-autocomplete="list"
          autocomplete="off"
          spellcheck={false}
          placeholder="A popup, a user, a page, or “pause …”"
          value={text}
          onInput={(event) => {
            setText(event.currentTarget.value);
            setAt(0);
          }}
          onKeyDown={press}
        />
      </div>
      <ul class="palette-list" id={`${id}-list`} role="listbox" aria-label="What was found">
        {commands.map((command, index) => (
          <li
            key={command.id}
            id={`${id}-${index}`}
            role="option"
            aria-selected={index === current}
            class="palette-item"
            ref={(item) => {
              if (index === current) item?.scrollIntoView({ block: 'nearest' });
            }}
            onPointerMove={() => setAt(index)}
            onClick={() => run(command)}
          >
            <Icon name={command.icon} />
            <span class="palette-words">{command.words}</span>
            {command.status && <StatusChip status={command.status} />}
          </li>
        ))}
      </ul>
      {commands.length === 0 && (
        <p class="palette-none">
          {verb && !sought
            ? `Which popup? Type a part of its id or text.`
            : searched
              ? 'Nothing was found.'
              : 'Searching …'}
        </p>
      )}
    </dialog>
  );
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
  return allowed && /\s/.test(text.trimStart()) ? [verb, rest.join(' ').trim()] : [null, text.trim()];
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
