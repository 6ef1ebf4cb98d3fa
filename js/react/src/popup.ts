/**
 * Opens the window for the provider's dialog. Call it while a click is being handled and before anything is awaited: browsers open
 * no window later. Returns undefined if the browser blocks it.
 */
export function openPopup(name: string): Window | undefined {
  const width = Math.min(600, window.screen.availWidth || 600);
  const height = Math.min(760, window.screen.availHeight || 760);
  const left = Math.max(0, Math.round(window.screenX + (window.outerWidth - width) / 2));
  const top = Math.max(0, Math.round(window.screenY + (window.outerHeight - height) / 2));
  const popup = window.open('about:blank', name, `popup,width=${width},height=${height},left=${left},top=${top}`);
  // Some blockers return a window that is closed already.
  return popup && !popup.closed ? popup : undefined;
}

/**
 * The prefix of the windows' names. Each connection has one name, so that a second attempt reuses the window of a first that was
 * lost.
 */
export const popupPrefix = 'authpipe:';
