// Puts content on screen: a modal, a banner, or a corner. In a shadow root, so that page and popup
// keep their styles to themselves. Text is text; links and images are of http(s), links of mailto.

import { CSS } from './styles.js';
import type { Content, Stage } from './types.js';

const STYLES = ['modal', 'banner', 'corner'];
let count = 0;

export function show(content: Content, stage: Stage): (() => void) | null {
  const text = (...names: string[]): string => {
    const found = names.map((name) => content[name]).find((value) => typeof value === 'string');
    return (found as string | undefined)?.trim() || '';
  };
  const title = text('title');
  const body = text('text', 'body');
  const image = url(text('image'), ['http:', 'https:']);
  if (!title && !body && !image) return null;

  const style = STYLES.includes(text('style')) ? text('style') : 'corner';
  const isModal = style === 'modal';
  const host = make('nudge-popup');
  host.dir = text('dir') || getComputedStyle(document.documentElement).direction;
  host.lang = text('lang') || document.documentElement.lang;
  host.dataset.theme = text('theme');
  const root = host.attachShadow({ mode: 'open' });
  dress(root, stage.nonce);

  const before = document.activeElement;
  let isOver = false;
  const takeOff = () => {
    if (isOver) return;
    isOver = true;
    const hadFocus = host.contains(document.activeElement);
    host.remove();
    if (hadFocus && before instanceof HTMLElement) before.focus();
  };
  const end = (action: 'clicked' | 'dismissed', to?: string): boolean => {
    if (isOver) return true;
    const mayGo = stage.done(action, to);
    // A link that is gone before the browser follows it may not be followed.
    setTimeout(takeOff);
    return mayGo;
  };

  const box = make(isModal ? 'dialog' : 'section', 'box ' + style) as HTMLDialogElement;
  if (text('position') === 'top' || text('position') === 'start') box.classList.add('first');
  const names = make('div', 'words');
  const id = `nudge-${++count}`;
  if (title) names.append(make('h2', 'title', title, id));
  if (body) names.append(make('p', 'text', body, id + '-text'));
  box.setAttribute(
    title ? 'aria-labelledby' : 'aria-label',
    title ? id : body || text('image_alt'),
  );
  if (title && body) box.setAttribute('aria-describedby', id + '-text');
  if (image) {
    const picture = make('img', 'image') as HTMLImageElement;
    picture.alt = text('image_alt');
    picture.onerror = () => picture.remove();
    picture.src = image;
    box.append(picture);
  }

  const buttons = make('div', 'buttons');
  const to = url(text('url', 'link'), ['http:', 'https:', 'mailto:']);
  const label = text('button') || (to && (new URL(to).hostname || new URL(to).pathname));
  if (label) {
    const main = make(to ? 'a' : 'button', 'button main', label);
    if (to) {
      const link = main as HTMLAnchorElement;
      link.href = to;
      if (content.new_tab === true) [link.target, link.rel] = ['_blank', 'noopener'];
    }
    main.onclick = (event) => {
      if (!end('clicked', to)) event.preventDefault();
    };
    buttons.append(main);
  }
  const dismiss = () => void end('dismissed');
  if (text('dismiss')) buttons.append(on(make('button', 'button', text('dismiss')), dismiss));
  const close = on(make('button', 'close', '\u00d7'), dismiss);
  close.setAttribute('aria-label', text('close') || stage.closeLabel || 'Close');
  box.append(names, buttons, close);
  root.append(box);

  if (isModal) trap(box, dismiss);
  else {
    box.onkeydown = (event) => {
      if (event.key === 'Escape') dismiss();
    };
  }
  // A bar at the top is reached first, all else after the page.
  if (style === 'banner' && box.classList.contains('first')) document.body.prepend(host);
  else document.body.append(host);
  if (isModal) {
    if (box.showModal) box.showModal();
    else box.setAttribute('open', '');
    // Not on a button: a key that was meant for the page must not press it.
    box.focus();
  } else {
    announce(root, [title, body].filter(Boolean).join('. '));
  }
  return takeOff;
}

function make(name: string, className = '', text = '', id = ''): HTMLElement {
  const element = document.createElement(name);
  if (className) element.className = className;
  if (text) element.textContent = text;
  if (id) element.id = id;
  if (name === 'button') (element as HTMLButtonElement).type = 'button';
  return element;
}

function on(element: HTMLElement, act: () => void): HTMLElement {
  element.onclick = act;
  return element;
}

/** The whole address, where its scheme is one of those; else nothing. */
function url(text: string, schemes: string[]): string {
  try {
    const whole = text && new URL(text, document.baseURI);
    return whole && schemes.includes(whole.protocol) ? whole.href : '';
  } catch {
    return '';
  }
}

/** Styles that a strict policy lets pass; a style element with the page's nonce where it must be. */
function dress(root: ShadowRoot, nonce?: string): void {
  try {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(CSS);
    root.adoptedStyleSheets = [sheet];
  } catch {
    const element = document.createElement('style');
    if (nonce) element.nonce = nonce;
    element.textContent = CSS;
    root.append(element);
  }
}

/** Keeps the focus within, and takes Escape and a click beside it for a dismissal. */
function trap(box: HTMLDialogElement, dismiss: () => void): void {
  box.tabIndex = -1;
  box.setAttribute('aria-modal', 'true');
  box.addEventListener('cancel', (event) => {
    event.preventDefault();
    dismiss();
  });
  // A browser may close it whatever the page says.
  box.addEventListener('close', dismiss);
  box.onclick = (event) => {
    const { left, right, top, bottom } = box.getBoundingClientRect();
    const { clientX: x, clientY: y } = event;
    const isBeside = x < left || x > right || y < top || y > bottom;
    if (event.target === box && isBeside) dismiss();
  };
  box.onkeydown = (event) => {
    if (event.key === 'Escape') dismiss();
    if (event.key !== 'Tab') return;
    const stops = Array.from(box.querySelectorAll<HTMLElement>('a,button'));
    const active = (box.getRootNode() as ShadowRoot).activeElement;
    const place = stops.indexOf(active as HTMLElement);
    const next = place < 0 && event.shiftKey ? -1 : place + (event.shiftKey ? -1 : 1);
    stops[(next + stops.length) % stops.length].focus();
    event.preventDefault();
  };
}

/** Says to screen readers what has come, without taking the focus. */
function announce(root: ShadowRoot, text: string): void {
  const status = make('div', 'unseen');
  status.setAttribute('role', 'status');
  root.append(status);
  // A region that comes with its text is not read.
  setTimeout(() => (status.textContent = text), 100);
}
