// Says that the node does not answer, for as long as it does not.
import { useEffect, useState } from 'preact/hooks';
import { askAgain, isDown } from '../api/connection';
import { Button } from '../ui/button';
import { Icon } from '../ui/icon';

/** What is only a slow answer is not said. */
const SAID_AFTER_MS = 400;

export function ConnectionBar() {
  const [said, setSaid] = useState(false);
  const down = isDown.value;
  useEffect(() => {
    if (!down) {
      setSaid(false);
      return;
    }
    const timer = setTimeout(() => setSaid(true), SAID_AFTER_MS);
    return () => clearTimeout(timer);
  }, [down]);
  return (
    <div role="status">
      {down && said && (
        <div class="connection-bar">
          <Icon name="warn" />
          <span>
            The node does not answer. What you see is from before; this goes on by itself when it
            is back.
          </span>
          <Button small onClick={() => void askAgain()}>
            Try now
          </Button>
        </div>
      )}
    </div>
  );
}
