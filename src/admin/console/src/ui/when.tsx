// A moment in two lines, where a column has no room for one: how far it is, and when exactly.
import './when.css';
import { Time } from './time';

interface WhenProps {
  readonly at: string | number;
  readonly zone?: string | undefined;
  readonly seconds?: boolean;
}

export function When({ at, zone, seconds = false }: WhenProps) {
  return (
    <span class="when">
      <Time at={at} zone={zone} form="relative" />
      <span class="when-exact">
        <Time at={at} zone={zone} form="absolute" seconds={seconds} />
      </span>
    </span>
  );
}
