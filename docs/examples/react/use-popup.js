// Popups as a hook: the page draws them itself, and the snippet does all else.
import { useEffect, useState } from 'react';

/** The popup that is due at a placement, or null; and what tells how it ended. */
export function usePopup(nudge, placement) {
  const [shown, setShown] = useState(null);
  useEffect(() => {
    const render = (popup, handle) => {
      setShown({ popup, handle });
      return () => setShown(null);
    };
    // In strict mode an effect runs twice; what is asked counts as shown, so it is asked once.
    const timer = setTimeout(() => nudge.ask({ placement, render }));
    return () => {
      clearTimeout(timer);
      nudge.close();
    };
  }, [nudge, placement]);
  const end = (action) => {
    shown?.handle.report(action);
    setShown(null);
  };
  return [shown?.popup ?? null, end];
}
