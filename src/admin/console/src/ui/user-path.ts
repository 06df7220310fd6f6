// The user that an address names.

const PREFIX = '/console/users/';

/** Decoded once: ids may have slashes and per cent signs in them, which the router leaves encoded. */
export function userOfPath(): string {
  const { pathname } = window.location;
  const segment = pathname.startsWith(PREFIX) ? pathname.slice(PREFIX.length) : '';
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
