// What a page may do beside its tag: ask for another placement, and forget this browser's user.
const said = document.getElementById('said');

for (const button of document.querySelectorAll('[data-ask]')) {
  button.addEventListener('click', async () => {
    const { popup, reason, next } = await nudge.ask({ placement: button.dataset.ask });
    const when = next ? `, ask again in ${next} s` : '';
    said.textContent = popup ? `shown: ${popup.id}` : `nothing: ${reason}${when}`;
  });
}
document.getElementById('reset').addEventListener('click', () => {
  nudge.close();
  nudge.reset();
  said.textContent = 'forgotten: the node makes up a new id';
});
