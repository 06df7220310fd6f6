// Copies a text, and says so where it is pressed.
import { useEffect, useState } from 'preact/hooks';
import { Button } from './button';

const SAID_MS = 2_000;

export function Copy({ text, label }: { text: string; label: string }) {
  const [told, setTold] = useState('');
  useEffect(() => {
    if (!told) return;
    const timer = setTimeout(() => setTold(''), SAID_MS);
    return () => clearTimeout(timer);
  }, [told]);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setTold('Copied');
    } catch {
      // Without TLS, on another host than this, a browser has no clipboard.
      setTold('Select it and copy');
    }
  };
  return (
    <span class="copy">
      <Button
        small
        icon={told === 'Copied' ? 'check' : 'copy'}
        aria-label={label}
        onClick={() => void copy()}
      >
        {told || 'Copy'}
      </Button>
      <span class="hidden" role="status">
        {told}
      </span>
    </span>
  );
}
