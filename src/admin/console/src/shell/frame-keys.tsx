// Keys that are in force on each page, and what they open: the palette and the list of keys.
import { signal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { useLocation } from 'wouter-preact';
import { may } from '../api/session';
import { Dialog } from '../ui/dialog';
import { type Keys, keysInForce, useKeys } from '../ui/keys';
import { Palette } from './palette';
import { PAGES } from './pages';
import { turnTheme } from './theme';

type Layer = 'palette' | 'keys';

const layer = signal<Layer | null>(null);

export function openLayer(which: Layer): void {
  layer.value = which;
}

export function FrameKeys() {
  const [, go] = useLocation();
  const pages: Keys = Object.fromEntries(
    PAGES.filter((page) => page.key).map((page) => {
      const href = page.path.split('/:')[0] ?? page.path;
      return [`g ${page.key}`, { words: page.title, call: () => go(href) }];
    }),
  );
  useKeys({
    '/': { words: 'Search or go to', call: () => openLayer('palette') },
    '?': { words: 'Keys', call: () => openLayer('keys') },
    ...pages,
    ...(may('edit') && { n: { words: 'New popup', call: () => go('/new') } }),
    t: { words: 'Theme: light, dark, as the system', call: turnTheme },
  });
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (event.key.toLowerCase() !== 'k' || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      if (!document.querySelector('dialog[open]')) openLayer('palette');
    };
    document.addEventListener('keydown', press);
    return () => document.removeEventListener('keydown', press);
  }, []);
  const close = () => {
    layer.value = null;
  };
  if (layer.value === 'palette') return <Palette onClose={close} />;
  if (layer.value === 'keys') return <KeyList onClose={close} />;
  return null;
}

function KeyList({ onClose }: { onClose: () => void }) {
  const [frame, ...rest] = keysInForce.value;
  return (
    <Dialog title="Keys" onClose={onClose}>
      {rest.some((keys) => Object.keys(keys).length > 0) && (
        <>
          <h3>On this page</h3>
          {rest.map((keys, index) => (
            <Group key={index} keys={keys} />
          ))}
        </>
      )}
      <h3>Everywhere</h3>
      <Group keys={{ 'Ctrl K': { words: 'Search or go to', call: () => {} }, ...frame }} />
    </Dialog>
  );
}

function Group({ keys }: { keys: Keys }) {
  return (
    <dl class="key-list">
      {Object.entries(keys).map(([name, { words }]) => (
        <div key={name}>
          <dt>
            {name.split(' ').map((key) => (
              <kbd key={key}>{key}</kbd>
            ))}
          </dt>
          <dd>{words}</dd>
        </div>
      ))}
    </dl>
  );
}
