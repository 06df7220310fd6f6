// Everything that is wrong, in one place above the form: each line leads to its field.
import { useDocument } from './document';
import { Button } from '../../ui/button';

/** So many lines are shown; the rest is counted. */
const LINES_MAX = 8;

export function Problems({ onGoTo }: { onGoTo: (field: string) => void }) {
  const doc = useDocument();
  const errors = doc.broken.value ? [] : doc.errors.value;
  if (errors.length === 0) return null;
  return (
    <section class="editor-problems" aria-label="What is wrong">
      <p class="field-error">
        {errors.length === 1 ? 'One thing is wrong' : `${errors.length} things are wrong`}: it can
        be saved when it is mended.
      </p>
      <ul>
        {errors.slice(0, LINES_MAX).map(({ field, message }) => (
          <li key={`${field} ${message}`}>
            {field ? (
              <Button kind="quiet" small onClick={() => onGoTo(field)}>
                <code>{field}</code>
              </Button>
            ) : null}
            <span>{message}</span>
          </li>
        ))}
      </ul>
      {errors.length > LINES_MAX && <p class="soft">and {errors.length - LINES_MAX} more.</p>}
    </section>
  );
}
