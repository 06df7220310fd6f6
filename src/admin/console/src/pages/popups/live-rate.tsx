// How often popups are shown at this moment. Only these texts change each second, and no list.
import { live, liveTrouble } from '../../api/live';
import { perSecond } from '../../ui/format';

export function LiveRate({ id }: { id: string }) {
  return <>{perSecond(rateOf(id))}</>;
}

/** Shows a second; null where it is not known. */
export function rateOf(id: string): number | null {
  const now = live.value;
  if (!now) return null;
  const rate = now.popups[id]?.shows_per_s;
  if (rate !== undefined) return rate;
  // Those that are left out are not nothing.
  return now.popups_left_out > 0 ? null : 0;
}

/** Of when the live figures are. */
export function LiveTime() {
  return <>{liveTrouble.value ? `not known: ${liveTrouble.value}` : 'on this node'}</>;
}

/** Below a list: why its live figures are not there. */
export function LiveNote() {
  if (!liveTrouble.value) return null;
  return <p class="soft small">No live figures: {liveTrouble.value}.</p>;
}
