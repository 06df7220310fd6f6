// Says why live figures do not come, where the node answers all else. A browser keeps to itself why
// a stream was refused, so the node is asked once more, for the answer's head alone.
import { useEffect, useState } from 'preact/hooks';
import { isDown } from '../../api/connection';
import { live } from '../../api/live';
import { Notice } from '../../ui/notice';

/** A stream that is away for less is only opened again. */
const SAID_AFTER_MS = 3_000;

const WORDS: Readonly<Record<number, string>> = {
  404: 'Its version is older than the console.',
  503: 'It sends them to so many listeners at most, and has as many: other tabs, or other people.',
};

export function LiveAway() {
  const [why, setWhy] = useState('');
  const isAway = live.value === null && !isDown.value;
  useEffect(() => {
    setWhy('');
    if (!isAway) return;
    const abort = new AbortController();
    const timer = setTimeout(() => {
      fetch('/v1/live', { signal: abort.signal, credentials: 'same-origin' }).then(
        ({ status }) => {
          setWhy(WORDS[status] ?? '');
          abort.abort();
        },
        () => {},
      );
    }, SAID_AFTER_MS);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [isAway]);
  if (!why) return null;
  return (
    <Notice tone="warn" title="This node sends no live figures here">
      <p>{why} What you see is renewed every few seconds, and rates are missing.</p>
    </Notice>
  );
}
