/**
 * Opens the window that the person will consent in. It must be called while a click is being handled, before anything is waited for:
 * browsers open windows for people, not for answers. Returns undefined where the browser lets no window open.
 */
export function openPopup(name: string): Window | undefined {
  const width = Math.min(600, window.screen.availWidth || 600);
  const height = Math.min(760, window.screen.availHeight || 760);
  const left = Math.max(0, Math.round(window.screenX + (window.outerWidth - width) / 2));
  const top = Math.max(0, Math.round(window.screenY + (window.outerHeight - height) / 2));
  const popup = window.open('about:blank', name, `popup,width=${width},height=${height},left=${left},top=${top}`);
  // Some blockers hand out a window that is closed already.
  return popup && !popup.closed ? popup : undefined;
}

/** The windows' names start so. A connection has one name, so that a second attempt takes over the window of a first that was lost sight of. */
export const popupPrefix = 'authpipe:';
