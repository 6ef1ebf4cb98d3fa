/**
 * Watches for the person coming back to this page: `look` from elsewhere, `restored` if the browser restores the page from its
 * cache.
 */
export function watchPresence(look: () => void, restored: () => void): () => void {
  const seen = () => {
    if (document.visibilityState === 'visible') look();
  };
  const shown = (event: PageTransitionEvent) => {
    if (event.persisted) restored();
  };
  window.addEventListener('focus', seen);
  document.addEventListener('visibilitychange', seen);
  window.addEventListener('pageshow', shown);
  return () => {
    window.removeEventListener('focus', seen);
    document.removeEventListener('visibilitychange', seen);
    window.removeEventListener('pageshow', shown);
  };
}
