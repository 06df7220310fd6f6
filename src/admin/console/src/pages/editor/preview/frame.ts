// Renders a popup as the snippet does, by the snippet's own code; its content comes by a message of
// the editor. Links are not followed, and nothing is sent anywhere.
import './frame.css';
import { show } from 'nudged-snippet/popup';
import type { Draw, Told } from './message';

let takeOff: (() => void) | null = null;
let last: Draw | null = null;

function tell(told: Told): void {
  if (window.parent !== window) window.parent.postMessage(told, location.origin);
}

function draw(message: Draw): void {
  last = message;
  takeOff?.();
  document.documentElement.dataset['scheme'] = message.scheme;
  // Of a popup without a theme of its own the visitor's system decides: here, the one chosen.
  const content = { theme: message.scheme, ...message.content };
  if (!content.theme) content.theme = message.scheme;
  const done = (action: string, url?: string) => {
    tell({ kind: 'done', action, url: url || null });
    // It comes back, to be looked at again.
    setTimeout(() => last && draw(last), 600);
    return false;
  };
  takeOff = withoutFocus(() => show(content, { done }));
  tell({ kind: 'drawn', shown: takeOff !== null });
}

/** A modal takes the focus; here it stays with whoever types in the form. */
function withoutFocus<T>(act: () => T): T {
  if (document.hasFocus()) return act();
  const { focus } = HTMLElement.prototype;
  const { showModal } = HTMLDialogElement.prototype;
  HTMLElement.prototype.focus = () => {};
  HTMLDialogElement.prototype.showModal = function () {
    this.inert = true;
    showModal.call(this);
    this.inert = false;
  };
  try {
    return act();
  } finally {
    HTMLElement.prototype.focus = focus;
    HTMLDialogElement.prototype.showModal = showModal;
  }
}

function isDraw(data: unknown): data is Draw {
  const { kind, content } = (data ?? {}) as Partial<Draw>;
  return kind === 'draw' && typeof content === 'object' && content !== null;
}

/** A page to see the popup on: shapes where words would be. */
function drawPage(): void {
  const main = document.createElement('main');
  main.setAttribute('aria-label', 'Beneath the popup');
  for (const name of ['head', 'line', 'line', 'line short', 'box', 'line', 'line short']) {
    const shape = document.createElement('div');
    shape.className = `shape ${name}`;
    main.append(shape);
  }
  const title = document.createElement('h1');
  title.className = 'unseen';
  title.textContent = 'A page';
  main.prepend(title);
  document.body.append(main);
}

drawPage();
window.addEventListener('message', (event) => {
  const isEditor = event.origin === location.origin && event.source === window.parent;
  if (isEditor && isDraw(event.data)) draw(event.data);
});
tell({ kind: 'ready' });
