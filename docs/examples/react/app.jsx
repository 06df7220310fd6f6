import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { createNudge } from 'nudged-snippet';
import { usePopup } from './use-popup.js';

const nudge = createNudge({
  node: 'http://127.0.0.1:8080/',
  key: 'pk_kettle_and_leaf_shop',
  user: 'react',
});

function Corner() {
  const [popup, end] = usePopup(nudge, 'corner');
  if (!popup) return null;
  return (
    <aside aria-label={popup.content.title}>
      <h2>{popup.content.title}</h2>
      <p>{popup.content.text}</p>
      <button type="button" onClick={() => end('clicked')}>
        {popup.content.button}
      </button>
      <button type="button" onClick={() => end('dismissed')}>
        Hide
      </button>
    </aside>
  );
}

createRoot(document.getElementById('app')).render(
  <StrictMode>
    <h1>Kettle &amp; Leaf</h1>
    <Corner />
  </StrictMode>,
);
