// A sentence with moments in it, as the node has them, told as people read them.
import { Time } from './time';

const MOMENT = /(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d))/;

export function Moments({ words, zone }: { words: string; zone?: string | undefined }) {
  return (
    <>
      {words
        .split(MOMENT)
        .map((part, index) =>
          index % 2 === 1 ? <Time key={index} at={part} zone={zone} form="absolute" /> : part,
        )}
    </>
  );
}
