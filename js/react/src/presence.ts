/** Tells when the person comes back to this page: `look` from elsewhere, `restored` where the browser has kept the page whole meanwhile. */
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
