// One field for all that can be gone to or done: pages, popups by the node's own search, users by
// their id, and "pause X".
import { useEffect, useId, useRef, useState } from 'preact/hooks';
import { StatusChip } from '../ui/chip';
import { giveFocusBack } from '../ui/focus';
import { Icon } from '../ui/icon';
import { type Command, useCommands } from './commands';

export function Palette({ onClose }: { onClose: () => void }) {
  const [text, setText] = useState('');
  const [at, setAt] = useState(0);
  const id = useId();
  const place = useRef<HTMLDialogElement>(null);
  const { commands, none } = useCommands(text);
  useEffect(() => {
    const before = document.activeElement;
    place.current?.showModal();
    return () => giveFocusBack(before);
  }, []);
  const current = Math.min(at, commands.length - 1);
  const run = (command: Command | undefined) => {
    if (!command) return;
    onClose();
    // The dialog gives the focus back first.
    queueMicrotask(command.call);
  };
  const press = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      setAt((current + step + commands.length) % Math.max(commands.length, 1));
      event.preventDefault();
    }
    if (event.key === 'Enter') {
      run(commands[current]);
      event.preventDefault();
    }
  };
  return (
    <dialog
      ref={place}
      class="palette"
      aria-label="Search or go to"
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      onClick={(event) => event.target === place.current && onClose()}
    >
      <div class="palette-field">
        <Icon name="search" />
        <input
          type="text"
          role="combobox"
          aria-label="A popup, a user, a page, or what to do"
          aria-expanded="true"
          aria-controls={`${id}-list`}
          aria-activedescendant={commands[current] ? `${id}-${current}` : undefined}
          aria-autocomplete="list"
          autocomplete="off"
          spellcheck={false}
          placeholder="A popup, a user, a page, or “pause …”"
          value={text}
          onInput={(event) => {
            setText(event.currentTarget.value);
            setAt(0);
          }}
          onKeyDown={press}
        />
      </div>
      <Options {...{ id, commands, current, none, run, setAt }} />
    </dialog>
  );
}

interface OptionsProps {
  readonly id: string;
  readonly commands: readonly Command[];
  readonly current: number;
  readonly none: string;
  readonly run: (command: Command) => void;
  readonly setAt: (index: number) => void;
}

function Options({ id, commands, current, none, run, setAt }: OptionsProps) {
  return (
    <>
        <ul class="palette-list" id={`${id}-list`} role="listbox" aria-label="What was found">
          {commands.map((command, index) => (
            <li
              key={command.id}
              id={`${id}-${index}`}
              role="option"
              aria-selected={index === current}
              class="palette-item"
              ref={(item) => {
                if (index === current) item?.scrollIntoView({ block: 'nearest' });
              }}
              onPointerMove={() => setAt(index)}
              onClick={() => run(command)}
            >
              <Icon name={command.icon} />
              <span class="palette-words">{command.words}</span>
              {command.status && <StatusChip status={command.status} />}
            </li>
          ))}
        </ul>
        {commands.length === 0 && <p class="palette-none">{none}</p>}
    </>
  );
}
