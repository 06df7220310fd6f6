// Signs of 16 by 16, drawn by one pen. They stand beside words, and say nothing by themselves.

const PATHS = {
  popups: 'M2.5 4A1.5 1.5 0 0 1 4 2.5h8A1.5 1.5 0 0 1 13.5 4v5A1.5 1.5 0 0 1 12 10.5H8L5 13.5v-3H4A1.5 1.5 0 0 1 2.5 9z',
  statistics: 'M2.5 13.5h11M4.5 11V8M8 11V3.5M11.5 11V6',
  users: 'M8 7.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5ZM3 13.5c.4-2.6 2.4-4 5-4s4.6 1.4 5 4',
  system: 'M3 3.5h10v3.5H3zM3 9h10v3.5H3zM5.5 5.25h.01M5.5 10.75h.01',
  access: 'M6 9.5a3 3 0 1 1 2.3-1.1L13.5 13.5M10.5 10.5l1.5-1.5',
  search: 'M7 11.5a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9ZM10.3 10.3l3.2 3.2',
  plus: 'M8 3v10M3 8h10',
  pause: 'M5.5 3.5v9M10.5 3.5v9',
  play: 'M5 3.5v9l7-4.5z',
  archive: 'M2.5 3h11v3h-11zM3.5 6v7h9V6M6.5 8.5h3',
  close: 'M4 4l8 8M12 4l-8 8',
  check: 'M3 8.5l3.5 3.5L13 4.5',
  warn: 'M8 2.5l6 11H2zM8 6.5v3.5M8 11.8h.01',
  info: 'M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12ZM8 7.5V11M8 5.2h.01',
  up: 'M4 9.5l4-4 4 4',
  down: 'M4 6.5l4 4 4-4',
  left: 'M9.5 4l-4 4 4 4',
  right: 'M6.5 4l4 4-4 4',
  sun: 'M8 10.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5ZM8 1.5v1.5M8 13v1.5M1.5 8H3M13 8h1.5M3.4 3.4l1 1M11.6 11.6l1 1M3.4 12.6l1-1M11.6 4.4l1-1',
  moon: 'M13 9.5A5.5 5.5 0 0 1 6.5 3 5.5 5.5 0 1 0 13 9.5Z',
  screen: 'M2.5 3h11v7.5h-11zM6 13.5h4M8 10.5v3',
  out: 'M6.5 2.5h-3v11h3M7 8h6.5M11 5.5L13.5 8 11 10.5',
  edit: 'M3 13l.7-3L10.5 3.2l2.3 2.3L6 12.3zM9 4.7L11.3 7',
  download: 'M8 2.5v7.5M5 7l3 3 3-3M3 13h10',
  copy: 'M5.5 5.5h7.5V13H5.5zM10.5 5.5V3H3v7.5h2.5',
  more: 'M4 8h.01M8 8h.01M12 8h.01',
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}
