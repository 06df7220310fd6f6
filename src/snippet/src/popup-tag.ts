// The popup as a file that the tag's core loads: joins the one global.

import { show } from './popup.js';

const { nudge } = window as unknown as { nudge?: { show?: typeof show } };
if (nudge) nudge.show = show;
