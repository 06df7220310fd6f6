// Statistics of all popups, or of the one that is chosen.
import { useState } from 'preact/hooks';
import { useSearchParams } from 'wouter-preact';
import { get } from '../../api/client';
import { useLoad } from '../../api/load';
import type { PopupPage } from '../../api/popups';
import { Button } from '../../ui/button';
import { TextField } from '../../ui/field';
import { PageHead } from '../../ui/page';
import { Report } from './report';

const OFFERED_MAX = 20;

export default function Statistics() {
  const [params, setParams] = useSearchParams();
  const popup = params.get('popup') ?? '';
  const pick = (id: string) => {
    setParams((before) => {
      const next = new URLSearchParams(before);
      if (id) next.set('popup', id);
      else next.delete('popup');
      return next;
    });
  };
  return (
    <>
      <PageHead title="Statistics" />
      <Report
        key={popup}
        popup={popup || null}
        before={<Picker popup={popup} pick={pick} />}
      />
    </>
  );
}

function Picker({ popup, pick }: { popup: string; pick: (id: string) => void }) {
  const [text, setText] = useState(popup);
  const { value } = useLoad(`offered ${text}`, (signal) =>
    get<PopupPage>('/v1/popups', { q: text.trim(), limit: OFFERED_MAX }, signal),
  );
  const offered = value?.popups ?? [];
  const take = (typed: string) => {
    setText(typed);
    // What is picked from the list is taken at once; what is typed, with Enter.
    if (typed === '' || offered.some(({ id }) => id === typed)) pick(typed);
  };
  return (
    <form
      class="report-popup"
      onSubmit={(event) => {
        event.preventDefault();
        pick(text.trim());
      }}
    >
      <TextField
        label="Popup"
        type="search"
        list="offered-popups"
        placeholder="All popups"
        spellcheck={false}
        value={text}
        onText={take}
      />
      <datalist id="offered-popups">
        {offered.map(({ id }) => (
          <option key={id} value={id} />
        ))}
      </datalist>
      {popup && (
        <Button kind="quiet" onClick={() => pick('')}>
          All popups
        </Button>
      )}
    </form>
  );
}
